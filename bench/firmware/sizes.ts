import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

export interface Sizes {
  text: number;
  data: number;
  bss: number;
}

const rv32 = ['-march=rv32imc', '-mabi=ilp32', '--specs=picolibc.specs'];

/** C files of the core, including subfolders. */
function sourcesIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return sourcesIn(path);
    return entry.name.endsWith('.c') ? [path] : [];
  });
}

/** Total size of the core's object files, compiled for size. A program links only a part of them. */
export function coreSizes(firmware: string, folder: string, target: 'rv32' | 'host'): Sizes {
  const [compiler, size, flags] =
    target === 'rv32' ? ['riscv64-unknown-elf-gcc', 'riscv64-unknown-elf-size', rv32] : ['cc', 'size', []];
  const out = join(folder, target);
  mkdirSync(out);
  const objects = sourcesIn(join(firmware, 'core/src')).map((source, at) => {
    const object = join(out, `${at}.o`);
    const include = ['-I', join(firmware, 'core/include'), '-I', join(firmware, 'core/src')];
    execFileSync(compiler!, [
      '-std=c11',
      '-Os',
      ...flags!,
      '-ffp-contract=off',
      ...include,
      '-c',
      source,
      '-o',
      object,
    ]);
    return object;
  });
  return sizesOf(execFileSync(size!, ['-t', ...objects], { encoding: 'utf8' }));
}

/** Parses the totals, which `size -t` prints last. */
function sizesOf(said: string): Sizes {
  const [text, data, bss] = said.trim().split('\n').at(-1)!.trim().split(/\s+/).map(Number);
  return { text: text!, data: data!, bss: bss! };
}
