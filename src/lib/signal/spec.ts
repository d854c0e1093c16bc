import type { ProjectConfig } from '../core/index.js';
import { featureSetOf } from './features/select.js';
import type { SignalSpec } from './types.js';

/**
 * The signal part of a project, defaults filled in.
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
  featureSetOf(spec);
  return spec;
}

/** One name an input of the network, in order; raw inputs are called `field[sample]`. */
export function featureNames(spec: SignalSpec): string[] {
  return featureSetOf(spec).names;
}

/** Shape of one model input without the batch: raw = [window, fields], flattened sample after sample; sets = [n]. */
export function inputShape(spec: SignalSpec): number[] {
  if (spec.features === 'raw') return [spec.windowSamples, spec.fields.length];
  return [featureSetOf(spec).names.length];
}
