import { execFileSync } from 'node:child_process';
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Target } from '../types.js';

const source = fileURLToPath(new URL('shim.c', import.meta.url));

/** Compiles shim.c into a folder, and returns the path of the library. */
export function buildShim(folder: string): string {
  const library = join(folder, 'shim.so');
  execFileSync('cc', ['-shared', '-fPIC', '-O2', '-Wall', '-o', library, source, '-ldl']);
  return library;
}

/** Environment and controls of a program whose syncs can fail and whose clock can jump. */
export interface Shim extends Target {
  env: NodeJS.ProcessEnv;
}

/** @param library result of buildShim @param jumpS size of the clock jump, s */
export function shimOf(library: string, folder: string, jumpS: number): Shim {
  const file = join(folder, 'shim.control');
  writeFileSync(file, Buffer.alloc(16));
  const set = (at: number, value: bigint) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(value);
    const handle = openSync(file, 'r+');
    writeSync(handle, bytes, 0, 8, at);
    closeSync(handle);
  };
  const during = async (at: number, value: bigint, forMs: number) => {
    set(at, value);
    await delay(forMs);
    set(at, 0n);
  };
  return {
    env: { LD_PRELOAD: library, CHAOS_SHIM: file },
    'sync-error': (forMs) => during(8, 1n, forMs),
    'clock-ahead': (forMs) => during(0, BigInt(jumpS), forMs),
    'clock-back': (forMs) => during(0, BigInt(-jumpS), forMs),
  };
}
