import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import { compareSides } from '../../src/lib/data/drift/compare.js';
import { defaultAlpha, defaultBins } from '../../src/lib/data/drift/drift.js';
import type { Drift } from '../../src/lib/data/drift/result.js';
import { sideOf } from '../../src/lib/data/drift/side.js';
import { type MotorState, simulateMotor } from '../../src/lib/data/motor.js';
import type { Rows } from '../../src/lib/data/tables/rows.js';
import type { NumberColumn, TextColumn } from '../../src/lib/formats/csv/cells.js';

/** Columns by name, and the recording to which each row belongs. */
export interface Sample {
  columns: Record<string, Float64Array>;
  takes: Int32Array | null;
}

export type Change = (sample: Sample) => Sample;

export function rowsOf(name: string, { columns, takes }: Sample): Rows {
  const features = Object.entries(columns).map(
    ([column, values]): NumberColumn => ({
      name: column,
      kind: 'number',
      values: values.slice(),
      missing: values.reduce((sum, value) => sum + (Number.isNaN(value) ? 1 : 0), 0),
      words: 0,
      first: [],
    }),
  );
  const words = takes ? [...new Set(takes)].map(String) : [];
  const take: TextColumn | null = takes && {
    name: 'recording',
    kind: 'text',
    codes: takes,
    words,
    missing: 0,
  };
  return {
    name,
    from: 'csv',
    rows: features[0]!.values.length,
    features,
    label: null,
    prediction: null,
    take,
    time: null,
    rateHz: null,
    ignored: [],
  };
}

const options = { alpha: defaultAlpha, bins: defaultBins };

export function compareSamples(base: Sample, now: Sample): Omit<Drift, 'gates' | 'ok'> {
  return compareSides(sideOf(rowsOf('base', base), options), rowsOf('now', now), options);
}

/** Independent rows of four columns. a and b have the same distribution, c depends on a, and d is skewed. */
export function independentRows(rows: number, seed: number): Sample {
  const random = seededRandom(seed);
  const columns = Object.fromEntries(['a', 'b', 'c', 'd'].map((name) => [name, new Float64Array(rows)]));
  for (let i = 0; i < rows; i++) {
    const a = gaussian(random);
    columns.a![i] = a;
    columns.b![i] = gaussian(random);
    columns.c![i] = 0.8 * a + 0.6 * gaussian(random);
    columns.d![i] = -Math.log(1 - random());
  }
  return { columns, takes: null };
}

/** Concatenated recordings of simulated motors, each with its own seed. */
export function motors(
  seeds: number[],
  seconds: number,
  state: MotorState = 'healthy',
  rateHz = 200,
): Sample {
  const takes = seeds.map((seed) => simulateMotor({ state, seconds, rateHz, seed }));
  const length = Math.round(seconds * rateHz);
  const columns = Object.fromEntries(
    takes[0]!.fields.map((field, f) => {
      const values = new Float64Array(length * takes.length);
      takes.forEach((take, t) => {
        values.set(take.columns[f]!, t * length);
      });
      return [field, values];
    }),
  );
  return {
    columns,
    takes: Int32Array.from({ length: length * seeds.length }, (_, i) => Math.floor(i / length)),
  };
}

/**
 * Two halves, each this many seconds long, of columns at 200 rows per second. The columns wander slowly but are stationary in the
 * long run. Their noise is a third of their amplitude.
 */
export function wanderers(seed: number, seconds: number): [Sample, Sample] {
  const random = seededRandom(seed);
  const length = Math.round(seconds * 200);
  const column = (over: number) => {
    const keeps = Math.exp(-1 / (200 * over));
    let value = gaussian(random);
    return Float64Array.from({ length: 2 * length }, () => {
      value = keeps * value + Math.sqrt(1 - keeps * keeps) * gaussian(random);
      return value + 0.3 * gaussian(random);
    });
  };
  const columns = [0.1, 1, 5, 15].map((over) => [`over ${over} s`, column(over)] as const);
  const cut = (from: number, to: number): Sample => ({
    columns: Object.fromEntries(columns.map(([name, values]) => [name, values.slice(from, to)])),
    takes: null,
  });
  return [cut(0, length), cut(length, 2 * length)];
}

/** The two halves of one motor's recording. */
export function halves(seed: number, seconds: number): [Sample, Sample] {
  const { columns } = motors([seed], 2 * seconds);
  const cut = (from: number, to: number): Sample => ({
    columns: Object.fromEntries(
      Object.entries(columns).map(([name, values]) => [name, values.slice(from, to)]),
    ),
    takes: null,
  });
  const length = columns.current!.length;
  return [cut(0, length / 2), cut(length / 2, length)];
}

const changed =
  (name: string, change: (values: Float64Array) => Float64Array): Change =>
  ({ columns, takes }) => ({
    columns: { ...columns, [name]: change(columns[name]!) },
    takes,
  });

function deviationOf(values: Float64Array): { mean: number; deviation: number } {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  return {
    mean,
    deviation: Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length),
  };
}

/** Changes that can happen to a column between the sensor and the file. */
export const changes = {
  mean: (name: string, deviations: number) =>
    changed(name, (values) => {
      const { deviation } = deviationOf(values);
      return values.map((value) => value + deviations * deviation);
    }),
  variance: (name: string, factor: number) =>
    changed(name, (values) => {
      const { mean } = deviationOf(values);
      return values.map((value) => mean + factor * (value - mean));
    }),
  /** A constant value from the middle row on. */
  stuck: (name: string) =>
    changed(name, (values) =>
      values.map((value, i) => (i < values.length / 2 ? value : values[values.length >> 1]!)),
    ),
  swapped:
    (a: string, b: string): Change =>
    ({ columns, takes }) => ({ columns: { ...columns, [a]: columns[b]!, [b]: columns[a]! }, takes }),
  linear: (name: string, factor: number, offset: number) =>
    changed(name, (values) => values.map((value) => factor * value + offset)),
  missing: (name: string, share: number, seed: number) => {
    const random = seededRandom(seed);
    return changed(name, (values) => values.map((value) => (random() < share ? Number.NaN : value)));
  },
  /** A shifted mean in the last quarter of the rows. */
  late: (name: string, deviations: number) =>
    changed(name, (values) => {
      const { deviation } = deviationOf(values);
      return values.map((value, i) => (i < 0.75 * values.length ? value : value + deviations * deviation));
    }),
};

export interface Case {
  name: string;
  /** The column to change; null = drift in any column is considered. */
  column: string | null;
  /** Returns the change to apply in a repetition. */
  change: ((repeat: number) => Change) | null;
}

const same: Case = { name: 'no change', column: null, change: null };

export const independentCases: Case[] = [
  same,
  { name: 'mean + 0.25 deviations', column: 'a', change: () => changes.mean('a', 0.25) },
  { name: 'mean + 0.5 deviations', column: 'a', change: () => changes.mean('a', 0.5) },
  { name: 'mean + 1 deviation', column: 'a', change: () => changes.mean('a', 1) },
  { name: 'mean + 1 deviation in the last quarter', column: 'a', change: () => changes.late('a', 1) },
  { name: 'deviation × 1.25', column: 'a', change: () => changes.variance('a', 1.25) },
  { name: 'deviation × 1.5', column: 'a', change: () => changes.variance('a', 1.5) },
  { name: 'stuck in the second half', column: 'a', change: () => changes.stuck('a') },
  { name: 'axes a and b swapped', column: null, change: () => changes.swapped('a', 'b') },
  { name: 'g became m/s² (× 9.81)', column: 'a', change: () => changes.linear('a', 9.80665, 0) },
  { name: 'degC became degF', column: 'd', change: () => changes.linear('d', 1.8, 32) },
  { name: '5 % of the cells missing', column: 'a', change: (repeat) => changes.missing('a', 0.05, repeat) },
];

export const motorCases: Case[] = [
  same,
  { name: 'vibration: mean + 1 deviation', column: 'vibration', change: () => changes.mean('vibration', 1) },
  {
    name: 'vibration: deviation × 1.5',
    column: 'vibration',
    change: () => changes.variance('vibration', 1.5),
  },
  {
    name: 'vibration: g became m/s² (× 9.81)',
    column: 'vibration',
    change: () => changes.linear('vibration', 9.80665, 0),
  },
  {
    name: 'temperature: degC became degF',
    column: 'temperature',
    change: () => changes.linear('temperature', 1.8, 32),
  },
  { name: 'sound: stuck in the second half', column: 'sound', change: () => changes.stuck('sound') },
  {
    name: 'vibration and sound swapped',
    column: 'vibration',
    change: () => changes.swapped('vibration', 'sound'),
  },
  {
    name: 'current: 5 % of the cells missing',
    column: 'current',
    change: (repeat) => changes.missing('current', 0.05, repeat),
  },
];

export interface Rate {
  name: string;
  /** Share of repetitions that detected the change, in its column if it has one. */
  told: number;
  /** Share of repetitions that reported drift in an unchanged column. */
  wrong: number;
}

/** Measures the detection rate of each change. @param pairOf reference and current data without change, by repetition */
export function ratesOf(
  cases: Case[],
  repeats: number,
  pairOf: (repeat: number) => [Sample, Sample],
): Rate[] {
  const found = cases.map(({ name }) => ({ name, told: 0, wrong: 0 }));
  for (let repeat = 0; repeat < repeats; repeat++) {
    const [before, now] = pairOf(repeat);
    const base = sideOf(rowsOf('base', before), options);
    cases.forEach(({ column, change }, c) => {
      const moved = change ? change(repeat)(now) : now;
      const drift = compareSides(base, rowsOf('now', moved), options);
      const own = drift.features.find(({ name }) => name === column);
      const touched = Object.keys(now.columns).filter((name) => now.columns[name] !== moved.columns[name]);
      if (own ? own.drifted : drift.drifted) found[c]!.told++;
      if (drift.features.some(({ name, drifted }) => drifted && !touched.includes(name))) found[c]!.wrong++;
    });
  }
  return found.map(({ name, told, wrong }) => ({ name, told: told / repeats, wrong: wrong / repeats }));
}
