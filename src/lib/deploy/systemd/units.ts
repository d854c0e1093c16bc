import { platformUnit } from '../../core/index.js';
import { devicesFor, loopUnit } from '../../loop/index.js';
import type { Values } from '../values/index.js';

/** Names of files in /etc/aiot on the machine. */
export const tlsFiles = { cert: '/etc/aiot/tls/tls.crt', key: '/etc/aiot/tls/tls.key' };

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
export function serviceUnit(name: string, values: Values): string {
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
