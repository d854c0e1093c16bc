import { percent } from '../../core/figures.js';
import type { Dataset, Finding, Recording } from '../types.js';
import { listIds } from './report.js';

/** Minimum duration and number of samples for which a field must be constant to count as stuck. */
const stillSeconds = 1;

const stillSamples = 50;

/** Minimum ratio of the constant stretch's length to those in the other recordings. */
const timesUsual = 10;

/** Finds fields that are constant, throughout or for a while, while other fields move. */
export function checkStuck(dataset: Dataset): Finding[] {
  const { recordings, fields } = dataset;
  if (fields.length < 2) return [];
  return fields.flatMap((field, f) => {
    const runs = recordings.map((recording) => longestRun(recording, f));
    const usual = [...runs].map(({ rows }) => rows).sort((a, b) => a - b)[runs.length >> 1] ?? 0;
    const everywhere = recordings.every(({ columns }) => isConstant(columns[f]!));
    const values = new Set(everywhere ? recordings.map(({ columns }) => columns[f]![0]!) : []);
    const hits = recordings.flatMap((recording, r) => {
      const { rows, from } = runs[r]!;
      const samples = recording.columns[f]!.length;
      const whole = rows >= 0.9 * samples;
      const long =
        rows >= Math.max(stillSamples, stillSeconds * recording.rateHz, timesUsual * usual) &&
        !isCommonBound(recordings, f, recording.columns[f]![from]!);
      const othersMove = recording.columns.some(
        (column, other) => other !== f && !isConstant(column.subarray(from, from + rows)),
      );
      return samples >= stillSamples && (everywhere || whole || long) && othersMove
        ? [{ id: recording.id, rows, from, samples, value: recording.columns[f]![from]! }]
        : [];
    });
    return hits.length === 0 ? [] : [stuckFinding(field, hits, everywhere, [...values])];
  });
}

/** Minimum number of recordings that must reach a value for it to be a bound of the quantity instead of a defect in one recording. */
const boundRecordings = 3;

/**
 * Whether a value is the largest or smallest of its field, and several recordings reach it exactly. A quantity with a bound, such as a
 * power factor of at most 1, may remain at the bound. `checkClipping` finds sensors that are clipped at their bound.
 */
function isCommonBound(recordings: Recording[], f: number, value: number): boolean {
  let reached = 0;
  let [above, below] = [false, false];
  for (const { columns } of recordings) {
    const column = columns[f]!;
    let here = false;
    for (const each of column) {
      here ||= each === value;
      above ||= each > value;
      below ||= each < value;
    }
    if (above && below) return false;
    if (here) reached++;
  }
  return reached >= boundRecordings;
}

interface StillField {
  id: string;
  rows: number;
  from: number;
  samples: number;
  value: number;
}

function stuckFinding(field: string, hits: StillField[], everywhere: boolean, values: number[]): Finding {
  const longest = hits.reduce((a, b) => (b.rows / b.samples > a.rows / a.samples ? b : a));
  const ids = hits.map(({ id }) => id);
  const share = longest.rows / longest.samples;
  const place = share < 0.9 ? ` from row ${longest.from + 1} on, for ${longest.rows} rows` : '';
  return {
    kind: 'stuck',
    // A field with one value throughout harms no model. Values that differ between recordings may reveal which recording it is.
    severity: everywhere && values.length === 1 ? 'info' : 'warning',
    files: ids,
    evidence: { field, value: longest.value, rows: longest.rows, from: longest.from + 1, share, everywhere },
    message: everywhere
      ? values.length === 1
        ? `${field} is ${longest.value} in every recording.`
        : `${field} does not change within any recording (${listIds(values.map(String))}).`
      : `${field} stays at ${Number(longest.value.toPrecision(6))} in ${listIds(ids)}${hits.length > 1 && place ? ` (${longest.id}:${place})` : place}, while the other fields move (${percent(share)} of the recording).`,
    advice: everywhere
      ? 'It contains no information about the signal: omit the field, or check that the sensor is connected.'
      : 'Check the sensor and its wiring, and record again.',
  };
}

function isConstant(column: Float64Array): boolean {
  for (let i = 1; i < column.length; i++) if (column[i] !== column[0]) return false;
  return true;
}

/** The longest run of consecutive rows with equal values in one field. */
function longestRun({ columns }: Recording, f: number): { rows: number; from: number } {
  const column = columns[f]!;
  let best = { rows: 0, from: 0 };
  let from = 0;
  for (let i = 1; i <= column.length; i++) {
    if (i < column.length && column[i] === column[i - 1]) continue;
    if (i - from > best.rows) best = { rows: i - from, from };
    from = i;
  }
  return best;
}

type End = 'highest' | 'lowest';

/** Minimum number of consecutive equal values in a plateau. Recorders that repeat rows cause shorter runs. */
const plateauRows = 5;

const leastSamples = 20;

/** If more fields than this have findings, the findings are merged into one. */
const mostFindings = 6;

/**
 * Finds fields whose values pile up at one end, because a sensor is driven past its full scale. The end value must be more frequent than
 * all values in the adjacent tenth of the range together, because only clipping causes that. Checks all recordings together, and then each
 * recording that has a different end value on its own.
 */
export function checkClipping(dataset: Dataset): Finding[] {
  const findings: Finding[] = [];
  dataset.fields.forEach((field, f) => {
    const isNegative = dataset.recordings.some(({ columns }) => columns[f]!.some((value) => value < 0));
    for (const end of ['highest', 'lowest'] as const) {
      const sign = end === 'highest' ? 1 : -1;
      const all = piled(
        dataset.recordings.map(({ columns }) => columns[f]!),
        sign,
      );
      const atCommonEnd = all
        ? dataset.recordings.filter(({ columns }) => columns[f]!.some((value) => sign * value === all.top))
        : [];
      const natural = (value: number) => naturalEnds[end].includes(value) && !isNegative;
      if (all) findings.push(findingOf(field, end, sign, all, atCommonEnd, natural(sign * all.top)));
      const own = dataset.recordings.flatMap((recording) => {
        if (atCommonEnd.includes(recording)) return [];
        const found = piled([recording.columns[f]!], sign);
        return found && isPlateau(recording.columns[f]!, sign * found.top) ? [{ recording, found }] : [];
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
            natural(sign * top),
          ),
        );
      }
    }
  });
  return findings.length > mostFindings ? [joined(findings)] : findings;
}

/** If many fields have findings, their values are probably bounded by nature, so the fields are reported together. */
function joined(findings: Finding[]): Finding {
  const fields = [...new Set(findings.map(({ evidence }) => String(evidence.field)))];
  return {
    kind: 'saturation',
    severity: 'info',
    files: [...new Set(findings.flatMap(({ files }) => files))].sort(),
    evidence: { fields, values: findings.map(({ evidence }) => Number(evidence.value)) },
    message: `${fields.length} fields are often at one end of their range: ${listIds(fields)}.`,
    advice: 'If they are measured, set the sensors to a wider range.',
  };
}

interface Pile {
  top: number;
  atEnd: number;
  nearEnd: number;
  samples: number;
}

/** Usual end values of shares, percentages, and quantities that are never negative. */
const naturalEnds = { highest: [1, 100], lowest: [0] };

function findingOf(
  field: string,
  end: End,
  sign: number,
  pile: Pile,
  recordings: Recording[],
  natural: boolean,
): Finding {
  const { top, atEnd, nearEnd, samples } = pile;
  const files = recordings.map(({ id }) => id);
  const evidence = { field, end, value: sign * top, samples: atEnd, share: atEnd / samples, near: nearEnd };
  if (natural) {
    return {
      kind: 'saturation',
      severity: 'info',
      confidence: 'possible',
      files,
      evidence,
      message: `${field} is often at ${sign * top}, its ${end} value, in ${atEnd} samples (${percent(atEnd / samples)}) of ${listIds(files)}.`,
      advice:
        'No action is needed if the quantity cannot exceed this value, such as a share or a power factor.',
    };
  }
  return {
    kind: 'saturation',
    severity: 'warning',
    files,
    evidence,
    message: `${field} stops at ${Number((sign * top).toPrecision(6))}, its ${end} value, in ${atEnd} samples (${percent(atEnd / samples)}) of ${listIds(files)}: clipped.`,
    advice: 'Set the sensor to a wider range, and record the clipped data again.',
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

/** Minimum ratio of the number of values at the end to the count of the second most frequent other value. */
const timesOthers = 5;

/** Whether values stay at the end of the range, or the end value is very frequent. Only the latter is true of fast vibrations. */
function isPlateau(column: Float64Array, value: number): boolean {
  if (plateaus(column, value) >= 2) return true;
  const counts = new Map<number, number>();
  for (const own of column) counts.set(own, (counts.get(own) ?? 0) + 1);
  const atEnd = counts.get(value) ?? 0;
  counts.delete(value);
  // The most frequent other value may be the opposite end, if that end is clipped too, so the second one is compared.
  const others = [...counts.values()].sort((a, b) => b - a);
  return atEnd > timesOthers * (others[1] ?? 0);
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

/** Whether the field has at most 32 distinct values, as switches and counters do. Such values reach both ends without clipping. */
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
