import { platformUnit } from '../../core/systemd.js';
import { devicesFor, loopUnit } from '../../loop/operate/install.js';
import { secretsOf } from '../secrets.js';
import type { DeployTarget, RenderedFile, RenderInput } from '../types.js';
import { nothing, type Values } from '../values.js';

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

/** Names of files in /etc/aiot on the machine. */
const tlsFiles = { cert: '/etc/aiot/tls/tls.crt', key: '/etc/aiot/tls/tls.key' };

/** The unit of `aiot platform install`, for a machine that is not this one. `tls`: it shows a certificate by another CA. */
export function platformService(values: Values, tls: boolean): string {
  const { platform, hosts, systemd } = values;
  const guide = platform && platform.compat !== undefined;
  return platformUnit({
    service: 'aiot-platform',
    command: [
      systemd.node,
      `${systemd.package}/bin/run.js`,
      ...['up', '--quiet', '--host', '0.0.0.0', '--public', hosts.join(',')],
      ...(platform ? ['--http-port', String(platform.port), '--mqtt-port', String(platform.mqttPort)] : []),
      ...(tls ? ['--cert', tlsFiles.cert, '--key', tlsFiles.key] : []),
      ...(guide ? ['--compat', platform.compat!, '--compat-ports', platform.compatPorts.join(',')] : []),
    ],
    user: 'aiot',
    data: undefined,
    config: undefined,
    reads: [],
    secrets: '/etc/aiot/platform.env',
    memory: systemd.memory,
    lowPorts: platform !== false && (platform.port < 1024 || platform.mqttPort < 1024),
  });
}

/** A process of the project, as a loop has it: it begins alone, and goes on for ever. */
function serviceUnit(name: string, values: Values): string {
  const { systemd } = values;
  const { run, env } = values.services[name]!;
  const plain = Object.entries(env).filter(([, value]) => !value.includes('$('));
  const sensors = run.filter((word) => /^[a-z][\w+.-]*:/i.test(word));
  return loopUnit({
    name,
    command: [systemd.node, `${systemd.package}/bin/run.js`, ...placed(run, systemd.project)],
    project: systemd.project,
    user: undefined,
    devices: devicesFor(sensors),
    reads: [],
    config: { folder: '/etc/aiot', files: [] },
    secrets: `/etc/aiot/loop-${name}.env`,
    memory: '300M',
    cpu: undefined,
    environment: Object.fromEntries(
      plain.map(([key, value]) => [key, placed([value], systemd.project)[0] ?? '']),
    ),
    tells: run[0] === 'loop',
  });
}

/** In containers the project is at /project, certificates at /certs. */
const placed = (run: readonly string[], project: string) =>
  run.map((word) =>
    word.replace(/^\/project(?=\/|$)/, project).replace(/^\/(certs|context)(?=\/)/, '/etc/aiot/$1'),
  );
