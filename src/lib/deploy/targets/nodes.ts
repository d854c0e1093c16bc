import { stringify } from 'yaml';
import { fillText, templateText } from '../template.js';
import type { DeployTarget, RenderedFile, RenderInput } from '../types.js';
import type { Values } from '../values.js';
import { k3sTarget } from './k3s.js';

type Node = Values['nodes']['list'][number];

const yaml = (value: object, before: string) =>
  `${before}${stringify(value, { version: '1.1', lineWidth: 0 })}`;

/** Sets up the machines of a K3s cluster: the configuration of each node, the boot flags of a Pi, the firewall, and the registry. */
export const nodesTarget: DeployTarget = {
  name: 'k3s-nodes',
  about:
    "The machines of a K3s cluster: each node's configuration, Raspberry Pi flags, firewall and registry.",
  next: 'less README.md',
  // The components of the cluster that runs on these machines.
  usual: k3sTarget.usual,
  render({ values }: RenderInput): RenderedFile[] {
    const { list, registry } = values.nodes;
    return [
      { path: 'README.md', text: readme(values), about: 'instructions for these files' },
      { path: 'install.sh', text: templateText('k3s-nodes/install.sh'), about: 'installs K3s on a node' },
      ...(list.some(({ pi }) => pi)
        ? [
            {
              path: 'pi.sh',
              text: templateText('k3s-nodes/pi.sh'),
              about: 'cgroup flags and swap of a Raspberry Pi',
            },
          ]
        : []),
      ...(['server', 'agent'] as const).map((role) => ({
        path: `firewall-${role}.sh`,
        text: firewallScript(values, role),
        about: `ports of ${role === 'server' ? 'a server' : 'an agent'}`,
      })),
      ...list.flatMap((node) => [
        {
          path: `${node.name}/config.yaml`,
          text: configOf(node, values),
          about: `/etc/rancher/k3s/config.yaml of ${node.name}`,
        },
        ...(registry
          ? [
              {
                path: `${node.name}/registries.yaml`,
                text: registriesOf(registry),
                about: `/etc/rancher/k3s/registries.yaml of ${node.name}`,
              },
            ]
          : []),
      ]),
    ];
  },
};

const addressOf = ({ address, name }: Node) => address ?? name;

function configOf(node: Node, values: Values): string {
  const { list } = values.nodes;
  const servers = list.filter(({ role }) => role === 'server');
  const first = servers[0]!;
  const wanted = node.accelerator === undefined ? undefined : values.accelerators[node.accelerator];
  const labels = { ...node.labels, ...(wanted ? { [wanted.label.key]: wanted.label.value } : {}) };
  const common = {
    'node-name': node.name,
    ...(node.name === first.name ? {} : { server: `https://${addressOf(first)}:6443` }),
    // The first server generates the token. A joining node reads it from stdin of install.sh.
    ...(node.name === first.name ? {} : { 'token-file': '/etc/rancher/k3s/token' }),
    ...listed(
      'node-label',
      Object.entries(labels).map(([key, value]) => `${key}=${value}`),
    ),
    ...listed('node-taint', wanted?.taint ? [`${wanted.label.key}=${wanted.label.value}:NoSchedule`] : []),
    // Lets non-root pods open a device plugin's devices.
    ...(wanted ? { 'nonroot-devices': true } : {}),
  };
  const server = {
    ...(servers.length > 1 && node.name === first.name ? { 'cluster-init': true } : {}),
    'tls-san': [...new Set([...servers.map(addressOf), ...values.hosts])],
    'write-kubeconfig-mode': '0600',
    'secrets-encryption': true,
    // Traffic between nodes is encrypted, because it contains passwords for PostgreSQL, S3 and MQTT.
    'flannel-backend': 'wireguard-native',
  };
  const about =
    node.role === 'server'
      ? '# /etc/rancher/k3s/config.yaml of a server. The settings from tls-san on are the same on all servers.\n'
      : '# /etc/rancher/k3s/config.yaml of an agent. Labels and taints apply only when it first joins; change them later with kubectl label and kubectl taint.\n';
  return yaml(node.role === 'server' ? { ...common, ...server } : common, about);
}

const listed = (key: string, values: string[]) => (values.length === 0 ? {} : { [key]: values });

/** K3s's registries.yaml. Only the registry's own address is listed, so nodes do not request images of other registries from it. */
function registriesOf({ host, ca }: NonNullable<Values['nodes']['registry']>): string {
  return yaml(
    {
      mirrors: { [host]: { endpoint: [`${ca === undefined ? 'http' : 'https'}://${host}`] } },
      ...(ca === undefined ? {} : { configs: { [host]: { tls: { ca_file: ca } } } }),
    },
    `# /etc/rancher/k3s/registries.yaml, on every node; systemctl restart k3s (k3s-agent) after a change.\n# A password goes under configs.HOST.auth on the node itself.\n`,
  );
}

interface Rule {
  port: string;
  protocol: 'tcp' | 'udp';
  /** Clients that may connect. */
  from: 'nodes' | 'operators' | 'anybody';
  about: string;
}

/** The ports on which a node listens, according to K3s's documentation and the installed components. */
function rulesOf(values: Values, role: 'server' | 'agent'): Rule[] {
  const { platform, kafka, services, nodes, ingress } = values;
  const servers = nodes.list.filter((node) => node.role === 'server').length;
  const rule = (
    port: number | string,
    from: Rule['from'],
    about: string,
    protocol: Rule['protocol'] = 'tcp',
  ): Rule => ({
    port: String(port),
    protocol,
    from,
    about,
  });
  const outside = kafka ? kafka.outside : false;
  return [
    rule(22, 'operators', 'SSH'),
    ...(role === 'server'
      ? [
          rule(6443, 'nodes', 'Kubernetes API and supervisor'),
          rule(6443, 'operators', 'Kubernetes API'),
          ...(servers > 1 ? [rule('2379:2380', 'nodes', 'embedded etcd, of servers')] : []),
        ]
      : []),
    rule('51820:51821', 'nodes', 'flannel over WireGuard', 'udp'),
    rule(10250, 'nodes', 'kubelet, metrics'),
    ...(platform
      ? [
          rule(platform.port, 'anybody', 'API of the platform'),
          rule(platform.mqttPort, 'anybody', 'MQTT over TLS'),
          ...(ingress ? [rule(80, 'anybody', 'ingress'), rule(443, 'anybody', 'ingress')] : []),
          ...(platform.compat
            ? platform.compatPorts.map((port) => rule(port, 'anybody', 'services of the guide'))
            : []),
        ]
      : []),
    ...(kafka && outside
      ? [
          rule(outside.bootstrap, 'anybody', 'Kafka, first contact'),
          ...outside.brokers.slice(0, kafka.brokers).map((port) => rule(port, 'anybody', 'Kafka, a broker')),
        ]
      : []),
    ...Object.entries(services).flatMap(([name, { ports }]) =>
      ports.flatMap(({ nodePort }) => (nodePort === undefined ? [] : [rule(nodePort, 'anybody', name)])),
    ),
  ];
}

/** The firewall rules as ufw commands. */
function firewallScript(values: Values, role: 'server' | 'agent'): string {
  const { list, operators } = values.nodes;
  const addresses = list.flatMap(({ address }) =>
    address === undefined || !/^[\d.:a-f]+$/i.test(address) ? [] : [address],
  );
  const nodes = addresses.length === list.length ? addresses : ['"$NODES"'];
  const allowed = rulesOf(values, role).flatMap(({ port, protocol, from, about }) =>
    from === 'anybody'
      ? [`ufw allow ${port}/${protocol} comment '${about}'`]
      : (from === 'nodes' ? nodes : operators).map(
          (who) => `ufw allow proto ${protocol} from ${who} to any port ${port} comment '${about}'`,
        ),
  );
  const asked = nodes[0] === '"$NODES"';
  return fillText(templateText('k3s-nodes/firewall.sh'), { role, asked, allowed });
}

/** README with instructions for the files on each machine, in order of use. */
function readme(values: Values): string {
  const { name, nodes, accelerators, storageClass } = values;
  const { list, version, registry, airGap } = nodes;
  const wanted = [
    ...new Set(list.flatMap(({ accelerator }) => (accelerator === undefined ? [] : [accelerator]))),
  ];
  return fillText(templateText('k3s-nodes/readme.txt'), {
    ...{ name, version, airGap },
    first: list.find(({ role }) => role === 'server')!.name,
    nodes: list.map(({ name: node, role, arch, pi, accelerator }) => ({
      ...{ name: node, role },
      about: `${arch}${pi ? ', Raspberry Pi' : ''}${accelerator ? `, ${accelerator}` : ''}`,
    })),
    pi: list.some(({ pi }) => pi),
    longhorn: storageClass === 'longhorn',
    ports: rulesOf(values, 'server').map((rule) => ({ ...rule, port: rule.port.replace(':', '-') })),
    registry: registry
      ? {
          host: registry.host,
          open: registry.ca === undefined ? ', without TLS: use it only in that network' : '',
        }
      : false,
    accelerators: wanted.map((each) => {
      const { resource, label, taint } = accelerators[each]!;
      return {
        ...{ name: each, resource, label: `${label.key}=${label.value}` },
        taint: taint ? ', and a matching taint that keeps other pods away' : '',
      };
    }),
  });
}
