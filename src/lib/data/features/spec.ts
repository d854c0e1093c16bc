import { AiotError } from '../../core/index.js';
import { featureNames, type SignalSpec, signalSpecOf } from '../../signal/index.js';
import type { Dataset } from '../types.js';
import type { FeaturesOptions } from './make.js';

/**
 * The signal part that is asked for: what is told, then what the project says, then what follows from the recordings.
 * @throws AIOT_USAGE (no window, a filter or a rate that cannot be), AIOT_FEATURE_UNKNOWN, AIOT_FEATURE_UNFIT
 */
export function specOf(options: FeaturesOptions, dataset: Dataset): SignalSpec {
  const { project, set, window, stride } = options;
  const own = project ? signalSpecOf(project.config) : null;
  const windowSamples = window ?? own?.windowSamples;
  if (windowSamples === undefined) {
    throw new AiotError('AIOT_USAGE', '--window: expected the samples of one window, got nothing', {
      next: 'aiot data features RECORDING --window 500 …',
    });
  }
  const { rateHz } = dataset;
  const resampleHz = options.resampleHz ?? own?.resampleHz ?? rateHz;
  const lowpassHz = options.lowpassHz ?? own?.lowpassHz ?? null;
  if (resampleHz > rateHz) throw unfit('--resample', `at most the rate, ${rateHz} Hz`, resampleHz);
  if (lowpassHz !== null && lowpassHz >= rateHz / 2) {
    throw unfit('--lowpass', `below half the rate, ${rateHz / 2} Hz`, lowpassHz);
  }
  const spec: SignalSpec = {
    fields: own?.fields.every((field) => dataset.fields.includes(field)) ? own.fields : dataset.fields,
    rateHz,
    lowpassHz,
    resampleHz,
    windowSamples,
    strideSamples: stride ?? (window === undefined ? own?.strideSamples : undefined) ?? windowSamples,
    features: set === undefined ? (own?.features ?? 'motion') : featuresOf(set),
  };
  featureNames(spec);
  return spec;
}

function unfit(flag: string, expected: string, got: number): AiotError {
  return new AiotError('AIOT_USAGE', `${flag}: expected ${expected}; got ${got}`);
}

const sets = ['raw', 'motion', 'spectral', 'har'] as const;

function featuresOf(set: string): SignalSpec['features'] {
  const named = sets.find((name) => name === set);
  if (named) return named;
  const names = set.split(',').map((name) => name.trim());
  if (names.length === 1 && !/[_[]/.test(set)) {
    throw new AiotError(
      'AIOT_FEATURE_UNKNOWN',
      `--set: expected ${sets.join(', ')}, or names of features; got "${set}"`,
    );
  }
  return names;
}
