import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { median } from '../harness/figure.js';

export interface Consumed {
  /** Time from the first byte to the last, s. */
  seconds: number;
  /** CPU time of the process over its lifetime, s. */
  cpu: number;
  bytes: number;
}

export interface Consumer {
  /** Resolves when the consumer has written the expected number of bytes and has ended; rejects if it ends earlier. */
  done: Promise<Consumed>;
  /** Resolves when its stderr matches. */
  said(pattern: RegExp): Promise<void>;
  kill(): void;
}

/** Clock ticks per second in /proc/PID/stat (sysconf _SC_CLK_TCK, which is 100 on Linux). */
const ticks = 100;

/** Starts a program that prints messages, and times its output from the first byte to the last of `expectedBytes`. */
export function startConsumer(command: string, args: string[], expectedBytes: number): Consumer {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let bytes = 0;
  let first = 0;
  let last = 0;
  let cpu = 0;
  let heard = '';
  const listeners: (() => void)[] = [];
  child.stderr.on('data', (chunk) => {
    heard += chunk;
    for (const listener of listeners) listener();
  });
  let reading = Promise.resolve();
  child.stdout.on('data', (chunk: Buffer) => {
    last = performance.now();
    if (bytes === 0) first = last;
    bytes += chunk.length;
    if (bytes < expectedBytes) return;
    reading = cpuOf(child.pid).then((seconds) => {
      cpu = seconds;
    });
  });
  const done = once(child, 'close').then(async ([code]) => {
    await reading;
    if (bytes >= expectedBytes) return { seconds: (last - first) / 1000, cpu, bytes };
    throw new Error(
      `${command} exited with ${code} after ${bytes} of ${expectedBytes} bytes: ${heard.slice(-500)}`,
    );
  });
  done.catch(() => {});
  return {
    done,
    said: (pattern) =>
      new Promise((resolve) => {
        const look = () => pattern.test(heard) && resolve();
        listeners.push(look);
        look();
      }),
    kill: () => child.kill('SIGKILL'),
  };
}

export async function cpuOf(pid: number | undefined): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // utime and stime are fields 14 and 15; the name in field 2 may have blanks (proc_pid_stat(5)).
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / ticks;
}

/** A note with the median CPU seconds of the whole processes. */
export function cpuNote(ours: readonly { cpu: number }[], theirs: readonly { cpu: number }[]): string {
  const middle = (all: readonly { cpu: number }[]) => median(all.map(({ cpu }) => cpu)).toFixed(2);
  return `${middle(ours)} CPU s, the peer ${middle(theirs)}`;
}
