import { countsBetween, quantileOf } from './bins.js';
import type { FeatureDrift } from './result.js';

/** Bars of a picture. */
const bars = 40;
/** Share of values at either end that a picture leaves out: one outlier would draw all others in one bar. */
const outside = 0.005;

/** Both sides in bars of equal width, as shares of all their values: for pictures. null where a side has no values. */
export function histogramOf(base: Float64Array, now: Float64Array): FeatureDrift['histogram'] {
  if (base.length === 0 || now.length === 0) return null;
  let from = Math.min(quantileOf(base, outside), quantileOf(now, outside));
  let to = Math.max(quantileOf(base, 1 - outside), quantileOf(now, 1 - outside));
  if (!(to > from)) {
    const half = Math.abs(from) * 0.05 || 0.5;
    from -= half;
    to += half;
  }
  const edges = Float64Array.from({ length: bars + 1 }, (_, i) => from + ((to - from) * i) / bars);
  // The last bar holds its upper end.
  edges[bars] = to + (to - from) * 1e-9;
  const shares = (sorted: Float64Array) =>
    Array.from(countsBetween(sorted, edges).subarray(1, bars + 1), (count) => count / sorted.length);
  return { from, to, base: shares(base), now: shares(now) };
}
