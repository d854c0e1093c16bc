import type { Dataset } from '../types.js';
import { movingSizes } from './band.js';

/** Number of points to which each recording is reduced, regardless of its length, so that copies at another rate have the same points. */
const points = 512;

/** Minimum relative difference in length at which a copy counts as resampled. The other searches find copies with smaller differences. */
const sameLength = 0.01;

/** Maximum ratio between the lengths. */
const widest = 5;
const least = 0.95;

/**
 * Finds whole recordings that are copies of another recording at a different rate: resampled, or played faster. Both are reduced to the
 * same number of points, and the differences between neighboring points are correlated over all fields.
 */
export function stretchedCopies(dataset: Dataset): { a: number; b: number; share: number; factor: number }[] {
  const { recordings } = dataset;
  const sizes = fieldSizes(dataset);
  const lengths = recordings.map(({ columns }) => columns[0]?.length ?? 0);
  const shapes = recordings.map(({ columns }, r) =>
    lengths[r]! < 2 * points ? null : shapeOf(columns, sizes),
  );
  const found: { a: number; b: number; share: number; factor: number }[] = [];
  for (let a = 0; a < recordings.length; a++) {
    for (let b = a + 1; b < recordings.length; b++) {
      const x = shapes[a];
      const y = shapes[b];
      const factor = lengths[b]! / lengths[a]!;
      if (!x || !y || Math.abs(factor - 1) < sameLength || factor > widest || factor < 1 / widest) continue;
      let sum = 0;
      for (let i = 0; i < x.length; i++) sum += x[i]! * y[i]!;
      if (sum >= least) found.push({ a, b, share: sum, factor });
    }
  }
  return found;
}

/** Approximate deviation of each field over all recordings, from every tenth sample. */
function fieldSizes({ fields, recordings }: Dataset): number[] {
  const sizes = fields.map((_, f) => {
    // The first value is subtracted, because sums of squares of a high level would lose the movement to rounding errors.
    const level = recordings[0]?.columns[f]?.[0] ?? 0;
    let sum = 0;
    let squares = 0;
    let count = 0;
    for (const { columns } of recordings) {
      const column = columns[f]!;
      for (let i = 0; i < column.length; i += 10) {
        sum += column[i]! - level;
        squares += (column[i]! - level) ** 2;
        count++;
      }
    }
    const mean = sum / Math.max(1, count);
    return Math.sqrt(Math.max(0, squares / Math.max(1, count) - mean * mean));
  });
  return movingSizes(sizes, recordings);
}

/** Differences between the means of `points` equal stretches, of all fields, as one vector of length 1. */
function shapeOf(columns: Float64Array[], sizes: number[]): Float64Array {
  const out = new Float64Array(columns.length * (points - 1));
  columns.forEach((column, f) => {
    if (!(sizes[f]! > 0)) return;
    const means = new Float64Array(points);
    for (let p = 0; p < points; p++)
      means[p] = meanBetween(column, (p * column.length) / points, ((p + 1) * column.length) / points);
    for (let p = 1; p < points; p++) out[f * (points - 1) + p - 1] = (means[p]! - means[p - 1]!) / sizes[f]!;
  });
  let squares = 0;
  for (const x of out) squares += x * x;
  const size = Math.sqrt(squares);
  return size > 0 ? out.map((x) => x / size) : out;
}

/** Mean of a stretch that may begin and end between samples. */
function meanBetween(column: Float64Array, from: number, to: number): number {
  let sum = 0;
  for (let i = Math.floor(from); i < to && i < column.length; i++) {
    sum += column[i]! * (Math.min(to, i + 1) - Math.max(from, i));
  }
  return sum / (to - from);
}
