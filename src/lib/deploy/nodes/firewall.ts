import type { Values } from '../values/index.js';

interface Rule {
  port: string;
  protocol: 'tcp' | 'udp';
  /** Who may come. */
  from: 'nodes' | 'operators' | 'anybody';
  about: string;
}

/** What a node listens at, by K3S's own list and by what is installed. */
export function rulesOf(values: Values, role: 'server' | 'agent'): Rule[] {
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
export function firewallScript(values: Values, role: 'server' | 'agent'): string {
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
