import { emptyMoments, momentsOf } from '../moments.js';
import type { FeatureSetMaker } from '../set.js';
import { autoregressionOrder, createBurg, createYuleWalker } from './autoregression.js';
import {
  createAmplitudeSpectrum,
  createSpectralEntropy,
  frequencyAtShare,
  meanFrequency,
  medianBin,
  strongestPeaks,
} from './spectrum.js';
import {
  absoluteSum,
  correlation,
  dot,
  medianDeviation,
  peakToPeak,
  signChanges,
  waveformLength,
  wilsonAmplitude,
} from './time.js';
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
export const harSet: FeatureSetMaker = ({ windowSamples: n, resampleHz }) => {
  const spectrum = createAmplitudeSpectrum(n);
  const entropy = createSpectralEntropy(n);
  const yuleWalker = createYuleWalker();
  const burg = createBurg(n);
  const wavelet = createWavelet(n, Math.min(levels, waveletLevels(n)));
  const moments = emptyMoments();
  const work = new Float64Array(n);
  const peaks = new Int32Array(3);
  const coefficients = new Float64Array(autoregressionOrder);
  const means = [0, 0, 0];
  const binHz = resampleHz / n;
  const place = new Map(names.map((name, i) => [name, i]));
  const at = (name: string) => place.get(name)!;
  const slots = axes.map((axis) => slotsOf((name) => at(`acc_${axis}_${name}`)));
  // Stored under z is what was computed from x.
  const waveletAt = ['z', 'y', 'x'].map((axis) => at(`acc_${axis}_enwacto_1`));
  const area = at('acc_mpf');
  return {
    names,
    compute(window, out) {
      out[area] = 0;
      for (let a = 0; a < 3; a++) {
        const signal = window[a]!;
        const slot = slots[a]!;
        momentsOf(signal, moments);
        means[a] = moments.mean;
        const sum = absoluteSum(signal);
        out[area]! += sum / n;
        out[slot.wilson_amp] = wilsonAmplitude(signal);
        out[slot.slope_change] = signChanges(signal);
        out[slot.zerocr] = out[slot.slope_change]!;
        out[slot.rms] = Math.sqrt(moments.mean * moments.mean + moments.variance);
        out[slot.stdev] = (moments.variance * n) / (n - 1);
        out[slot.mean] = moments.mean;
        out[slot.mad] = medianDeviation(signal, work);
        out[slot.wf] = waveformLength(signal);
        out[slot.mav] = sum;
        out[slot.p2p] = peakToPeak(signal);
        out[slot.entropy] = entropy(signal, moments.mean);
        out[slot.kurtosis_t] = moments.kurtosis;
        out[slot.skewness_t] = moments.skewness;
        yuleWalker(signal, moments.mean, coefficients);
        out.set(coefficients, slot.autoregyw_1);
        burg(signal, moments.mean, coefficients);
        out.set(coefficients, slot.autoregburg_1);

        spectrum.compute(signal);
        const { amplitude } = spectrum;
        out[slot.mpf] = meanFrequency(amplitude, binHz);
        out[slot.three_quarters] = frequencyAtShare(amplitude, binHz, 0.75);
        out[slot.one_quarter] = frequencyAtShare(amplitude, binHz, 0.25);
        out[slot.iqr] = out[slot.three_quarters]! - out[slot.one_quarter]!;
        out[slot.median_frequency] = medianBin(amplitude);
        momentsOf(amplitude, moments);
        out[slot.kurtosis_f] = moments.kurtosis;
        out[slot.skewness_f] = moments.skewness;

        wavelet.compute(signal);
        const { bands } = wavelet;
        for (let b = 0; b < bands.length; b++) {
          out[waveletAt[a]! + b] = Math.abs(bands[b]![bands[b]!.length - 7]!) / bands[0]!.length;
        }
      }
      const [x, y, z] = window as [Float64Array, Float64Array, Float64Array];
      const pairs = [x, y, x, z, y, z];
      for (let p = 0; p < 3; p++) {
        out[slots[p]!.crossco] = dot(pairs[2 * p]!, pairs[2 * p + 1]!);
      }
      out[slots[0]!.corecoef] = correlation(x, y, means[0]!, means[1]!);
      out[slots[1]!.corecoef] = correlation(x, z, means[0]!, means[2]!);
      out[slots[2]!.corecoef] = correlation(y, z, means[1]!, means[2]!);
      for (let i = 0; i < n; i++) work[i] = x[i]! + y[i]! + z[i]!;
      spectrum.compute(work);
      strongestPeaks(spectrum.amplitude, peaks);
      for (let p = 0; p < 3; p++) out[slots[p]!.top3] = peaks[p]!;
    },
  };
};

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
