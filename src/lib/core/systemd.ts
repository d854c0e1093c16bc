import { readFile } from 'node:fs/promises';
import { homedir, userInfo } from 'node:os';
import { basename, dirname } from 'node:path';
import { AiotError } from './errors.js';
import { writeFileAtomic } from './files.js';
import { startProgram } from './process.js';

// Words and values of a systemd unit, escaped so that systemd reads them back unchanged.

/** A word of a command line (systemd.service(5), "Command lines"): quotes and backslashes as in C, `$` and `%` doubled. */
export function unitWord(text: string): string {
  return unitQuoted(unitValue(text).replaceAll('$', '$$$$'));
}

/** A value that is taken as a whole (systemd.unit(5), "Specifiers"): `%` doubled, and one line. */
export const unitValue = (text: string) => text.replaceAll('%', '%%').replaceAll(/[\r\n]/g, ' ');

/** A folder that is taken as a whole. One that ends in `\` would go on in the next line, and a space would be lost: `/` ends it. */
export const unitFolder = (path: string) => unitValue(path).replace(/[\\\s]$/, '$&/');

/** A file of variables (`EnvironmentFile=`), which is a pattern of glob(7): what means something there, a `\` at the end too, is escaped. */
export const unitFile = (path: string) => unitValue(path).replaceAll(/[\\*?[\]]/g, '\\$&');

/** In quotes where it needs them; specifiers stay what they are. */
export function unitQuoted(text: string): string {
  if (/^[\w@%+=:,./$-]+$/.test(text)) return text;
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

/** `[Name]` and its lines, for each; the last line ends too. */
export function unitSections(sections: Readonly<Record<string, readonly string[]>>): string {
  return Object.entries(sections)
    .map(([name, lines]) => `[${name}]\n${lines.map((line) => `${line}\n`).join('')}`)
    .join('\n');
}

/** Writes a unit whole. `system`: to the system's folder, which is root's. @throws AIOT_FILE_NOT_WRITABLE, AIOT_DISK_FULL */
export async function writeUnit(file: string, unit: string, system: boolean): Promise<void> {
  try {
    await writeFileAtomic(file, unit);
  } catch (error) {
    if (!(error instanceof AiotError) || !system) throw error;
    throw new AiotError(error.code, error.message, {
      cause: error,
      endpoint: file,
      next: 'The same with --unit-dir . writes it here, and says how root puts it in its place.',
    });
  }
}

/** Where npm puts a package beside those that it needs, all of them: what a service has to see of an installation. */
export function packagesOf(root: string): string {
  return basename(dirname(root)) === 'node_modules' ? dirname(root) : root;
}

/**
 * Settings that keep a service to itself (systemd.exec(5)): no capabilities, nothing of the system to write to, of all homes
 * what it needs. Without MemoryDenyWriteExecute: V8 makes machine code.
 * @param reads paths that it is shown though they are below a home @param writes the same, and it may write there
 * @param devices what it may use of /dev; none = none @param kernelFiles it writes below /sys
 */
export function confined({
  reads,
  writes = [],
  devices,
  kernelFiles,
}: {
  reads: readonly string[];
  writes?: readonly string[];
  devices: readonly string[];
  kernelFiles: boolean;
}): string[] {
  const home = (path: string) => /^\/(home|root|run\/user)\//.test(`${path}/`);
  const shown = reads.filter(home).map((path) => `BindReadOnlyPaths=-${unitQuoted(unitValue(path))}`);
  const given = writes.map(
    (path) => `${home(path) ? 'BindPaths' : 'ReadWritePaths'}=${unitQuoted(unitValue(path))}`,
  );
  return [
    'NoNewPrivileges=yes',
    'CapabilityBoundingSet=',
    'ProtectSystem=strict',
    '# Of all homes, it sees what it needs.',
    'ProtectHome=tmpfs',
    ...new Set(shown),
    ...given,
    'PrivateTmp=yes',
    'DevicePolicy=closed',
    ...devices.map((device) => `DeviceAllow=${unitQuoted(unitValue(device))} rw`),
    ...(devices.length === 0 ? ['PrivateDevices=yes'] : []),
    'ProtectClock=yes',
    'ProtectControlGroups=yes',
    'ProtectHostname=yes',
    'ProtectKernelLogs=yes',
    'ProtectKernelModules=yes',
    ...(kernelFiles ? [] : ['ProtectKernelTunables=yes']),
    'ProtectProc=invisible',
    'LockPersonality=yes',
    'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
    'RestrictNamespaces=yes',
    'RestrictRealtime=yes',
    'RestrictSUIDSGID=yes',
    'SystemCallArchitectures=native',
    'SystemCallFilter=@system-service',
    'SystemCallErrorNumber=EPERM',
    'KeyringMode=private',
  ];
}

export interface PlatformUnitOptions {
  /** Name of the service, without `.service`. */
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

/**
 * The user that a service runs as, and the home whose configuration it reads: of `dynamic`, that of who asks.
 * @param asked a name, `dynamic`, or undefined: who asks, or `dynamic` where that is root
 * @returns user undefined: systemd makes one up
 * @throws AIOT_USAGE where there is no such user
 */
export async function whoRuns(
  asked: string | undefined,
): Promise<{ user: string | undefined; home: string | undefined }> {
  const caller = process.env.SUDO_USER ?? userName();
  const user = asked ?? (caller === 'root' ? 'dynamic' : caller);
  if (user === 'dynamic') return { user: undefined, home: await homeOf(caller) };
  const home = await homeOf(user);
  if (home !== undefined) return { user, home };
  throw new AiotError('AIOT_USAGE', `there is no user ${user} on this machine`, {
    next: '--user dynamic lets systemd make one up.',
  });
}

async function homeOf(user: string): Promise<string | undefined> {
  if (user === userName()) return process.env.HOME ?? homedir();
  const lines = (await readFile('/etc/passwd', 'utf8').catch(() => '')).split('\n');
  return lines.map((line) => line.split(':')).find(([name]) => name === user)?.[5];
}

/** Name of the user who runs this; a number where the system knows no name for it, as in a container run as some user. */
export function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.());
  }
}

/** Variables that name folders: `sudo` does not pass them on unless told to. */
export function ownFolders(): Record<string, string | undefined> {
  const { AIOT_CONFIG_DIR, XDG_CONFIG_HOME } = process.env;
  return { AIOT_CONFIG_DIR, XDG_CONFIG_HOME };
}

/** Those of the groups that are missing from /etc/group. */
export async function missingGroups(groups: readonly string[]): Promise<string[]> {
  const text = await readFile('/etc/group', 'utf8').catch(() => '');
  const known = new Set(text.split('\n').map((line) => line.split(':', 1)[0]));
  return groups.filter((group) => !known.has(group));
}

type Environment = Readonly<Record<string, string | undefined>>;

/** A message to the service manager (sd_notify(3)). */
export type Notify = (...lines: string[]) => Promise<void>;

/**
 * Tells systemd how we are, where it wants to know: by its own `systemd-notify`, for Node has no datagram sockets of Unix. It waits until
 * systemd has understood who it is. One call costs about 5 ms of CPU. @returns undefined where nobody asked
 */
export function notifierFor(
  env: Environment = process.env,
  program = 'systemd-notify',
): { notify: Notify; watchdogMs: number | undefined } | undefined {
  const socket = env.NOTIFY_SOCKET;
  if (!socket) return undefined;
  const watched = env.WATCHDOG_PID === undefined || Number(env.WATCHDOG_PID) === process.pid;
  const microseconds = Number(env.WATCHDOG_USEC);
  return {
    watchdogMs: watched && microseconds > 0 ? microseconds / 1000 : undefined,
    notify: (...lines) =>
      new Promise((resolve) => {
        const child = startProgram(program, lines, {
          stdio: 'ignore',
          env: { PATH: env.PATH, NOTIFY_SOCKET: socket },
          timeout: 10_000,
        });
        // Without it systemd does not learn; that is no reason to stop.
        child.once('error', () => resolve());
        child.once('close', () => resolve());
      }),
  };
}
