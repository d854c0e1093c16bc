import { percent, plural, thousands } from '../../core/figures.js';
import type { ProjectConfig } from '../../core/project-schema.js';
import { windowCount } from '../../signal/pipeline.js';
import type { SignalSpec } from '../../signal/spec.js';
import type { Dataset, Finding, Recording } from '../types.js';
import { listIds } from './report.js';

/** A class is reported if the largest class has at least this many times as many samples. */
const imbalanceRatio = 4;

/**
 * Finds recordings that have no label or are too short for one window.
 * @param loose whether the window comes from an option or is assumed, rather than read from a project
 */
export function checkRecordings(dataset: Dataset, spec: SignalSpec, loose = false): Finding[] {
  const findings: Finding[] = [];
  const unlabelled = dataset.recordings.filter(({ label }) => label === null).map(({ id }) => id);
  if (unlabelled.length > 0) {
    findings.push({
      kind: 'label',
      severity: 'warning',
      files: unlabelled,
      evidence: { unlabelled: unlabelled.length },
      message: `${plural(unlabelled.length, 'recording')} without a label: ${listIds(unlabelled)}.`,
      advice: 'They are ignored. Label them with `aiot data import FILE --label LABEL`.',
    });
  }
  return [...findings, ...checkLengths(dataset, spec, loose)];
}

/** Finds recordings that are too short for one window. */
export function checkLengths(dataset: Dataset, spec: SignalSpec, loose = false): Finding[] {
  const findings: Finding[] = [];
  const short = dataset.recordings
    .filter(({ columns }) => windowCount(spec, columns[0]?.length ?? 0) === 0)
    .map(({ id }) => id);
  if (short.length > 0) {
    const seconds = spec.windowSamples / spec.resampleHz;
    findings.push({
      kind: 'short',
      severity: short.length === dataset.recordings.length ? 'error' : 'warning',
      files: short,
      evidence: { windowSamples: spec.windowSamples, windowSeconds: seconds },
      message: loose
        ? `${plural(short.length, 'recording')} of less than ${plural(spec.windowSamples, 'sample')}: ${listIds(short)}.`
        : `${plural(short.length, 'recording')} shorter than one window (${seconds} s): ${listIds(short)}.`,
      advice: loose
        ? 'They produce no examples. Record longer takes, or set the window length with --window.'
        : 'They produce no examples. Record longer takes, or shorten signal.window.',
    });
  }
  return findings;
}

/**
 * Finds classes with far less data than others.
 * @param classOf class of each label; absent = each label is its own class
 */
export function checkBalance(dataset: Dataset, classOf?: Map<string, string>): Finding[] {
  const samples = new Map<string, number>();
  for (const { label, columns } of dataset.recordings) {
    if (label === null) continue;
    const name = classOf?.get(label) ?? label;
    samples.set(name, (samples.get(name) ?? 0) + (columns[0]?.length ?? 0));
  }
  return imbalance(samples, 'samples', (names) =>
    dataset.recordings
      .filter(({ label }) => label !== null && names.includes(classOf?.get(label) ?? label))
      .map(({ id }) => id),
  );
}

/** @param counts counts by class @param filesOf returns the files of some classes */
export function imbalance(
  counts: Map<string, number>,
  unit: 'samples' | 'rows' | 'objects',
  filesOf: (names: string[]) => string[],
): Finding[] {
  const most = Math.max(...counts.values());
  const rare = [...counts].filter(([, count]) => count * imbalanceRatio <= most).map(([name]) => name);
  if (counts.size < 2 || rare.length === 0) return [];
  const [largest] = [...counts].find(([, count]) => count === most)!;
  const least = Math.min(...counts.values());
  const shown = rare.map((name) => `${name} (${thousands(counts.get(name)!)})`);
  return [
    {
      kind: 'imbalance',
      severity: 'warning',
      files: filesOf(rare),
      evidence: { counts: Object.fromEntries(counts), ratio: most / least },
      message:
        unit === 'objects'
          ? `There are far fewer objects of ${listIds(shown)} than of ${largest} (${thousands(most)}).`
          : `There is much less of ${listIds(shown)} than of ${largest} (${thousands(most)} ${unit}): always predicting ${largest} would be correct in ${percent(most / [...counts.values()].reduce((sum, count) => sum + count, 0))}.`,
      advice:
        unit === 'objects'
          ? 'Add pictures of the rare objects. model.train.classWeights weights the classes equally.'
          : 'Record more of it, and use macro-F1 instead of accuracy. model.train.classWeights weights the classes equally.',
    },
  ];
}

/** Finds lost messages, and stretches in which the values of a normally changing sensor stay constant. */
export function checkGaps(dataset: Dataset): Finding[] {
  const lost = dataset.recordings.filter(({ missing = 0 }) => missing > 0);
  const still = dataset.recordings.flatMap((recording) => {
    const found = longestStandstill(recording);
    return found && found.rows / recording.rateHz >= 0.25
      ? [{ id: recording.id, ...found, seconds: found.rows / recording.rateHz }]
      : [];
  });
  const findings: Finding[] = [];
  if (lost.length > 0) {
    const missing = lost.reduce((sum, recording) => sum + recording.missing!, 0);
    const ids = lost.map(({ id }) => id);
    findings.push({
      kind: 'gap',
      severity: 'warning',
      files: ids,
      evidence: { missing },
      message: `${listIds(ids)}: ${plural(missing, 'message')} missing from ${ids.length === 1 ? 'it' : 'them'}.`,
      advice: 'Windows across the gap join unrelated data. Record again if it matters.',
    });
  }
  if (still.length > 0) {
    const longest = still.reduce((a, b) => (b.seconds > a.seconds ? b : a));
    const ids = still.map(({ id }) => id);
    const others =
      ids.length > 1
        ? ` The same happens, for shorter times, in ${listIds(ids.filter((id) => id !== longest.id))}.`
        : '';
    findings.push({
      kind: 'gap',
      severity: 'warning',
      files: ids,
      evidence: { rows: longest.rows, from: longest.from + 1, seconds: longest.seconds },
      message: `${longest.id}: ${longest.rows} identical rows (${longest.seconds.toFixed(2)} s) from row ${longest.from + 1} on: the sensor or the recorder was stuck.${others}`,
      advice: 'Cut the recording there, or record it again.',
    });
  }
  return findings;
}

/** The longest run of equal rows; null if it is short, or if repeats are normal (a slow or coarse sensor). */
function longestStandstill({ columns }: Recording): { from: number; rows: number } | null {
  const n = columns[0]?.length ?? 0;
  let best = { from: 0, rows: 1 };
  let from = 0;
  let inLongRuns = 0;
  for (let i = 1; i <= n; i++) {
    if (i < n && columns.every((column) => column[i] === column[i - 1])) continue;
    const rows = i - from;
    if (rows > best.rows) best = { from, rows };
    if (rows >= 10) inLongRuns += rows;
    from = i;
  }
  return best.rows < 10 || inLongRuns > n / 2 ? null : best;
}

/** Plausible values of a field, inclusive. */
export type Ranges = Record<string, [number, number]>;

/** Plausible values of each field that the project declares. */
export function rangesOf({ stream }: ProjectConfig): Ranges {
  const ranges: Ranges = {};
  for (const [name, { range }] of Object.entries(stream.fields)) if (range) ranges[name] = range;
  return ranges;
}

/** Finds samples that are not numbers or are outside the project's plausible range: one finding per field. */
export function checkValues({ recordings, fields }: Dataset, ranges: Ranges): Finding[] {
  return fields.flatMap((field, f) => {
    const range = ranges[field];
    return [...notNumbers(recordings, field, f), ...(range ? outside(recordings, field, f, range) : [])];
  });
}

function notNumbers(recordings: Recording[], field: string, f: number): Finding[] {
  const hits = recordings.flatMap(({ id, columns }) => {
    const column = columns[f]!;
    const first = column.findIndex((value) => !Number.isFinite(value));
    if (first < 0) return [];
    return [
      { id, first, value: column[first]!, count: column.filter((value) => !Number.isFinite(value)).length },
    ];
  });
  const [hit] = hits;
  if (!hit) return [];
  const samples = hits.reduce((sum, { count }) => sum + count, 0);
  const rest =
    hits.length > 1 ? `, and ${thousands(samples - 1)} more in ${listIds(hits.map(({ id }) => id))}` : '';
  const further = hits.length === 1 && samples > 1 ? `, and ${thousands(samples - 1)} more` : '';
  return [
    {
      kind: 'not-a-number',
      severity: 'error',
      files: hits.map(({ id }) => id),
      evidence: { field, sample: hit.first + 1, samples },
      message: `${hit.id}: sample ${hit.first + 1} of ${field} is ${hit.value}, not a finite number${rest}${further}.`,
      advice: 'Cut the recording before it, or record it again.',
    },
  ];
}

function outside(
  recordings: Recording[],
  field: string,
  f: number,
  [low, high]: [number, number],
): Finding[] {
  const beyond = (value: number) => Math.max(low - value, value - high);
  const hits = recordings.flatMap(({ id, columns }) => {
    let count = 0;
    let worst = low;
    for (const value of columns[f]!) {
      if (!(value < low || value > high)) continue;
      count++;
      if (beyond(value) > beyond(worst)) worst = value;
    }
    return count > 0 ? [{ id, count, worst, of: columns[f]!.length }] : [];
  });
  if (hits.length === 0) return [];
  const samples = hits.reduce((sum, { count }) => sum + count, 0);
  const share = samples / hits.reduce((sum, { of }) => sum + of, 0);
  const worst = hits.reduce((far, hit) => (beyond(hit.worst) > beyond(far.worst) ? hit : far)).worst;
  const ids = hits.map(({ id }) => id);
  return [
    {
      kind: 'range',
      severity: 'warning',
      files: ids,
      evidence: { field, samples, share, low, high, worst },
      message: `${listIds(ids)}: ${thousands(samples)} samples of ${field} (${percent(share)}) are outside ${low}…${high}, the farthest at ${worst}.`,
      advice: `Check the sensor and its unit, or widen stream.fields.${field}.range.`,
    },
  ];
}

/** Replaces every non-numeric sample by the previous sample, for the checks that need numbers. */
export function withNumbersAlone(dataset: Dataset): Dataset {
  const broken = dataset.recordings.some(({ columns }) =>
    columns.some((column) => column.some((value) => !Number.isFinite(value))),
  );
  if (!broken) return dataset;
  const recordings = dataset.recordings.map((recording) => ({
    ...recording,
    columns: recording.columns.map((column) => {
      let before = column.find((value) => Number.isFinite(value)) ?? 0;
      return column.map((value) => {
        if (Number.isFinite(value)) before = value;
        return before;
      });
    }),
  }));
  return { ...dataset, recordings };
}

/** Longest run of equal rows that is attributed to a recorder that polls too fast. If a sensor stops, runs are longer. */
const longestHold = 4;

/** Share of rows in which every field repeats the previous row, not counting runs longer than `longestHold`. */
export function repeatShare(columns: Float64Array[]): number {
  const n = columns[0]?.length ?? 0;
  let repeats = 0;
  let run = 1;
  for (let i = 1; i <= n; i++) {
    if (i < n && columns.every((column) => column[i] === column[i - 1])) {
      run++;
      continue;
    }
    if (run <= longestHold) repeats += run - 1;
    run = 1;
  }
  return n > 1 ? repeats / (n - 1) : 0;
}

/**
 * Share of repeated rows that is normal at this resolution. With noise of a few steps, a converter repeats a value about as often as it
 * changes by one step. A recorder that holds values repeats them far more often.
 */
function chanceOfRepeats(columns: Float64Array[]): number {
  return columns.reduce((product, column) => {
    const counts = new Map<number, number>();
    for (let i = 1; i < column.length; i++) {
      const step = Number((column[i]! - column[i - 1]!).toPrecision(6));
      counts.set(step, (counts.get(step) ?? 0) + 1);
    }
    const others = [...counts].filter(([step]) => step !== 0).map(([, count]) => count);
    return (product * Math.max(0, ...others)) / Math.max(1, column.length - 1);
  }, 1);
}

/**
 * Finds exact repeats of rows. A recorder that holds each value until the next one arrives adds spectral images of the signal around the
 * sensor's own rate. A fourth-order low-pass filter (24 dB per octave) with its corner an octave below half that rate removes the images.
 *
 * Measured on the HAR stairs recordings with 46 of 100 rows artificially replaced by repeats, and with motion features on held-out
 * recordings. Without filtering and resampling, a model distinguishes held windows from others in 99 % of the cases; after a 12 Hz low-pass
 * and resampling to 50 Hz, in 60 % (50 % = chance). Holding slightly damps the signal near 12 Hz, which explains the rest. With filtering
 * and resampling, repeats move the mean of a feature by at most 0.17 standard deviations; without, by up to 4.8. `checkShortcuts` checks
 * whether the repeats predict labels.
 */
export function checkRepeats(dataset: Dataset, spec: SignalSpec): Finding[] {
  const shares = new Map(dataset.recordings.map((recording) => [recording, repeatShare(recording.columns)]));
  const many = dataset.recordings.filter(
    (recording) => shares.get(recording)! > 0.02 + 2 * chanceOfRepeats(recording.columns),
  );
  if (many.length === 0) return [];
  const known = dataset.recordings.map((recording) => ({ repeats: shares.get(recording)! }));
  const mean = meanRepeats(known);
  const removed = removesRepeats(known, spec);
  return [
    {
      kind: 'repeats',
      severity: removed ? 'info' : 'warning',
      files: many.map(({ id }) => id),
      evidence: { share: mean, effectiveHz: dataset.rateHz * (1 - mean), removed },
      message: `${many.length} of ${dataset.recordings.length} recordings repeat the previous row in ${percent(mean)} of their rows: the recorder polled faster than the sensor measured.`,
      advice: removalAdvice(known, spec),
    },
    ...rateFinding(dataset, shares, spec, removed),
  ];
}

/** Finds labels whose sensors measured at different rates, based on the share of rows that do not repeat. */
function rateFinding(
  dataset: Dataset,
  shares: Map<Recording, number>,
  { rateHz }: SignalSpec,
  removed: boolean,
): Finding[] {
  const byLabel = new Map<string, number[]>();
  for (const recording of dataset.recordings) {
    if (recording.label === null) continue;
    const hz = rateHz * (1 - shares.get(recording)!);
    byLabel.set(recording.label, [...(byLabel.get(recording.label) ?? []), hz]);
  }
  const rates = [...byLabel].map(([label, list]) => [label, medianOf(list)] as const);
  const slowest = Math.min(...rates.map(([, hz]) => hz));
  const fastest = Math.max(...rates.map(([, hz]) => hz));
  if (rates.length < 2 || slowest > 0.9 * fastest) return [];
  const slow = rates.filter(([, hz]) => hz < (slowest + fastest) / 2).map(([label]) => label);
  const fast = rates.map(([label]) => label).filter((label) => !slow.includes(label));
  return [
    {
      kind: 'rate',
      severity: removed ? 'info' : 'warning',
      files: dataset.recordings
        .filter(({ label }) => label !== null && slow.includes(label))
        .map(({ id }) => id),
      evidence: { effectiveHz: Object.fromEntries(rates), nominalHz: rateHz },
      message: `The sensor measured ${listIds(slow)} at about ${Math.round(slowest)} Hz and ${listIds(fast)} at about ${Math.round(fastest)} Hz: the rest is filled with repeated rows.`,
      advice: removed
        ? 'The low-pass filter and resampling bring both to one rate.'
        : 'Resample everything to the lower rate: set signal.lowpass and signal.resample.',
    },
  ];
}

function medianOf(values: number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}

/** Mean share of repeats, over the recordings in which it exceeds 2 %. */
function meanRepeats(known: { repeats: number }[]): number {
  const some = known.filter(({ repeats }) => repeats > 0.02);
  return some.reduce((sum, { repeats }) => sum + repeats, 0) / Math.max(1, some.length);
}

/**
 * Whether the project's signal part removes repeats. This requires a low-pass corner at least an octave below half the sensor's own rate.
 */
export function removesRepeats(known: { repeats: number }[], spec: SignalSpec): boolean {
  const { lowpassHz, rateHz } = spec;
  const sensorHz = rateHz * (1 - meanRepeats(known));
  return lowpassHz !== null && lowpassHz <= sensorHz / 4;
}

export function removalAdvice(known: { repeats: number }[], spec: SignalSpec): string {
  const { lowpassHz, rateHz, resampleHz } = spec;
  const pipeline = `${lowpassHz === null ? 'no low-pass' : `low-pass at ${lowpassHz} Hz`}, ${resampleHz} Hz`;
  if (removesRepeats(known, spec)) {
    return `No action is needed: the signal section of aiot.yaml (${pipeline}) removes the repeats. Other differences between the recorders may remain.`;
  }
  const sensorHz = rateHz * (1 - meanRepeats(known));
  const now =
    lowpassHz === null
      ? 'No low-pass is set yet that would remove these traces'
      : `The signal section of aiot.yaml (${pipeline}) does not remove these traces`;
  return `${now}: set signal.lowpass to ${Math.floor(sensorHz / 4)} Hz or less (the sensor delivers about ${Math.round(sensorHz)} rows per second) and signal.resample to ${Math.floor(rateHz / 2)}.`;
}
