import { AiotError } from '../../core/index.js';
import type { SignalSpec } from '../types.js';
import { harSet, harWindow } from './har/har.js';
import { motionSet } from './motion.js';
import { rawSet } from './raw.js';
import type { FeatureSet, FeatureSetMaker } from './set.js';
import { spectralSet } from './spectral.js';

const makers: Record<string, FeatureSetMaker> = {
  har: harSet,
  motion: motionSet,
  spectral: spectralSet,
};

/**
 * The features that a spec names: a whole set, or names picked out of the sets in the order given.
 * @throws AIOT_FEATURE_UNKNOWN, AIOT_FEATURE_UNFIT (a set that these fields or this window cannot give)
 */
export function featureSetOf(spec: SignalSpec): FeatureSet {
  const { features } = spec;
  if (features === 'raw') return rawSet(spec);
  if (Array.isArray(features)) return picked(spec, features);
  return makeSet(features, spec);
}

function makeSet(name: string, spec: SignalSpec): FeatureSet {
  const maker = makers[name];
  if (!maker) throw unknown(name, Object.keys(makers));
  const problem = misfit(name, spec);
  if (problem) throw new AiotError('AIOT_FEATURE_UNFIT', `the feature set "${name}" ${problem}`);
  return maker(spec);
}

function misfit(name: string, { fields, windowSamples }: SignalSpec): string | null {
  if (name === 'spectral') return null;
  if (fields.length !== 3) {
    return `expects the three axes of an accelerometer, got ${fields.length} field(s): ${fields.join(', ')}`;
  }
  if (name === 'har' && (windowSamples < harWindow.least || windowSamples > harWindow.most)) {
    return `expects a window of ${harWindow.least} to ${harWindow.most} samples (its wavelets have six levels), got ${windowSamples}`;
  }
  return null;
}

/** Only the sets that hold a wanted name are computed. */
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
