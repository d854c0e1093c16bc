import { percent } from '../../core/index.js';
import type { SignalSpec } from '../../signal/index.js';
import type { Dataset, Finding, Recording } from '../types.js';
import { listIds } from './text.js';

/** Longest run of equal rows that a recorder which polls too fast makes; a sensor that has stopped makes longer ones. */
const longestHold = 4;

/** Share of rows, all fields taken together, that repeat the row before within such a short run. */
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
 * Exact repeats of rows. A recorder that holds each value until the next comes adds images of the signal around the sensor's
 * own rate: a fourth-order low-pass (24 dB an octave) with its corner an octave below half that rate takes them out. Measured
 * on the HAR stairs recordings, held artificially at 54 of 100 rows (46 % repeats), motion features, recordings held out: a
 * network tells held from not held in 99 % of the windows without low-pass and resampling, in 60 % with 12 Hz and 50 Hz (50 %
 * = chance; what is left is the hold's slight damping near 12 Hz: the mean of a feature moves by at most 0.17 of its
 * deviation, against 4.8 without). Whether they give labels away is asked by `checkShortcuts`.
 */
export function checkRepeats(dataset: Dataset, spec: SignalSpec): Finding[] {
  const shares = new Map(dataset.recordings.map((recording) => [recording, repeatShare(recording.columns)]));
  const many = dataset.recordings.filter((recording) => shares.get(recording)! > 0.02);
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
      message: `${many.length} of ${dataset.recordings.length} recordings repeat the row before in ${percent(mean)} of their rows: the recorder asked more often than the sensor measured.`,
      advice: removalAdvice(known, spec),
    },
    ...rateFinding(dataset, shares, spec, removed),
  ];
}

/** Labels whose sensors measured at different rates, by the rows that are new. */
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
      message: `The sensor measured ${listIds(slow)} at about ${Math.round(slowest)} Hz and ${listIds(fast)} at about ${Math.round(fastest)} Hz: repeated rows fill up the rest.`,
      advice: removed
        ? 'The low-pass and the resampling bring both to one rate.'
        : 'Bring all to the lower rate: set signal.lowpass and signal.resample.',
    },
  ];
}

function medianOf(values: number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}

/** Mean share of repeats of the recordings that have some. */
function meanRepeats(known: { repeats: number }[]): number {
  const some = known.filter(({ repeats }) => repeats > 0.02);
  return some.reduce((sum, { repeats }) => sum + repeats, 0) / Math.max(1, some.length);
}

/** Whether a signal part takes repeats out: a low-pass an octave below half the sensor's own rate. */
export function removesRepeats(known: { repeats: number }[], spec: SignalSpec): boolean {
  const { lowpassHz, rateHz } = spec;
  const sensorHz = rateHz * (1 - meanRepeats(known));
  return lowpassHz !== null && lowpassHz <= sensorHz / 4;
}

export function removalAdvice(known: { repeats: number }[], spec: SignalSpec): string {
  const { lowpassHz, rateHz, resampleHz } = spec;
  const pipeline = `${lowpassHz === null ? 'no low-pass' : `low-pass at ${lowpassHz} Hz`}, ${resampleHz} Hz`;
  if (removesRepeats(known, spec)) {
    return `The pipeline (${pipeline}) removes the repeats; other differences between the two recorders may remain.`;
  }
  const sensorHz = rateHz * (1 - meanRepeats(known));
  const now =
    lowpassHz === null
      ? 'No low-pass is set yet that takes their trace out'
      : `The pipeline (${pipeline}) leaves their trace`;
  return `${now}: set signal.lowpass to ${Math.floor(sensorHz / 4)} Hz or less (the sensor gives about ${Math.round(sensorHz)} rows a second) and signal.resample to ${Math.floor(rateHz / 2)}.`;
}
