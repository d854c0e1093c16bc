import { quantile } from '../../core/numbers.js';
import type { Dataset, Finding } from '../types.js';
import { figureText, usual } from './profiles.js';
import { listIds } from './report.js';

/** Minimum number of recordings per label, and in total, for this check. */
const leastOfLabel = 2;

const leastRecordings = 6;

/** Minimum share of the recordings that must confirm the finding. */
const leastShare = 0.9;

/**
 * Means of recordings with one label may differ by at most this many standard errors of uncorrelated noise. Measured quantities differ more
 * from one recording to the next; constants, with or without added noise, do not.
 */
const mostErrors = 4;

/** Maximum correlation between neighboring samples at which a field counts as a constant with noise. */
const mostMemory = 0.25;

/** The levels of two labels differ by at least this many times the variation within a label. */
const leastGap = 5;

/** Finds fields that repeat the label: the level is the same in all recordings of a label, and different for other labels. */
export function checkLabelFields({ recordings, fields }: Dataset): Finding[] {
  const labels = [...new Set(recordings.flatMap(({ label }) => (label === null ? [] : [label])))];
  const known = recordings.filter(({ label, columns }) => label !== null && (columns[0]?.length ?? 0) > 1);
  if (labels.length < 2 || known.length < leastRecordings) return [];
  if (labels.some((label) => known.filter((one) => one.label === label).length < leastOfLabel)) return [];
  return fields.flatMap((field, f): Finding[] => {
    const moments = known.map(({ label, columns }) => ({ label, ...momentsOf(columns[f]!) }));
    // Successive samples of a movement are correlated. Such a field measures something, even if its level is constant.
    const steady = moments.filter(({ memory }) => Math.abs(memory) <= mostMemory).length;
    if (steady < leastShare * moments.length) return [];
    const scale = Math.max(...moments.map(({ mean }) => Math.abs(mean)), 1e-12);
    const levels = labels.map((label) => {
      const own = moments.filter((one) => one.label === label);
      const level = quantile(Float64Array.from(own, ({ mean }) => mean).sort(), 0.5);
      const allowed = (error: number) => mostErrors * error + 1e-9 * scale;
      const tight = own.filter(({ mean, error }) => Math.abs(mean - level) <= allowed(error)).length;
      const width = Math.max(...own.map(({ error }) => allowed(error)));
      return { label, level, tight: tight >= leastShare * own.length, width };
    });
    if (levels.some(({ tight }) => !tight)) return [];
    const width = Math.max(...levels.map((level) => level.width));
    const sorted = levels.map(({ level }) => level).sort((a, b) => a - b);
    const gaps = sorted.slice(1).map((level, i) => level - sorted[i]!);
    const wide = gaps.filter((gap) => gap > Math.max(leastGap * width, 1e-6 * scale));
    // Labels with the same level form a group.
    if (wide.length === 0 || gaps.some((gap) => gap > 2 * width && !wide.includes(gap))) return [];
    const shown = levels.map(({ label, level }) => `${label} ${figureText(level)}`);
    return [
      {
        kind: 'shortcut',
        severity: 'error',
        confidence: wide.length === labels.length - 1 ? 'likely' : 'possible',
        files: known.map(({ id }) => id),
        evidence: {
          by: 'field',
          field,
          levels: Object.fromEntries(levels.map(({ label, level }) => [label, level])),
        },
        message: `${field} contains the label: its mean is the same in all recordings of a label, and differs between labels (${listIds(shown)}). No measured quantity is that steady.`,
        advice: 'Omit the field: its value is unknown at run time.',
      },
    ];
  });
}

/** Mean, its standard error if neighboring samples are independent, and the correlation between neighboring samples. */
function momentsOf(column: Float64Array): { mean: number; error: number; memory: number } {
  let sum = 0;
  for (const value of column) sum += value;
  const mean = sum / column.length;
  let squares = 0;
  for (const value of column) squares += (value - mean) ** 2;
  let products = 0;
  for (let i = 1; i < column.length; i++) products += (column[i]! - mean) * (column[i - 1]! - mean);
  return { mean, error: Math.sqrt(squares) / column.length, memory: squares > 0 ? products / squares : 0 };
}

/** Finds fields that only count: every sample differs from the previous one by the same step. */
export function checkCounters({ recordings, fields }: Dataset): Finding[] {
  const long = recordings.filter(({ columns }) => (columns[0]?.length ?? 0) >= 10);
  if (long.length === 0) return [];
  return fields.flatMap((field, f): Finding[] => {
    const steps = long.map(({ columns }) => stepOf(columns[f]!));
    const { middle } = usual(steps.map((step) => step ?? 0));
    const counting = steps.filter(
      (step) => step !== null && Math.abs(step - middle) <= 1e-6 * Math.abs(middle),
    );
    if (middle === 0 || counting.length < leastShare * long.length) return [];
    return [
      {
        kind: 'identifier',
        severity: 'warning',
        confidence: 'certain',
        files: long.map(({ id }) => id),
        evidence: { field, step: middle, recordings: counting.length },
        message: `${field} is a counter or a clock, not a measurement: it grows by ${figureText(middle)} from each sample to the next.`,
        advice: 'Omit the field: a model would learn when a recording was made.',
      },
    ];
  });
}

/** The step from one sample to the next, if nearly all steps are equal. */
function stepOf(column: Float64Array): number | null {
  const steps = Float64Array.from({ length: column.length - 1 }, (_, i) => column[i + 1]! - column[i]!);
  const middle = quantile(Float64Array.from(steps).sort(), 0.5);
  if (middle === 0) return null;
  const equal = steps.filter((step) => Math.abs(step - middle) <= 1e-6 * Math.abs(middle)).length;
  return equal >= 0.95 * steps.length ? middle : null;
}

/** Maximum number of samples that are compared to find equal fields. */
const mostSamples = 5000;

/** Finds fields with the same content as another field, in the same or another unit. */
export function checkSameFields({ recordings, fields }: Dataset): Finding[] {
  const samples = recordings.reduce((sum, { columns }) => sum + (columns[0]?.length ?? 0), 0);
  const every = Math.max(1, Math.ceil(samples / mostSamples));
  const columns = fields.map((_, f) =>
    Float64Array.from(
      recordings.flatMap(({ columns: own }) => [...own[f]!].filter((__, i) => i % every === 0)),
    ),
  );
  return duplicates(columns).map(([a, b, exact]) => ({
    kind: 'duplicate',
    severity: 'warning',
    confidence: exact ? 'certain' : 'likely',
    files: recordings.map(({ id }) => id),
    evidence: { field: fields[b]!, of: fields[a]!, exact },
    message: `${fields[b]} has the same values as ${fields[a]}${exact ? '' : ' in another unit'}.`,
    advice: 'Omit one of them: it contains no further information.',
  }));
}

/** Maximum share of a column's variance that remains after a linear fit to another column with the same content; rounding leaves some. */
const mostResidual = 1e-5;

/**
 * Pairs of columns where the second is a linear function of the first; each column is second in at most one pair. @returns indexes, and
 * whether the values are equal
 */
export function duplicates(columns: Float64Array[]): [number, number, boolean][] {
  const moments = columns.map((column) => {
    const { mean } = momentsOf(column);
    let squares = 0;
    for (const value of column) squares += (value - mean) ** 2;
    return { mean, squares };
  });
  const pairs: [number, number, boolean][] = [];
  for (let b = 1; b < columns.length; b++) {
    for (let a = 0; a < b; a++) {
      const [first, second] = [moments[a]!, moments[b]!];
      if (first.squares === 0 || second.squares === 0 || columns[a]!.length < 8) continue;
      let product = 0;
      for (let i = 0; i < columns[a]!.length; i++)
        product += (columns[a]![i]! - first.mean) * (columns[b]![i]! - second.mean);
      if (1 - product ** 2 / (first.squares * second.squares) > mostResidual) continue;
      pairs.push([a, b, columns[a]!.every((value, i) => value === columns[b]![i])]);
      break;
    }
  }
  return pairs;
}
