import { AiotError, canonicalJson, type Project } from '../core/index.js';
import { type SignalSpec, signalSpecOf } from '../signal/index.js';
import type { Material } from './material.js';
import { classesFor } from './train/examples/examples.js';
import { labelsOfRows, signalOfRows } from './train/examples/rows.js';
import type { TrainingFile } from './train/types.js';

/**
 * The steps after training go on with what was trained: the same network file, recordings or rows, signal part and labels. Limits,
 * the vote and training options may change in between.
 * @throws AIOT_MODEL_STALE
 */
export function requireSameData(
  project: Project,
  training: TrainingFile,
  material: Material,
  floatDigest: string,
): void {
  const { dataset, rows } = material;
  if (floatDigest !== training.digest)
    throw stale('model.float.tflite is not the network that training.json tells of');
  if ((rows !== null) !== (training.source.kind === 'table')) {
    throw stale(
      rows
        ? 'it was trained on recordings, not on rows'
        : 'it was trained on rows of a table, not on recordings',
    );
  }
  if (dataset.digest !== training.lineage.dataset.digest) {
    throw stale(
      rows
        ? `${rows.file} is not the table that was trained on: its digest differs`
        : `the recordings have changed since training (now ${dataset.recordings.length} of them)`,
    );
  }
  const { labels, signal } = wanted(project, training, material);
  if (canonicalJson(labels) !== canonicalJson(training.labels)) {
    const column =
      rows &&
      `the labels that were trained on are not those of column ${rows.label} of ${rows.file}, or of model.labels`;
    throw stale(column ?? 'model.labels in aiot.yaml has changed since training');
  }
  if (canonicalJson(signal) !== canonicalJson(training.signal)) {
    throw stale('the signal part of aiot.yaml has changed since training');
  }
}

/** Labels and signal part as today's aiot.yaml has them. */
function wanted(
  project: Project,
  { network }: TrainingFile,
  { rows }: Material,
): { labels: Record<string, string[]>; signal: SignalSpec } {
  const { kind } = network.output;
  const given = project.config.model.labels;
  if (!rows) return { labels: classesFor(kind, given).labels, signal: signalSpecOf(project.config) };
  const { columns, kinds, rows: count } = rows.table;
  const found = kinds === null || kind === 'value' ? {} : labelsOfRows(kinds, count, given).labels;
  return { labels: classesFor(kind, found).labels, signal: signalOfRows(project, columns).signal };
}

export function stale(message: string, next?: string): AiotError {
  return new AiotError('AIOT_MODEL_STALE', message, next === undefined ? {} : { next });
}
