import { createFourier } from '../fourier.js';
import { centralMoments, emptyMoments, momentsOf } from '../moments.js';
import type { FeatureSetMaker } from '../set.js';
import { autoregressionOrder, createBurg, createYuleWalker } from './autoregression.js';
import { strongestPeaks } from './peaks.js';
import { amplitudes, medianBin, spectrumFigures } from './spectrum.js';
import { axisSums, correlation, dot, emptySums, medianDeviation } from './time.js';
import { createWavelet, waveletLevels } from './wavelet.js';

/** The wavelet part has seven bands: six levels, which these window lengths allow. */
const levels = 6;
export const harWindow = { least: 448, most: 895 };

const axes = ['x', 'y', 'z'] as const;
const each = (name: string) => axes.map((axis) => `acc_${axis}_${name}`);
const numbered = (order: readonly string[], name: string, count: number) =>
  order.flatMap((axis) => Array.from({ length: count }, (_, i) => `acc_${axis}_${name}_${i + 1}`));

/** Names and order of the original, which do not always say what is computed: see `harSet`. */
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
 * The 115 features of KasperKornak/EngineeringThesis (2024), under its names and with its meanings: `iqr` is of the spectrum,
 * `stdev` a variance, `mav` a sum, `slope_change` counts zero crossings, `acc_mpf` is the signal magnitude area, and `enwacto`
 * (one wavelet coefficient a band) bears the axes in reverse. The original drops windows without three spectral peaks;
 * here the missing ones are 0. Three fields; windows of 448 to 895 samples.
 */
export const harSet: FeatureSetMaker = ({ windowSamples, resampleHz }) => {
  const { compute } = createHar(windowSamples, resampleHz);
  return { names, compute: (window, out) => void compute(window, out) };
};

/**
 * The same for any window of at least 7 samples: bands that it is too short for are NaN.
 * `compute` tells whether the original keeps such a window.
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
  // The original makes its frequencies by steps of rate/n and gives up where rounding leaves it one too many.
  const keepsLength = Math.ceil(rateHz / binHz) === n;

  function timePart(signal: Float64Array, a: number, out: Float64Array): void {
    const slot = slots[a]!;
    axisSums(signal, centred[a]!, sums);
    centralMoments(signal, sums.mean, moments);
    means[a] = sums.mean;
    squares[a] = moments.variance * n;
    // What rounding leaves of a constant has no shape.
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
    /** @returns whether the original keeps this window, where it is shorter than the others */
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
// Stored under z is what was computed from x.
const waveletAt = ['z', 'y', 'x'].map((axis) => at(`acc_${axis}_enwacto_1`));
const area = at('acc_mpf');

/** Places of one axis's features in the output. */
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
