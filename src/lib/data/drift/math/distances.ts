/** Share that an empty bin is taken for in the PSI, whose logarithm has no zero. */
export const emptyShare = 1e-4;

/**
 * Population stability index over bins: Σ (q − p) · ln(q / p), an empty bin taken for 0.01 %.
 * @param base, now shares, each of the sum 1
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

/** Jensen–Shannon distance over bins: the root of the divergence, natural logarithm, 0 to √ln 2 = 0.833; as `scipy.spatial.distance.jensenshannon`. */
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

/** Pearson's χ² of two rows of shares with so many (effective) counts, and its degrees of freedom: bins that either side has, less one. */
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
 * Largest distance of two empirical distributions (Kolmogorov–Smirnov), and the area between them (first Wasserstein distance, in the
 * values' unit). One pass over both. @param a, b sorted
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
