import { platformUnit } from '../../core/systemd.js';
import { devicesFor, loopUnit } from '../../loop/operate/install.js';
import { secretsOf } from '../secrets.js';
import { fillText, templateText } from '../template.js';
import type { DeployTarget, RenderedFile, RenderInput } from '../types.js';
import { nothing, type Values } from '../values.js';

/** Units for a machine without containers: the ones that `platform service install` and `loop install` would write on that machine. */
export const systemdTarget: DeployTarget = {
  name: 'systemd',
  about: "Units for a machine without containers: the platform, and the project's processes.",
  next: 'systemd-analyze verify *.service',
  usual: () => nothing,
  render({ values }: RenderInput): RenderedFile[] {
    return [
      { path: 'README.md', text: readme(values), about: 'instructions for these files' },
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
        about: 'a file of the project',
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
  const files = [
    ...(platform
      ? [
          '- `/etc/aiot/platform.env`: AIOT_DATABASE, AIOT_BLOBS, AIOT_EVENTS, AIOT_BROKER, AIOT_BROKER_CONTROL if they contain passwords; AIOT_CA_PASSPHRASE, AIOT_PLATFORM_SECRET.',
        ]
      : []),
    ...asked.map(
      ({ name: each, values: keys }) => `- \`/etc/aiot/loop-${each}.env\`: ${Object.keys(keys).join(', ')}.`,
    ),
  ];
  return fillText(templateText('systemd/readme.txt'), {
    ...{ name, systemd, platform },
    services: Object.keys(services),
    units: units.join(' '),
    secrets: files.join('\n'),
  });
}

/** Paths of the certificate files on the machine. */
const tlsFiles = { cert: '/etc/aiot/tls/tls.crt', key: '/etc/aiot/tls/tls.key' };

/**
 * The unit that `aiot platform service install` would write on that machine. `tls`: whether the platform uses a certificate from another
 * CA.
 */
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

/** The unit for one of the project's processes. Like a loop, it starts at boot and runs forever. */
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

/** Converts paths in arguments to paths on the machine. In containers, the project is mounted at /project, and certificates at /certs. */
const placed = (run: readonly string[], project: string) =>
  run.map((word) =>
    word.replace(/^\/project(?=\/|$)/, project).replace(/^\/(certs|context)(?=\/)/, '/etc/aiot/$1'),
  );
