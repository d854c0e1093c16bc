// Two CSV files of a million rows and eight columns against each other, as whole processes, beside pandas and SciPy.
//
//   npm run bench:drift [-- --short] [-- --only CASE,CASE]
//
// The exit code is 1 when a limit is broken. Limits are on processor seconds: on a machine that does nothing else, that is how long it takes.
// The short form has fewer rounds, and its limits are half as much again.
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { gaussian, seededRandom } from '../../src/lib/core/index.js';
import { machine, median, root } from '../models/measure.js';
import { tidyAtEnd } from '../streams/tidy.js';

const { values } = parseArgs({ options: { short: { type: 'boolean' }, only: { type: 'string' } } });
const { short = false } = values;
const rounds = short ? 2 : 5;
const folder = mkdtempSync(join(tmpdir(), 'aiot-bench-'));
const python = join(root, '.venv', 'har', 'bin', 'python');
const slack = short ? 1.5 : 1;
let broken = 0;

const cases: Record<string, () => void> = { million, linear, reference };
const wanted = values.only?.split(',') ?? Object.keys(cases);
tidyAtEnd(folder);
console.log(machine());
for (const name of wanted) cases[name]!();
process.exit(broken > 0 ? 1 : 0);

function million(): void {
  const [base, now] = [table('base', 1_000_000, 0), table('now', 1_000_000, 0.3)];
  const ours: Run[] = [];
  const theirs: Run[] = [];
  for (let round = 0; round <= rounds; round++) {
    const pair = [
      drift(base, now),
      existsSync(python) ? run([python, join(root, 'bench', 'drift', 'peers', 'drift.py'), base, now]) : null,
    ] as const;
    if (round === 0) agree(pair[0].stdout, pair[1]?.stdout);
    else {
      ours.push(pair[0]);
      if (pair[1]) theirs.push(pair[1]);
    }
  }
  const seconds = median(ours.map((one) => one.cpu));
  const peak = Math.max(...ours.map(({ peakMb }) => peakMb));
  const peer =
    theirs.length === 0
      ? 'no peer here'
      : `pandas and SciPy ${median(theirs.map((one) => one.cpu)).toFixed(2)} s, at most ${Math.round(Math.max(...theirs.map(({ peakMb }) => peakMb)))} MB; ×${median(ours.map((one, i) => one.cpu / theirs[i]!.cpu)).toFixed(3)}`;
  say(
    seconds <= 3 * slack && peak <= 350,
    `million: 1,000,000 × 8 against as many in ${seconds.toFixed(2)} processor seconds (limit 3), at most ${Math.round(peak)} MB (limit 350); ${peer}`,
  );
}

function linear(): void {
  const figures = [125_000, 250_000, 500_000, 1_000_000].map((rows) => {
    const [base, now] = [table('base', rows, 0), table('now', rows, 0.3)];
    const all = Array.from({ length: rounds }, () => drift(base, now));
    return {
      rows,
      seconds: Math.min(...all.map((one) => one.cpu)),
      peakMb: Math.max(...all.map((one) => one.peakMb)),
    };
  });
  // From an eighth to all: what a start costs does not count.
  const [first, half, last] = [figures[0]!, figures[2]!, figures[3]!];
  const growth = (last.seconds - half.seconds) / (half.seconds - first.seconds) / (500 / 375);
  say(
    growth <= 1.35 * slack,
    `linear: ${figures.map(({ rows, seconds, peakMb }) => `${rows / 1000}k ${seconds.toFixed(2)} s, ${Math.round(peakMb)} MB`).join(' · ')}; a row of the second half costs ×${growth.toFixed(2)} one of the first (limit 1.35)`,
  );
}

function reference(): void {
  const [base, now] = [table('base', 1_000_000, 0), table('now', 1_000_000, 0.3)];
  const file = join(folder, 'reference.json');
  run([process.execPath, join(root, 'bin', 'run.js'), 'data', 'stats', base, '--save', file, '--json']);
  const all = Array.from({ length: rounds }, () => drift(file, now));
  const seconds = median(all.map((one) => one.cpu));
  say(
    seconds <= 2 * slack,
    `reference: 1,000,000 × 8 against a saved reference in ${seconds.toFixed(2)} processor seconds (limit 2), at most ${Math.round(Math.max(...all.map(({ peakMb }) => peakMb)))} MB`,
  );
}

interface Run {
  /** From start to exit, and of a processor. */
  seconds: number;
  cpu: number;
  peakMb: number;
  stdout: string;
}

function drift(base: string, now: string): Run {
  return run([process.execPath, join(root, 'bin', 'run.js'), 'data', 'drift', base, now, '--json']);
}

/** A program to its end: seconds, and what it had in memory at most by what the kernel counted. */
function run(command: string[]): Run {
  const reader =
    'import resource,subprocess,sys\nr=subprocess.run(sys.argv[1:])\nu=resource.getrusage(resource.RUSAGE_CHILDREN)\nprint(u.ru_maxrss,u.ru_utime+u.ru_stime,file=sys.stderr)\nsys.exit(r.returncode)';
  const start = performance.now();
  const { status, stdout, stderr } = spawnSync('python3', ['-c', reader, ...command], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  const seconds = (performance.now() - start) / 1000;
  if (status !== 0) throw new Error(`${command.join(' ')}: ${stderr.slice(-2000)}`);
  const [kilobytes = 0, cpu = 0] = stderr.trim().split('\n').at(-1)!.split(' ').map(Number);
  return { seconds, cpu, stdout, peakMb: kilobytes / 1024 };
}

/** Both say the same of every column. */
function agree(ours: string, theirs: string | undefined): void {
  if (theirs === undefined) return;
  const features = new Map(
    (JSON.parse(ours) as { features: Record<string, number>[] }).features.map((one) => [one.name, one]),
  );
  for (const { name, ...figures } of JSON.parse(theirs) as Record<string, number>[]) {
    for (const [key, value] of Object.entries(figures)) {
      const own = features.get(name!)![key]!;
      if (Math.abs(own - value) > 1e-9 * Math.max(1, Math.abs(value)))
        throw new Error(`${name}: ${key} is ${own} here and ${value} there`);
    }
  }
}

function say(kept: boolean, text: string): void {
  if (!kept) broken++;
  console.log(`${kept ? 'ok  ' : 'FAIL'} ${text}`);
}

/** A CSV file of eight columns with six digits each; the last is moved by so many deviations. */
function table(name: string, rows: number, shift: number): string {
  const file = join(folder, `${name}-${rows}.csv`);
  if (existsSync(file)) return file;
  const random = seededRandom(rows + shift * 10);
  const handle = openSync(file, 'w');
  writeSync(handle, 'a,b,c,d,e,f,g,h\n');
  let lines: string[] = [];
  for (let i = 0; i < rows; i++) {
    const cells = Array.from({ length: 8 }, (_, c) =>
      (gaussian(random) * (c + 1) + c * 10 + (c === 7 ? shift * 8 : 0)).toFixed(4),
    );
    lines.push(cells.join(','));
    if (lines.length === 10_000 || i === rows - 1) {
      writeSync(handle, `${lines.join('\n')}\n`);
      lines = [];
    }
  }
  closeSync(handle);
  return file;
}
