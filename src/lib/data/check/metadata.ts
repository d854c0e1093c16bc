import type { Recording } from '../types.js';
import { repeatShare } from './repeats.js';

/** What is known of a recording without looking at what it shows. */
export interface Metadata {
  /** Samples. */
  length: number;
  /** Share of rows that repeat the row before. */
  repeats: number;
  /** Share of rows that lie exactly in the middle of their neighbours: made by interpolation. */
  interpolated: number;
  /** Step of which all values are multiples, as a power of ten; 0 where there is none. */
  resolution: number;
  device: string | null;
  /** Days since 1970, UTC. */
  day: string | null;
}

/** Rows looked at for what holds throughout a recording. */
const someRows = 4000;

export function metadataOf(recording: Recording): Metadata {
  const { columns, device, startedAt } = recording;
  return {
    length: columns[0]?.length ?? 0,
    repeats: repeatShare(columns),
    interpolated: interpolatedShare(columns),
    resolution: resolutionOf(columns),
    device,
    day: startedAt === null ? null : new Date(startedAt).toISOString().slice(0, 10),
  };
}

/** Share of rows, moving ones only, of which every field is the mean of its neighbours to within rounding. */
function interpolatedShare(columns: Float64Array[]): number {
  const n = Math.min(columns[0]?.length ?? 0, someRows);
  const grids = columns.map(gridOf);
  let moving = 0;
  let between = 0;
  for (let i = 1; i + 1 < n; i++) {
    let moves = false;
    let straight = true;
    for (let f = 0; f < columns.length; f++) {
      const column = columns[f]!;
      const step = Math.abs(column[i + 1]! - column[i - 1]!);
      // On its grid, a value between two others is one of a few: what hardly moves lies in the middle by chance.
      if (step > 20 * grids[f]!) moves = true;
      const off = Math.abs(column[i]! - (column[i + 1]! + column[i - 1]!) / 2);
      if (off > 1.01 * grids[f]! + 1e-6 * step + 1e-12 * Math.abs(column[i]!)) straight = false;
    }
    if (!moves) continue;
    moving++;
    if (straight) between++;
  }
  return moving > 0 ? between / moving : 0;
}

/** log10 of the grid on which nearly all values lie, the fields' median; 0 when they lie on none. */
function resolutionOf(columns: Float64Array[]): number {
  const steps = columns.map(gridOf).sort((a, b) => a - b);
  const step = steps[steps.length >> 1] ?? 0;
  return step > 0 ? Math.round(10 * Math.log10(step)) / 10 : 0;
}

/** Smallest difference of two values, if 99 of 100 values are multiples of it; 0 otherwise. */
function gridOf(column: Float64Array): number {
  const sorted = Float64Array.from(column.subarray(0, someRows)).sort();
  let step = Number.POSITIVE_INFINITY;
  for (let i = 1; i < sorted.length; i++) {
    const gap = sorted[i]! - sorted[i - 1]!;
    if (gap > 1e-9 && gap < step) step = gap;
  }
  if (!Number.isFinite(step)) return 0;
  let fit = 0;
  for (const value of sorted) {
    const turns = (value - sorted[0]!) / step;
    if (Math.abs(turns - Math.round(turns)) < 0.01) fit++;
  }
  return fit >= 0.99 * sorted.length ? step : 0;
}
