// Runs programs as whole processes, and measures the time from start to exit and their resource usage.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { join } from 'node:path';

export const root = join(import.meta.dirname, '..', '..');

/** A program with its arguments. */
export type CommandLine = [program: string, ...args: string[]];

/** The command line of the built aiot. */
export const aiot = (...args: string[]): CommandLine => [
  process.execPath,
  join(root, 'bin', 'run.js'),
  ...args,
  '--json',
];

/** Runs a program until it exits; returns its stdout, and the seconds from start to exit. @throws if its exit code is not 0 */
export function timed([program, ...args]: CommandLine, env: NodeJS.ProcessEnv = {}) {
  const start = performance.now();
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: '3', ...env },
    maxBuffer: 1 << 28,
  });
  const seconds = (performance.now() - start) / 1000;
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? stderr.slice(-2000)}`);
  return { seconds, stdout };
}

/** Alternates two programs, and returns the seconds of each round. With several rounds, an additional warm-up round is not counted. */
export function inTurn(ours: CommandLine, theirs: CommandLine, rounds: number) {
  const seconds = { ours: [] as number[], theirs: [] as number[] };
  for (let round = rounds > 1 ? 0 : 1; round <= rounds; round++) {
    const pair = [timed(ours).seconds, timed(theirs).seconds] as const;
    if (round === 0) continue;
    seconds.ours.push(pair[0]);
    seconds.theirs.push(pair[1]);
  }
  return seconds;
}

export interface Used {
  seconds: number;
  /** CPU time of the process and the children that it waited for, user and system, s. */
  cpu: number;
  peakMb: number;
  stdout: string;
}

/** Runs a program until it exits; returns its resource usage as counted by the kernel. @throws if its exit code is not 0 */
export function used(command: CommandLine, env: NodeJS.ProcessEnv = {}): Used {
  const reader =
    'import resource,subprocess,sys\nr=subprocess.run(sys.argv[1:])\nu=resource.getrusage(resource.RUSAGE_CHILDREN)\nprint(u.ru_maxrss,u.ru_utime+u.ru_stime,file=sys.stderr)\nsys.exit(r.returncode)';
  const start = performance.now();
  const { status, stdout, stderr } = spawnSync('python3', ['-c', reader, ...command], {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, ...env },
    maxBuffer: 1 << 28,
  });
  const seconds = (performance.now() - start) / 1000;
  if (status !== 0) throw new Error(`${command.join(' ')}: ${stderr.slice(-2000)}`);
  const [kilobytes = 0, cpu = 0] = stderr.trim().split('\n').at(-1)!.split(' ').map(Number);
  return { seconds, cpu, stdout, peakMb: kilobytes / 1024 };
}

/** CPU time that a running process has used, user and system, s (proc_pid_stat(5); 100 ticks per second on Linux). */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Current and peak resident memory of a running process, MB (proc_pid_status(5)). */
export const memoryOf = (pid: number) => statusOf(pid, 'VmRSS');
export const mostMemoryOf = (pid: number) => statusOf(pid, 'VmHWM');

function statusOf(pid: number, field: string): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) / 1024;
}

export interface Machine {
  cores: number;
  processor: string;
  memoryGiB: number;
  node: string;
  date: string;
  /** Load average of the last minute before the benchmark. */
  load: number;
}

export function machine(): Machine {
  return {
    cores: cpus().length,
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.versions.node,
    date: new Date().toISOString().slice(0, 10),
    load: Math.round((loadavg()[0] ?? 0) * 10) / 10,
  };
}
