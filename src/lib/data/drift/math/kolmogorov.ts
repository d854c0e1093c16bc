/** Up to so many pairs of values the p-value counts every way in which the two can be merged; that takes some 10 ms. */
const exactPairs = 4e6;

/** Share of the Kolmogorov distribution above x: 2 Σ (−1)^(k−1) e^(−2k²x²), or for small x what its theta function becomes. */
export function kolmogorovAbove(x: number): number {
  if (x <= 0) return 1;
  if (x < 1) {
    let sum = 0;
    for (let k = 1; k <= 7; k += 2) sum += Math.exp(-((k * Math.PI) ** 2) / (8 * x * x));
    return 1 - (Math.sqrt(2 * Math.PI) / x) * sum;
  }
  let sum = 0;
  for (let k = 1; k <= 10; k++) sum += (k % 2 === 1 ? 2 : -2) * Math.exp(-2 * k * k * x * x);
  return Math.min(1, Math.max(0, sum));
}

/** Of effective counts, which are small: as Stephens (1970) brings the limit to them. */
export function kolmogorovP(ks: number, baseCount: number, nowCount: number): number {
  const root = Math.sqrt((baseCount * nowCount) / (baseCount + nowCount));
  return kolmogorovAbove((root + 0.12 + 0.11 / root) * ks);
}

/**
 * Two-sided p-value of the Kolmogorov–Smirnov statistic of independent values: exact for small samples (the share of all ways to
 * merge the two that stay within the distance; Hodges 1957), the limit for larger ones.
 */
export function kolmogorovSmirnovP(ks: number, n: number, m: number): number {
  if (n === 0 || m === 0) return 1;
  if (n * m > exactPairs) return kolmogorovAbove(ks * Math.sqrt((n * m) / (n + m)));
  const [short, long] = n < m ? [n, m] : [m, n];
  // A path counts where |i/long − j/short| ≥ ks everywhere below: rounding must not turn equal into less.
  const limit = ks - 1e-9 / (short * long);
  // Share of the paths to (i, j) that have gone too far; each step keeps it a share, so that nothing overflows.
  const beyond = new Float64Array(short + 1);
  for (let j = 1; j <= short; j++) beyond[j] = j / short >= limit ? 1 : beyond[j - 1]!;
  for (let i = 1; i <= long; i++) {
    if (i / long >= limit) beyond[0] = 1;
    for (let j = 1; j <= short; j++) {
      beyond[j] =
        Math.abs(i / long - j / short) >= limit ? 1 : (beyond[j]! * i + beyond[j - 1]! * j) / (i + j);
    }
  }
  return ks === 0 ? 1 : beyond[short]!;
}
