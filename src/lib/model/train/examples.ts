import { AiotError, type ProjectConfig } from '../../core/index.js';
import type { Dataset, Recording } from '../../data/index.js';
import { featureNames, type SignalSpec, windowFeatures } from '../../signal/index.js';
import type { Examples } from './types.js';

/** Names of the classes, in the order of the network's outputs: as aiot.yaml lists them. */
export function classesOf(config: ProjectConfig): string[] {
  return Object.keys(config.model.labels);
}

/** Recorded label → index of its class. */
export function classIndex(config: ProjectConfig): Map<string, number> {
  return new Map(
    Object.values(config.model.labels).flatMap((labels, c) => labels.map((label) => [label, c] as const)),
  );
}

/**
 * Refuses what `splitDataset` does not look at, before anything is computed.
 * @throws AIOT_DATA_EMPTY, AIOT_TRAINING_DATA_UNFIT (a value that is not a number)
 */
export function checkTrainable(dataset: Dataset): void {
  if (!dataset.recordings.some(({ label }) => label !== null)) {
    const count = dataset.recordings.length;
    throw new AiotError(
      'AIOT_DATA_EMPTY',
      `dataset ${dataset.name}: ${count} recording(s), none with a label`,
    );
  }
  for (const recording of dataset.recordings) checkNumbers(recording);
}

function checkNumbers({ id, columns, fields }: Recording): void {
  columns.forEach((column, f) => {
    const at = column.findIndex((value) => !Number.isFinite(value));
    if (at >= 0)
      throw unfit(
        `recording ${id}, field ${fields[f]}, sample ${at + 1}: expected a number, got ${column[at]}`,
      );
  });
}

/** Windows of the recordings named, in the order of the dataset; recordings shorter than one window give none. */
export function examplesOf(
  dataset: Dataset,
  ids: Iterable<string>,
  signal: SignalSpec,
  config: ProjectConfig,
): Examples {
  const wanted = new Set(ids);
  const index = classIndex(config);
  const inputSize = featureNames(signal).length;
  const rows: Float32Array[] = [];
  const classes: number[] = [];
  const recordings: string[] = [];
  for (const recording of dataset.recordings) {
    if (!wanted.has(recording.id)) continue;
    for (const row of windowFeatures(signal, columnsFor(recording, signal))) {
      checkFeatures(row, recording.id, signal);
      rows.push(row);
      classes.push(index.get(recording.label ?? '') ?? -1);
      recordings.push(recording.id);
    }
  }
  const inputs = new Float32Array(rows.length * inputSize);
  rows.forEach((row, i) => {
    inputs.set(row, i * inputSize);
  });
  return { inputs, inputSize, classes: Int32Array.from(classes), recordings };
}

/** The recording's columns in the order of the signal's fields. @throws AIOT_TRAINING_DATA_UNFIT */
export function columnsFor(recording: Recording, signal: SignalSpec): Float64Array[] {
  if (recording.rateHz !== signal.rateHz) {
    throw unfit(
      `recording ${recording.id} has ${recording.rateHz} samples a second, signal.rate in aiot.yaml is ${signal.rateHz}`,
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
  if (at >= 0) throw unfit(`recording ${id}: feature ${featureNames(signal)[at]} came out as ${row[at]}`);
}

export function unfit(message: string): AiotError {
  return new AiotError('AIOT_TRAINING_DATA_UNFIT', message);
}
