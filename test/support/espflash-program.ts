import { realpath } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { privateMounts } from './private-mounts.js';

/** The program built by scripts/parts/espflash.sh. */
export const espflashProgram = join(import.meta.dirname, '..', '..', '.venv', 'espflash', 'bin', 'espflash');

/**
 * A device file that every system has. espflash only opens serial ports that the system lists, which are names in
 * /sys/class/tty whose device is on a known bus. It therefore runs in a private view of the file system, in which the
 * pty replaces this file, and the list contains its name.
 */
const listed = 'full';
const showPty = `
mount --bind "$1" /dev/${listed}
mount -t tmpfs none /sys/class/tty
mkdir -p /sys/class/tty/${listed}/device/pnp
ln -s pnp /sys/class/tty/${listed}/device/subsystem
shift
exec "$@"`;

/** The environment without this user's settings. */
const environment = [`HOME=${tmpdir()}`, `XDG_CONFIG_HOME=${join(tmpdir(), 'none')}`, 'NO_COLOR=1'];

/**
 * Runs crates.io's espflash, unchanged, as a command with its `--port` on a pty. `args` start with the command's name.
 */
export async function espflashCommand(
  pty: string,
  [command = '', ...args]: readonly string[],
): Promise<[program: string, ...args: string[]]> {
  const program = [espflashProgram, command, '--skip-update-check', '--non-interactive'];
  const view = [...privateMounts(), 'sh', '-euc', showPty, 'sh', await realpath(pty)];
  return ['env', ...environment, 'unshare', ...view, ...program, '--port', `/dev/${listed}`, ...args];
}
