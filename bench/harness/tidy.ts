import { readdirSync, readFileSync, rmSync } from 'node:fs';

/** Kills all descendants of this process with SIGKILL. */
export function endDescendants(of = process.pid): void {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      // The parent is field 4. The name in field 2 may contain blanks (proc_pid_stat(5)).
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
    } catch {
      // The process has ended in the meantime.
    }
  }
  const isOurs = (pid: number): boolean => {
    const parent = parents.get(pid);
    return parent === of || (parent !== undefined && parent > 1 && isOurs(parent));
  };
  for (const pid of [...parents.keys()].filter(isOurs)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // The process has ended in the meantime.
    }
  }
}

/** Ends all child processes and removes the folder, however this process ends. */
export function tidyAtEnd(folder: string): void {
  process.once('exit', () => {
    endDescendants();
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  // Not `once`, because a second signal would then end the process during the cleanup.
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)
    process.on(signal, () => process.exit(code));
}
