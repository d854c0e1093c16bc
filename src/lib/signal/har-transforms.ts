/** Features of one axis's spectrum. */
interface SpectrumFigures {
  meanHz: number;
  threeQuartersHz: number;
  oneQuarterHz: number;
  /** Entropy in bits. */
  entropy: number;
}

/**
 * The original's one-sided amplitude spectrum |X|/n: no window, and the mean is kept. Bins from 1 to half the rate are doubled, including
 * the one at half the rate, and zeros fill the rest of the signal's length.
 * @param parts real parts, then imaginary parts, of bins 0..⌊n/2⌋ for the signal without its mean
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
  // For odd n, the last doubled bin mirrors the previous one. It is copied, because rounding could make the two differ.
  if (n % 2 === 1 && n > 2) out[bins] = out[bins - 1]!;
}

/**
 * Four values of a spectrum. The mean frequency is weighted by amplitude. The quarters are the first bins, starting at bin 1, up to which
 * the amplitudes (summed from bin 0) reach 25 % and 75 % of the total. The entropy is that of the periodogram without the mean (one-sided:
 * all bins except the one at half the rate count twice).
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
 * Index (not Hz) of the bin that halves the power of the lower half of the spectrum. As in the original, the search bisects in shrinking
 * steps and stops early, so the result may not be the exact bin.
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

/**
 * Analysis low-pass filter of the Symlet with four vanishing moments (Daubechies, Ten Lectures on Wavelets, table 6.3), in the
 * order of PyWavelets' `sym4`. The high-pass filter is the mirror image with alternating signs.
 */
const low = Float64Array.of(
  -0.07576571478927333,
  -0.02963552764599851,
  0.49761866763201545,
  0.8037387518059161,
  0.29785779560527736,
  -0.09921954357684722,
  -0.012603967262037833,
  0.0322231006040427,
);

const high = low.map((_, i) => (i % 2 === 0 ? -1 : 1) * low[low.length - 1 - i]!);

/** Number of levels that a signal of n samples permits: floor(log2(n / (taps − 1))). */
export function waveletLevels(n: number): number {
  return Math.max(0, Math.floor(Math.log2(n / (low.length - 1))));
}

/**
 * Discrete wavelet decomposition. The signal is extended by its mirror image at both ends (half-sample symmetric). Each band yields one
 * coefficient, at a distance from the band's end that equals the number of bands.
 * @param levels 0 = the signal itself is the only band
 * @returns a function that writes levels + 1 values: for the approximation of the last level, then for the details from the last level to
 *   the first. Each is |coefficient| divided by the length of the approximation.
 */
export function createWavelet(
  n: number,
  levels: number,
): (signal: Float64Array, out: Float64Array, at: number) => void {
  const approximations: Float64Array[] = [];
  for (let level = 0, length = n; level < levels; level++) {
    length = Math.floor((length + low.length - 1) / 2);
    approximations.push(new Float64Array(length));
  }
  return (signal, out, at) => {
    const fromEnd = levels + 1;
    const last = approximations[levels - 1]?.length ?? n;
    let from = signal;
    for (let level = 0; level < levels; level++) {
      const to = approximations[level]!;
      convolve(from, to);
      out[at + levels - level] = Math.abs(coefficient(from, to.length - fromEnd, high)) / last;
      from = to;
    }
    out[at] = Math.abs(from[from.length - fromEnd]!) / last;
  };
}

const [l0, l1, l2, l3, l4, l5, l6, l7] = [...low] as [
  ...[number, number, number, number],
  ...[number, number, number, number],
];

/** The low-pass filtered signal at half the rate. Unrolled, because a loop over the taps took most of the wavelets' time. */
function convolve(from: Float64Array, to: Float64Array): void {
  for (let k = 0; k < to.length; k++) {
    const newest = 2 * k + 1;
    if (newest < 7 || newest >= from.length) {
      to[k] = coefficient(from, k, low);
      continue;
    }
    to[k] =
      l0 * from[newest]! +
      l1 * from[newest - 1]! +
      l2 * from[newest - 2]! +
      l3 * from[newest - 3]! +
      l4 * from[newest - 4]! +
      l5 * from[newest - 5]! +
      l6 * from[newest - 6]! +
      l7 * from[newest - 7]!;
  }
}

function coefficient(from: Float64Array, k: number, filter: Float64Array): number {
  const n = from.length;
  let sum = 0;
  for (let tap = 0; tap < filter.length; tap++) {
    let i = 2 * k + 1 - tap;
    while (i < 0 || i >= n) i = i < 0 ? -1 - i : 2 * n - 1 - i;
    sum += filter[tap]! * from[i]!;
  }
  return sum;
}

export const autoregressionOrder = 4;
const order = autoregressionOrder;

/**
 * Coefficients of an autoregressive model, from the Yule-Walker equations. Each lag's sum is divided by the number of terms (`adjusted` in
 * statsmodels). 0 for a constant signal.
 * @param centred the signal without its mean
 * @param out the coefficients, starting at lag 1
 */
export function createYuleWalker(): (centred: Float64Array, out: Float64Array) => void {
  const r = new Float64Array(order + 1);
  const matrix = new Float64Array(order * (order + 1));
  return (centred, out) => {
    const n = centred.length;
    for (let lag = 0; lag <= order; lag++) {
      let sum = 0;
      for (let i = lag; i < n; i++) sum += centred[i]! * centred[i - lag]!;
      r[lag] = sum / (n - lag);
    }
    const width = order + 1;
    for (let row = 0; row < order; row++) {
      for (let column = 0; column < order; column++)
        matrix[row * width + column] = r[Math.abs(row - column)]!;
      matrix[row * width + order] = r[row + 1]!;
    }
    solve(matrix, out);
  };
}

/** Gaussian elimination with row exchange over [A | b]; all 0 if A is singular. */
function solve(matrix: Float64Array, out: Float64Array): void {
  const width = order + 1;
  out.fill(0);
  for (let pivot = 0; pivot < order; pivot++) {
    let best = pivot;
    for (let row = pivot + 1; row < order; row++) {
      if (Math.abs(matrix[row * width + pivot]!) > Math.abs(matrix[best * width + pivot]!)) best = row;
    }
    if (Math.abs(matrix[best * width + pivot]!) < 1e-300) return;
    for (let column = 0; column < width; column++) {
      const kept = matrix[pivot * width + column]!;
      matrix[pivot * width + column] = matrix[best * width + column]!;
      matrix[best * width + column] = kept;
    }
    for (let row = pivot + 1; row < order; row++) {
      const factor = matrix[row * width + pivot]! / matrix[pivot * width + pivot]!;
      for (let column = pivot; column < width; column++) {
        matrix[row * width + column]! -= factor * matrix[pivot * width + column]!;
      }
    }
  }
  for (let row = order - 1; row >= 0; row--) {
    let sum = matrix[row * width + order]!;
    for (let column = row + 1; column < order; column++) sum -= matrix[row * width + column]! * out[column]!;
    out[row] = sum / matrix[row * width + row]!;
  }
}

/**
 * Coefficients of an autoregressive model, by Burg's method (Burg 1975). Each reflection coefficient minimizes the forward and backward
 * errors, and Levinson's recursion converts reflection coefficients to the model's. 0 for a constant signal.
 */
export function createBurg(n: number): (centred: Float64Array, out: Float64Array) => void {
  const forward = new Float64Array(n);
  const backward = new Float64Array(n);
  const before = new Float64Array(order);
  return (centred, out) => {
    forward.set(centred);
    backward.set(centred);
    out.fill(0);
    let top = 0;
    let bottom = 0;
    for (let i = 1; i < n; i++) {
      top += centred[i]! * centred[i - 1]!;
      bottom += centred[i]! * centred[i]! + centred[i - 1]! * centred[i - 1]!;
    }
    for (let m = 1; m <= order; m++) {
      if (bottom <= 0) return;
      const reflection = (2 * top) / bottom;
      before.set(out);
      for (let j = 0; j < m - 1; j++) out[j] = before[j]! - reflection * before[m - 2 - j]!;
      out[m - 1] = reflection;
      if (m === order) return;
      top = 0;
      bottom = 0;
      // One pass computes the errors of this order and the sums for the next order, which pairs each forward error with the preceding backward error.
      let b = backward[m - 1]!;
      let kept = 0;
      for (let i = m; i < n; i++) {
        const f = forward[i]!;
        const error = f - reflection * b;
        const back = b - reflection * f;
        b = backward[i]!;
        forward[i] = error;
        backward[i] = back;
        if (i > m) {
          top += error * kept;
          bottom += error * error + kept * kept;
        }
        kept = back;
      }
    }
  };
}
