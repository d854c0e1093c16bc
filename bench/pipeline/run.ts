// The default pipeline, as a process: on 3,000 rows of 4 fields the first time and again, and how time and memory grow with the rows.
//
//   npm run bench:pipeline [-- --short]
//
// The exit code is 1 when a limit is broken. The short form has fewer rows, and bears what else the machine does: twice the limit.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { machine, root } from '../models/measure.js';

const { values } = parseArgs({ options: { short: { type: 'boolean' } } });
const { short = false } = values;
const allowance = short ? 2 : 1;
const folder = mkdtempSync(join(tmpdir(), 'aiot-bench-'));
const env = {
  ...process.env,
  HOME: folder,
  AIOT_CONFIG_DIR: join(folder, 'config'),
  AIOT_DATA_DIR: join(folder, 'data'),
  AIOT_CACHE_DIR: join(folder, 'cache'),
};
/**
 * So much more memory a step may take of each further row, bytes: a table that is held as a whole takes more than 200. Of fewer rows the
 * garbage that is not collected yet weighs more.
 */
const bytesPerRow = short ? 200 : 100;
let broken = 0;

interface Step {
  name: string;
  state: string;
  cached: boolean;
  seconds: number;
  peakBytes: number | null;
}
interface Result {
  state: string;
  seconds: number;
  steps: Step[];
}

try {
  console.log(`${machine()}; rows of 4 fields in two classes`);
  const cold: number[] = [];
  const cached: number[] = [];
  for (let round = 0; round < (short ? 1 : 3); round++) {
    const dir = project(`small${round}`, 3000, 50);
    cold.push(run(dir).seconds);
    const again = run(dir);
    cached.push(again.seconds);
    if (!again.result.steps.every((step) => step.cached)) say(false, 'not all was known the second time');
  }
  say(middle(cold) < 8 * allowance, `3,000 rows, 50 epochs, cold: ${middle(cold).toFixed(2)} s (limit 8)`);
  say(middle(cached) < 1 * allowance, `the same again: ${middle(cached).toFixed(2)} s (limit 1)`);
  grow(short ? [20_000, 300_000] : [10_000, 100_000, 1_000_000]);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exit(broken > 0 ? 1 : 0);

/** Time and memory by step, of ever more rows; one epoch, so that the rows weigh and not the passes over them. */
function grow(sizes: number[]): void {
  const runs = sizes.map((rows) => ({ rows, ...run(project(`rows${rows}`, rows, 1)) }));
  const [first, last] = [runs[0]!, runs.at(-1)!];
  const share = last.rows / runs.at(-2)!.rows;
  const exponent = (before: number, after: number) => Math.log(after / before) / Math.log(share);
  const seconds = runs.map(({ result }) => result.seconds);
  const power = exponent(seconds.at(-2)!, seconds.at(-1)!);
  say(
    share ** power < share * 1.2 * allowance,
    `${sizes.join(' → ')} rows, one epoch: ${seconds.map((one) => one.toFixed(1)).join(' → ')} s, at the end the ${power.toFixed(2)}th power of the rows`,
  );
  for (const { name, peakBytes } of last.result.steps) {
    // One that was passed over, as the comparison with a model that is not there.
    if (peakBytes === null) continue;
    const all = runs.map(({ result }) => result.steps.find((step) => step.name === name)!);
    const peaks = all.map(({ peakBytes }) => peakBytes ?? 0);
    const each = (peaks.at(-1)! - peaks[0]!) / (last.rows - first.rows);
    const told = [
      `${all.map((one) => one.seconds.toFixed(1)).join(' → ')} s (the ${exponent(all.at(-2)!.seconds, all.at(-1)!.seconds).toFixed(2)}th power)`,
      `${peaks.map((bytes) => (bytes / 1e6).toFixed(0)).join(' → ')} MB (the ${exponent(peaks.at(-2)!, peaks.at(-1)!).toFixed(2)}th)`,
      `${Math.round(each)} bytes a row`,
    ];
    say(each < bytesPerRow, `${name}: ${told.join(', ')} (limit ${bytesPerRow})`);
  }
  const [from, to] = [first, last].map(({ runner }) => runner / 1e6);
  say(
    to! < from! + 30 * allowance,
    `the runner itself: ${from!.toFixed(0)} → ${to!.toFixed(0)} MB (limit 30 more)`,
  );
}

/** A project of a table; the same rows each time. */
function project(name: string, rows: number, epochs: number): string {
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
    const fields = [
      near(2 + anomaly, 1),
      near(40 + 9 * anomaly, 6),
      near(anomaly, 2),
      near(50 + 8 * anomaly, 9),
    ];
    parts.push(`${fields.join(',')},${anomaly ? 'anomaly' : 'normal'}\n`);
  }
  writeFileSync(join(dir, 'rows.csv'), parts.join(''));
  writeFileSync(
    join(dir, 'aiot.yaml'),
    `name: ${name}\nmodel:\n  table: { file: rows.csv }\n  layers: [16, 8]\n  train: { epochs: ${epochs} }\n  accept: { macroF1: 0.7 }\n`,
  );
  return dir;
}

/** `aiot pipeline run` as somebody types it. */
function run(dir: string): { seconds: number; result: Result; runner: number } {
  const started = performance.now();
  const command = [
    process.execPath,
    join(root, 'bin', 'run.js'),
    'pipeline',
    'run',
    '--project',
    dir,
    '--json',
    '--quiet',
  ];
  // The shell looks at the most memory that the process has had, until it is gone.
  const timed = spawnSync(
    'sh',
    [
      '-c',
      '"$@" & pid=$!; peak=0; while kill -0 $pid 2>/dev/null; do now=$(sed -n "s/^VmHWM:[^0-9]*\\([0-9]*\\).*/\\1/p" /proc/$pid/status 2>/dev/null); [ -n "$now" ] && peak=$now; sleep 0.05; done; wait $pid; echo "$peak" >&2',
      'sh',
      ...command,
    ],
    {
      env,
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    },
  );
  const seconds = (performance.now() - started) / 1000;
  const result = JSON.parse(timed.stdout.trim() || '{}') as Result;
  if (result.state !== 'done') {
    console.log(timed.stdout, timed.stderr);
    throw new Error('the pipeline did not come through');
  }
  return { seconds, result, runner: Number(timed.stderr.trim().split('\n').at(-1)) * 1024 };
}

function middle(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function say(fine: boolean, text: string): void {
  if (!fine) broken++;
  console.log(`${fine ? '✓' : '✗'} ${text}`);
}
