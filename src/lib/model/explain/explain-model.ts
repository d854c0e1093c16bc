import { missingLabels, openTable } from '../../data/index.js';
import { importTflite } from '../../formats/index.js';
import { featureNames } from '../../signal/index.js';
import { readBuilt } from '../built.js';
import type { DataSource } from '../dataset.js';
import { mapLabels, valuesOfLabels } from '../evaluate/labels.js';
import { type OutputKind, outputKindOf } from '../evaluate/output-kind.js';
import { openNetwork } from '../evaluate/predict.js';
import { rowsFor } from '../evaluate/rows.js';
import { readModelFile } from '../inspect/model-file.js';
import { openModelProject } from '../material.js';
import { standardizeAll } from '../train/standardize.js';
import { layoutOfFile, layoutOfSignal } from './layout.js';
import { occlusionSaliency } from './occlusion.js';
import { permutationImportance } from './permutation.js';
import type { Explanation } from './result.js';
import { saveExplanation } from './saved.js';
import { metricOf, type Subject, scoreOf, thinned } from './subject.js';

export interface ExplainOptions {
  /** Of permutations; a number from 0. */
  seed?: number;
  repeats?: number;
  signal?: AbortSignal;
}

/** Inferences spent on it: some seconds. */
const budget = 150_000;

/**
 * Explains a project's quantized network on its test part, and leaves build/explanation.json for the report.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_STALE, AIOT_TRAINING_DATA_UNFIT
 */
export async function explainProject(
  dir: string,
  source: DataSource,
  options: ExplainOptions,
): Promise<Explanation> {
  const project = await openModelProject(dir, source.data);
  const built = await readBuilt(project, source);
  const { training, int8 } = built;
  const test = built.examples('test');
  const network = await openNetwork(int8.bytes, 'litert');
  try {
    const subject: Subject = {
      kind: training.network.output.kind,
      network,
      inputs: standardizeAll(test, training.standardization),
      truth: test.classes,
      values: test.values ?? undefined,
      classes: training.classes,
      threshold: training.threshold,
      layout: layoutOfSignal(training.signal, featureNames(training.signal)),
    };
    const explanation = explain(subject, training.model, int8.digest, options);
    await saveExplanation(project, explanation);
    return explanation;
  } finally {
    network.close();
  }
}

export interface ExplainFileOptions extends ExplainOptions {
  file: string;
  data: string;
  label?: string;
  output?: OutputKind;
  classes?: readonly string[];
}

/**
 * Explains a .tflite or .aiot file on the rows of a table.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_TFLITE_*, AIOT_CSV_*, AIOT_DATA_COLUMNS, AIOT_LABELS_UNFIT
 */
export async function explainFile(options: ExplainFileOptions): Promise<Explanation> {
  const { file, data, label } = options;
  const model = await readModelFile(file);
  const { graph, metadata } = importTflite(model.network);
  const table = await openTable(data, { label });
  if (table.labels === null) throw missingLabels(data, label ?? 'label', table.columns);
  const answer = model.bundle?.info.answer;
  const kind = options.output ?? answer?.kind ?? outputKindOf(graph, table.labels);
  const network = await openNetwork(model.network, 'litert');
  try {
    const { inputs } = rowsFor(table, data, network.inputs, model.bundle, metadata);
    const names = options.classes ?? model.bundle?.info.classes ?? null;
    const isValue = kind === 'value';
    const labelled = isValue
      ? { truth: new Int32Array(table.rows), values: valuesOfLabels(table.labels), classes: [] }
      : mapLabels(table.labels, kind === 'classes' ? network.outputs : 2, names);
    const threshold = answer && 'threshold' in answer ? answer.threshold : null;
    const layout = layoutOfFile(graph, table.columns);
    return explain({ ...labelled, kind, network, inputs, threshold, layout }, file, model.digest, options);
  } finally {
    network.close();
  }
}

function explain(whole: Subject, model: string, digest: string, options: ExplainOptions): Explanation {
  const { seed = 7, repeats = 5, signal } = options;
  const parts = (whole.layout.window ? 20 : 1) * whole.layout.groups.length;
  const rows = Math.max(50, Math.floor(budget / (repeats * whole.layout.groups.length + parts)));
  const subject = thinned(whole, rows, seed);
  const metric = metricOf(subject);
  const base = scoreOf(subject, subject.inputs, metric, signal);
  return {
    model,
    digest,
    output: subject.kind,
    n: subject.truth.length,
    seed,
    metric,
    base,
    importance: permutationImportance(subject, metric, base, repeats, seed, signal),
    saliency: occlusionSaliency(subject, signal),
  };
}
