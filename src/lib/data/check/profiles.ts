import { quantile } from '../../core/numbers.js';
import type { Dataset, Recording } from '../types.js';

/** Fields that belong to one sensor: its three axes, or a single field. */
export interface Sensor {
  name: string;
  /** Indexes into the dataset's fields. Axes are in the order x, y, z. */
  fields: number[];
}

/** Robust statistics of one recording, which are not affected by a few spikes. */
export interface Profile {
  recording: Recording;
  /** Median of each field. */
  level: number[];
  /** Spread of each field, from its 10 % and 90 % quantiles: the standard deviation if values are normally distributed. */
  spread: number[];
}

/** A group of recordings with the same label. */
export interface Peers {
  label: string | null;
  profiles: Profile[];
}

/** Data for comparing each recording with others of the same label, calculated once per check. */
export interface Comparison {
  dataset: Dataset;
  sensors: Sensor[];
  peers: Peers[];
  profiles: Profile[];
}

/** The middle 80 % of a normal distribution span 2.563 standard deviations. */
const middleEightyPercent = 2.563;

export function compareRecordings(dataset: Dataset): Comparison {
  const profiles = dataset.recordings
    .filter(({ columns }) => (columns[0]?.length ?? 0) >= 8)
    .map((recording): Profile => {
      const sorted = recording.columns.map((column) => Float64Array.from(column).sort());
      return {
        recording,
        level: sorted.map((column) => quantile(column, 0.5)),
        spread: sorted.map((column) => (quantile(column, 0.9) - quantile(column, 0.1)) / middleEightyPercent),
      };
    });
  const byLabel = new Map<string | null, Profile[]>();
  for (const profile of profiles) {
    const { label } = profile.recording;
    byLabel.set(label, [...(byLabel.get(label) ?? []), profile]);
  }
  return {
    dataset,
    sensors: sensorsOf(dataset.fields),
    profiles,
    peers: [...byLabel].map(([label, own]) => ({ label, profiles: own })),
  };
}

/** Minimum number of recordings per label, including the examined one. With fewer, the usual range is too uncertain. */
export const leastPeers = 4;

/** Labels with enough recordings to be compared. */
export function comparable(peers: Peers[]): Peers[] {
  return peers.filter(({ profiles }) => profiles.length >= leastPeers);
}

/** Three fields whose names differ only in x, y and z are the axes of one sensor: `acc_x`, `ax`, `x_acc`, `AccX`. */
export function sensorsOf(fields: string[]): Sensor[] {
  const axes = new Map<string, Map<string, number>>();
  fields.forEach((field, f) => {
    const parts = /^(.*?)[_\-. ]?([xyz])((?:[_\-. ].*)?)$/i.exec(field);
    if (!parts) return;
    const key = `${parts[1]}|${parts[3]}`;
    axes.set(key, (axes.get(key) ?? new Map()).set(parts[2]!.toLowerCase(), f));
  });
  const triads = [...axes]
    .filter(([, own]) => own.size === 3)
    .map(([key, own]): Sensor => {
      const ordered = ['x', 'y', 'z'].map((axis) => own.get(axis)!);
      const name = key.split('|')[0] || ordered.map((f) => fields[f]!).join(', ');
      return { name, fields: ordered };
    });
  const taken = new Set(triads.flatMap((triad) => triad.fields));
  const single = fields.flatMap((name, f) => (taken.has(f) ? [] : [{ name, fields: [f] }]));
  return [...triads, ...single];
}

/** The usual range of a statistic among peers, after outliers are removed. */
export interface Usual {
  middle: number;
  /** Standard deviation of the values without outliers. */
  sigma: number;
  low: number;
  high: number;
  /** Number of values without outliers. */
  count: number;
}

/** Ratio of a normal distribution's standard deviation to its median absolute deviation. */
const madToSigma = 1.4826;

/** Values further than this many deviations from the median are outliers. */
const farSigmas = 4;

/** The usual range of values. The range is reliable if fewer than half of the values are wrong. */
export function usual(values: number[]): Usual {
  const sorted = Float64Array.from(values).sort();
  const middle = quantile(sorted, 0.5);
  const mad =
    madToSigma * quantile(Float64Array.from(values, (value) => Math.abs(value - middle)).sort(), 0.5);
  const inside = [...sorted].filter((value) => Math.abs(value - middle) <= farSigmas * mad);
  const mean = inside.reduce((sum, value) => sum + value, 0) / Math.max(1, inside.length);
  const variance =
    inside.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, inside.length - 1);
  return {
    middle,
    sigma: Math.max(Math.sqrt(variance), mad),
    low: inside[0] ?? middle,
    high: inside.at(-1) ?? middle,
    count: inside.length,
  };
}

/**
 * The deviation of a statistic within labels, pooled over all labels, because the deviation within a label with few recordings is
 * uncertain.
 */
export function pooledSigma(peers: Peers[], figure: (profile: Profile) => number): number {
  const residuals = peers.flatMap(({ profiles }) => {
    const { middle } = usual(profiles.map(figure));
    return profiles.length < 2 ? [] : profiles.map((profile) => figure(profile) - middle);
  });
  return residuals.length === 0 ? 0 : usual(residuals).sigma;
}

/** A number with four significant digits. */
export function figureText(value: number): string {
  return String(Number(value.toPrecision(4)));
}
