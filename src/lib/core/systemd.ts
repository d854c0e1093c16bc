import { basename, dirname } from 'node:path';
import { AiotError } from './errors/index.js';
import { writeFileAtomic } from './files.js';

/** How words and values are written in a unit of systemd, so that they come out as they are. */

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
