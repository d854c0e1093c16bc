import { stringify } from 'yaml';
import { templateText } from '../template.js';
import type { DeployTarget, RenderedFile, RenderInput } from '../types.js';
import type { Values } from '../values.js';
import { k3sTarget } from './k3s.js';

type Node = Values['nodes']['list'][number];

const yaml = (value: object, before: string) =>
  `${before}${stringify(value, { version: '1.1', lineWidth: 0 })}`;

/** What makes the machines of a K3S cluster: configuration of each, a Pi's flags, firewall, registry. */
export const nodesTarget: DeployTarget = {
  name: 'k3s-nodes',
  about: 'The machines of a K3S cluster: configuration of each, a Pi’s flags, firewall, registry.',
  next: 'less README.md',
  // The same as of what runs on them.
  usual: k3sTarget.usual,
  render({ values }: RenderInput): RenderedFile[] {
    const { list, registry } = values.nodes;
    return [
      { path: 'README.md', text: readme(values), about: 'what to do with these files' },
      { path: 'install.sh', text: templateText('k3s-nodes/install.sh'), about: 'installs K3S on a node' },
      ...(list.some(({ pi }) => pi)
        ? [{ path: 'pi.sh', text: templateText('k3s-nodes/pi.sh'), about: 'a Pi’s cgroup flags and swap' }]
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
    // Made by the first server; whoever joins gets it on stdin of install.sh.
    ...(node.name === first.name ? {} : { 'token-file': '/etc/rancher/k3s/token' }),
    ...listed(
      'node-label',
      Object.entries(labels).map(([key, value]) => `${key}=${value}`),
    ),
    ...listed('node-taint', wanted?.taint ? [`${wanted.label.key}=${wanted.label.value}:NoSchedule`] : []),
    // Pods without root may open what a device plugin gives them.
    ...(wanted ? { 'nonroot-devices': true } : {}),
  };
  const server = {
    ...(servers.length > 1 && node.name === first.name ? { 'cluster-init': true } : {}),
    'tls-san': [...new Set([...servers.map(addressOf), ...values.hosts])],
    'write-kubeconfig-mode': '0600',
    'secrets-encryption': true,
    // What goes between nodes is encrypted: passwords of PostgreSQL, S3 and MQTT are in it.
    'flannel-backend': 'wireguard-native',
  };
  const about =
    node.role === 'server'
      ? '# /etc/rancher/k3s/config.yaml of a server. What stands from tls-san on is the same on all servers.\n'
      : '# /etc/rancher/k3s/config.yaml of an agent. Labels and taints count at its first start; later: kubectl label, kubectl taint.\n';
  return yaml(node.role === 'server' ? { ...common, ...server } : common, about);
}

const listed = (key: string, values: string[]) => (values.length === 0 ? {} : { [key]: values });

/** The registry's own address, and nothing else: what it does not have is not looked for elsewhere under its name. */
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
  /** Who may come. */
  from: 'nodes' | 'operators' | 'anybody';
  about: string;
}

/** What a node listens at, by K3S's own list and by what is installed. */
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

/** The same as commands of ufw. */
function firewallScript(values: Values, role: 'server' | 'agent'): string {
  const { list, operators } = values.nodes;
  const addresses = list.flatMap(({ address }) =>
    address === undefined || !/^[\d.:a-f]+$/i.test(address) ? [] : [address],
  );
  const nodes = addresses.length === list.length ? addresses : ['"$NODES"'];
  const lines = rulesOf(values, role).map(({ port, protocol, from, about }) => {
    if (from === 'anybody') return `ufw allow ${port}/${protocol} comment '${about}'`;
    return (from === 'nodes' ? nodes : operators)
      .map((who) => `ufw allow proto ${protocol} from ${who} to any port ${port} comment '${about}'`)
      .join('\n');
  });
  return `#!/bin/sh
# Ports of a K3S ${role}, as root. Pods and services have networks of their own, which have to pass.
set -eu
${nodes[0] === '"$NODES"' ? `: "\${NODES:?expected the network of the nodes, such as 192.168.1.0/24}"\n` : ''}ufw default deny incoming
ufw allow from 10.42.0.0/16 comment 'pods'
ufw allow from 10.43.0.0/16 comment 'services'
${lines.join('\n')}
ufw --force enable
`;
}

/** What to do with the files, on each machine, in the order of doing it. */
function readme(values: Values): string {
  const { name, nodes, accelerators, storageClass } = values;
  const { list, version, registry, airGap } = nodes;
  const first = list.find(({ role }) => role === 'server')!;
  const wanted = [
    ...new Set(list.flatMap(({ accelerator }) => (accelerator === undefined ? [] : [accelerator]))),
  ];
  return `# The machines of ${name}

Rendered by \`aiot deploy render --target k3s-nodes\`, for K3S ${version}. 64-bit systems: on 32-bit Arm there is neither Longhorn nor most images.

| node | role | what it is |
| --- | --- | --- |
${list
  .map(
    ({ name: node, role, arch, pi, accelerator }) =>
      `| ${node} | ${role} | ${arch}${pi ? ', Raspberry Pi' : ''}${accelerator ? `, ${accelerator}` : ''} |`,
  )
  .join('\n')}

## On each, in this order: ${first.name} first

\`\`\`sh
${list.some(({ pi }) => pi) ? 'sudo sh pi.sh && sudo reboot                       # a Pi: cgroup flags, swap\n' : ''}${
  storageClass === 'longhorn'
    ? 'sudo apt install -y open-iscsi nfs-common && sudo systemctl enable --now iscsid   # Longhorn\n'
    : ''
}sudo NODES=192.168.1.0/24 sh firewall-server.sh      # or firewall-agent.sh; your nodes' network
sudo sh install.sh server ${version} ${first.name} </dev/null
sudo cat /var/lib/rancher/k3s/server/node-token      # for those that join: on stdin, not on a command line
sudo sh install.sh agent ${version} NODE <token
\`\`\`

\`install.sh\` wants K3S's own script beside it as \`k3s-install.sh\`. ${
    airGap
      ? `Without the internet: put the release's \`k3s\` at /usr/local/bin (mode 755) and \`k3s-airgap-images-ARCH.tar.zst\` into
/var/lib/rancher/k3s/agent/images/ of each node first; a node without a default route needs a dummy one
(\`ip link add dummy0 type dummy && ip link set dummy0 up && ip route add default dev dummy0\`).`
      : 'With `/usr/local/bin/k3s` there already, nothing is downloaded (air gap: its images go to /var/lib/rancher/k3s/agent/images/).'
  }

## Ports

| port | from | for |
| --- | --- | --- |
${rulesOf(values, 'server')
  .map(({ port, protocol, from, about }) => `| ${port.replace(':', '-')}/${protocol} | ${from} | ${about} |`)
  .join('\n')}

Flannel's VXLAN port 8472/udp stays closed: the backend is WireGuard.

${
  registry
    ? `## Registry

\`registries.yaml\` sends pulls of \`${registry.host}/…\` to the registry in your network${registry.ca === undefined ? ', without TLS: keep it to that network' : ''}.
`
    : `## Registry

Name your own in deploy.yaml (\`nodes: { registry: { host: registry.internal:5000 } }\`): each node gets a registries.yaml.
`
}
${
  wanted.length > 0
    ? `## Accelerators

${wanted
  .map((each) => {
    const { resource, label, taint } = accelerators[each]!;
    return `- ${each}: label \`${label.key}=${label.value}\`${taint ? ', and a taint of the same that keeps others off' : ''}; pods ask for \`${resource}\`, which a device plugin has to offer.`;
  })
  .join('\n')}
- Coral over USB has two identities, 1a6e:089a before its firmware is loaded and 18d1:9302 after: give the device plugin both as groups of one name.
`
    : ''
}`;
}
