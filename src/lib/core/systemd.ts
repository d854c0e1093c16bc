import { readFile } from 'node:fs/promises';
import { homedir, userInfo } from 'node:os';
import { basename, dirname } from 'node:path';
import { AiotError } from './errors.js';
import { writeFileAtomic } from './files.js';
import { runProgram } from './process.js';

// The functions below escape words and values of a systemd unit, so that systemd reads them back unchanged.

/** Escapes a word of a command line (systemd.service(5), "Command lines"): quotes and backslashes as in C, `$` and `%` doubled. */
export function unitWord(text: string): string {
  return unitQuoted(unitValue(text).replaceAll('$', '$$$$'));
}

/** Escapes a value that is taken literally (systemd.unit(5), "Specifiers"): `%` is doubled, and line breaks become spaces. */
export const unitValue = (text: string) => text.replaceAll('%', '%%').replaceAll(/[\r\n]/g, ' ');

/**
 * Escapes a folder that is taken literally. If its path ends with `\` or a space, a `/` is appended. Otherwise, the `\` would continue the
 * value on the next line, and the space would be lost.
 */
export const unitFolder = (path: string) => unitValue(path).replace(/[\\\s]$/, '$&/');

/**
 * Escapes the path of an environment file. `EnvironmentFile=` is a glob(7) pattern, so its special characters are escaped, including a
 * trailing `\`.
 */
export const unitFile = (path: string) => unitValue(path).replaceAll(/[\\*?[\]]/g, '\\$&');

/** Quotes a word if necessary; specifiers are left unchanged. */
export function unitQuoted(text: string): string {
  if (/^[\w@%+=:,./$-]+$/.test(text)) return text;
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

/** Text of a unit: each section as `[Name]` and its lines. The last line ends with a newline. */
export function unitSections(sections: Readonly<Record<string, readonly string[]>>): string {
  return Object.entries(sections)
    .map(([name, lines]) => `[${name}]\n${lines.map((line) => `${line}\n`).join('')}`)
    .join('\n');
}

/** Writes a whole unit file. With `system`, an error explains how to install the unit as root. @throws AIOT_FILE_NOT_WRITABLE, AIOT_DISK_FULL */
export async function writeUnit(file: string, unit: string, system: boolean): Promise<void> {
  try {
    await writeFileAtomic(file, unit);
  } catch (error) {
    if (!(error instanceof AiotError) || !system) throw error;
    throw error.reworded(error.message, {
      cause: error,
      endpoint: file,
      next: 'Add --unit-dir . to write the unit here; the command then prints how to install it as root.',
    });
  }
}

/** The folder into which npm installs a package with all its dependencies. A service must be able to read it. */
export function packagesOf(root: string): string {
  return basename(dirname(root)) === 'node_modules' ? dirname(root) : root;
}

/**
 * Sandboxing settings for a service (systemd.exec(5)): no capabilities, a read-only system, and only the required paths below home folders.
 * Without MemoryDenyWriteExecute, because V8 generates machine code.
 * @param reads readable paths below a home folder @param writes writable paths below a home folder
 * @param devices usable devices in /dev; none = none @param kernelFiles whether the service writes below /sys
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
    '# Only the required folders of home directories are visible.',
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
  /** Name of the service's user; undefined = a dynamic user, whose folder systemd manages. */
  user: string | undefined;
  /** Folder of the platform; undefined = the service's own state folder. */
  data: string | undefined;
  /** The user's config folder, to which the platform writes its context. For a dynamic user, it is inside the state folder. */
  config: string | undefined;
  /** Folders and files that the service reads. */
  reads: readonly string[];
  /** File of NAME=VALUE lines, mode 0600: addresses of engines and other secrets. */
  secrets: string;
  /** Memory limit, such as `1G`. */
  memory: string;
  /** Whether the service listens on a port below 1024. */
  lowPorts: boolean;
}

/** Watchdog timeout, s. The platform reports that it is alive three times in this period. */
const watchdogSeconds = 60;

/**
 * Text of the platform's unit, which is installed on this machine or rendered for another one (systemd.service(5), systemd.exec(5),
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
      '# systemd-notify is a separate process.',
      'NotifyAccess=all',
      `ExecStart=${command.map(unitWord).join(' ')}`,
      `EnvironmentFile=-${unitFile(secrets)}`,
      '# Startup may read a long journal and migrate the database.',
      'TimeoutStartSec=10min',
      `WatchdogSec=${watchdogSeconds}`,
      'Restart=always',
      'RestartSec=2',
      '# On SIGTERM, pending data is written before the process exits.',
      'TimeoutStopSec=60',
      "# Standard output would log the operator's token on the first start; the context stores it.",
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
      '# Each device has a connection; there can be tens of thousands.',
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
 * The user as which a service runs, and the home folder whose configuration the service reads (for `dynamic`, the caller's).
 * @param asked a name, `dynamic`, or undefined: the caller, or `dynamic` if the caller is root
 * @returns an undefined user if systemd is to allocate one
 * @throws AIOT_USAGE if there is no such user
 */
export async function whoRuns(
  asked: string | undefined,
): Promise<{ user: string | undefined; home: string | undefined }> {
  const caller = process.env.SUDO_USER ?? userName();
  const user = asked ?? (caller === 'root' ? 'dynamic' : caller);
  if (user === 'dynamic') return { user: undefined, home: await homeOf(caller) };
  const home = await homeOf(user);
  if (home !== undefined) return { user, home };
  throw new AiotError('AIOT_USAGE', `the user ${user} does not exist on this machine`, {
    next: 'Use --user dynamic to let systemd create a user.',
  });
}

async function homeOf(user: string): Promise<string | undefined> {
  if (user === userName()) return process.env.HOME ?? homedir();
  const lines = (await readFile('/etc/passwd', 'utf8').catch(() => '')).split('\n');
  return lines.map((line) => line.split(':')).find(([name]) => name === user)?.[5];
}

/** Name of the current user; a number if the system has no name for it, as in a container with an arbitrary user. */
export function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.());
  }
}

/** Variables that name aiot's own folders, which `sudo` does not pass on by default. */
export function ownFolders(): Record<string, string | undefined> {
  const { AIOT_CONFIG_DIR, XDG_CONFIG_HOME } = process.env;
  return { AIOT_CONFIG_DIR, XDG_CONFIG_HOME };
}

/** The given groups that are missing from /etc/group. */
export async function missingGroups(groups: readonly string[]): Promise<string[]> {
  const text = await readFile('/etc/group', 'utf8').catch(() => '');
  const known = new Set(text.split('\n').map((line) => line.split(':', 1)[0]));
  return groups.filter((group) => !known.has(group));
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Sends a message to the service manager (sd_notify(3)). */
export type Notify = (...lines: string[]) => Promise<void>;

/**
 * Returns a function that reports our state to systemd. It uses systemd's own `systemd-notify`, because Node has no Unix datagram sockets,
 * and waits until systemd has identified the sender. One call costs about 5 ms of CPU. @returns undefined if systemd does not expect
 * notifications
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
    notify: async (...lines) => {
      const own = { PATH: env.PATH, NOTIFY_SOCKET: socket };
      // If this fails, systemd does not receive the state, but the service continues.
      await runProgram(program, lines, { reads: [], env: own, timeoutMs: 10_000 }).catch(() => {});
    },
  };
}
