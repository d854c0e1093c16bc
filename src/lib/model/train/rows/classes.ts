import { plural } from '../../../core/index.js';
import { mostKinds } from '../../../data/index.js';
import type { Rows } from '../../material.js';
import { unfit } from '../examples.js';

/** More kinds of labels than this are measured values rather than classes. */
const mostClasses = 100;

/**
 * Class → labels of a table's rows: as model.labels has them where it covers every label (or names them as its classes),
 * otherwise each kind of label is a class of its own, numbers by size and words by alphabet.
 * @param kinds the different labels, as their first ones come
 * @param rows how many there are, for messages
 * @returns what was made of it, in a sentence, where the project did not say it
 * @throws AIOT_TRAINING_DATA_UNFIT when there are too many kinds of labels for classes
 */
export function labelsOfRows(
  kinds: readonly string[],
  rows: number,
  wanted: Record<string, string[]>,
): { labels: Record<string, string[]>; note: string | null } {
  const known = new Set(Object.values(wanted).flat());
  if (kinds.every((kind) => known.has(kind))) return { labels: wanted, note: null };
  if (kinds.every((kind) => Object.hasOwn(wanted, kind))) {
    return { labels: Object.fromEntries(Object.keys(wanted).map((name) => [name, [name]])), note: null };
  }
  if (kinds.length > mostClasses) {
    const many = kinds.length > mostKinds ? `more than ${mostKinds}` : kinds.length;
    throw unfit(
      `expected labels of classes, got ${many} different ones in ${plural(rows, 'row')}: ${kinds.slice(0, 3).join(', ')}, …`,
      'Train on values instead (model.output: value, or --output value), or name the column of classes: --label NAME',
    );
  }
  const names = [...kinds].sort(byNumberOrText);
  const why = known.size > 0 ? 'model.labels in aiot.yaml does not cover them' : 'aiot.yaml names none';
  return {
    // No names as keys that objects order by themselves: `Object.keys` puts whole numbers first, which is by size too.
    labels: Object.fromEntries(names.map((name) => [name, [name]])),
    note: `classes are the labels of the rows as they stand: ${names.join(', ')} (${why})`,
  };
}

/** @param before rows of the file that lie before these @throws AIOT_TRAINING_DATA_UNFIT naming the row */
export function valuesOfRows(
  labels: readonly string[],
  { file, label: column }: Pick<Rows, 'file' | 'label'>,
  before: number,
): Float32Array {
  return Float32Array.from(labels, (text, row) => {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (Number.isFinite(value)) return value;
    throw unfit(
      `${file}: row ${before + row + 1}, column ${column}: expected a number to learn, got "${text}"`,
      'Name the column of values (--label NAME), or train on classes: model.output: classes',
    );
  });
}

function byNumberOrText(a: string, b: string): number {
  const difference = Number(a) - Number(b);
  if (Number.isFinite(difference) && difference !== 0) return difference;
  return a < b ? -1 : a > b ? 1 : 0;
}
