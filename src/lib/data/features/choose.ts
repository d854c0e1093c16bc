import { AiotError } from '../../core/errors.js';
import { bandOf } from '../../signal/feature-sets.js';
import type { SignalSpec } from '../../signal/spec.js';
import type { Recording } from '../types.js';
import { separability } from './rank.js';
import { completeRows, featureTable } from './table.js';

/** A feature set that suits recordings, and the accuracies that decided. */
export interface ChosenFeatures {
  features: 'raw' | 'motion' | 'spectral';
  /** Accuracy of a linear probe on held-out recordings, 0..1, for each set; null = not measured. */
  accuracy: { motion: number; spectral: number } | null;
}

/** Minimum window for a spectrum, samples. */
const leastSpectrum = 16;

/** Maximum number of windows, and of recordings, on which the sets are compared, so that the comparison takes about a second. */
const mostWindows = 600;

/** Minimum difference between two accuracies that decides. */
const leastDifference = 0.01;

/** Minimum share of the power above the band of `motion` for which `spectral` is chosen if both sets separate the labels equally well. */
const leastHighPower = 0.1;

/** Column names of an accelerometer's axes: x, y, z, acc_x, ax, … */
export const accelerationAxis = /^(a|acc(el)?(eration)?)?[ _.-]?[xyz]$/i;

/**
 * Chooses the feature set for recordings. `motion` resolves only what a body does, so it is chosen only for the three axes of an
 * accelerometer. It must cover the whole band of the recordings, or let a linear probe separate the labels as well as `spectral` does.
 * @param spec the signal part, whose features are ignored
 */
export function chooseFeatures(spec: Omit<SignalSpec, 'features'>, recordings: Recording[]): ChosenFeatures {
  const { fields, windowSamples, resampleHz } = spec;
  if (windowSamples < leastSpectrum) return { features: 'raw', accuracy: null };
  const motion: SignalSpec = { ...spec, features: 'motion' };
  if (fields.length !== 3 || !fields.every((field) => accelerationAxis.test(field)))
    return { features: 'spectral', accuracy: null };
  if (bandOf(motion)![1] >= resampleHz / 2) return { features: 'motion', accuracy: null };
  const accuracy = comparedSets(spec, recordings);
  // Without labels, nothing shows that the band above can be ignored.
  if (accuracy === null) return { features: 'spectral', accuracy };
  const lead = accuracy.motion - accuracy.spectral;
  if (Math.abs(lead) >= leastDifference) return { features: lead > 0 ? 'motion' : 'spectral', accuracy };
  const ignored = powerAbove(spec, recordings, bandOf(motion)![1]);
  return { features: ignored < leastHighPower ? 'motion' : 'spectral', accuracy };
}

/**
 * Accuracy of a linear probe on held-out recordings with the sets `motion` and `spectral`. Null if it cannot be measured: with fewer than
 * two labels, with a label of one recording, or with samples that have no features.
 */
export function comparedSets(
  spec: Omit<SignalSpec, 'features'>,
  recordings: Recording[],
): ChosenFeatures['accuracy'] {
  const some = thinned(recordings);
  if (new Set(some.map(({ label }) => label)).size < 2) return null;
  try {
    return {
      motion: separability(tableOf({ ...spec, features: 'motion' }, some)),
      spectral: separability(tableOf({ ...spec, features: 'spectral' }, some)),
    };
  } catch (error) {
    if (error instanceof AiotError) return null;
    throw error;
  }
}

/** Labeled recordings of every label, at most `mostWindows` of them. */
function thinned(recordings: Recording[]): Recording[] {
  const labelled = recordings.filter(({ label }) => label !== null);
  labelled.sort((a, b) => (a.label! < b.label! ? -1 : a.label! > b.label! ? 1 : 0));
  const every = Math.ceil(labelled.length / mostWindows);
  return labelled.filter((_, i) => i % every === 0);
}

function tableOf(spec: SignalSpec, recordings: Recording[]) {
  const samples = recordings.reduce((sum, { columns }) => sum + (columns[0]?.length ?? 0), 0);
  const strideSamples = Math.max(
    spec.strideSamples,
    Math.ceil((samples * spec.resampleHz) / spec.rateHz / mostWindows),
  );
  return completeRows(featureTable({ ...spec, strideSamples }, recordings, { trim: 0, unfilled: false }));
}

/** Share of the varying power at frequencies above `hz`, 0..1, from the octaves of the set `spectral`. */
function powerAbove(spec: Omit<SignalSpec, 'features'>, recordings: Recording[], hz: number): number {
  const { names, rows } = tableOf({ ...spec, features: 'spectral' }, thinned(recordings));
  let above = 0;
  let whole = 0;
  for (const field of spec.fields) {
    const deviation = names.indexOf(`${field}_deviation`);
    for (let octave = 1; octave <= 5; octave++) {
      const share = names.indexOf(`${field}_share_octave${octave}`);
      const high = (spec.resampleHz / 2) * 2 ** (octave - 5);
      const low = octave === 1 ? 0 : high / 2;
      const part = Math.min(1, Math.max(0, (high - hz) / (high - low)));
      for (const row of rows) {
        const power = row[deviation]! ** 2 * row[share]!;
        above += part * power;
        whole += power;
      }
    }
  }
  return whole > 0 ? above / whole : 0;
}
