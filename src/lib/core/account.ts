import { readFile } from 'node:fs/promises';
import { homedir, userInfo } from 'node:os';
import { AiotError } from './errors/index.js';

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

/** Of who runs this: a number where the system knows no name for it, as in a container that is run as some user. */
export function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.());
  }
}

/** Of `sudo`, what names folders is not passed on, but where it is said on purpose. */
export function ownFolders(): Record<string, string | undefined> {
  const { AIOT_CONFIG_DIR, XDG_CONFIG_HOME } = process.env;
  return { AIOT_CONFIG_DIR, XDG_CONFIG_HOME };
}

/** Of these groups, those that /etc/group does not have. */
export async function missingGroups(groups: readonly string[]): Promise<string[]> {
  const text = await readFile('/etc/group', 'utf8').catch(() => '');
  const known = new Set(text.split('\n').map((line) => line.split(':', 1)[0]));
  return groups.filter((group) => !known.has(group));
}
