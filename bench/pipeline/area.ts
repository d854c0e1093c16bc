// `aiot pipeline run` as a process: a first run and a rerun of the default pipeline on 3,000 rows of 4 fields, and the growth of time and
// memory with the number of rows. There is no peer that trains, quantizes, evaluates, pushes and rolls out; steps that have a peer are in
// `models`.
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Area, Bench } from '../harness/area.js';
import { type Figure, growth } from '../harness/figure.js';
import { aiot, used } from '../harness/process.js';

interface Step {
  name: string;
  cached: boolean;
  seconds: number;
  peakBytes: number | null;
}
interface Result {
  state: string;
  seconds: number;
  steps: Step[];
}

export const area: Area = {
  about: 'from rows to a rollout',
  cases: { demo: { run: demo }, small: { run: small }, growth: { run: grow } },
};

/** The complete lifecycle of a model with four devices, as in the README. */
function demo(bench: Bench): Figure[] {
  const runs = Array.from({ length: bench.quick ? 1 : 3 }, () => {
    const home = bench.folder();
    return used(aiot('demo'), {
      HOME: home,
      XDG_CACHE_HOME: home,
      XDG_CONFIG_HOME: home,
      XDG_DATA_HOME: home,
    });
  });
  return [
    { name: 'the demo', unit: 's', ours: runs.map(({ seconds }) => seconds), goal: 45 },
    { name: 'the demo, memory', unit: 'MB', ours: runs.map(({ peakMb }) => peakMb), goal: 600, slack: 1 },
  ];
}

function small(bench: Bench): Figure[] {
  const folder = bench.folder();
  const [cold, again]: [number[], number[]] = [[], []];
  for (let round = 0; round < (bench.quick ? 2 : 3); round++) {
    const dir = project(folder, `small${round}`, 3000, 50);
    cold.push(run(folder, dir).seconds);
    const second = run(folder, dir);
    again.push(second.seconds);
    const anew = second.result.steps.filter((step) => !step.cached).map(({ name }) => name);
    if (anew.length > 0) throw new Error(`${anew.join(', ')} ran again`);
  }
  return [
    { name: '3,000 rows, 50 epochs, cold', unit: 's', ours: cold, goal: 8 },
    { name: 'the same, cached', unit: 's', ours: again, goal: 1 },
  ];
}

/** Time and memory by step for a growing number of rows. Only one epoch is trained, so that the cost of reading rows dominates. */
function grow(bench: Bench): Figure[] {
  const folder = bench.folder();
  const sizes = bench.quick ? [5000, 50_000] : [10_000, 100_000, 1_000_000];
  const runs = sizes.map((rows) => ({ rows, ...run(folder, project(folder, `rows${rows}`, rows, 1)) }));
  const [first, last] = [runs[0]!, runs.at(-1)!];
  const bytesOf = (of: typeof first, step: string) =>
    of.result.steps.find(({ name }) => name === step)?.peakBytes ?? 0;
  const steps = last.result.steps.filter(({ peakBytes }) => peakBytes !== null).map(({ name }) => name);
  return [
    growth(
      'pipeline, rows',
      1.05,
      runs.map(({ rows, result }) => ({ size: rows, cost: result.seconds })),
    ),
    // A table in memory would take more than 200 bytes per row. With the fewer rows of a quick run, garbage adds more bytes per row, so
    // some slack is allowed.
    ...steps.map((step) => ({
      ...{ name: `memory of ${step}, per additional row`, unit: 'bytes', goal: 100, slack: 8 },
      ours: Math.max(0, bytesOf(last, step) - bytesOf(first, step)) / (last.rows - first.rows),
    })),
    {
      ...{ name: 'memory of the runner: most rows compared with fewest', unit: 'MB', goal: 30 },
      ours: Math.max(0, last.runner - first.runner) / 1e6,
    },
  ];
}

/** Creates a project with a table whose contents depend only on the number of rows. */
function project(folder: string, name: string, rows: number, epochs: number): string {
  const dir = join(folder, name);
  mkdirSync(dir, { recursive: true });
  let state = 7;
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  const parts = ['current,temperature,vibration,sound,label\n'];
  for (let row = 0; row < rows; row++) {
    const anomaly = row % 2;
    const near = (mean: number, width: number) => (mean + width * (random() + random() - 1)).toFixed(3);
    const [current, temperature] = [near(2 + anomaly, 1), near(40 + 9 * anomaly, 6)];
    const [vibration, sound] = [near(anomaly, 2), near(50 + 8 * anomaly, 9)];
    parts.push(`${current},${temperature},${vibration},${sound},${anomaly ? 'anomaly' : 'normal'}\n`);
  }
  writeFileSync(join(dir, 'rows.csv'), parts.join(''));
  writeFileSync(
    join(dir, 'aiot.yaml'),
    `name: ${name}\nmodel:\n  table: { file: rows.csv }\n  layers: [16, 8]\n  train: { epochs: ${epochs} }\n  accept: { macroF1: 0.7 }\n`,
  );
  return dir;
}

/** Runs the pipeline as a user would. `runner` is the peak memory of the pipeline process itself, in bytes. */
function run(folder: string, dir: string): { seconds: number; result: Result; runner: number } {
  const started = performance.now();
  // The shell polls the peak memory of the process until it ends.
  const watch =
    '"$@" & pid=$!; peak=0; while kill -0 $pid 2>/dev/null; do now=$(sed -n "s/^VmHWM:[^0-9]*\\([0-9]*\\).*/\\1/p" /proc/$pid/status 2>/dev/null); [ -n "$now" ] && peak=$now; sleep 0.05; done; wait $pid; echo "$peak" >&2';
  const command = aiot('pipeline', 'run', '--project', dir, '--quiet');
  const { stdout, stderr } = spawnSync('sh', ['-c', watch, 'sh', ...command], {
    env: { ...process.env, HOME: folder, AIOT_CACHE_DIR: join(folder, 'cache') },
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  const seconds = (performance.now() - started) / 1000;
  const result = JSON.parse(stdout.trim() || '{}') as Result;
  if (result.state !== 'done') throw new Error(`the pipeline failed: ${stderr.slice(-1000)}`);
  return { seconds, result, runner: Number(stderr.trim().split('\n').at(-1)) * 1024 };
}
