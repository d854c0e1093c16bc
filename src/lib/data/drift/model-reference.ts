import * as z from 'zod';
import { quantile } from '../../core/numbers.js';
import { binOf, cutsOf, homogeneity, nextUp, sharesOf, stabilityIndex } from './bins.js';
import { paceOf } from './effective-count.js';
import { fewest, stuckRun } from './numbers.js';
import { chiSquareAbove } from './probability.js';

/** Number of bins, of which all but the outermost two contain equally many training values. */
const bins = 10;
/** Maximum numbers of fields and of counts, so that a release does not grow noticeably. */
const mostFields = 16;
const mostCounts = 4000;
/** Number of parts into which the only recording of a class is divided, to compare it with itself. */
const fewestParts = 4;
const fitSteps = 40;
/** Share of the recordings of a class that stay below the usual PSI. */
const usualShare = 0.9;

const figures = z.array(z.number()).max(64);

const columnSchema = z.object({
  name: z.string().min(1).max(128),
  /** Cuts between the bins. The first bin is below all training values, and the last one above them. */
  cuts: figures,
  /** Number of successive samples that carry as much information as one independent value. */
  pace: z.number().min(1),
  /** Longest run of one value. */
  run: z.int().min(1),
  /** By class: PSI that nine of ten single recordings stay below, compared with all other recordings. */
  usual: z.array(z.number().min(0)).max(mostCounts),
  /** Number of training values by class, then by bin. */
  counts: z.array(z.array(z.int().min(0)).max(65)).max(mostCounts),
});

/** Statistics of a model's training data, which its release carries. The platform compares the telemetry of devices with them. */
export const modelReferenceSchema = z
  .object({
    rateHz: z.number().positive(),
    classes: z.array(z.string()).min(1).max(mostCounts),
    fields: z.array(columnSchema).min(1).max(mostFields),
  })
  .refine(
    ({ classes, fields }) =>
      fields.every(
        ({ cuts, counts, usual }) =>
          usual.length === classes.length &&
          counts.length === classes.length &&
          counts.every((own) => own.length === cuts.length + 1),
      ),
    { error: 'expected counts for each class and bin' },
  );
export type ModelReference = z.output<typeof modelReferenceSchema>;

/** One recording, or part of one. */
export interface ReferencePart {
  label: string;
  /** One column per field, of equal length. */
  columns: Float64Array[];
}

/**
 * Summarizes training data, class by class. Null if there is too little data, or too many fields or classes.
 * @param fields names of the columns
 */
export function modelReference(
  fields: readonly string[],
  rateHz: number,
  parts: readonly ReferencePart[],
): ModelReference | null {
  const classes = [...new Set(parts.map(({ label }) => label))].sort();
  if (classes.length === 0 || fields.length === 0 || fields.length > mostFields) return null;
  if (fields.length * classes.length * (bins + 2) > mostCounts) return null;
  const units = classes.flatMap((label) => dividedAlone(parts.filter((part) => part.label === label)));
  const all: ModelReference['fields'] = [];
  const perUnit: number[][][] = units.map(() => []);
  for (const [f, name] of fields.entries()) {
    const values = joined(units.map(({ columns }) => columns[f]!));
    if (values.length < fewest * bins) return null;
    const cuts = boundedCuts(values);
    const counts = classes.map(() => new Array<number>(cuts.length + 1).fill(0));
    for (const [u, { label, columns }] of units.entries()) {
      const own = new Array<number>(cuts.length + 1).fill(0);
      for (const value of columns[f]!) if (Number.isFinite(value)) own[binOf(value, cuts)]!++;
      perUnit[u]!.push(own);
      const sum = counts[classes.indexOf(label)]!;
      for (let b = 0; b < own.length; b++) sum[b]! += own[b]!;
    }
    const pace = quantile(Float64Array.from(units, ({ columns }) => paceOf(columns[f]!).time).sort(), 0.5);
    const run = Math.max(1, ...units.map(({ columns }) => longestRun(columns[f]!)));
    all.push({ ...{ name, pace: rounded(pace), run, usual: [], counts }, cuts: Array.from(cuts) });
  }
  const reference = { rateHz, classes, fields: all };
  // Each recording is compared with all others, because devices differ from the training data at least as much.
  for (const [c, label] of classes.entries()) {
    const own = [...units.keys()].filter((u) => units[u]!.label === label);
    const found = own.map((u) => compareCounts(without(reference, c, perUnit[u]!), perUnit[u]!).fields);
    for (const [f, field] of all.entries()) {
      const psi = Float64Array.from(found, (fields) => fields[f]!.psi).sort();
      field.usual.push(rounded(quantile(psi, usualShare)));
    }
  }
  return reference;
}

/** Cuts with equally many values between them, and one below the smallest and one above the largest value. */
function boundedCuts(values: Float64Array): Float64Array {
  const sorted = values.filter(Number.isFinite).sort();
  const ends = [sorted[0]!, nextUp(sorted.at(-1)!)];
  return Float64Array.from([...new Set([...cutsOf(sorted, bins), ...ends])].sort((a, b) => a - b));
}

/** The parts of a class; the only recording of a class is divided, so that it can be compared with itself. */
function dividedAlone(parts: ReferencePart[]): ReferencePart[] {
  const [only] = parts;
  if (parts.length !== 1 || !only) return parts;
  const { length } = only.columns[0] ?? [];
  return Array.from({ length: fewestParts }, (_, i) => {
    const [from, to] = [i, i + 1].map((k) => Math.floor((k * (length ?? 0)) / fewestParts));
    return { label: only.label, columns: only.columns.map((column) => column.slice(from, to)) };
  });
}

function without(reference: ModelReference, classIndex: number, own: number[][]): ModelReference {
  const fields = reference.fields.map((field, f) => ({
    ...field,
    counts: field.counts.map((counts, c) =>
      c === classIndex ? counts.map((count, b) => count - own[f]![b]!) : counts,
    ),
  }));
  return { ...reference, fields };
}

function joined(columns: readonly Float64Array[]): Float64Array {
  const out = new Float64Array(columns.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const column of columns) {
    out.set(column, at);
    at += column.length;
  }
  return out;
}

function longestRun(values: Float64Array): number {
  let [run, longest] = [0, 0];
  for (let i = 0; i < values.length; i++) {
    run = i > 0 && values[i] === values[i - 1] ? run + 1 : 1;
    if (run > longest) longest = run;
  }
  return longest;
}

/** Three significant digits, so that equal data yields equal bytes on every machine. */
function rounded(value: number): number {
  return Number(value.toPrecision(3));
}

interface Fit {
  /** Share of each class. */
  weights: number[];
  fields: ComparedCounts[];
}

interface ComparedCounts {
  /** PSI, less the PSI expected of random samples. */
  psi: number;
  /** p-value of the difference, based on effective sample sizes. */
  p: number;
}

/** The smallest share of a class in a bin: a value outside the training data is unlikely, but possible. */
const leastShare = 1e-4;

/**
 * Compares counts with the mixture of classes that explains them best. A device that spends a day in one class has therefore not drifted.
 * The shares of the classes are fitted to all fields together (expectation–maximization).
 * @param now counts by field, then by bin
 */
export function compareCounts({ fields }: ModelReference, now: readonly number[][]): Fit {
  const classes = fields[0]!.counts.map((_, c) => c).filter((c) => sum(fields[0]!.counts[c]!) > 0);
  const shares = fields.map(({ counts }) =>
    classes.map((c) => sharesOf(counts[c]!).map((share) => Math.max(share, leastShare))),
  );
  const observed = now.map((counts) => sharesOf(counts));
  let weights = classes.map(() => 1 / classes.length);
  for (let step = 0; step < fitSteps && classes.length > 1; step++) {
    const after = classes.map(() => 0);
    for (const [f, own] of shares.entries()) {
      for (const [b, share] of observed[f]!.entries()) {
        if (share === 0) continue;
        const whole = own.reduce((total, of, c) => total + weights[c]! * of[b]!, 0);
        for (let c = 0; c < own.length; c++) after[c]! += (share * weights[c]! * own[c]![b]!) / whole;
      }
    }
    const total = sum(after);
    if (total === 0) break;
    weights = after.map((weight) => weight / total);
  }
  const compared = fields.map(({ counts, pace }, f) => {
    const bare = classes.map((c) => sharesOf(counts[c]!));
    const expected = observed[f]!.map((_, b) =>
      bare.reduce((total, of, c) => total + weights[c]! * of[b]!, 0),
    );
    const effective = Math.max(1, sum(now[f]!) / pace);
    const known = Math.max(
      1,
      classes.reduce((total, c, i) => total + weights[i]! * sum(counts[c]!), 0) / pace,
    );
    if (sum(now[f]!) === 0 || classes.length === 0) return { psi: 0, p: 1 };
    const { chiSquare, degrees } = homogeneity(expected, observed[f]!, known, effective);
    const chance = degrees * (1 / known + 1 / effective);
    return {
      psi: Math.max(0, stabilityIndex(expected, observed[f]!) - chance),
      p: chiSquareAbove(chiSquare, Math.max(1, degrees)),
    };
  });
  const all = fields[0]!.counts.map((_, c) => weights[classes.indexOf(c)] ?? 0);
  return { weights: all, fields: compared };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Signal that a window covers, s; and the number of independent values in it. */
const windowSeconds = 600;
const windowValues = 100;
/** Number of successive windows that must agree before drift starts or ends. */
const agreeing = 2;
/** Number of windows of a device that are kept, for charts. */
export const windowsKept = 144;
/** The smallest PSI that counts as drift (a usual limit for a large change), and the multiple of the usual PSI. */
const leastPsi = 0.25;
const timesUsual = 1.5;
/** Probability that a window of unchanged data is significant. */
const alpha = 1e-3;
/** Share of a window's samples with one value, from which a sensor is stuck. */
const stuckShare = 0.1;

/** PSI of each field in one window. */
export interface SignalWindow {
  /** Arrival of the window's first and last message, ms since 1970. */
  from: number;
  to: number;
  /** In the order of the fields. */
  psi: number[];
  /** Names of the drifted fields. */
  drifted: string[];
}

export interface SignalDrift {
  field: string;
  measure: 'psi' | 'stuck';
  /** PSI and its limit, or the number of successive samples with one value and its limit. */
  value: number;
  limit: number;
  since: number;
}

/** The knowledge about a device's signal. Its size does not grow with time. */
export interface SignalState {
  /** Names of the fields, and number of samples in a window. */
  fields: string[];
  needed: number;
  /** Samples of the open window, and arrival of its first message. */
  samples: number;
  from: number;
  counts: number[][];
  /** Last value, length of its run, and longest run of the open window. */
  runs: [last: number | null, run: number, longest: number][];
  /** The last windows, as many as must agree. */
  windows: SignalWindow[];
  drift: SignalDrift | null;
}

/** A state without samples. */
export function noSignal(reference: ModelReference): SignalState {
  const { fields } = reference;
  return {
    ...{ fields: fields.map(({ name }) => name), needed: windowSamples(reference) },
    ...{ samples: 0, from: 0, windows: [], drift: null },
    counts: fields.map(({ cuts }) => new Array<number>(cuts.length + 1).fill(0)),
    runs: fields.map(() => [null, 0, 0]),
  };
}

/** Number of samples in a window. */
function windowSamples({ rateHz, fields }: ModelReference): number {
  const slowest = Math.max(...fields.map(({ pace }) => pace));
  return Math.ceil(Math.max(rateHz * windowSeconds, slowest * windowValues));
}

/** Limit of a field's PSI, for a mixture of classes. */
function psiLimit({ usual }: ModelReference['fields'][number], weights: readonly number[]): number {
  return Math.max(leastPsi, timesUsual * usual.reduce((total, own, c) => total + own * weights[c]!, 0));
}

/**
 * Adds the samples of a message to the open window, and closes the window if it is full. Returns whether it was closed.
 * @param columns in the order of the reference's fields
 * @param at arrival of the message, ms since 1970
 */
export function addSamples(
  reference: ModelReference,
  state: SignalState,
  columns: readonly ArrayLike<number>[],
  at: number,
): boolean {
  const { fields } = reference;
  if (state.samples === 0) state.from = at;
  const { length } = columns[0]!;
  for (const [f, { cuts }] of fields.entries()) {
    const column = columns[f]!;
    const [counts, run] = [state.counts[f]!, state.runs[f]!];
    for (let i = 0; i < length; i++) {
      const value = column[i]!;
      if (!Number.isFinite(value)) continue;
      counts[binOf(value, cuts)]!++;
      run[1] = value === run[0] ? run[1] + 1 : 1;
      run[0] = value;
      if (run[1] > run[2]) run[2] = run[1];
    }
  }
  state.samples += length;
  if (state.samples < state.needed) return false;
  close(reference, state, at);
  return true;
}

function close(reference: ModelReference, state: SignalState, to: number): void {
  const { fields } = reference;
  const { fields: compared, weights } = compareCounts(reference, state.counts);
  const found = fields.flatMap((field, f): Omit<SignalDrift, 'since'>[] => {
    const { name } = field;
    const longest = state.runs[f]![2];
    const most = Math.max(stuckRun.rows, stuckRun.times * field.run, Math.ceil(stuckShare * state.samples));
    if (longest >= most) return [{ field: name, measure: 'stuck', value: longest, limit: most }];
    const { psi, p } = compared[f]!;
    const limit = psiLimit(field, weights);
    if (psi < limit || p * fields.length >= alpha) return [];
    return [{ field: name, measure: 'psi', value: rounded(psi), limit: rounded(limit) }];
  });
  const window: SignalWindow = {
    ...{ from: state.from, to, psi: compared.map(({ psi }) => rounded(psi)) },
    drifted: found.map(({ field }) => field),
  };
  const last = [...state.windows, window].slice(-agreeing);
  const agree = last.length === agreeing && last.every((own) => own.drifted.length > 0 === found.length > 0);
  // A stuck field comes first, then the field that has drifted furthest.
  const [worst] = found.sort((a, b) => rank(b) - rank(a));
  let { drift } = state;
  if (worst && drift) drift = { ...worst, since: drift.since };
  else if (worst && agree) drift = { ...worst, since: last[0]!.from };
  else if (agree) drift = null;
  const fresh = noSignal(reference);
  // A run continues into the next window.
  for (const [f, [value, run]] of state.runs.entries()) fresh.runs[f] = [value, run, 0];
  Object.assign(state, { ...fresh, windows: last, drift });
}

function rank({ measure, value, limit }: Omit<SignalDrift, 'since'>): number {
  return measure === 'stuck' ? Number.POSITIVE_INFINITY : value / limit;
}
