import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Program } from '../process.js';
import type { Target } from '../types.js';

/** An in-memory file system of a given size, at `folder`; visible to this process and its children. */
export interface Disk extends Target {
  folder: string;
  remove(): void;
}

const mebibyte = 1 << 20;

/**
 * Mounts the file system. `program`, which uses it, is stopped to make it read-only, because open files would prevent that; without a
 * program, the disk cannot be made read-only.
 */
export function mountDisk(folder: string, megabytes: number, program?: () => Program): Disk {
  mkdirSync(folder, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', folder]);
  const ballast = join(folder, '.ballast');
  const remount = (how: string) => execFileSync('mount', ['-o', `remount,${how}`, folder]);
  return {
    folder,
    async 'disk-full'(forMs) {
      fill(ballast);
      await delay(forMs);
      rmSync(ballast);
    },
    ...(program && {
      async 'read-only'(forMs: number) {
        const body = async () => {
          await program().kill();
          remount('ro');
        };
        await program().held(body());
        await delay(forMs);
        remount('rw');
      },
    }),
    remove: () => execFileSync('umount', ['-l', folder]),
  };
}

/** Writes until no byte is free. */
function fill(file: string): void {
  const handle = openSync(file, 'w');
  try {
    for (let size = mebibyte; size >= 1; size >>= 1) {
      const block = Buffer.alloc(size);
      try {
        for (;;) if (writeSync(handle, block) < size) break;
      } catch {
        // No block of this size fits anymore, so a smaller one is tried.
      }
    }
  } finally {
    closeSync(handle);
  }
}
