/** Moments of one signal. `variance` and what follows from it are of the population (1/n). */
export interface Moments {
  mean: number;
  variance: number;
  deviation: number;
  /** Mean cube of the standardized signal; 0 when it is flat. */
  skewness: number;
  /** Mean fourth power of the standardized signal (3 = normal); 0 when it is flat. */
  kurtosis: number;
  /** No more than rounding is left of it: shares and shape mean nothing and are given as 0. */
  flat: boolean;
}

/** Writes into `out`, so that the hot path allocates nothing. */
export function momentsOf(signal: Float64Array, out: Moments): void {
  const n = signal.length;
  let sum = 0;
  for (let i = 0; i < n; i++) sum += signal[i]!;
  centralMoments(signal, sum / n, out);
}

/** As `momentsOf`, the mean being known. */
export function centralMoments(signal: Float64Array, mean: number, out: Moments): void {
  const n = signal.length;
  let m2 = 0;
  let m3 = 0;
  let m4 = 0;
  for (let i = 0; i < n; i++) {
    const d = signal[i]! - mean;
    m2 += d * d;
    m3 += d * d * d;
    m4 += d * d * d * d;
  }
  out.mean = mean;
  out.variance = m2 / n;
  out.deviation = Math.sqrt(out.variance);
  // A millionth of the mean is below what any sensor resolves, and above what single precision leaves behind.
  out.flat = out.variance <= 1e-12 * mean * mean + 1e-18;
  out.skewness = out.flat ? 0 : m3 / n / (out.variance * out.deviation);
  out.kurtosis = out.flat ? 0 : m4 / n / (out.variance * out.variance);
}

export function emptyMoments(): Moments {
  return { mean: 0, variance: 0, deviation: 0, skewness: 0, kurtosis: 0, flat: true };
}
