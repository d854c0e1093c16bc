/** What is looked at in the spectrum of one axis. */
export interface SpectrumFigures {
  meanHz: number;
  threeQuartersHz: number;
  oneQuarterHz: number;
  /** Bits. */
  entropy: number;
}

/**
 * The original's one-sided amplitude spectrum |X|/n: no window, mean kept, bins from 1 to half doubled (the one at half the
 * rate too), padded with zeros to the signal's length.
 * @param parts real, then imaginary parts of bins 0..⌊n/2⌋ of the signal without its mean
 * @param out n values
 */
export function amplitudes(parts: Float64Array, mean: number, out: Float64Array): void {
  const n = out.length;
  const bins = Math.floor(n / 2) + 1;
  out.fill(0);
  out[0] = Math.abs(mean);
  for (let k = 1; k < bins; k++) {
    out[k] = (2 * Math.sqrt(parts[k]! * parts[k]! + parts[bins + k]! * parts[bins + k]!)) / n;
  }
  // For odd n the last doubled bin mirrors the one before: equal by definition, not but for rounding.
  if (n % 2 === 1 && n > 2) out[bins] = out[bins - 1]!;
}

/**
 * Centre of the amplitudes; the first bins from 1 on at which the amplitudes summed from bin 0 reach a share of their
 * total; entropy of the periodogram, mean removed (one-sided: all bins but the one at half the rate stand for two).
 */
export function spectrumFigures(amplitude: Float64Array, binHz: number, out: SpectrumFigures): void {
  const n = amplitude.length;
  const top = Math.min(n - 1, Math.ceil(n / 2));
  const last = Math.floor(n / 2);
  let sum = 0;
  let weighted = 0;
  let power = 0;
  for (let k = 0; k <= top; k++) {
    const a = amplitude[k]!;
    sum += a;
    weighted += a * k * binHz;
    if (k > 0 && k <= last) power += a * a * (k === last && n % 2 === 0 ? 0.5 : 1);
  }
  out.meanHz = sum > 0 ? weighted / sum : 0;
  out.oneQuarterHz = 0;
  out.threeQuartersHz = 0;
  let reached = amplitude[0]!;
  let entropy = 0;
  let quarters = 0;
  for (let k = 1; k <= top; k++) {
    const a = amplitude[k]!;
    reached += a;
    if (quarters === 0 && sum > 0 && reached / sum >= 0.25) {
      out.oneQuarterHz = k * binHz;
      quarters = 1;
    }
    if (quarters === 1 && reached / sum >= 0.75) {
      out.threeQuartersHz = k * binHz;
      quarters = 3;
    }
    if (k > last || a === 0) continue;
    const share = (a * a * (k === last && n % 2 === 0 ? 0.5 : 1)) / power;
    if (share > 0) entropy -= share * Math.log2(share);
  }
  out.entropy = power > 0 ? entropy : 0;
}

/**
 * Index (not Hz) of the bin that halves the power of the lower half of the spectrum, as the original searches it: by
 * bisection in shrinking steps that stops early, so that it need not be the true one.
 * @param work at least n/2 + 1 values, overwritten: power below each bin
 */
export function medianBin(amplitude: Float64Array, work: Float64Array): number {
  const m = Math.floor(amplitude.length / 2);
  work[0] = 0;
  for (let k = 0; k < m; k++) work[k + 1] = work[k]! + amplitude[k]! * amplitude[k]!;
  let at = Math.floor(m / 2);
  let previous = at;
  let lastDifference = 1e13;
  let lastLeft = 1e14;
  let repeats = 0;
  for (let counter = 2; counter < 64; counter++) {
    const left = work[at]!;
    const right = work[m]! - left;
    const step = Math.floor(m / 2 ** counter);
    if (left < right) at = previous + step;
    else if (left > right) at = previous - step;
    else break;
    const difference = Math.abs(right - left);
    if (left === lastLeft) repeats++;
    if (repeats === 10 || difference >= 15 * lastDifference) break;
    previous = at;
    lastDifference = difference;
    lastLeft = left;
  }
  return previous;
}
