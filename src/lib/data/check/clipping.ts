import { percent } from '../../core/index.js';
import type { Dataset, Finding, Recording } from '../types.js';
import { listIds } from './text.js';

type End = 'highest' | 'lowest';

/** Equal values side by side that make a plateau: longer than a recorder that repeats rows makes them. */
const plateauRows = 5;
const leastSamples = 20;
/** Findings told one by one. */
const mostFields = 6;

/**
 * Fields that pile up at one end: a sensor driven past its full scale. The end value must come more often than everything
 * in the tenth of the scale next to it, which only clipping does to a value that varies. Looked for in all recordings
 * together, and in each that has an end of its own.
 */
export function checkClipping(dataset: Dataset): Finding[] {
  const findings: Finding[] = [];
  dataset.fields.forEach((field, f) => {
    for (const end of ['highest', 'lowest'] as const) {
      const sign = end === 'highest' ? 1 : -1;
      const all = piled(
        dataset.recordings.map(({ columns }) => columns[f]!),
        sign,
      );
      const atCommonEnd = all
        ? dataset.recordings.filter(({ columns }) => columns[f]!.some((value) => sign * value === all.top))
        : [];
      if (all) findings.push(findingOf(field, end, sign, all, atCommonEnd));
      const own = dataset.recordings.flatMap((recording) => {
        if (atCommonEnd.includes(recording)) return [];
        const found = piled([recording.columns[f]!], sign);
        return found && plateaus(recording.columns[f]!, sign * found.top) >= 2 ? [{ recording, found }] : [];
      });
      for (const top of new Set(own.map(({ found }) => found.top))) {
        const alike = own.filter(({ found }) => found.top === top);
        const sum = (pick: 'atEnd' | 'nearEnd' | 'samples') =>
          alike.reduce((total, { found }) => total + found[pick], 0);
        const piles = { top, atEnd: sum('atEnd'), nearEnd: sum('nearEnd'), samples: sum('samples') };
        findings.push(
          findingOf(
            field,
            end,
            sign,
            piles,
            alike.map(({ recording }) => recording),
          ),
        );
      }
    }
  });
  return findings.length > mostFields ? [joined(findings)] : findings;
}

/** Many fields of that kind are no sensors that clip, but figures that have a bound: they are told in one sentence. */
function joined(findings: Finding[]): Finding {
  const fields = [...new Set(findings.map(({ evidence }) => String(evidence.field)))];
  return {
    kind: 'saturation',
    severity: 'info',
    files: [...new Set(findings.flatMap(({ files }) => files))].sort(),
    evidence: { fields, values: findings.map(({ evidence }) => Number(evidence.value)) },
    message: `${fields.length} fields often stand at one end of their range: ${listIds(fields)}.`,
    advice: 'If they are measured, set the sensors to a wider range.',
  };
}

interface Pile {
  top: number;
  atEnd: number;
  nearEnd: number;
  samples: number;
}

function findingOf(field: string, end: End, sign: number, pile: Pile, recordings: Recording[]): Finding {
  const { top, atEnd, nearEnd, samples } = pile;
  const files = recordings.map(({ id }) => id);
  return {
    kind: 'saturation',
    severity: 'warning',
    files,
    evidence: { field, end, value: sign * top, samples: atEnd, share: atEnd / samples, near: nearEnd },
    message: `${field} stops at ${Number((sign * top).toPrecision(6))}, its ${end} value, in ${atEnd} samples (${percent(atEnd / samples)}) of ${listIds(files)}: clipped.`,
    advice: 'Set the sensor to a wider range, and record again what it cut off.',
  };
}

function piled(columns: Float64Array[], sign: number): Pile | null {
  const { top, bottom } = extent(columns, sign);
  if (fewValues(columns)) return null;
  const near = top - (top - bottom) / 10;
  let atEnd = 0;
  let nearEnd = 0;
  let samples = 0;
  for (const column of columns) {
    samples += column.length;
    for (const value of column) {
      if (sign * value === top) atEnd++;
      else if (sign * value > near) nearEnd++;
    }
  }
  return atEnd < leastSamples || atEnd <= nearEnd ? null : { top, atEnd, nearEnd, samples };
}

function plateaus(column: Float64Array, value: number): number {
  let found = 0;
  let run = 0;
  for (let i = 0; i <= column.length; i++) {
    if (i < column.length && column[i] === value) run++;
    else {
      if (run >= plateauRows) found++;
      run = 0;
    }
  }
  return found;
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
