import type { Values } from '../values/index.js';
import { rulesOf } from './firewall.js';

/** What to do with the files, on each machine, in the order of doing it. */
export function readme(values: Values): string {
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
