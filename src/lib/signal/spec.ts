import { roundHalfAway } from '../core/numbers.js';
import { framesOf, isSoundSet, type ProjectConfig, type SoundSetName } from '../core/project-schema.js';
import { featureSetOf } from './feature-sets.js';
import { frameCount, frameValues, type MelSpec } from './mel.js';

/**
 * The signal part of the contract, as contained in a bundle. It defines how samples become one model input: by a low-pass filter,
 * resampling, windowing, features and standardization, in this order. TypeScript and C both implement this definition.
 */
export interface SignalSpec {
  /** Fields of one sample, in order. */
  fields: string[];
  /** Rate at which samples arrive, Hz. */
  rateHz: number;
  /** Corner of the low-pass filter, Hz; null = none. */
  lowpassHz: number | null;
  /** Rate after resampling, Hz. */
  resampleHz: number;
  /** Number of samples in one window, after resampling. */
  windowSamples: number;
  /** Number of samples from the start of one window to the start of the next, after resampling. */
  strideSamples: number;
  /** Name of a set, or names of features in the sets. */
  features: 'raw' | 'motion' | 'har' | 'spectral' | SoundSetName | 'image' | string[];
  /** For `logmel`, `mfcc` and `microfrontend` only. */
  mel?: MelSpec;
  /** For `image` only. */
  image?: ImageSpec;
}

/**
 * A picture as one window: its pixels are the samples, row by row from the top left, with values 0…255. One field is shades of gray, three
 * fields are red, green and blue. A device's camera delivers this size. `fit` defines how files of other sizes are converted.
 */
export interface ImageSpec {
  /** Pixels. */
  width: number;
  height: number;
  fit: 'crop' | 'stretch' | 'pad';
}

/** For each network input: standardized = (feature − mean) / deviation. */
export interface Standardization {
  mean: number[];
  deviation: number[];
}

/**
 * A project's signal part, including defaults.
 * @throws AIOT_FEATURE_UNKNOWN, AIOT_FEATURE_UNFIT
 */
export function signalSpecOf(config: ProjectConfig): SignalSpec {
  const { rate, lowpass, resample, window, stride, features } = config.signal;
  const spec: SignalSpec = {
    fields: Object.keys(config.stream.fields),
    rateHz: rate,
    lowpassHz: lowpass ?? null,
    resampleHz: resample ?? rate,
    windowSamples: window,
    strideSamples: stride,
    features,
  };
  if (isSoundSet(features)) spec.mel = melSpecOf(features, config.signal.mel, spec.resampleHz);
  const { image } = config.signal;
  if (features === 'image' && image)
    spec.image = { width: image.width, height: image.height, fit: image.fit };
  featureSetOf(spec);
  return spec;
}

/** The mel spectrogram's settings, including defaults, for this rate after resampling. */
export function melSpecOf(
  features: SoundSetName,
  settings: ProjectConfig['signal']['mel'],
  rateHz: number,
): MelSpec {
  const mel = settings ?? {};
  const { frame: frameSamples, hop: hopSamples } = framesOf(settings, rateHz);
  return {
    frameSamples,
    hopSamples,
    fftSamples: mel.fft ?? 2 ** Math.ceil(Math.log2(frameSamples)),
    bands: mel.bands ?? 40,
    lowHz: mel.low ?? (features === 'microfrontend' ? 125 : 20),
    highHz: mel.high ?? (features === 'microfrontend' ? Math.min(7500, rateHz / 2) : rateHz / 2),
    ...(features === 'microfrontend' && mel.state === 'stream'
      ? { state: mel.state }
      : { coefficients: features === 'mfcc' ? (mel.coefficients ?? 13) : null }),
  };
}

/** Whether a window is one unprocessed sample, as for a model of table rows. Such a model accepts any rate. */
export function isTimeless({ windowSamples, lowpassHz, resampleHz, rateHz }: SignalSpec): boolean {
  return windowSamples === 1 && lowpassHz === null && resampleHz === rateHz;
}

/** One name per network input, in order; raw inputs are called `field[sample]`. */
export function featureNames(spec: SignalSpec): string[] {
  return featureSetOf(spec).names;
}

/**
 * Shape of one model input, without the batch: raw = [window, fields], flattened sample after sample; logmel, mfcc and microfrontend =
 * [frames, bands or coefficients]; image = [height, width, channels]; other sets = [n].
 */
export function inputShape(spec: SignalSpec): number[] {
  if (spec.features === 'raw') return [spec.windowSamples, spec.fields.length];
  if (spec.image) return [spec.image.height, spec.image.width, spec.fields.length];
  if (spec.mel) return [frameCount(spec, spec.mel), frameValues(spec.mel)];
  return [featureSetOf(spec).names.length];
}

/** Scale and zero point of an int8 tensor: real = scale · (q − zeroPoint). */
interface InputQuantization {
  scale: number;
  zeroPoint: number;
}

/** out = (feature − mean) / deviation, for each input. `out` may be `features` itself. Returns `out`. */
export function standardize<T extends Float32Array | Float64Array>(
  features: ArrayLike<number>,
  { mean, deviation }: Standardization,
  out: T,
): T {
  for (let i = 0; i < out.length; i++) out[i] = (features[i]! - mean[i]!) / deviation[i]!;
  return out;
}

/**
 * The network's int8 input: q = clamp(round((feature − mean) / deviation / scale) + zeroPoint), in double precision. Halves are rounded away from
 * zero as in TensorFlow Lite (TfLiteRound).
 * @param out an existing array for the result, so that nothing is allocated
 */
export function quantizeInput(
  features: ArrayLike<number>,
  { mean, deviation }: Standardization,
  { scale, zeroPoint }: InputQuantization,
  out: Int8Array = new Int8Array(features.length),
): Int8Array {
  for (let i = 0; i < out.length; i++) {
    const q = roundHalfAway((features[i]! - mean[i]!) / deviation[i]! / scale) + zeroPoint;
    out[i] = q < -128 ? -128 : q > 127 ? 127 : q;
  }
  return out;
}
