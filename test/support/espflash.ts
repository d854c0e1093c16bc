import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { espflashCommand } from './espflash-program.js';
import { chipNamed, type FlashTool, hex, type Target } from './flash-tools.js';
import { type ProgramResult, runProgram, told } from './programs.js';

/** Runs crates.io's espflash, unchanged, with its `--port` on a pty. `args` start with the command's name. */
export async function espflash(
  pty: string,
  words: readonly string[],
  timeoutMs = 60_000,
): Promise<ProgramResult> {
  const [program, ...args] = await espflashCommand(pty, words);
  return runProgram(program, args, { cwd: tmpdir(), timeoutMs });
}

/**
 * On a pty, espflash's resets fail with ENOTTY, so no-reset is used. The stub keeps running, because nothing can reset the
 * chip.
 */
async function session(
  target: Target,
  [command = '', ...rest]: readonly string[],
  chip: string | null = target.chip,
): Promise<ProgramResult> {
  const args = [
    ...[command, '--before', 'no-reset', '--after', target.stub ? 'no-reset-no-stub' : 'no-reset'],
    ...(chip ? ['--chip', chip] : []),
    ...(target.baud ? ['--baud', String(target.baud)] : []),
    ...(target.stub ? [] : ['--no-stub']),
    ...rest,
  ];
  for (let attempt = 1; ; attempt++) {
    const result = await espflash(target.port, args);
    if (result.code === 0) return result;
    // espflash waits only 50 ms for some responses, which is sometimes too short on a busy machine, so it is retried.
    const late = /Error while connecting|Communication error/.test(result.stderr);
    const left = command === 'write-bin' && !target.stub;
    if (!late || left || attempt === 3) throw new Error(told('espflash', args, result));
  }
}

async function checksum(target: Target, offset: number, length: number): Promise<string> {
  const { stdout } = await session(target, ['checksum-md5', hex(offset), hex(length)]);
  const md5 = /\b(?:0x)?([0-9a-f]{1,32})\s*$/i.exec(stdout.trim())?.[1];
  if (!md5) throw new Error(`espflash gave no MD5:\n${stdout}`);
  // espflash prints the digest without leading zeros.
  return md5.toLowerCase().padStart(32, '0');
}

export const espflashTool: FlashTool = {
  name: 'espflash',
  async detect(target) {
    const { stdout } = await session(target, ['board-info'], null);
    const chip = /Chip type:\s+(\S+)/.exec(stdout)?.[1];
    const mac = /MAC address:\s+([0-9a-f:]{17})/.exec(stdout)?.[1];
    if (!chip || !mac) throw new Error(`espflash named no chip:\n${stdout}`);
    return { chip: chipNamed(chip), mac };
  },
  /**
   * espflash always compresses with the stub and never without, so `compress` has no effect. With a ROM, it finishes with
   * FLASH_END, which starts the program in flash. If the program is not bootable, the ROM refuses, and espflash fails although
   * everything has been written. The contents of the flash therefore determine the result.
   */
  async write(target, offset, file) {
    try {
      await session(target, ['write-bin', hex(offset), file]);
    } catch (error) {
      const refused =
        error instanceof Error && /Communication error while|bootloader returned/.test(error.message);
      if (target.stub || !refused) throw error;
    }
  },
  async verify(target, offset, file) {
    const wanted = createHash('md5')
      .update(await readFile(file))
      .digest('hex');
    return (await checksum(target, offset, (await stat(file)).size)) === wanted;
  },
  async read(target, offset, length) {
    const folder = await mkdtemp(join(tmpdir(), 'aiot-espflash-'));
    try {
      const file = join(folder, 'read.bin');
      await session(target, ['read-flash', hex(offset), hex(length), file]);
      return new Uint8Array(await readFile(file));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
  async eraseRegion(target, offset, length) {
    await session(target, ['erase-region', hex(offset), hex(length)]);
  },
  async eraseAll(target) {
    await session(target, ['erase-flash']);
  },
};
