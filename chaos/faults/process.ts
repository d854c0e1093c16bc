import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Program } from '../process.js';
import type { Target } from '../types.js';

/** Address space that a program may still allocate while its memory is limited, bytes. */
const spareBytes = 1 << 20;

/** Signals: SIGKILL during work, startup or shutdown, and SIGSTOP with SIGCONT. */
export function signals(program: Program): Target {
  return {
    kill: () => program.kill(),
    async 'kill-starting'(forMs) {
      const { starts } = program;
      await program.kill();
      await program.startedAfter(starts);
      await delay(forMs / 2);
      await program.kill();
    },
    async 'kill-stopping'(forMs) {
      program.signal('SIGTERM');
      await delay(forMs / 10);
      await program.kill();
    },
    async pause(forMs) {
      program.signal('SIGSTOP');
      await delay(forMs);
      program.signal('SIGCONT');
    },
  };
}

/** Prevents the program from opening more files or sockets until the limit is restored. */
export function handles(program: Program): Target {
  return {
    async handles(forMs) {
      const { pid } = program;
      if (pid === undefined) return;
      const limit = (soft: string) => prlimit(pid, `--nofile=${soft}:`);
      try {
        const before = limitOf(pid);
        limit(String(readdirSync(`/proc/${pid}/fd`).length));
        await delay(forMs);
        limit(before);
      } catch (error) {
        // The process has ended in the meantime.
        if (program.pid === pid) throw error;
      }
    },
  };
}

/**
 * Limits the address space to little more than is in use, until the limit is restored. Allocations fail, or the program ends.
 */
export function memory(program: Program): Target {
  return {
    async memory(forMs) {
      const { pid } = program;
      if (pid === undefined) return;
      const limit = (soft: string) => prlimit(pid, `--as=${soft}:`);
      program.starved = true;
      try {
        const pages = Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[0]);
        limit(String(pages * 4096 + spareBytes));
        await delay(forMs);
        limit('unlimited');
      } catch (error) {
        // The process has ended in the meantime.
        if (program.pid === pid) throw error;
      }
      // A failed allocation may end the program a moment after the limit is restored.
      await delay(200);
      program.starved = false;
    },
  };
}

/** If the process has already ended, the error contains prlimit's message. */
function prlimit(pid: number, limit: string): void {
  execFileSync('prlimit', ['--pid', String(pid), limit], { stdio: 'pipe' });
}

function limitOf(pid: number): string {
  const args = ['--pid', String(pid), '--nofile', '--output=SOFT', '--noheadings', '--raw'];
  return execFileSync('prlimit', args, { encoding: 'utf8' }).trim();
}
