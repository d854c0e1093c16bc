import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chipNamed, type FlashTool, hex, type Target } from './flash-tools.js';
import { type ProgramResult, runProgram, told } from './programs.js';
import { python } from './real.js';

/**
 * By default, esptool waits 0.2 s for a ROM's response to MEM_END, and mistakes a later one for the stub's greeting.
 * A simulated chip on a busy machine may respond later.
 */
const settings = '[esptool]\nmem_end_rom_timeout = 10\n';

/** Runs PyPI's esptool, unchanged. It ignores the user's settings, and waits long enough for a busy machine. */
export async function esptool(args: readonly string[], timeoutMs = 60_000): Promise<ProgramResult> {
  const home = await mkdtemp(join(tmpdir(), 'aiot-esptool-home-'));
  try {
    await writeFile(join(home, 'esptool.cfg'), settings);
    return await runProgram(python('esptool'), ['-m', 'esptool', ...args], {
      env: { HOME: home, XDG_CONFIG_HOME: join(home, 'none'), NO_COLOR: '1', COLUMNS: '200' },
      cwd: home,
      timeoutMs,
    });
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

/**
 * Runs a session without resets, because a pty has no DTR and RTS. The stub stays, because nothing can reset the
 * chip.
 */
async function session(target: Target, chip: string, command: readonly string[]): Promise<ProgramResult> {
  const args = [
    ...['--chip', chip, '--port', target.port, '--before', 'no-reset'],
    ...['--after', target.stub ? 'no-reset-stub' : 'no-reset'],
    ...(target.baud ? ['--baud', String(target.baud)] : []),
    ...(target.stub ? [] : ['--no-stub']),
    ...command,
  ];
  const result = await esptool(args);
  if (result.code !== 0) throw new Error(told('esptool', args, result));
  return result;
}

export const esptoolTool: FlashTool = {
  name: 'esptool',
  async detect(target) {
    const { stdout } = await session(target, 'auto', ['read-mac']);
    const chip = /^Connected to (\S+) on /m.exec(stdout)?.[1];
    const mac = /MAC:\s+([0-9a-f:]{17})/.exec(stdout)?.[1];
    if (!chip || !mac) throw new Error(`esptool named no chip:\n${stdout}`);
    return { chip: chipNamed(chip), mac };
  },
  async write(target, offset, file, compress) {
    const { stdout } = await session(target, target.chip, [
      ...['write-flash', compress ? '--compress' : '--no-compress', hex(offset), file],
    ]);
    if (!stdout.includes('Hash of data verified.')) throw new Error(`esptool verified nothing:\n${stdout}`);
  },
  async verify(target, offset, file) {
    try {
      const { stdout } = await session(target, target.chip, ['verify-flash', hex(offset), file]);
      return stdout.includes('Verification successful');
    } catch (error) {
      if (error instanceof Error && error.message.includes('Verification failed')) return false;
      throw error;
    }
  },
  async read(target, offset, length) {
    const folder = await mkdtemp(join(tmpdir(), 'aiot-esptool-'));
    try {
      const file = join(folder, 'read.bin');
      await session(target, target.chip, ['read-flash', hex(offset), hex(length), file]);
      return new Uint8Array(await readFile(file));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
  async eraseRegion(target, offset, length) {
    await session(target, target.chip, ['erase-region', hex(offset), hex(length)]);
  },
  async eraseAll(target) {
    await session(target, target.chip, ['erase-flash']);
  },
};
