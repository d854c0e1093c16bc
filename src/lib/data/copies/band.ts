import { conditioned } from '../../signal/pipeline.js';
import type { Dataset, Recording } from '../types.js';

/** Samples a second of what is searched, and the highest frequency in it; slower recordings are searched as they are. */
export const searchHz = 20;
const lowpassHz = 8;
/** Seconds of the moving mean that is taken away: levels and slow drift are alike in many recordings. */
const meanSeconds = 1;

/** Cycles of its corner after which a low-pass has forgotten where a recording began. */
export const settlingCycles = 3;

export interface Bands {
  /** Recordings × fields, at `rateHz`, each field scaled by its size in the whole dataset. */
  signals: Float64Array[][];
  rateHz: number;
}

/**
 * The columns about their first values. Filters then leave a constant column at exactly 0, and round by what moves instead of
 * by its level: rounding noise is the same in many recordings, and scaled to size 1 it would look like copies.
 */
export function withoutLevel(columns: Float64Array[]): Float64Array[] {
  return columns.map((column) => column.map((value) => value - column[0]!));
}

/** Sizes of fields, 0 where a field moves by no more than the last digits of its values. */
export function movingSizes(sizes: number[], recordings: Recording[]): number[] {
  return sizes.map((size, f) => {
    let level = 0;
    for (const { columns } of recordings)
      for (const value of columns[f]!) level = Math.max(level, Math.abs(value));
    return size > level * lastDigits ? size : 0;
  });
}

/** Relative rounding error of a double after a few operations. */
const lastDigits = 1e-13;

/** Movement of each recording between 0.5 and 8 Hz, at a given rate. */
export function bandsOf(dataset: Dataset, recordings: Recording[], resampleHz: number): Bands {
  const rateHz = Math.min(dataset.rateHz, resampleHz);
  const corner = Math.min(lowpassHz, 0.4 * rateHz);
  const filtered = dataset.rateHz > 2.2 * corner && rateHz >= searchHz;
  const signals = recordings.map(({ fields, columns }) => {
    const slow = conditioned(
      {
        fields,
        rateHz: dataset.rateHz,
        lowpassHz: filtered ? corner : null,
        resampleHz: rateHz,
        windowSamples: 1,
        strideSamples: 1,
        features: 'raw',
      },
      withoutLevel(columns),
    );
    const half = Math.max(5, Math.round((meanSeconds * rateHz) / 2));
    const settled = filtered ? Math.ceil((settlingCycles / corner) * rateHz) : 0;
    return slow.map((column) => withoutMean(column, half).fill(0, 0, settled));
  });
  return { signals, rateHz };
}

function withoutMean(column: Float64Array, half: number): Float64Array {
  const n = column.length;
  const sums = new Float64Array(n + 1);
  for (let i = 0; i < n; i++) sums[i + 1] = sums[i]! + column[i]!;
  const out = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    const from = Math.max(0, i - half);
    const to = Math.min(n, i + half + 1);
    out[i] = column[i]! - (sums[to]! - sums[from]!) / (to - from);
  }
  return out;
}

/**
 * Scales every field to the size 1 in the whole of the recordings; a field that never moves stays 0.
 * @returns what each field was divided by
 */
export function scaleFields(signals: Float64Array[][], recordings: Recording[]): number[] {
  const sizes = movingSizes(
    (signals[0] ?? []).map((_, f) => sizeOf(signals, f)),
    recordings,
  );
  for (const columns of signals) scaleBy(columns, sizes);
  return sizes;
}

/** Divides each field by its size, in place. */
export function scaleBy(columns: Float64Array[], sizes: number[]): void {
  columns.forEach((column, f) => {
    const size = sizes[f]!;
    for (let i = 0; i < column.length; i++) column[i] = size > 0 ? column[i]! / size : 0;
  });
}

function sizeOf(signals: Float64Array[][], f: number): number {
  let squares = 0;
  let count = 0;
  for (const columns of signals) {
    for (const x of columns[f]!) squares += x * x;
    count += columns[f]!.length;
  }
  return Math.sqrt(squares / Math.max(1, count));
}
