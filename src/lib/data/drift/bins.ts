import { quantile } from '../../core/numbers.js';
import type { FeatureDrift } from './result.js';

/**
 * Cuts between bins: the quantiles of the sorted base, so that all bins contain equally many values. A value shared by many rows (a
 * constant, one of few levels, a sensor's limit) gets a separate bin. The first and the last bin are open-ended.
 */
export function cutsOf(sorted: Float64Array, bins: number): Float64Array {
  if (sorted.length === 0) return new Float64Array(0);
  const edges = Array.from({ length: bins + 1 }, (_, k) => quantile(sorted, k / bins));
  const cuts = new Set<number>();
  for (let k = 0; k <= bins; k++) {
    const edge = edges[k]!;
    const shared = edges[k - 1] === edge || edges[k + 1] === edge;
    if (shared) {
      cuts.add(edge);
      cuts.add(nextUp(edge));
    } else if (k > 0 && k < bins) cuts.add(edge);
  }
  return Float64Array.from([...cuts].sort((a, b) => a - b));
}

/** Counts by bin; a bin includes its lower cut and excludes its upper one. */
export function countsBetween(sorted: Float64Array, cuts: Float64Array): Float64Array {
  const counts = new Float64Array(cuts.length + 1);
  let before = 0;
  for (let k = 0; k < cuts.length; k++) {
    const below = countBelow(sorted, cuts[k]!);
    counts[k] = below - before;
    before = below;
  }
  counts[cuts.length] = sorted.length - before;
  return counts;
}

/** The index of a value's bin, which is the number of cuts at or below the value. */
export function binOf(value: number, cuts: ArrayLike<number>): number {
  let low = 0;
  let high = cuts.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (cuts[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function sharesOf(counts: ArrayLike<number>): number[] {
  const list = Array.from(counts);
  const sum = list.reduce((a, b) => a + b, 0);
  return list.map((count) => (sum === 0 ? 0 : count / sum));
}

function countBelow(sorted: Float64Array, limit: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The smallest double above a given one. */
export function nextUp(value: number): number {
  if (value === 0) return Number.MIN_VALUE;
  const bits = new BigInt64Array(1);
  const number = new Float64Array(bits.buffer);
  number[0] = value;
  bits[0] = bits[0]! + (value > 0 ? 1n : -1n);
  return number[0];
}

/** Number of bars in a chart. */
const bars = 40;

/** Share of values omitted at either end of a chart, because a single outlier would put all other values into one bar. */
const outside = 0.005;

/** Both sides in bars of equal width, as shares of each side's values, for charts. Null if either side has no values. */
export function histogramOf(base: Float64Array, now: Float64Array): FeatureDrift['histogram'] {
  if (base.length === 0 || now.length === 0) return null;
  let from = Math.min(quantile(base, outside), quantile(now, outside));
  let to = Math.max(quantile(base, 1 - outside), quantile(now, 1 - outside));
  if (!(to > from)) {
    const half = Math.abs(from) * 0.05 || 0.5;
    from -= half;
    to += half;
  }
  const edges = Float64Array.from({ length: bars + 1 }, (_, i) => from + ((to - from) * i) / bars);
  // The last bar includes its upper end.
  edges[bars] = to + (to - from) * 1e-9;
  const shares = (sorted: Float64Array) =>
    Array.from(countsBetween(sorted, edges).subarray(1, bars + 1), (count) => count / sorted.length);
  return { from, to, base: shares(base), now: shares(now) };
}

/** Share assumed for an empty bin in the PSI, because the logarithm of zero is undefined. */
const emptyShare = 1e-4;

/**
 * Population stability index over bins: Σ (q − p) · ln(q / p), with 0.01 % assumed for an empty bin.
 * @param base, now shares, each with the sum 1
 */
export function stabilityIndex(base: ArrayLike<number>, now: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < base.length; i++) {
    const p = Math.max(base[i]!, emptyShare);
    const q = Math.max(now[i]!, emptyShare);
    sum += (q - p) * Math.log(q / p);
  }
  return sum;
}

/**
 * Jensen–Shannon distance over bins: the square root of the divergence, natural logarithm, 0 to √ln 2 = 0.833; same as
 * `scipy.spatial.distance.jensenshannon`.
 */
export function jensenShannon(base: ArrayLike<number>, now: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < base.length; i++) {
    const p = base[i]!;
    const q = now[i]!;
    const middle = (p + q) / 2;
    if (p > 0) sum += p * Math.log(p / middle);
    if (q > 0) sum += q * Math.log(q / middle);
  }
  return Math.sqrt(Math.max(0, sum / 2));
}

/**
 * Pearson's χ² for two binned distributions with the given (effective) sample sizes, and its degrees of freedom: the number of bins that
 * are not empty on both sides, minus one.
 */
export function homogeneity(
  base: ArrayLike<number>,
  now: ArrayLike<number>,
  baseCount: number,
  nowCount: number,
): { chiSquare: number; degrees: number } {
  const both = baseCount + nowCount;
  let sum = 0;
  let bins = 0;
  for (let i = 0; i < base.length; i++) {
    const pooled = (baseCount * base[i]! + nowCount * now[i]!) / both;
    if (pooled === 0) continue;
    bins++;
    sum += (base[i]! - now[i]!) ** 2 / pooled;
  }
  return { chiSquare: (sum * baseCount * nowCount) / both, degrees: bins - 1 };
}

/**
 * Largest distance between two empirical distributions (Kolmogorov–Smirnov), and the area between them (first Wasserstein distance, in the
 * values' unit). One pass over both.
 * @param a, b sorted
 */
export function distances(a: Float64Array, b: Float64Array): { ks: number; wasserstein: number } {
  const n = a.length;
  const m = b.length;
  if (n === 0 || m === 0) return { ks: 0, wasserstein: 0 };
  let i = 0;
  let j = 0;
  let ks = 0;
  let area = 0;
  let at = Math.min(a[0]!, b[0]!);
  while (i < n || j < m) {
    const value = i < n && (j >= m || a[i]! <= b[j]!) ? a[i]! : b[j]!;
    const gap = Math.abs(i / n - j / m);
    if (gap > ks) ks = gap;
    area += gap * (value - at);
    at = value;
    while (i < n && a[i]! <= value) i++;
    while (j < m && b[j]! <= value) j++;
  }
  return { ks, wasserstein: area };
}
