import { centralMoments, emptyMoments, momentsOf } from './bands.js';
import type { FeatureSetMaker } from './feature-sets.js';
import { createFourier } from './fourier.js';
import {
  amplitudes,
  autoregressionOrder,
  createBurg,
  createWavelet,
  createYuleWalker,
  medianBin,
  spectrumFigures,
  waveletLevels,
} from './har-transforms.js';

/** Number of wavelet levels, which yield seven bands. The window lengths below are those that allow six levels. */
const levels = 6;

export const harWindow = { least: 448, most: 895 };
const axes = ['x', 'y', 'z'] as const;
const each = (name: string) => axes.map((axis) => `acc_${axis}_${name}`);

const numbered = (order: readonly string[], name: string, count: number) =>
  order.flatMap((axis) => Array.from({ length: count }, (_, i) => `acc_${axis}_${name}_${i + 1}`));

/** The original's names and order. The names do not always match the computed values: see `harSet`. */
const names = [
  ...['mpf', 'iqr', 'wilson_amp', 'crossco', 'three_quarters', 'one_quarter', 'corecoef'].flatMap(each),
  'acc_mpf',
  ...[
    'slope_change',
    'rms',
    'stdev',
    'mean',
    'mad',
    'zerocr',
    'wf',
    'mav',
    'p2p',
    'median_frequency',
  ].flatMap(each),
  ...['entropy', 'kurtosis_t', 'kurtosis_f', 'skewness_t', 'skewness_f', 'top3'].flatMap(each),
  ...numbered(axes, 'autoregyw', autoregressionOrder),
  ...numbered(axes, 'autoregburg', autoregressionOrder),
  ...numbered(['z', 'y', 'x'], 'enwacto', levels + 1),
];

/**
 * The 115 features of KasperKornak/EngineeringThesis (2024), with their original names and meanings. `iqr` is computed from the spectrum, `stdev` is
 * a variance, `mav` a sum, and `slope_change` counts zero crossings. `acc_mpf` is the signal magnitude area, and `enwacto` (one wavelet coefficient
 * per band) names the axes in reverse order. The original drops windows without three spectral peaks; here, missing peaks are 0. Requires three
 * fields, and windows of 448 to 895 samples.
 */
export const harSet: FeatureSetMaker = ({ windowSamples, resampleHz }) => {
  const { compute } = createHar(windowSamples, resampleHz);
  return { names, compute: (window, out) => void compute(window, out) };
};

/**
 * Computes the features of `harSet` for any window of at least 7 samples. Wavelet bands for which the window is too short are NaN.
 * `compute` returns whether the original keeps the window.
 */
export function createHar(n: number, rateHz: number) {
  const fourier = createFourier(n);
  const yuleWalker = createYuleWalker();
  const burg = createBurg(n);
  const depth = Math.min(levels, waveletLevels(n));
  const wavelet = createWavelet(n, depth);
  const moments = emptyMoments();
  const sums = emptySums();
  const spectrum = { meanHz: 0, threeQuartersHz: 0, oneQuarterHz: 0, entropy: 0 };
  const centred = axes.map(() => new Float64Array(n));
  const parts = axes.map(() => new Float64Array(2 * (Math.floor(n / 2) + 1)));
  const unused = new Float64Array(parts[0]!.length);
  const nothing = new Float64Array(n);
  const amplitude = new Float64Array(n);
  const work = new Float64Array(n + 1);
  const deviations = work.subarray(0, n);
  const peaks = new Int32Array(3);
  const coefficients = new Float64Array(autoregressionOrder);
  const means = new Float64Array(3);
  const squares = new Float64Array(3);
  const binHz = rateHz / n;
  // The original generates its frequencies in steps of rate/n and fails if rounding yields one frequency too many.
  const keepsLength = Math.ceil(rateHz / binHz) === n;

  function timePart(signal: Float64Array, a: number, out: Float64Array): void {
    const slot = slots[a]!;
    axisSums(signal, centred[a]!, sums);
    centralMoments(signal, sums.mean, moments);
    means[a] = sums.mean;
    squares[a] = moments.variance * n;
    // Otherwise, a constant signal's rounding errors would be analyzed like a signal.
    if (sums.low === sums.high) centred[a]!.fill(0);
    out[area]! += sums.absolute / n;
    out[slot.wilson_amp] = sums.wilson;
    out[slot.slope_change] = sums.signChanges;
    out[slot.zerocr] = sums.signChanges;
    out[slot.rms] = Math.sqrt(sums.mean * sums.mean + moments.variance);
    out[slot.stdev] = (moments.variance * n) / (n - 1);
    out[slot.mean] = sums.mean;
    out[slot.mad] = medianDeviation(signal, deviations);
    out[slot.wf] = sums.waveform;
    out[slot.mav] = sums.absolute;
    out[slot.p2p] = sums.high - sums.low;
    out[slot.kurtosis_t] = moments.kurtosis;
    out[slot.skewness_t] = moments.skewness;
    yuleWalker(centred[a]!, coefficients);
    out.set(coefficients, slot.autoregyw_1);
    burg(centred[a]!, coefficients);
    out.set(coefficients, slot.autoregburg_1);
    wavelet(signal, out, waveletAt[a]!);
    for (let band = depth + 1; band <= levels; band++) out[waveletAt[a]! + band] = Number.NaN;
  }

  function spectralPart(a: number, out: Float64Array): void {
    const slot = slots[a]!;
    amplitudes(parts[a]!, means[a]!, amplitude);
    spectrumFigures(amplitude, binHz, spectrum);
    out[slot.mpf] = spectrum.meanHz;
    out[slot.three_quarters] = spectrum.threeQuartersHz;
    out[slot.one_quarter] = spectrum.oneQuarterHz;
    out[slot.iqr] = spectrum.threeQuartersHz - spectrum.oneQuarterHz;
    out[slot.median_frequency] = medianBin(amplitude, work);
    out[slot.entropy] = spectrum.entropy;
    momentsOf(amplitude, moments);
    out[slot.kurtosis_f] = moments.kurtosis;
    out[slot.skewness_f] = moments.skewness;
  }

  return {
    names,
    /** @returns whether the original keeps the window; used only for a shorter last window */
    compute(window: Float64Array[], out: Float64Array): boolean {
      out[area] = 0;
      for (let a = 0; a < 3; a++) timePart(window[a]!, a, out);
      const [cx, cy, cz] = centred as [Float64Array, Float64Array, Float64Array];
      fourier.transformPair(cx, cy, parts[0]!, parts[1]!);
      fourier.transformPair(cz, nothing, parts[2]!, unused);
      for (let a = 0; a < 3; a++) spectralPart(a, out);
      const [x, y, z] = window as [Float64Array, Float64Array, Float64Array];
      out[slots[0]!.crossco] = dot(x, y);
      out[slots[1]!.crossco] = dot(x, z);
      out[slots[2]!.crossco] = dot(y, z);
      out[slots[0]!.corecoef] = correlation(cx, cy, squares[0]!, squares[1]!);
      out[slots[1]!.corecoef] = correlation(cx, cz, squares[0]!, squares[2]!);
      out[slots[2]!.corecoef] = correlation(cy, cz, squares[1]!, squares[2]!);
      // The spectrum of the sum is the sum of the spectra.
      const [px, py, pz] = parts as [Float64Array, Float64Array, Float64Array];
      for (let i = 0; i < px.length; i++) px[i] = px[i]! + py[i]! + pz[i]!;
      amplitudes(px, means[0]! + means[1]! + means[2]!, amplitude);
      const asHigh = strongestPeaks(amplitude, peaks);
      for (let p = 0; p < 3; p++) out[slots[p]!.top3] = peaks[p]!;
      return keepsLength && asHigh === 3;
    },
  };
}

const place = new Map(names.map((name, i) => [name, i]));
const at = (name: string) => place.get(name)!;
const slots = axes.map((axis) => slotsOf((name) => at(`acc_${axis}_${name}`)));

// The original stores the value computed from x under the name z.
const waveletAt = ['z', 'y', 'x'].map((axis) => at(`acc_${axis}_enwacto_1`));

const area = at('acc_mpf');

/** Output positions of one axis's features. */
function slotsOf(at: (name: string) => number) {
  return {
    mpf: at('mpf'),
    iqr: at('iqr'),
    wilson_amp: at('wilson_amp'),
    crossco: at('crossco'),
    three_quarters: at('three_quarters'),
    one_quarter: at('one_quarter'),
    corecoef: at('corecoef'),
    slope_change: at('slope_change'),
    rms: at('rms'),
    stdev: at('stdev'),
    mean: at('mean'),
    mad: at('mad'),
    zerocr: at('zerocr'),
    wf: at('wf'),
    mav: at('mav'),
    p2p: at('p2p'),
    median_frequency: at('median_frequency'),
    entropy: at('entropy'),
    kurtosis_t: at('kurtosis_t'),
    kurtosis_f: at('kurtosis_f'),
    skewness_t: at('skewness_t'),
    skewness_f: at('skewness_f'),
    top3: at('top3'),
    autoregyw_1: at('autoregyw_1'),
    autoregburg_1: at('autoregburg_1'),
  };
}

/** Sums of one pass over an axis. */
interface AxisSums {
  mean: number;
  absolute: number;
  low: number;
  high: number;
  /** Σ |step| */
  waveform: number;
  /** Σ sign(|step| − 0.05): the original's "Wilson amplitude", in which small steps count as −1. */
  wilson: number;
  /** Number of sign changes from one step to the next; 0 counts as a separate sign. */
  signChanges: number;
}

function emptySums(): AxisSums {
  return {
    mean: 0,
    absolute: 0,
    low: 0,
    high: 0,
    waveform: 0,
    wilson: 0,
    signChanges: 0,
  };
}

/** @param centred receives the signal without its mean */
function axisSums(signal: Float64Array, centred: Float64Array, out: AxisSums): void {
  const n = signal.length;
  let before = signal[0]!;
  let sum = before;
  let absolute = Math.abs(before);
  let low = before;
  let high = before;
  let waveform = 0;
  let wilson = 0;
  let signChanges = 0;
  for (let i = 1; i < n; i++) {
    const x = signal[i]!;
    sum += x;
    absolute += x < 0 ? -x : x;
    if (x < low) low = x;
    if (x > high) high = x;
    const step = Math.abs(x - before);
    waveform += step;
    if (step > 0.05) wilson++;
    else if (step < 0.05) wilson--;
    if (x > 0 !== before > 0 || x < 0 !== before < 0) signChanges++;
    before = x;
  }
  const mean = sum / n;
  for (let i = 0; i < n; i++) {
    centred[i] = signal[i]! - mean;
  }
  out.mean = mean;
  out.absolute = absolute;
  out.low = low;
  out.high = high;
  out.waveform = waveform;
  out.wilson = wilson;
  out.signChanges = signChanges;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** Pearson correlation of two zero-mean signals; 0 if either is constant. */
function correlation(a: Float64Array, b: Float64Array, squaresA: number, squaresB: number): number {
  return squaresA > 0 && squaresB > 0 ? dot(a, b) / Math.sqrt(squaresA * squaresB) : 0;
}

/** Median of |x − median|. @param work buffer of the signal's length, overwritten */
function medianDeviation(signal: Float64Array, work: Float64Array): number {
  work.set(signal);
  const middle = median(work);
  for (let i = 0; i < signal.length; i++) work[i] = Math.abs(signal[i]! - middle);
  return median(work);
}

/**
 * Median of the values; for an even number, the mean of the middle two. Reorders the values. Hoare's selection (1961) with the median of
 * three as pivot makes sorting unnecessary.
 */
export function median(values: Float64Array): number {
  const n = values.length;
  const k = n >> 1;
  const upper = select(values, k);
  if (n % 2 === 1) return upper;
  let lower = values[0]!;
  for (let i = 1; i < k; i++) if (values[i]! > lower) lower = values[i]!;
  return (lower + upper) / 2;
}

/** The k-th smallest value, from 0. Reorders the values so that no value before it is larger. */
function select(values: Float64Array, k: number): number {
  let left = 0;
  let right = values.length - 1;
  while (left < right) {
    const a = values[left]!;
    const b = values[(left + right) >> 1]!;
    const c = values[right]!;
    const pivot = a < b ? (b < c ? b : a < c ? c : a) : a < c ? a : b < c ? c : b;
    let i = left;
    let j = right;
    while (i <= j) {
      while (values[i]! < pivot) i++;
      while (values[j]! > pivot) j--;
      if (i > j) break;
      const held = values[i]!;
      values[i++] = values[j]!;
      values[j--] = held;
    }
    if (k <= j) right = j;
    else if (k >= i) left = i;
    else break;
  }
  return values[k]!;
}

/**
 * Bins of the three strongest local maxima, ascending; 0 if there are fewer. A plateau counts at its middle, and the ends are not maxima
 * (as in SciPy's find_peaks).
 * @returns the number of bins as high as one of the three; the original fails unless there are exactly three
 */
function strongestPeaks(amplitude: Float64Array, out: Int32Array): number {
  out.fill(0);
  // Amplitudes above half the rate are 0.
  const end = Math.min(amplitude.length - 1, Math.ceil(amplitude.length / 2) + 2);
  let found = 0;
  for (let i = 1; i < end; ) {
    let last = i;
    while (last < amplitude.length - 1 && amplitude[last + 1] === amplitude[i]) last++;
    const isPeak =
      amplitude[i - 1]! < amplitude[i]! &&
      last < amplitude.length - 1 &&
      amplitude[last + 1]! < amplitude[i]!;
    if (isPeak) found = keepStrongest(amplitude, Math.floor((i + last) / 2), out, found);
    i = last + 1;
  }
  if (found < out.length) return found;
  out.sort();
  let equal = 0;
  for (let i = 0; i < amplitude.length; i++) {
    const a = amplitude[i]!;
    if (a === amplitude[out[0]!] || a === amplitude[out[1]!] || a === amplitude[out[2]!]) equal++;
  }
  return equal;
}

function keepStrongest(amplitude: Float64Array, peak: number, out: Int32Array, found: number): number {
  if (found < out.length) {
    out[found] = peak;
    return found + 1;
  }
  let weakest = 0;
  for (let k = 1; k < out.length; k++) {
    if (amplitude[out[k]!]! < amplitude[out[weakest]!]!) weakest = k;
  }
  if (amplitude[peak]! > amplitude[out[weakest]!]!) out[weakest] = peak;
  return found;
}
