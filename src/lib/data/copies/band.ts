import { conditioned } from '../../signal/pipeline.js';
import type { Dataset, Recording } from '../types.js';

/** Sampling rate and highest frequency for the search, Hz. Recordings with a lower rate are not resampled. */
export const searchHz = 20;
const lowpassHz = 8;
/**
 * Length of the moving mean that is subtracted, s. Similar levels and slow drift are common, so they are not evidence of a copy.
 */
const meanSeconds = 1;

/** Length of a low-pass filter's transient at the start of a recording, in cycles of the corner frequency. */
export const settlingCycles = 3;

export interface Bands {
  /** Recordings × fields, at `rateHz`, each field scaled by its magnitude in the whole dataset. */
  signals: Float64Array[][];
  rateHz: number;
}

/**
 * Subtracts each column's first value, so that filters leave a constant column at exactly 0 and rounding errors depend on the movement
 * instead of the level. Otherwise, rounding noise, which is the same in many recordings, would look like copies after scaling to magnitude
 * 1.
 */
export function withoutLevel(columns: Float64Array[]): Float64Array[] {
  return columns.map((column) => column.map((value) => value - column[0]!));
}

/** Magnitudes of the fields; 0 if only the last digits of a field's values change. */
export function movingSizes(sizes: number[], recordings: Recording[]): number[] {
  return sizes.map((size, f) => {
    let level = 0;
    for (const { columns } of recordings)
      for (const value of columns[f]!) level = Math.max(level, Math.abs(value));
    return size > level * lastDigits ? size : 0;
  });
}

/** Relative rounding error of a double-precision number after a few operations. */
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
 * Scales every field to magnitude 1 over all recordings; a constant field remains 0.
 * @returns the divisor of each field
 */
export function scaleFields(signals: Float64Array[][], recordings: Recording[]): number[] {
  const sizes = movingSizes(
    (signals[0] ?? []).map((_, f) => sizeOf(signals, f)),
    recordings,
  );
  for (const columns of signals) scaleBy(columns, sizes);
  return sizes;
}

/** Divides each field by its magnitude, in place. */
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
