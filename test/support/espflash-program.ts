import { realpath } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { privateMounts } from './private-mounts.js';

/** The program built by scripts/parts/espflash.sh. */
export const espflashProgram = join(import.meta.dirname, '..', '..', '.venv', 'espflash', 'bin', 'espflash');

/**
 * espflash opens only serial ports listed by the system: a name in /sys/class/tty whose device is on a known bus. So it gets a view of its
 * own, in which the pty is at a device file that every system has, and the list names that.
 */
const listed = 'full';
const showPty = `
mount --bind "$1" /dev/${listed}
mount -t tmpfs none /sys/class/tty
mkdir -p /sys/class/tty/${listed}/device/pnp
ln -s pnp /sys/class/tty/${listed}/device/subsystem
shift
exec "$@"`;

/** Its environment does not lead to this user's settings. */
const environment = [`HOME=${tmpdir()}`, `XDG_CONFIG_HOME=${join(tmpdir(), 'none')}`, 'NO_COLOR=1'];

/** The whole command line of crates.io's espflash, unchanged, with its `--port` on a pty. `args` start with the command's name. */
export async function espflashCommand(
  pty: string,
  [command = '', ...args]: readonly string[],
): Promise<[program: string, ...args: string[]]> {
  const program = [espflashProgram, command, '--skip-update-check', '--non-interactive'];
  const view = [...privateMounts(), 'sh', '-euc', showPty, 'sh', await realpath(pty)];
  return ['env', ...environment, 'unshare', ...view, ...program, '--port', `/dev/${listed}`, ...args];
}
