/**
 * Where bins part: the quantiles of the sorted base, so that each bin holds as much of it. A value that many rows share (a constant, one
 * of few levels, a sensor at its end) gets a bin of its own. Below the first and above the last cut is open.
 */
export function cutsOf(sorted: Float64Array, bins: number): Float64Array {
  if (sorted.length === 0) return new Float64Array(0);
  const edges = Array.from({ length: bins + 1 }, (_, k) => quantileOf(sorted, k / bins));
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

/** Linear between the two nearest values, as numpy's default. @param sorted not empty */
export function quantileOf(sorted: Float64Array, share: number): number {
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  const value = sorted[low]!;
  const part = at - low;
  return part === 0 ? value : value + part * (sorted[low + 1]! - value);
}

/** Counts by bin; a bin is from its cut on and below the next. */
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

/** Which bin a value is in: so many cuts are not above it. */
export function binOf(value: number, cuts: Float64Array): number {
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

/** The smallest double above one. */
function nextUp(value: number): number {
  if (value === 0) return Number.MIN_VALUE;
  const bits = new BigInt64Array(1);
  const number = new Float64Array(bits.buffer);
  number[0] = value;
  bits[0] = bits[0]! + (value > 0 ? 1n : -1n);
  return number[0];
}
