import { percent } from '../../core/index.js';
import type { Dataset, Finding } from '../types.js';
import { listIds } from './text.js';

/** Plausible values of a field, inclusive. */
export type Ranges = Record<string, [number, number]>;

/** Samples that are not numbers, or lie outside what the project calls plausible. */
export function checkValues(dataset: Dataset, ranges: Ranges): Finding[] {
  const findings: Finding[] = [];
  for (const { id, fields, columns } of dataset.recordings) {
    fields.forEach((field, f) => {
      const column = columns[f]!;
      const bad = column.findIndex((value) => !Number.isFinite(value));
      if (bad >= 0) {
        findings.push({
          kind: 'not-a-number',
          severity: 'error',
          files: [id],
          evidence: {
            field,
            sample: bad + 1,
            samples: column.filter((value) => !Number.isFinite(value)).length,
          },
          message: `${id}: sample ${bad + 1} of ${field} is ${column[bad]}, not a number.`,
          advice: 'Cut the recording before it, or record it again.',
        });
      }
      const range = ranges[field];
      if (range) findings.push(...outside(id, field, column, range));
    });
  }
  return findings;
}

function outside(id: string, field: string, column: Float64Array, [low, high]: [number, number]): Finding[] {
  let count = 0;
  let worst = low;
  for (const value of column) {
    if (!(value < low || value > high)) continue;
    count++;
    if (Math.max(low - value, value - high) > Math.max(low - worst, worst - high)) worst = value;
  }
  if (count === 0) return [];
  return [
    {
      kind: 'range',
      severity: 'warning',
      files: [id],
      evidence: { field, samples: count, share: count / column.length, low, high, worst },
      message: `${id}: ${count} samples of ${field} (${percent(count / column.length)}) lie outside ${low}…${high}, the farthest at ${worst}.`,
      advice: `Check the sensor and its unit, or widen stream.fields.${field}.range.`,
    },
  ];
}

/**
 * Fields that pile up at one end: a sensor driven past its full scale. The end value must come more often than everything
 * in the tenth of the scale next to it, which only clipping does to a value that varies.
 */
export function checkClipping(dataset: Dataset): Finding[] {
  const findings: Finding[] = [];
  dataset.fields.forEach((field, f) => {
    for (const end of ['highest', 'lowest'] as const) {
      const sign = end === 'highest' ? 1 : -1;
      const columns = dataset.recordings.map(({ columns: all }) => all[f]!);
      const { top, bottom } = extent(columns, sign);
      if (fewValues(columns)) continue;
      const near = top - (top - bottom) / 10;
      let atEnd = 0;
      let nearEnd = 0;
      for (const column of columns) {
        for (const value of column) {
          if (sign * value === top) atEnd++;
          else if (sign * value > near) nearEnd++;
        }
      }
      if (atEnd < 20 || nearEnd === 0 || atEnd <= nearEnd) continue;
      const recordings = dataset.recordings
        .filter(({ columns: all }) => all[f]!.some((value) => sign * value === top))
        .map(({ id }) => id);
      findings.push({
        kind: 'saturation',
        severity: 'warning',
        files: recordings,
        evidence: { field, end, value: sign * top, samples: atEnd, near: nearEnd },
        message: `${field} stops at ${sign * top}, its ${end} value, in ${atEnd} samples of ${listIds(recordings)}: clipped.`,
        advice: 'Set the sensor to a wider range, and record again what it cut off.',
      });
    }
  });
  return findings;
}

function extent(columns: Float64Array[], sign: number): { top: number; bottom: number } {
  let top = Number.NEGATIVE_INFINITY;
  let bottom = Number.POSITIVE_INFINITY;
  for (const column of columns) {
    for (const value of column) {
      if (sign * value > top) top = sign * value;
      if (sign * value < bottom) bottom = sign * value;
    }
  }
  return { top, bottom };
}

/** Switches and counters stand at their ends by nature. */
function fewValues(columns: Float64Array[]): boolean {
  const seen = new Set<number>();
  for (const column of columns) {
    for (const value of column) {
      seen.add(value);
      if (seen.size > 32) return false;
    }
  }
  return true;
}
