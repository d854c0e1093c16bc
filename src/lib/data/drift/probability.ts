const epsilon = 2 ** -52;
const tiny = 1e-300;

/** Logarithm of the gamma function for x > 0 (Lanczos 1964, g = 7, nine terms). */
function logGamma(x: number): number {
  const c = [
    0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
    12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
  ];
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  const z = x - 1;
  let sum = c[0]!;
  for (let i = 1; i < 9; i++) sum += c[i]! / (z + i);
  const t = z + 7.5;
  return 0.5 * Math.log(2 * Math.PI) + (z + 0.5) * Math.log(t) - t + Math.log(sum);
}

/** Upper regularized incomplete gamma function, Q(a, x): by its series below a + 1, and by its continued fraction above (Lentz). */
function gammaQ(a: number, x: number): number {
  if (x <= 0) return 1;
  const front = Math.exp(a * Math.log(x) - x - logGamma(a));
  if (x < a + 1) {
    let term = 1 / a;
    let sum = term;
    for (let n = 1; n < 10_000 && Math.abs(term) > Math.abs(sum) * epsilon; n++) {
      term *= x / (a + n);
      sum += term;
    }
    return Math.max(0, 1 - sum * front);
  }
  let b = x + 1 - a;
  let c = 1 / tiny;
  let d = 1 / b;
  let h = d;
  for (let i = 1; i < 10_000; i++) {
    const an = -i * (i - a);
    b += 2;
    d = 1 / notZero(an * d + b);
    c = notZero(b + an / c);
    const step = d * c;
    h *= step;
    if (Math.abs(step - 1) < epsilon) break;
  }
  return front * h;
}

/** Regularized incomplete beta function I_x(a, b), by its continued fraction (Lentz). */
function betaI(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x));
  return x < (a + 1) / (a + b + 2)
    ? (front * betaFraction(x, a, b)) / a
    : 1 - (front * betaFraction(1 - x, b, a)) / b;
}

function betaFraction(x: number, a: number, b: number): number {
  let c = 1;
  let d = 1 / notZero(1 - ((a + b) * x) / (a + 1));
  let h = d;
  for (let m = 1; m < 10_000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / notZero(1 + even * d);
    c = notZero(1 + even / c);
    h *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / notZero(1 + odd * d);
    c = notZero(1 + odd / c);
    const step = d * c;
    h *= step;
    if (Math.abs(step - 1) < epsilon) break;
  }
  return h;
}

function notZero(value: number): number {
  return Math.abs(value) < tiny ? tiny : value;
}

/** Upper tail of a χ² distribution above x. */
export function chiSquareAbove(x: number, degrees: number): number {
  return degrees <= 0 ? 1 : gammaQ(degrees / 2, x / 2);
}

/** Share of a Student distribution beyond ±t. */
export function studentBeyond(t: number, degrees: number): number {
  if (!Number.isFinite(t)) return 0;
  return betaI(degrees / (degrees + t * t), degrees / 2, 0.5);
}

/** Upper tail of the standard normal distribution above z. */
export function normalAbove(z: number): number {
  const half = gammaQ(0.5, (z * z) / 2) / 2;
  return z >= 0 ? half : 1 - half;
}

/**
 * Converts a p-value of the normal or another limiting distribution to Student's distribution at the same deviation, for a variance that is
 * known with only this many degrees of freedom.
 */
export function widened(p: number, degrees: number): number {
  if (p <= 0 || p >= 1 || degrees > 1e4) return p;
  const z = quantileAbove((x) => 2 * normalAbove(x), p);
  return studentBeyond(z, degrees);
}

/** The value x ≥ 0 for which a decreasing function equals `share`. */
export function quantileAbove(above: (x: number) => number, share: number): number {
  let high = 1;
  while (above(high) > share && high < 1e12) high *= 2;
  let low = 0;
  for (let i = 0; i < 80; i++) {
    const middle = (low + high) / 2;
    if (above(middle) > share) low = middle;
    else high = middle;
  }
  return high;
}

/** Maximum number of pairs of values for an exact p-value, which counts every way to merge the two samples and takes about 10 ms. */
const exactPairs = 4e6;

/** Upper tail of the Kolmogorov distribution above x: 2 Σ (−1)^(k−1) e^(−2k²x²), or for small x the equivalent theta function. */
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

/**
 * p-value of the Kolmogorov–Smirnov statistic for small effective sample sizes: the limiting distribution with Stephens' correction (1970).
 */
export function kolmogorovP(ks: number, baseCount: number, nowCount: number): number {
  const root = Math.sqrt((baseCount * nowCount) / (baseCount + nowCount));
  return kolmogorovAbove((root + 0.12 + 0.11 / root) * ks);
}

/**
 * Two-sided p-value of the Kolmogorov–Smirnov statistic of independent values. For small samples it is exact: the share of all ways to
 * merge the two samples that reach the distance (Hodges 1957). For larger samples it is computed from the limiting distribution.
 */
export function kolmogorovSmirnovP(ks: number, n: number, m: number): number {
  if (n === 0 || m === 0) return 1;
  if (n * m > exactPairs) return kolmogorovAbove(ks * Math.sqrt((n * m) / (n + m)));
  const [short, long] = n < m ? [n, m] : [m, n];
  // A path counts if |i/long − j/short| ≥ ks anywhere along it. The margin keeps rounding errors from making equal values appear smaller.
  const limit = ks - 1e-9 / (short * long);
  // Share of the paths to (i, j) that have reached the distance. Shares are used at each step, because counts would overflow.
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
