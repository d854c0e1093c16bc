import { confined, unitFile, unitQuoted, unitSections, unitValue, unitWord } from './systemd.js';

export interface PlatformUnitOptions {
  /** Of the service, without `.service`. */
  service: string;
  /** Program and arguments. */
  command: readonly string[];
  /** Undefined: one that systemd makes up, whose folder systemd keeps. */
  user: string | undefined;
  /** Folder of the platform; undefined = the service's own state folder. */
  data: string | undefined;
  /** The user's config folder, where its context is written; of a made-up user it is in the state folder. */
  config: string | undefined;
  /** Folders and files that it reads. */
  reads: readonly string[];
  /** File of NAME=VALUE lines, mode 0600: addresses of engines and what else is a secret. */
  secrets: string;
  /** Such as `1G`. */
  memory: string;
  /** It listens below 1024. */
  lowPorts: boolean;
}

/** How long the platform may be silent: it says that it lives three times in so long. */
const watchdogSeconds = 60;

/**
 * Text of the platform's unit, which it installs where it runs, and which is rendered for elsewhere (systemd.service(5), systemd.exec(5),
 * systemd.resource-control(5)); for systemd 247 and later.
 */
export function platformUnit(options: PlatformUnitOptions): string {
  const { service, command, user, data, config, reads, secrets, memory, lowPorts } = options;
  const writes = [data, config].filter((path) => path !== undefined);
  const settings = confined({ reads, writes, devices: [], kernelFiles: false });
  const low = 'CAP_NET_BIND_SERVICE';
  const capabilities = (line: string) => (line === 'CapabilityBoundingSet=' ? `${line}${low}` : line);
  return unitSections({
    Unit: [
      'Description=aiot platform: devices, models, telemetry',
      'Wants=network-online.target',
      'After=network-online.target time-sync.target postgresql.service',
      ...(data === undefined ? [] : [`RequiresMountsFor=${unitQuoted(unitValue(data))}`]),
      'StartLimitIntervalSec=0',
    ],
    Service: [
      'Type=notify',
      '# systemd-notify is a process of its own.',
      'NotifyAccess=all',
      `ExecStart=${command.map(unitWord).join(' ')}`,
      `EnvironmentFile=-${unitFile(secrets)}`,
      '# A long journal is read, a database brought up to date.',
      'TimeoutStartSec=10min',
      `WatchdogSec=${watchdogSeconds}`,
      'Restart=always',
      'RestartSec=2',
      '# SIGTERM: what waits is written.',
      'TimeoutStopSec=60',
      '# The first start says the operator’s token there; the context has it too.',
      'StandardOutput=null',
      'StandardError=journal',
      `SyslogIdentifier=${service}`,
      '',
      ...(user === undefined ? ['DynamicUser=yes'] : [`User=${user}`]),
      `StateDirectory=${service}`,
      'StateDirectoryMode=0700',
      `CacheDirectory=${service}`,
      `Environment=AIOT_DATA_DIR=%S/${service} AIOT_CACHE_DIR=%C/${service}`,
      `Environment=${config === undefined ? `AIOT_CONFIG_DIR=%S/${service}/config` : unitQuoted(`AIOT_CONFIG_DIR=${unitValue(config)}`)}`,
      'UMask=0077',
      '',
      `MemoryMax=${memory}`,
      'TasksMax=512',
      '# A connection each for tens of thousands of devices.',
      'LimitNOFILE=65536',
      'LimitCORE=0',
      '',
      ...(lowPorts ? [`AmbientCapabilities=${low}`, ...settings.map(capabilities)] : settings),
      'RemoveIPC=yes',
    ],
    Install: ['WantedBy=multi-user.target'],
  });
}
