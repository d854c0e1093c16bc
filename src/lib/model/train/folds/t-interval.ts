/** 97.5 % quantiles of Student's t for 1 to 10 degrees of freedom. */
const quantiles = [12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.306, 2.2622, 2.2281];

/** Beyond ten degrees of freedom Fisher's expansion of the quantile (Abramowitz and Stegun, 26.7.5) is exact to 1e-4. */
export function tQuantile(freedom: number): number {
  const known = quantiles[freedom - 1];
  if (known !== undefined) return known;
  const z = 1.959964;
  const v = freedom;
  return (
    z +
    (z ** 3 + z) / (4 * v) +
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * v ** 2) +
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * v ** 3)
  );
}

/**
 * Mean of independent figures with its 95 % interval: mean ± t · deviation / √n. Folds share training data, so that the truth is
 * a little wider (Bengio and Grandvalet, JMLR 5, 2004). null without figures; no interval of a single one.
 * @param most what the figures cannot exceed, such as 1 for a share; they are never below 0
 */
export function tInterval(
  values: number[],
  most = Number.POSITIVE_INFINITY,
): { mean: number; interval: [number, number] | null } | null {
  const n = values.length;
  if (n === 0) return null;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  if (n === 1) return { mean, interval: null };
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1);
  const half = tQuantile(n - 1) * Math.sqrt(variance / n);
  return { mean, interval: [Math.max(0, mean - half), Math.min(most, mean + half)] };
}
