import { readdirSync, readFileSync } from 'node:fs';
import type { Report } from '../types.js';

/** Reports and ends processes that outlive their round. They are identified by a mark in their environment. */
export function orphans(mark: string, report: Report): void {
  const sign = Buffer.from(`AIOT_CHAOS=${mark}\0`);
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (Number(pid) === process.pid || !readFileSync(`/proc/${pid}/environ`).includes(sign)) continue;
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      // A zombie, which has no command line, has ended, but its parent has not read its exit code yet.
      if (command === '') continue;
      report('no orphan processes', command);
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // The process has ended in the meantime.
    }
  }
}
