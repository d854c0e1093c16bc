import { stringify } from 'yaml';
import { k3sTarget } from '../k3s/index.js';
import { templateText } from '../template/index.js';
import type { DeployTarget, RenderedFile, RenderInput } from '../types.js';
import type { Values } from '../values/index.js';
import { firewallScript } from './firewall.js';
import { readme } from './readme.js';

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
