import type { LiveFigures } from '../api/api.js';
import { macroF1Of } from '../model/evaluate/metrics.js';

/**
 * Live metrics: devices' predictions compared with the recorded labels. Predictions are counted by recording, not by
 * label, so that a label added or corrected later also applies to earlier predictions.
 */
export interface LiveCounts {
  /** `device/recording` → number of predictions for each class, separately for single windows and after smoothing. */
  takes: Record<string, { label: Record<string, number>; voted: Record<string, number> }>;
  /** Number of windows per device. */
  devices: Record<string, number>;
  /** Latency bucket → number of windows; see `bucketOf`. */
  latency: Record<number, number>;
}

export interface CountedInference {
  device: string;
  recording: string | null;
  label: string;
  voted: string;
  latencyMs: number;
}

export function emptyCounts(): LiveCounts {
  return { takes: {}, devices: {}, latency: {} };
}

export function countInference(counts: LiveCounts, inference: CountedInference): void {
  const { device, recording, label, voted, latencyMs } = inference;
  counts.takes[`${device}/${recording ?? ''}`] ??= { label: {}, voted: {} };
  const take = counts.takes[`${device}/${recording ?? ''}`] as LiveCounts['takes'][string];
  increment(take.label, label);
  increment(take.voted, voted);
  increment(counts.devices, device);
  increment(counts.latency, bucketOf(latencyMs));
}

/** @param truth returns the recorded class, or null if there is no label */
export function liveFigures(
  counts: LiveCounts,
  classes: string[],
  truth: (device: string, recording: string) => string | null,
): LiveFigures {
  const confusion = classes.map(() => classes.map(() => 0));
  const voted = classes.map(() => classes.map(() => 0));
  let unlabelled = 0;
  let wrongClass = 0;
  for (const [key, take] of Object.entries(counts.takes)) {
    const slash = key.indexOf('/');
    const row = classes.indexOf(truth(key.slice(0, slash), key.slice(slash + 1)) ?? '');
    if (row < 0) unlabelled += sum(Object.values(take.label));
    else {
      wrongClass += fill(confusion[row], classes, take.label);
      fill(voted[row], classes, take.voted);
    }
  }
  const windows = sum(confusion.flat()) + wrongClass;
  return {
    windows,
    unlabelled,
    ...scores(confusion, windows),
    voted: scores(voted, windows),
    confusion,
    latencyMs: { p50: quantile(counts.latency, 0.5), p99: quantile(counts.latency, 0.99) },
    devices: { ...counts.devices },
  };
}

/** Adds the predictions to a row. Returns the number of predictions for classes that the model lacks. */
function fill(row: number[] | undefined, classes: string[], answers: Record<string, number>): number {
  let unknown = 0;
  for (const [label, n] of Object.entries(answers)) {
    const column = classes.indexOf(label);
    if (row === undefined || column < 0) unknown += n;
    else row[column] = (row[column] ?? 0) + n;
  }
  return unknown;
}

/**
 * Predictions of a class that the model lacks count as wrong: `windows` includes them, but the confusion matrix does not.
 */
function scores(confusion: number[][], windows: number): { accuracy: number; macroF1: number } {
  const right = sum(confusion.map((row, i) => row[i] ?? 0));
  return { accuracy: windows === 0 ? 0 : right / windows, macroF1: macroF1Of(confusion) };
}

const growth = Math.log(1.02);

/**
 * Assigns a latency to a logarithmic bucket, 2 % wide and starting at one microsecond, so that the number of buckets stays small.
 */
function bucketOf(ms: number): number {
  return Math.ceil(Math.log(Math.max(ms, 0.001)) / growth);
}

/** The smallest latency (ms, within 2 %) that at least this share of the windows did not exceed; 0 if there are no windows. */
function quantile(buckets: Record<number, number>, share: number): number {
  const sorted = Object.entries(buckets)
    .map(([bucket, n]) => [Number(bucket), n] as const)
    .sort(([a], [b]) => a - b);
  let left = share * sum(sorted.map(([, n]) => n));
  for (const [bucket, n] of sorted) {
    left -= n;
    if (left <= 1e-9) return Number(Math.exp(bucket * growth).toPrecision(3));
  }
  return 0;
}

/** Adds one. A device may be named `constructor`, so inherited members must not be interpreted as counts. */
function increment(counts: Record<string, number>, key: string | number): void {
  counts[key] = (Object.hasOwn(counts, key) ? (counts[key] ?? 0) : 0) + 1;
}

function sum(values: number[]): number {
  return values.reduce((a, b) => a + b, 0);
}
