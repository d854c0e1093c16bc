import { AiotError } from '../../../core/errors.js';
import type { Dataset, Recording } from '../../../data/types.js';
import { windowCount, windowFeatures } from '../../../signal/pipeline.js';
import { featureNames, type SignalSpec } from '../../../signal/spec.js';
import type { NetworkOutput } from '../../network/layers.js';
import type { Classes, Examples } from '../types.js';

/** Class or value that a recorded label represents. */
interface Truth {
  class: number;
  value: number;
}

/** Altered copies of recordings. */
export interface Copies {
  /** Number of copies of each recording. */
  count: number;
  /**
   * The columns of one copy, of the same length.
   * @param copy the copy's number, from 1; the same recording and number yield the same copy
   */
  of(recording: Pick<Recording, 'id' | 'rateHz'>, columns: Float64Array[], copy: number): Float64Array[];
}

/**
 * Windows of the named recordings, in the dataset's order; recordings shorter than one window yield none. Windows are written directly to
 * their final location, because those of long recordings take most of the memory.
 * @param copies altered copies of each recording; their windows follow the recording's own, under the same ID
 */
export function windowsOf(
  dataset: Dataset,
  ids: Iterable<string>,
  signal: SignalSpec,
  truthOf: (recording: Recording) => Truth,
  copies: Copies | null = null,
): Examples & { values: Float32Array } {
  const wanted = new Set(ids);
  const chosen = dataset.recordings.filter(({ id }) => wanted.has(id));
  const inputSize = featureNames(signal).length;
  const own = chosen.reduce((sum, { columns }) => sum + windowCount(signal, columns[0]?.length ?? 0), 0);
  const count = own * (1 + (copies?.count ?? 0));
  const inputs = new Float32Array(count * inputSize);
  const classes = new Int32Array(count);
  const values = new Float32Array(count);
  const recordings: string[] = [];
  for (const recording of chosen) {
    const truth = truthOf(recording);
    const columns = columnsFor(recording, signal);
    for (let copy = 0; copy <= (copies?.count ?? 0); copy++) {
      const heard = copy === 0 ? columns : copies!.of(recording, columns, copy);
      for (const row of windowFeatures(signal, heard)) {
        checkFeatures(row, recording.id, signal);
        const at = recordings.push(recording.id) - 1;
        inputs.set(row, at * inputSize);
        classes[at] = truth.class;
        values[at] = truth.value;
      }
    }
  }
  return { inputs, inputSize, classes, values, recordings };
}

/** The examples at these indices, in this order. */
export function pick(examples: Examples, rows: readonly number[]): Examples {
  const { inputSize } = examples;
  const inputs = new Float32Array(rows.length * inputSize);
  rows.forEach((row, i) => {
    inputs.set(examples.inputs.subarray(row * inputSize, (row + 1) * inputSize), i * inputSize);
  });
  return {
    inputs,
    inputSize,
    classes: Int32Array.from(rows, (row) => examples.classes[row]!),
    values: examples.values && Float32Array.from(rows, (row) => examples.values![row]!),
    recordings: rows.map((row) => examples.recordings[row]!),
    ...(examples.objects && { objects: rows.map((row) => examples.objects![row]!) }),
  };
}

/** @throws AIOT_TRAINING_DATA_UNFIT for a sample that is not a number */
export function checkNumbers({ id, columns, fields }: Recording): void {
  columns.forEach((column, f) => {
    const at = column.findIndex((value) => !Number.isFinite(value));
    if (at >= 0)
      throw unfit(
        `recording ${id}, field ${fields[f]}, sample ${at + 1}: expected a number, got ${column[at]}`,
      );
  });
}

/** The recording's columns, in the order of the signal's fields. @throws AIOT_TRAINING_DATA_UNFIT */
export function columnsFor(recording: Recording, signal: SignalSpec): Float64Array[] {
  if (recording.rateHz !== signal.rateHz) {
    throw unfit(
      `recording ${recording.id} has ${recording.rateHz} samples per second, but signal.rate in aiot.yaml is ${signal.rateHz}`,
    );
  }
  return signal.fields.map((field) => {
    const column = recording.columns[recording.fields.indexOf(field)];
    if (!column)
      throw unfit(`recording ${recording.id} has no field ${field}; it has ${recording.fields.join(', ')}`);
    return column;
  });
}

function checkFeatures(row: Float32Array, id: string, signal: SignalSpec): void {
  const at = row.findIndex((value) => !Number.isFinite(value));
  if (at >= 0) throw unfit(`recording ${id}: feature ${featureNames(signal)[at]} has the value ${row[at]}`);
}

export function unfit(message: string, next?: string): AiotError {
  return new AiotError('AIOT_TRAINING_DATA_UNFIT', message, next === undefined ? {} : { next });
}

/** Name of the anomaly class if no label names it. */
const anomaly = 'anomaly';

/**
 * A network's classes: those listed in model.labels, in that order, or none for values. A reconstruction has two: the normal class (named
 * `normal`, or otherwise the first class), and all others together.
 */
export function classesFor(output: NetworkOutput['kind'], labels: Record<string, string[]>): Classes {
  if (output === 'value') return { names: [], labels: {} };
  const names = Object.keys(labels);
  if (output !== 'reconstruction') return { names, labels };
  const normal = names.includes('normal') ? 'normal' : (names[0] ?? 'normal');
  const others = names.filter((name) => name !== normal);
  const other = others.length === 1 ? others[0]! : normal === anomaly ? 'other' : anomaly;
  const told: Record<string, string[]> = {};
  if (names.length > 0) told[normal] = labels[normal]!;
  if (others.length > 0) told[other] = others.flatMap((name) => labels[name]!);
  return { names: [normal, other], labels: told };
}

/** Recorded label → index of the label's class. */
export function classIndex({ names, labels }: Classes): Map<string, number> {
  return new Map(
    Object.entries(labels).flatMap(([name, list]) =>
      list.map((label) => [label, names.indexOf(name)] as const),
    ),
  );
}
