import { fillTemplate, templateText } from '../template.js';
import type { DeployTarget, RenderedFile, RenderInput } from '../types.js';
import { nothing, type Values } from '../values.js';
import { platformService } from './systemd.js';

/** One file that makes a fresh VM a platform; the whole machine is the service. */
export const cloudInitTarget: DeployTarget = {
  name: 'cloud-init',
  about: 'One file that makes a fresh VM of any cloud a platform with TLS.',
  next: 'cloud-init schema --config-file user-data.yaml',
  usual: () => nothing,
  render({ values }: RenderInput): RenderedFile[] {
    const filled = fillTemplate(templateText('cloud-init/user-data.yaml'), scopeOf(values));
    return [
      {
        path: 'user-data.yaml',
        // Without its first line, which has to be exactly this, nothing of it is done.
        text: `#cloud-config\n${filled}`,
        about: 'what the VM is given as user data',
      },
      {
        path: 'meta-data.yaml',
        text: `instance-id: ${values.name}-1\nlocal-hostname: ${values.name}\n`,
        about: 'for a seed of one’s own (NoCloud)',
      },
      { path: 'README.md', text: readme(values), about: 'what to do with these files' },
    ];
  },
};

function scopeOf(values: Values) {
  const { name, host, platform, cloudInit } = values;
  const { acme, keys, user } = cloudInit;
  const ports = platform
    ? [platform.port, platform.mqttPort, ...(platform.compat === undefined ? [] : platform.compatPorts)]
    : [];
  return {
    name,
    host,
    cloud: {
      user,
      keys: keys.length === 0 ? null : keys,
      acme,
      packages: [
        'nodejs',
        'npm',
        'openssl',
        'curl',
        'ca-certificates',
        'ufw',
        'unattended-upgrades',
        ...(acme ? ['certbot'] : []),
      ],
      unit: platformService(values, acme !== false),
      install: templateText('cloud-init/install.sh'),
      hook: templateText('cloud-init/certificate.sh'),
      run: [
        ['ufw', 'default', 'deny', 'incoming'],
        ['ufw', 'limit', 'OpenSSH'],
        ...(acme ? [['ufw', 'allow', '80/tcp']] : []),
        ...ports.map((port) => ['ufw', 'allow', `${port}/tcp`]),
        ['ufw', '--force', 'enable'],
        [
          '/usr/local/sbin/aiot-install',
          cloudInit.package,
          ...(cloudInit.sha256 === undefined ? [] : [cloudInit.sha256]),
        ],
        ...(acme
          ? [
              [
                ...[
                  'certbot',
                  'certonly',
                  '--standalone',
                  '--non-interactive',
                  '--agree-tos',
                  '--email',
                  acme.email,
                ],
                ...['--domain', host, '--deploy-hook', '/usr/local/sbin/aiot-certificate'],
              ],
            ]
          : []),
        ['systemctl', 'daemon-reload'],
        ['systemctl', 'enable', '--now', 'aiot-platform.service'],
      ],
    },
  };
}

function readme({ name, host, cloudInit, platform }: Values): string {
  const { acme, keys, sha256 } = cloudInit;
  return `# ${name} on a fresh VM

Rendered by \`aiot deploy render --target cloud-init\`. Give \`user-data.yaml\` to a VM with Debian 13, Ubuntu 25.10 or newer as its user data; every cloud has a field for it.
Of one's own: a disk labelled \`cidata\` with both files, named \`user-data\` and \`meta-data\`.

\`\`\`sh
cloud-init schema --config-file user-data.yaml
cloud-localds seed.img user-data.yaml meta-data.yaml      # for QEMU, Proxmox, a Pi
\`\`\`

It fetches \`${cloudInit.package}\`${sha256 === undefined ? ' (**without a digest**: set cloudInit.sha256)' : ' and checks its digest'}, makes the users \`${cloudInit.user}\` and \`aiot\`, a firewall, ${
    acme
      ? `a certificate for ${host} by ACME (port 80 has to reach it)`
      : 'a certificate by the platform’s own CA'
  } and the service. No secret that lasts is in the file: what seals the CA is made on the machine.
${keys.length === 0 ? '\n**Nobody can log in yet**: name public keys under cloudInit.keys.\n' : ''}
\`\`\`sh
ssh ${cloudInit.user}@${host} cloud-init status --wait
ssh ${cloudInit.user}@${host} sudo AIOT_CONFIG_DIR=/var/lib/aiot-platform/config aiot token create laptop --role operator >token
ssh ${cloudInit.user}@${host} sudo cat /var/lib/aiot-platform/platform/pki/ca.crt >ca.crt
aiot context add ${name} --url https://${host}:${platform ? platform.port : 8443} ${acme ? '' : '--ca ca.crt '}--token-file token
\`\`\`
`;
}
