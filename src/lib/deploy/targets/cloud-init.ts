import { fillTemplate, fillText, templateText } from '../template.js';
import type { DeployTarget, RenderedFile, RenderInput } from '../types.js';
import { nothing, type Values } from '../values.js';
import { platformService } from './systemd.js';

/** A single file that installs a platform on a fresh VM. */
export const cloudInitTarget: DeployTarget = {
  name: 'cloud-init',
  about: 'One file that installs a platform with TLS on a fresh VM of any cloud.',
  next: 'cloud-init schema --config-file user-data.yaml',
  usual: () => nothing,
  render({ values }: RenderInput): RenderedFile[] {
    const filled = fillTemplate(templateText('cloud-init/user-data.yaml'), scopeOf(values));
    return [
      {
        path: 'user-data.yaml',
        // The first line must be exactly this; otherwise cloud-init ignores the file.
        text: `#cloud-config\n${filled}`,
        about: 'user data for the VM',
      },
      {
        path: 'meta-data.yaml',
        text: `instance-id: ${values.name}-1\nlocal-hostname: ${values.name}\n`,
        about: 'for your own seed (NoCloud)',
      },
      { path: 'README.md', text: readme(values), about: 'instructions for these files' },
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
  return fillText(templateText('cloud-init/readme.txt'), {
    ...{ name, host, package: cloudInit.package, user: cloudInit.user, keys },
    digest: sha256 === undefined ? ' (**without a digest**: set cloudInit.sha256)' : ' and checks its digest',
    certificate: acme
      ? `a certificate for ${host} by ACME (requires access to port 80)`
      : "a certificate from the platform's own CA",
    port: platform ? platform.port : 8443,
    caFlag: acme ? '' : '--ca ca.crt ',
  });
}
