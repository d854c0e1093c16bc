import { percent, thousands } from '../../core/index.js';
import type { Dataset, Finding, Recording } from '../types.js';
import { listIds } from './text.js';

/** Plausible values of a field, inclusive. */
export type Ranges = Record<string, [number, number]>;

/** Samples that are not numbers, or lie outside what the project calls plausible: one finding a field. */
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
      message: `${hit.id}: sample ${hit.first + 1} of ${field} is ${hit.value}, not a number${rest}${further}.`,
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
      message: `${listIds(ids)}: ${thousands(samples)} samples of ${field} (${percent(share)}) lie outside ${low}…${high}, the farthest at ${worst}.`,
      advice: `Check the sensor and its unit, or widen stream.fields.${field}.range.`,
    },
  ];
}

/** The dataset with every sample that is no number replaced by the one before it: what the further checks look at. */
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
