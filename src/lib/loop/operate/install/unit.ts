import {
  confined,
  unitFile,
  unitFolder,
  unitQuoted,
  unitSections,
  unitValue,
  unitWord,
} from '../../../core/index.js';
import type { Devices } from './devices.js';

export interface LoopUnitOptions {
  /** Of the loop; the service is `aiot-loop-NAME`. */
  name: string;
  /** Program and arguments. */
  command: readonly string[];
  /** Absolute. */
  project: string;
  /** Undefined: one that systemd makes up for as long as it runs. */
  user: string | undefined;
  devices: Devices;
  /** Folders and files that it reads; those below home are shown to it alone of all that is there. */
  reads: readonly string[];
  /** The user's config folder: read in place by a user, copied by systemd for a made-up one. */
  config: { folder: string; files: readonly string[] };
  /** File of NAME=VALUE lines, mode 0600: for what is a secret. */
  secrets: string;
  /** Such as `300M`. */
  memory: string;
  /** Such as `50%` of one core; undefined = no limit. */
  cpu: string | undefined;
  /** Variables besides, none of them a secret. */
  environment?: Readonly<Record<string, string>>;
  /** False: it tells systemd nothing of itself, as what is no loop. */
  tells?: boolean;
}

/** How long the loop may be silent: it says that it lives three times in so long. */
const watchdogSeconds = 60;

/**
 * Text of the unit (systemd.service(5), systemd.exec(5), systemd.resource-control(5)), for systemd 247 and later. Without
 * MemoryDenyWriteExecute: V8 makes machine code. Without network-online.target: a loop begins alone.
 */
export function loopUnit(options: LoopUnitOptions): string {
  const { name, user } = options;
  const service = `aiot-loop-${name}`;
  return unitSections({
    Unit: [
      `Description=aiot loop ${unitValue(name)}: sensor to prediction`,
      'After=network.target',
      `RequiresMountsFor=${unitQuoted(unitValue(options.project))}`,
      // It is started again for ever: nobody is there to do it.
      'StartLimitIntervalSec=0',
    ],
    Service: [
      ...running(options, service),
      ...identity(options, service),
      '',
      `MemoryMax=${options.memory}`,
      ...(options.cpu === undefined ? [] : [`CPUQuota=${options.cpu}`]),
      'TasksMax=128',
      'LimitCORE=0',
      '',
      ...confinement(options),
      ...(user === undefined ? [] : ['RemoveIPC=yes']),
    ],
    Install: ['WantedBy=multi-user.target'],
  });
}

function running(options: LoopUnitOptions, service: string): string[] {
  const { command, project, secrets, environment = {}, tells = true } = options;
  return [
    ...(tells
      ? ['Type=notify', '# systemd-notify is a process of its own.', 'NotifyAccess=all']
      : ['Type=exec']),
    `ExecStart=${command.map(unitWord).join(' ')}`,
    `WorkingDirectory=${unitFolder(project)}`,
    `EnvironmentFile=-${unitFile(secrets)}`,
    ...(tells
      ? [
          '# READY comes with the first sample; a sensor may be plugged in late.',
          'TimeoutStartSec=10min',
          `WatchdogSec=${watchdogSeconds}`,
        ]
      : []),
    'Restart=always',
    'RestartSec=5',
    '# SIGTERM: what was answered goes out, or to disk.',
    'TimeoutStopSec=30',
    'StandardOutput=journal',
    'StandardError=journal',
    `SyslogIdentifier=${service}`,
    '',
    `StateDirectory=${service}`,
    'StateDirectoryMode=0700',
    `CacheDirectory=${service}`,
    `RuntimeDirectory=${service}`,
    'RuntimeDirectoryMode=0755',
    `Environment=AIOT_DATA_DIR=%S/${service} AIOT_CACHE_DIR=%C/${service}`,
    ...Object.entries(environment).map(
      ([name, value]) => `Environment=${unitQuoted(unitValue(`${name}=${value}`))}`,
    ),
  ];
}

function identity({ user, config, devices }: LoopUnitOptions, service: string): string[] {
  const groups = devices.groups.length > 0 ? [`SupplementaryGroups=${devices.groups.join(' ')}`] : [];
  const place = (folder: string) => `Environment=${unitQuoted(`AIOT_CONFIG_DIR=${folder}`)}`;
  if (user !== undefined) return [`User=${user}`, ...groups, place(unitValue(config.folder))];
  return [
    'DynamicUser=yes',
    ...groups,
    ...config.files.map((file) => `LoadCredential=${file}:${unitValue(`${config.folder}/${file}`)}`),
    // Where systemd puts them; it is there only when there are any.
    place(config.files.length > 0 ? `/run/credentials/${service}.service` : `%S/${service}/config`),
  ];
}

function confinement({ user, devices, reads, config }: LoopUnitOptions): string[] {
  const { allow, kernelFiles } = devices;
  const seen = [...reads, ...(user === undefined ? [] : [config.folder])];
  return confined({ reads: seen, devices: allow, kernelFiles });
}
