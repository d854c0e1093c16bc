import { AiotError } from '../../core/errors.js';
import { bandOf } from '../../signal/feature-sets.js';
import type { SignalSpec } from '../../signal/spec.js';
import type { Recording } from '../types.js';
import { hitsByRecording, separability } from './rank.js';
import { completeRows, type FeatureTable, featureTable } from './table.js';

/** A feature set that suits recordings, and the accuracies on which the choice is based. */
export interface ChosenFeatures {
  features: 'raw' | 'motion' | 'spectral';
  /** Accuracy of a linear probe on held-out recordings, 0..1, for each set; null = not measured. */
  accuracy: { motion: number; spectral: number } | null;
}

/** Minimum window for a spectrum, samples. */
const leastSpectrum = 16;

/** Maximum number of windows, and of recordings, on which the sets are compared, so that the comparison takes about a second. */
const mostWindows = 600;

/** Minimum difference between two accuracies that determines the choice. */
const leastDifference = 0.01;

/** Minimum share of the power above the band of `motion` for which `spectral` is chosen if both sets separate the labels equally well. */
const leastHighPower = 0.1;

/** Column names of an accelerometer's axes: x, y, z, acc_x, ax, … */
export const accelerationAxis = /^(a|acc(el)?(eration)?)?[ _.-]?[xyz]$/i;

/**
 * Chooses the feature set for recordings. `motion` resolves only frequencies of body movement, so it is chosen only for the three axes of
 * an accelerometer. It must cover the whole band of the recordings, or a linear probe must separate the labels with it as well as with
 * `spectral`.
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
  // Without labels, there is no evidence that the frequencies above the band of `motion` can be ignored.
  if (accuracy === null) return { features: 'spectral', accuracy };
  const lead = accuracy.motion - accuracy.spectral;
  if (Math.abs(lead) >= leastDifference) return { features: lead > 0 ? 'motion' : 'spectral', accuracy };
  const ignored = powerAbove(spec, recordings, bandOf(motion)![1]);
  return { features: ignored < leastHighPower ? 'motion' : 'spectral', accuracy };
}

/**
 * Accuracy of a linear probe on held-out recordings with the sets `motion` and `spectral`. Null if it cannot be measured: there are fewer
 * than two labels, a label has only one recording, or features cannot be computed.
 */
export function comparedSets(
  spec: Omit<SignalSpec, 'features'>,
  recordings: Recording[],
): ChosenFeatures['accuracy'] {
  const some = thinned(recordings);
  if (new Set(some.map(({ label }) => label)).size < 2) return null;
  try {
    return {
      motion: separability(completeRows(tableOf({ ...spec, features: 'motion' }, some))),
      spectral: separability(completeRows(tableOf({ ...spec, features: 'spectral' }, some))),
    };
  } catch (error) {
    if (error instanceof AiotError) return null;
    throw error;
  }
}

/** The frequencies above a spec's band, in which the labels differ. */
export interface IgnoredBand {
  /** The settings of aiot.yaml that limit the band. */
  settings: ('signal.features' | 'signal.lowpass')[];
  /** Highest frequency that the features resolve, and half the rate, Hz. */
  topHz: number;
  nyquistHz: number;
  /** Accuracy of a linear probe on held-out recordings, 0..1, with the spec's features and with the whole band. */
  accuracy: { chosen: number; whole: number };
  /** Probability of such a difference if the whole band were not better (sign test over the recordings). */
  chance: number;
}

/** Minimum gain in accuracy, and maximum probability of a random gain, at which the band above a spec's features counts as ignored. */
const leastGain = 0.05;
const mostChance = 0.02;

/**
 * Tests whether the labels differ at frequencies that a spec ignores, because of the set `motion` or a low-pass. A linear probe must
 * separate held-out recordings better with the whole band than with the spec's features. The accuracy must also increase if only features
 * of the higher frequencies are added. This excludes gains that are unrelated to frequency, such as those from the mean of each axis.
 * @param spec `raw` is represented by `spectral` @returns null if the labels do not differ there, or if this cannot be measured
 */
export function ignoredBand(spec: SignalSpec, recordings: Recording[]): IgnoredBand | null {
  const { features, lowpassHz, resampleHz, windowSamples } = spec;
  const nyquistHz = resampleHz / 2;
  const topHz = bandOf(spec)?.[1] ?? lowpassHz ?? nyquistHz;
  const some = thinned(recordings);
  const few = windowSamples < leastSpectrum || new Set(some.map(({ label }) => label)).size < 2;
  if (spec.mel || spec.image || topHz >= nyquistHz || few) return null;
  const chosen: SignalSpec = features === 'raw' ? { ...spec, features: 'spectral' } : spec;
  const wide = chosen.features === 'motion' ? 'spectral' : chosen.features;
  try {
    const table = tableOf(chosen, some);
    const above = columnsAbove(
      tableOf({ ...spec, features: 'spectral', lowpassHz: null }, some),
      spec,
      topHz,
    );
    const [own, more, whole] = [
      hitsByRecording(completeRows(table)),
      hitsByRecording(completeRows({ ...table, rows: table.rows.map((row, i) => joined(row, above[i]!)) })),
      hitsByRecording(completeRows(tableOf({ ...spec, features: wide, lowpassHz: null }, some))),
    ];
    const accuracy = { chosen: accuracyOf(own), whole: accuracyOf(whole) };
    const gain = Math.min(accuracy.whole, accuracyOf(more)) - accuracy.chosen;
    const chance = Math.max(chanceOf(whole, own), chanceOf(more, own));
    if (gain < leastGain || chance > mostChance) return null;
    const settings: IgnoredBand['settings'] = [];
    if (features === 'motion' && bandOf({ ...spec, lowpassHz: null })![1] < nyquistHz)
      settings.push('signal.features');
    if (lowpassHz !== null && lowpassHz < nyquistHz) settings.push('signal.lowpass');
    return { settings, topHz, nyquistHz, accuracy, chance };
  } catch (error) {
    if (error instanceof AiotError) return null;
    throw error;
  }
}

/** For each window, the peak frequency and the shares of those octaves of each field that are mostly above `topHz`. */
function columnsAbove({ names, rows }: FeatureTable, { fields, resampleHz }: SignalSpec, topHz: number) {
  const octaves = [1, 2, 3, 4, 5].filter((octave) => octaveEdges(octave, resampleHz)[1] * 0.75 > topHz);
  const columns = fields.flatMap((field) =>
    [`${field}_peak_hz`, ...octaves.map((octave) => `${field}_share_octave${octave}`)].map((name) =>
      names.indexOf(name),
    ),
  );
  return rows.map((row) => Float64Array.from(columns, (column) => row[column]!));
}

/** Lower and upper frequency of an octave of the set `spectral`, Hz. */
function octaveEdges(octave: number, resampleHz: number): [number, number] {
  const high = (resampleHz / 2) * 2 ** (octave - 5);
  return [octave === 1 ? 0 : high / 2, high];
}

const joined = (a: Float64Array, b: Float64Array) => Float64Array.from([...a, ...b]);

type Hits = ReturnType<typeof hitsByRecording>;

function accuracyOf(hits: Hits): number {
  const total = [...hits.values()];
  const sum = (of: (own: { right: number; all: number }) => number) =>
    total.reduce((all, own) => all + of(own), 0);
  return sum(({ right }) => right) / sum(({ all }) => all);
}

/**
 * One-sided sign test: the probability that at least so many of the recordings that differ are classified better with `a` than with `b`.
 */
function chanceOf(a: Hits, b: Hits): number {
  const differences = [...a].map(([id, { right }]) => right - (b.get(id)?.right ?? 0)).filter((d) => d !== 0);
  const better = differences.filter((d) => d > 0).length;
  const n = differences.length;
  let term = 0.5 ** n;
  let sum = 0;
  for (let k = 0; k <= n; k++) {
    if (k >= better) sum += term;
    term *= (n - k) / (k + 1);
  }
  return sum;
}

/** Labeled recordings of every label, thinned out to at most `mostWindows` recordings. */
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
  return featureTable({ ...spec, strideSamples }, recordings, { trim: 0, unfilled: false });
}

/** Share of the varying power at frequencies above `hz`, 0..1, from the octaves of the set `spectral`. */
function powerAbove(spec: Omit<SignalSpec, 'features'>, recordings: Recording[], hz: number): number {
  const { names, rows } = completeRows(tableOf({ ...spec, features: 'spectral' }, thinned(recordings)));
  let above = 0;
  let whole = 0;
  for (const field of spec.fields) {
    const deviation = names.indexOf(`${field}_deviation`);
    for (let octave = 1; octave <= 5; octave++) {
      const share = names.indexOf(`${field}_share_octave${octave}`);
      const [low, high] = octaveEdges(octave, spec.resampleHz);
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
