import { constants } from 'node:fs';
import { access, open, readFile, stat } from 'node:fs/promises';
import { isatty } from 'node:tty';
import { AiotError, nativePart, systemCode } from '../../core/index.js';
import { holdersOf } from './holders.js';

/**
 * Looks at a port of this machine before it is opened, as the system's own error codes say more than the library.
 * Windows has no files for its ports; there only opening tells.
 *
 * @throws AIOT_SERIAL_NOT_FOUND, AIOT_SERIAL_DENIED
 */
export async function requireSerialPort(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const about = await stat(path).catch(() => null);
  if (!about) throw notFound(path, 'no serial port at');
  if (!about.isCharacterDevice()) throw notFound(path, 'not a serial port:');
  try {
    await access(path, constants.R_OK | constants.W_OK);
  } catch (cause) {
    throw await denied(path, about.gid, cause);
  }
}

/** Why a port that is there could not be opened or set. */
export async function whyNotOpened(
  path: string,
  facts: { baud: number; baudRefused: boolean; cause: unknown },
): Promise<AiotError> {
  const { baud, baudRefused, cause } = facts;
  const at = { endpoint: path, cause };
  if (baudRefused) return new AiotError('AIOT_SERIAL_BAUD', `${path} does not do ${baud} baud`, at);
  const code = await codeOfOpening(path);
  if (code === 'EACCES' || code === 'EPERM') return denied(path, null, cause);
  if (code === 'ENOTTY') return notFound(path, 'not a serial port:', cause);
  if (code !== null && code !== 'EBUSY') return notFound(path, 'no device behind', cause);
  if (process.platform === 'win32' && !(await isListed(path))) return notFound(path, 'no serial port', cause);
  const holders = await holdersOf(path);
  const by = holders.length > 0 ? holders.map(({ name, pid }) => `${name}, pid ${pid}`).join('; ') : null;
  return new AiotError('AIOT_SERIAL_BUSY', `${path} is in use by ${by ?? 'another program'}`, {
    ...(by && { next: `End it (${by}; often a serial monitor), then repeat the command.` }),
    ...at,
    retryable: true,
  });
}

/** What the system says to opening it here and now: an error code, ENOTTY, or null when it opens. */
async function codeOfOpening(path: string): Promise<string | null> {
  if (process.platform === 'win32') return null;
  try {
    const file = await open(path, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
    const terminal = isatty(file.fd);
    await file.close();
    return terminal ? null : 'ENOTTY';
  } catch (error) {
    return systemCode(error) ?? 'EIO';
  }
}

async function isListed(path: string): Promise<boolean> {
  const { SerialPort } = await nativePart('serialport', () => import('serialport'));
  const ports = await SerialPort.list().catch(() => []);
  return ports.some((port) => port.path.toLowerCase() === path.toLowerCase());
}

function notFound(path: string, what: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_SERIAL_NOT_FOUND', `${what} ${path}`, { endpoint: path, cause });
}

async function denied(path: string, group: number | null, cause: unknown): Promise<AiotError> {
  const name = group === null ? null : await groupName(group);
  const who = name ? ` (it belongs to the group ${name})` : '';
  return new AiotError('AIOT_SERIAL_DENIED', `you may not open ${path}${who}`, {
    ...(name &&
      name !== 'root' && {
        next: `sudo usermod -aG ${name} $USER, then log in again; or a udev rule: SUBSYSTEM=="tty", ATTRS{idVendor}=="303a", TAG+="uaccess"`,
      }),
    endpoint: path,
    cause,
  });
}

async function groupName(id: number): Promise<string | null> {
  const groups = await readFile('/etc/group', 'utf8').catch(() => '');
  const line = groups.split('\n').find((row) => Number(row.split(':')[2]) === id && row.includes(':'));
  return line?.split(':')[0] ?? null;
}
