import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { aiot, cpuSeconds, mostMemoryOf, root } from '../harness/process.js';

/** Latency, CPU share and memory of an `aiot loop run` process. */
export interface Live {
  p50: number;
  p99: number;
  lost: number;
  windows: number;
  /** Share of one core that was used between startup and shutdown. */
  cpu: number;
  /** Peak memory, MB. */
  memory: number;
}

/**
 * Runs the loop on the simulated sensor in real time, at 100 Hz.
 * @param share fraction of a core that it may use; 1 = no limit
 * @param startSeconds startup time to exclude, during which code is loaded and compiled
 */
export async function runLive(
  project: string,
  seconds: number,
  share: number,
  startSeconds = 3 / share,
): Promise<Live> {
  const args = [
    'loop',
    'run',
    '--project',
    project,
    '--simulate',
    '--send',
    'always',
    '--out',
    `file://${join(project, 'answers.ndjson')}`,
  ];
  const [program, ...rest] = aiot(...args, '--for', `${seconds}s`);
  const group = share < 1 ? limited(share) : undefined;
  const child = spawn(program, rest, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  try {
    group?.take(child.pid!);
    await delay(startSeconds * 1000);
    const before = cpuSeconds(child.pid!);
    const from = performance.now();
    await delay(seconds * 500);
    const cpu = (cpuSeconds(child.pid!) - before) / ((performance.now() - from) / 1000);
    const memory = mostMemoryOf(child.pid!);
    const code = await ended;
    if (code !== 0) throw new Error(`aiot loop run: exit ${code}`);
    const { latencyMs, lost, windows } = JSON.parse(out) as {
      latencyMs: { p50: number; p99: number };
      lost: number;
      windows: number;
    };
    return { ...latencyMs, lost, windows, cpu, memory };
  } finally {
    child.kill('SIGKILL');
    await ended;
    group?.remove();
  }
}

const periodUs = 100_000;

/** Creates a control group that is limited to a share of one core. @throws without permission to create one */
function limited(share: number): { take(pid: number): void; remove(): void } {
  const [folder, v2] = groupsFolder();
  const group = `${folder}/aiot-bench-${process.pid}`;
  mkdirSync(group);
  const quota = Math.round(periodUs * share);
  if (v2) writeFileSync(`${group}/cpu.max`, `${quota} ${periodUs}`);
  else {
    writeFileSync(`${group}/cpu.cfs_period_us`, `${periodUs}`);
    writeFileSync(`${group}/cpu.cfs_quota_us`, `${quota}`);
  }
  return {
    take: (pid) => writeFileSync(`${group}/cgroup.procs`, `${pid}`),
    remove: () => rmdirSync(group),
  };
}

/** Folder of the cgroup hierarchy, and whether it is cgroup v2. */
function groupsFolder(): [string, boolean] {
  const mounts = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '));
  const v1 = mounts.find(
    ([, , kind, options = '']) => kind === 'cgroup' && options.split(',').includes('cpu'),
  );
  const v2 = mounts.find(([, , kind]) => kind === 'cgroup2');
  const [, folder] = v1 ?? v2 ?? [];
  if (folder === undefined) throw new Error('this machine has no control groups');
  return [folder, v1 === undefined];
}

/** Whether this process may limit other processes. */
export function canLimit(): boolean {
  try {
    limited(0.5).remove();
    return true;
  } catch {
    return false;
  }
}
