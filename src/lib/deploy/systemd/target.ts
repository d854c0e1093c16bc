import { secretsOf } from '../secrets/index.js';
import type { DeployTarget, RenderedFile, RenderInput } from '../types.js';
import { nothing, type Values } from '../values/index.js';
import { platformService, serviceUnit } from './units.js';

/** Units for a machine without containers: what `platform install` and `loop install` write, for one that is not this one. */
export const systemdTarget: DeployTarget = {
  name: 'systemd',
  about: 'Units for a machine without containers: the platform, and the project’s processes.',
  next: 'systemd-analyze verify *.service',
  usual: () => nothing,
  render({ values }: RenderInput): RenderedFile[] {
    return [
      { path: 'README.md', text: readme(values), about: 'what to do with these files' },
      ...(values.platform
        ? [
            {
              path: 'aiot-platform.service',
              text: platformService(values, false),
              about: 'the platform',
            },
          ]
        : []),
      ...Object.keys(values.services).map((name) => ({
        path: `aiot-loop-${name}.service`,
        text: serviceUnit(name, values),
        about: 'of the project',
      })),
    ];
  },
};

function readme(values: Values): string {
  const { name, systemd, platform, services } = values;
  const units = [
    ...(platform ? ['aiot-platform'] : []),
    ...Object.keys(services).map((each) => `aiot-loop-${each}`),
  ];
  const asked = secretsOf(values).filter(({ name: each }) => Object.hasOwn(services, each));
  return `# ${name} by systemd

Rendered by \`aiot deploy render --target systemd\`, for a machine that has Node at \`${systemd.node}\` and aiot at \`${systemd.package}\`
(\`npm install --global\`). On the machine itself \`aiot platform install\` and \`aiot loop install\` find both by themselves.

\`\`\`sh
systemd-analyze verify *.service
${platform ? 'sudo useradd --system --home-dir /var/lib/aiot-platform --shell /usr/sbin/nologin aiot\n' : ''}sudo install -d -m 755 /etc/aiot
sudo install -m 644 *.service /etc/systemd/system/
sudo systemctl daemon-reload
sudo systemctl enable --now ${units.join(' ')}
\`\`\`

Secrets are in files of root's, mode 0600, of NAME=value lines:

${[
  ...(platform
    ? [
        '- `/etc/aiot/platform.env`: AIOT_DATABASE, AIOT_BLOBS, AIOT_EVENTS, AIOT_BROKER where they have passwords; AIOT_CA_PASSPHRASE, AIOT_PLATFORM_SECRET.',
      ]
    : []),
  ...asked.map(
    ({ name: each, values: keys }) => `- \`/etc/aiot/loop-${each}.env\`: ${Object.keys(keys).join(', ')}.`,
  ),
].join('\n')}
${platform ? '\nThe operator’s first token is in the service’s own context: `sudo AIOT_CONFIG_DIR=/var/lib/aiot-platform/config aiot token create NAME --role operator`.\n' : ''}${
  Object.keys(services).length > 0 ? `\nThe project lies in \`${systemd.project}\`.\n` : ''
}`;
}
