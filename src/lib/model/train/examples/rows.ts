import { plural } from '../../../core/figures.js';
import type { Project } from '../../../core/project.js';
import { mostKinds } from '../../../data/tables/table.js';
import { featureNames, type SignalSpec, signalSpecOf } from '../../../signal/spec.js';
import type { Rows } from '../../material.js';
import type { Classes, Examples, Lesson } from '../types.js';
import { classIndex, unfit } from './examples.js';

/** How a network interprets rows. */
export interface RowTruth {
  classes: Classes;
  /** Whether the labels are values. */
  values: boolean;
}

/** Selects rows by their letter. */
interface RowPart {
  /** One letter per row. */
  parts: string;
  letter: string;
}

/** A chunk of rows that are near each other in the file. */
interface Piece extends Lesson {
  /** Index of each row in the file, from 0. */
  places: Uint32Array;
  groups: string[] | null;
}

/**
 * A table's rows in the file's order, a few thousand at a time, as the file is read. @param part absent = all rows
 * @throws AIOT_TRAINING_DATA_UNFIT, naming the row and its label; any error of `TableFile.pieces`
 */
export function* walkRows(rows: Rows, truth: RowTruth, part?: RowPart): Iterable<Piece> {
  const { table, file } = rows;
  const index = classIndex(truth.classes);
  let before = 0;
  for (const { inputs, columns, rows: count, labels, groups } of table.pieces()) {
    const classes = new Int32Array(count);
    if (!truth.values && labels !== null && index.size > 0) {
      for (let row = 0; row < count; row++) {
        const c = index.get(labels[row]!);
        if (c === undefined) {
          throw unfit(
            `${file}: row ${before + row + 1}: expected a label of ${truth.classes.names.join(', ')}, got "${labels[row]}"`,
          );
        }
        classes[row] = c;
      }
    }
    const values = truth.values ? valuesOfRows(labels ?? [], rows, before) : null;
    const places = new Uint32Array(count);
    const inputSize = columns.length;
    let taken = 0;
    // Nothing else uses the chunk, so selected rows can be moved to its front.
    for (let row = 0; row < count; row++) {
      if (part && part.parts[before + row] !== part.letter) continue;
      inputs.copyWithin(taken * inputSize, row * inputSize, (row + 1) * inputSize);
      classes[taken] = classes[row]!;
      if (values) values[taken] = values[row]!;
      if (groups) groups[taken] = groups[row]!;
      places[taken++] = before + row;
    }
    yield {
      inputs: inputs.subarray(0, taken * inputSize),
      inputSize,
      classes: classes.subarray(0, taken),
      values: values?.subarray(0, taken) ?? null,
      places: places.subarray(0, taken),
      groups: groups?.slice(0, taken) ?? null,
    };
    before += count;
  }
}

/** Like `walkRows`, but as examples, with the group of each row, or `row N` if the table has no groups. */
export function* piecesOfRows(rows: Rows, truth: RowTruth, part?: RowPart): Iterable<Examples> {
  for (const { places, groups, ...lesson } of walkRows(rows, truth, part)) {
    yield { ...lesson, recordings: groups ?? Array.from(places, (place) => `row ${place + 1}`) };
  }
}

/** Like `piecesOfRows`, but all rows at once. */
export function examplesOfRows(rows: Rows, truth: RowTruth, part?: RowPart): Examples {
  const room = roomFor(rows, truth, part ? countOf(part) : rows.table.rows);
  const recordings: string[] = [];
  let at = 0;
  for (const { inputs, classes, values, recordings: names } of piecesOfRows(rows, truth, part)) {
    room.inputs.set(inputs, at * room.inputSize);
    room.classes.set(classes, at);
    if (values) room.values?.set(values, at);
    for (const name of names) recordings.push(name);
    at += classes.length;
  }
  return { ...room, recordings };
}

/** Reads several parts, each selected by a letter, in one pass. Group names are omitted, because there may be as many as rows. */
export function lessonsOfRows<L extends string>(
  rows: Rows,
  truth: RowTruth,
  parts: string,
  letters: readonly L[],
): Record<L, Lesson> {
  const all = letters.map((letter) => roomFor(rows, truth, countOf({ parts, letter })));
  const filled = new Uint32Array(letters.length);
  for (const { inputs, inputSize, classes, values, places } of walkRows(rows, truth)) {
    for (let row = 0; row < places.length; row++) {
      const which = letters.indexOf(parts[places[row]!] as L);
      if (which < 0) continue;
      const own = all[which]!;
      const at = filled[which]!++;
      for (let i = 0; i < inputSize; i++) own.inputs[at * inputSize + i] = inputs[row * inputSize + i]!;
      own.classes[at] = classes[row]!;
      if (own.values && values) own.values[at] = values[row]!;
    }
  }
  return Object.fromEntries(letters.map((letter, i) => [letter, all[i]!])) as Record<L, Lesson>;
}

/** Allocated once: a table may take most of the available memory. */
function roomFor({ table }: Rows, { values }: RowTruth, count: number): Lesson {
  const inputSize = table.columns.length;
  return {
    inputs: new Float32Array(count * inputSize),
    inputSize,
    classes: new Int32Array(count),
    values: values ? new Float32Array(count) : null,
  };
}

/** Number of rows with this letter. */
export function countOf({ parts, letter }: RowPart): number {
  let count = 0;
  for (let at = parts.indexOf(letter); at >= 0; at = parts.indexOf(letter, at + 1)) count++;
  return count;
}

/** Maximum number of distinct labels that count as classes. With more, labels are considered measured values. */
const mostClasses = 100;

/**
 * Class → labels of a table's rows: from model.labels if it covers every label, or if its class names are the labels. Otherwise, each
 * distinct label is a class of its own, with numbers sorted by size and words alphabetically. @param kinds the distinct labels, in order of
 * first appearance
 * @param rows total number, for messages
 * @returns a sentence that describes the result if the project did not specify it
 * @throws AIOT_TRAINING_DATA_UNFIT if there are too many distinct labels for classes
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
      `expected class labels, got ${many} different values in ${plural(rows, 'row')}: ${kinds.slice(0, 3).join(', ')}, …`,
      'Use regression instead (model.output: value, or --output value), or specify the class column: --label NAME',
    );
  }
  const names = [...kinds].sort(byNumberOrText);
  const why = known.size > 0 ? 'model.labels in aiot.yaml does not cover them' : 'aiot.yaml names none';
  return {
    // `Object.keys` lists whole numbers first, by size, as in the sorting above.
    labels: Object.fromEntries(names.map((name) => [name, [name]])),
    note: `classes are taken from the row labels: ${names.join(', ')} (${why})`,
  };
}

/** @param before number of preceding rows in the file @throws AIOT_TRAINING_DATA_UNFIT naming the row */
function valuesOfRows(
  labels: readonly string[],
  { file, label: column }: Pick<Rows, 'file' | 'label'>,
  before: number,
): Float32Array {
  return Float32Array.from(labels, (text, row) => {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (Number.isFinite(value)) return value;
    throw unfit(
      `${file}: row ${before + row + 1}, column ${column}: expected a number to learn, got "${text}"`,
      'Specify the column of values (--label NAME), or use classification: model.output: classes',
    );
  });
}

function byNumberOrText(a: string, b: string): number {
  const difference = Number(a) - Number(b);
  if (Number.isFinite(difference) && difference !== 0) return difference;
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * The signal part of a model trained on rows. If the columns are the project's own features, by name and in order, each row is a window of
 * the project's signal. Otherwise, the columns are the fields of a separate signal, and each row is a window of one unchanged sample.
 */
export function signalOfRows({ config }: Project, columns: string[]): { signal: SignalSpec; own: boolean } {
  if (Object.keys(config.stream.fields).length > 0) {
    const signal = signalSpecOf(config);
    if (featureNames(signal).join('\n') === columns.join('\n')) return { signal, own: true };
  }
  return {
    signal: {
      fields: columns,
      rateHz: 1,
      lowpassHz: null,
      resampleHz: 1,
      windowSamples: 1,
      strideSamples: 1,
      features: 'raw',
    },
    own: false,
  };
}
