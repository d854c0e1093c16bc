import { AiotError } from '../core/errors.js';
import { plural } from '../core/figures.js';
import { isSoundSet, type SoundSetName } from '../core/project-schema.js';
import { createBandPower, emptyMoments, momentsOf } from './bands.js';
import { harSet, harWindow } from './har.js';
import { melMisfit, melSet } from './mel.js';
import { microMisfit, microSet } from './microfrontend.js';
import type { SignalSpec } from './spec.js';

/** Computes a set of features for one window. Created once per spec, with its own tables and work space. */
export interface FeatureSet {
  names: string[];
  /**
   * @param window one column per field, each of `windowSamples` samples; left unchanged
   * @param out one value per name; every value is finite for finite samples
   */
  compute(window: Float64Array[], out: Float64Array): void;
  /** Only for a set whose values depend on the previous windows: the next window starts a new recording. */
  restart?(): void;
}

export type FeatureSetMaker = (spec: SignalSpec) => FeatureSet;

/**
 * The features named by a spec: a whole set, or individual names from the sets in the given order.
 * @throws AIOT_FEATURE_UNKNOWN, AIOT_FEATURE_UNFIT (a set that does not support these fields or this window)
 */
export function featureSetOf(spec: SignalSpec): FeatureSet {
  const { features } = spec;
  if (features === 'raw') return rawSet(spec);
  if (Array.isArray(features)) return picked(spec, features);
  if (isSoundSet(features)) return soundSet(features, spec);
  if (features === 'image') return imageSet(spec);
  return makeSet(features, spec);
}

function makeSet(name: string, spec: SignalSpec): FeatureSet {
  const maker = makers[name];
  if (!maker) throw unknown(name, Object.keys(makers));
  const problem = misfit(name, spec);
  if (problem) throw new AiotError('AIOT_FEATURE_UNFIT', `the feature set "${name}" ${problem}`);
  return maker(spec);
}

function soundSet(name: SoundSetName, spec: SignalSpec): FeatureSet {
  const { mel } = spec;
  if (!mel || (typeof mel.coefficients === 'number') !== (name === 'mfcc')) {
    throw new AiotError(
      'AIOT_FEATURE_UNFIT',
      `the feature set "${name}" expects its own settings in signal.mel`,
    );
  }
  const problem = name === 'microfrontend' ? microMisfit(spec, mel) : melMisfit(spec, mel);
  if (problem) throw new AiotError('AIOT_FEATURE_UNFIT', `the feature set "${name}" ${problem}`);
  return name === 'microfrontend' ? microSet(spec, mel) : melSet(spec, mel);
}

/** The pixels themselves, row by row, with each pixel's channels next to each other. */
function imageSet(spec: SignalSpec): FeatureSet {
  const { fields, windowSamples, image } = spec;
  const problem = !image
    ? 'expects the size of the pictures in signal.image'
    : fields.length !== 1 && fields.length !== 3
      ? `expects one field (gray) or three (red, green, blue), got ${fields.length}: ${fields.join(', ')}`
      : windowSamples !== image.width * image.height
        ? `expects a window of ${image.width} × ${image.height} pixels, got ${windowSamples}`
        : null;
  if (problem) throw new AiotError('AIOT_FEATURE_UNFIT', `the feature set "image" ${problem}`);
  return rawSet(spec);
}

function misfit(name: string, { fields, windowSamples }: SignalSpec): string | null {
  if (name === 'spectral') return null;
  if (fields.length !== 3) {
    return `expects the three axes of an accelerometer, got ${plural(fields.length, 'field')}: ${fields.join(', ')}`;
  }
  if (name === 'har' && (windowSamples < harWindow.least || windowSamples > harWindow.most)) {
    return `expects a window of ${harWindow.least} to ${harWindow.most} samples (its wavelets have six levels), got ${windowSamples}`;
  }
  return null;
}

/** Computes only the sets that contain a requested name. */
function picked(spec: SignalSpec, wanted: string[]): FeatureSet {
  const sets = Object.keys(makers)
    .filter((name) => misfit(name, spec) === null)
    .map((name) => makeSet(name, spec));
  const raw = rawSet(spec);
  const used = [...sets, raw].filter((set) => wanted.some((name) => set.names.includes(name)));
  const works = used.map((set) => new Float64Array(set.names.length));
  const from = wanted.map((name) => {
    const set = used.findIndex(({ names }) => names.includes(name));
    if (set < 0)
      throw unknown(
        name,
        sets.flatMap(({ names }) => names),
      );
    return { set, at: used[set]!.names.indexOf(name) };
  });
  return {
    names: [...wanted],
    compute(window, out) {
      for (let s = 0; s < used.length; s++) used[s]!.compute(window, works[s]!);
      for (let i = 0; i < from.length; i++) out[i] = works[from[i]!.set]![from[i]!.at]!;
    },
  };
}

function unknown(name: string, known: string[]): AiotError {
  const near = known.filter((other) =>
    other.split('_').some((word) => word.length > 2 && name.includes(word)),
  );
  const shown = (near.length > 0 ? near : known).slice(0, 8).join(', ');
  return new AiotError(
    'AIOT_FEATURE_UNKNOWN',
    `signal.features: expected names such as ${shown}; got "${name}"`,
  );
}

/** The samples themselves, one sample after another: `x[0], y[0], z[0], x[1], …` */
function rawSet(spec: { fields: string[]; windowSamples: number }): FeatureSet {
  const names: string[] = [];
  for (let s = 0; s < spec.windowSamples; s++) for (const field of spec.fields) names.push(`${field}[${s}]`);
  return {
    names,
    compute(window, out) {
      const fields = window.length;
      for (let f = 0; f < fields; f++) {
        const column = window[f]!;
        for (let s = 0; s < column.length; s++) out[s * fields + f] = column[s]!;
      }
    },
  };
}

/**
 * Edges of the bands, Hz. Human steps occur at 1 to 3 Hz, with harmonics. A wrist or waist moves little above 12 Hz, where a sensor mostly
 * shows noise and recorder artifacts.
 */
const motionBandsHz = [0, 1, 2, 3.5, 5.5, 8, 12] as const;

/**
 * The frequencies that a spec's features resolve: [lowest, highest] in Hz, at most half the rate. Null for pictures and for a list of
 * features, whose members differ.
 */
export function bandOf({ features, resampleHz, lowpassHz, mel }: SignalSpec): [number, number] | null {
  if (Array.isArray(features) || features === 'image') return null;
  const most = Math.min(resampleHz / 2, lowpassHz ?? Number.POSITIVE_INFINITY);
  if (mel) return [mel.lowHz, Math.min(mel.highHz, most)];
  return [0, features === 'motion' ? Math.min(motionBandsHz.at(-1)!, most) : most];
}

const parts = ['magnitude', 'along', 'across'] as const;

const measures = [
  'deviation',
  'step',
  'peak_hz',
  ...motionBandsHz.slice(1).map((high, b) => `share_${motionBandsHz[b]}_${high}hz`),
  'log_power',
  'skewness',
  'kurtosis',
];

/**
 * 36 features of a three-axis accelerometer, regardless of how it is worn. Twelve describe the magnitude, twelve the component along
 * gravity (the window's mean vector), and twelve the size of the component across it.
 *
 * The twelve are: deviation and mean absolute step from sample to sample, in the field's unit; peak frequency in Hz; six shares of the
 * power in 0..12 Hz. The last three are log10 of the variance plus 1e-9, skewness, and kurtosis (3 = normal).
 */
const motionSet: FeatureSetMaker = ({ windowSamples: n, resampleHz }) => {
  const bands = createBandPower(n, resampleHz, motionBandsHz, 'none');
  const moments = emptyMoments();
  const signals = parts.map(() => new Float64Array(n));
  return {
    names: parts.flatMap((part) => measures.map((measure) => `${part}_${measure}`)),
    compute(window, out) {
      resolve(window, signals);
      let at = 0;
      for (let p = 0; p < signals.length; p++) {
        const signal = signals[p]!;
        momentsOf(signal, moments);
        bands.compute(signal, moments);
        out[at++] = moments.deviation;
        out[at++] = meanStep(signal);
        out[at++] = bands.peakHz;
        for (let b = 0; b < bands.shares.length; b++) out[at++] = bands.shares[b]!;
        out[at++] = Math.log10(moments.variance + 1e-9);
        out[at++] = moments.skewness;
        out[at++] = moments.kurtosis;
      }
    },
  };
};

/** Splits a window's vectors into the magnitude, the component along the mean vector, and the size of the component across it. */
function resolve(window: Float64Array[], [magnitude, along, across]: Float64Array[]): void {
  const [x, y, z] = window as [Float64Array, Float64Array, Float64Array];
  const n = x.length;
  let gx = 0;
  let gy = 0;
  let gz = 0;
  for (let i = 0; i < n; i++) {
    gx += x[i]!;
    gy += y[i]!;
    gz += z[i]!;
  }
  const length = Math.sqrt(gx * gx + gy * gy + gz * gz);
  // In free fall, or if gravity was already removed, there is no direction, so all motion counts as across.
  const scale = length > 1e-9 * n ? 1 / length : 0;
  gx *= scale;
  gy *= scale;
  gz *= scale;
  for (let i = 0; i < n; i++) {
    const a = x[i]! * gx + y[i]! * gy + z[i]! * gz;
    const dx = x[i]! - a * gx;
    const dy = y[i]! - a * gy;
    const dz = z[i]! - a * gz;
    magnitude![i] = Math.sqrt(x[i]! * x[i]! + y[i]! * y[i]! + z[i]! * z[i]!);
    along![i] = a;
    across![i] = Math.sqrt(dx * dx + dy * dy + dz * dz);
  }
}

function meanStep(signal: Float64Array): number {
  if (signal.length < 2) return 0;
  let sum = 0;
  for (let i = 1; i < signal.length; i++) sum += Math.abs(signal[i]! - signal[i - 1]!);
  return sum / (signal.length - 1);
}

/** Edges of the octaves below half the rate, as shares of half the rate. */
const octaves = [0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1];

/**
 * Ten features per field that are common for machines: RMS, standard deviation (RMS of the varying part), peak to peak, kurtosis (3 = no
 * impacts), and peak frequency in Hz. The other five are the shares of power in the octaves below half the rate.
 */
const spectralSet: FeatureSetMaker = ({ fields, windowSamples: n, resampleHz }) => {
  const bands = createBandPower(
    n,
    resampleHz,
    octaves.map((part) => (part * resampleHz) / 2),
    'hann',
  );
  const moments = emptyMoments();
  const measures = ['rms', 'deviation', 'p2p', 'kurtosis', 'peak_hz'];
  for (let b = 1; b < octaves.length; b++) measures.push(`share_octave${b}`);
  return {
    names: fields.flatMap((field) => measures.map((measure) => `${field}_${measure}`)),
    compute(window, out) {
      let at = 0;
      for (let f = 0; f < window.length; f++) {
        const signal = window[f]!;
        momentsOf(signal, moments);
        bands.compute(signal, moments);
        let low = signal[0]!;
        let high = low;
        for (let i = 1; i < n; i++) {
          if (signal[i]! < low) low = signal[i]!;
          if (signal[i]! > high) high = signal[i]!;
        }
        out[at++] = Math.sqrt(moments.mean * moments.mean + moments.variance);
        out[at++] = moments.deviation;
        out[at++] = high - low;
        out[at++] = moments.kurtosis;
        out[at++] = bands.peakHz;
        for (let b = 0; b < bands.shares.length; b++) out[at++] = bands.shares[b]!;
      }
    },
  };
};

const makers: Record<string, FeatureSetMaker> = {
  har: harSet,
  motion: motionSet,
  spectral: spectralSet,
};
