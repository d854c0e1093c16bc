// `aiot data drift` on two CSV files of eight columns, compared with a script that uses pandas and SciPy. Both are timed as whole processes,
// in CPU seconds, which equal the run time on an otherwise idle machine.
import { closeSync, existsSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import type { Area, Bench } from '../harness/area.js';
import { type Figure, growth } from '../harness/figure.js';
import { parts, pythonVersions } from '../harness/parts.js';
import { aiot, root, type Used, used } from '../harness/process.js';

export const area: Area = {
  about: 'comparing two tables',
  cases: {
    compare: { peer: 'pandas and SciPy', needs: [parts.har], run: compare },
    growth: { run: linear },
    reference: { run: reference },
  },
};

/** Compares two files. Both programs must agree on every column to within 1e-9. */
function compare(bench: Bench): Figure[] {
  const rows = bench.quick ? 100_000 : 1_000_000;
  const folder = bench.folder();
  const [base, now] = [table(folder, rows, 0), table(folder, rows, 0.3)];
  const script = join(root, 'bench', 'drift', 'peers', 'drift.py');
  const [ours, theirs]: [Used[], Used[]] = [[], []];
  for (let round = 0; round < (bench.quick ? 2 : 5); round++) {
    ours.push(drift(base, now));
    theirs.push(used([join(root, '.venv', 'har', 'bin', 'python'), script, base, now]));
  }
  const version = pythonVersions('har', 'pandas', 'scipy');
  const peer = (of: (one: Used) => number) => ({ name: 'pandas and SciPy', version, rounds: theirs.map(of) });
  const apart = difference(ours[0]!.stdout, theirs[0]!.stdout);
  const what = `${rows.toLocaleString('en')} × 8 compared with as many`;
  const [cpu, memory] = [({ cpu }: Used) => cpu, ({ peakMb }: Used) => peakMb];
  return [
    {
      ...{ name: what, unit: 'processor s', ours: ours.map(cpu), peer: peer(cpu), goal: 1 / 2, slack: 1.5 },
      ...(apart === null ? {} : { fails: apart }),
    },
    {
      name: `${what}, peak memory`,
      unit: 'MB',
      ours: ours.map(memory),
      peer: peer(memory),
      goal: 1,
      slack: 1,
    },
  ];
}

function linear(bench: Bench): Figure[] {
  const folder = bench.folder();
  const points = (bench.quick ? [10_000, 100_000] : [10_000, 100_000, 1_000_000]).map((size) => {
    const [base, now] = [table(folder, size, 0), table(folder, size, 0.3)];
    const all = Array.from({ length: 2 }, () => drift(base, now).cpu);
    return { size, cost: Math.min(...all) };
  });
  return [growth('drift, rows', 1.1, points, 'processor s')];
}

/** Compares a file with a saved reference. */
function reference(bench: Bench): Figure[] {
  const rows = bench.quick ? 100_000 : 1_000_000;
  const folder = bench.folder();
  const file = join(folder, 'reference.json');
  used(aiot('data', 'stats', table(folder, rows, 0), '--save', file));
  const now = table(folder, rows, 0.3);
  const ours = Array.from({ length: bench.quick ? 2 : 5 }, () => drift(file, now).cpu);
  const name = `${rows.toLocaleString('en')} × 8 compared with a saved reference`;
  return [{ name, unit: 'processor s', ours, goal: 2, slack: 1 }];
}

const drift = (base: string, now: string) => used(aiot('data', 'drift', base, now));

/** Describes the first metric in which the two programs differ. */
function difference(ours: string, theirs: string): string | null {
  const features = new Map(
    (JSON.parse(ours) as { features: Record<string, number>[] }).features.map((one) => [one.name, one]),
  );
  for (const { name, ...figures } of JSON.parse(theirs) as Record<string, number>[])
    for (const [key, value] of Object.entries(figures)) {
      const own = features.get(name!)![key]!;
      if (Math.abs(own - value) > 1e-9 * Math.max(1, Math.abs(value)))
        return `${name}: ${key} is ${own}, the peer's is ${value}`;
    }
  return null;
}

/** A CSV file of eight columns with four decimals each; the last column is shifted by this many standard deviations. */
function table(folder: string, rows: number, shift: number): string {
  const file = join(folder, `${rows}-${shift}.csv`);
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
