import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../cli.js';

/** Output of the running program: 100 times the sum of the first sixteen primes. */
export const bootedText = 'AIOT-C3 boot ok sum=38100';

/** Builds the ELF of the small C3 program in this folder, with debug information in the given DWARF version. */
export function buildC3(options: { optimize?: string; dwarf?: 2 | 3 | 4 | 5 } = {}): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-c3-'));
  const here = join(root, 'test/support/c3');
  const elf = join(folder, 'boot.elf');
  try {
    const { status, stderr } = spawnSync('riscv64-unknown-elf-gcc', [
      ...['-march=rv32imc', '-mabi=ilp32', '-ffreestanding', '-nostdlib', '-msmall-data-limit=0'],
      ...[`-${options.optimize ?? 'Os'}`, `-gdwarf-${options.dwarf ?? 4}`, '-Wall', '-Werror'],
      ...['-T', join(here, 'link.ld'), '-Wl,--no-relax', join(here, 'main.c'), '-o', elf],
    ]);
    if (status !== 0) throw new Error(`riscv64-unknown-elf-gcc: ${stderr}`);
    return new Uint8Array(readFileSync(elf));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
