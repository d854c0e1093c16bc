import { join } from 'node:path';
import { AiotError } from '../core/errors.js';
import type { Project } from '../core/project.js';
import { openDataset } from '../data/dataset/open.js';
import type { Rows } from '../data/tables/rows.js';
import type { Dataset, Recording } from '../data/types.js';
import type { NumberColumn, TextColumn } from '../formats/csv/cells.js';
import type { Graph } from '../formats/tflite/graph.js';
import { createInterpreter } from '../runtime/interpreter/interpreter.js';
import { floatView } from '../runtime/litert.js';
import { windowFeatures } from '../signal/pipeline.js';
import { standardize } from '../signal/spec.js';
import { buildFiles, floatStep, readNetwork, readTraining } from './files.js';
import { isFile } from './material.js';
import { checkNumbers, columnsFor } from './train/examples/examples.js';
import type { TrainingFile } from './train/types.js';

/**
 * Computes the inputs of the network's last fully connected layer from the standardized rows of one recording, in order.
 * @param state see TrainingFile
 */
export function embeddingOf(
  graph: Graph,
  state?: 'window',
): (rows: readonly Float32Array[]) => Float32Array[] {
  const embed = createEmbedding(graph, state);
  return (rows) => embed(rows).map(({ place }) => place);
}

interface Embedded {
  place: Float32Array;
  output: Float32Array;
}

/** Embeds the rows of one recording. A network's variables start anew in each recording, or in each window. */
function createEmbedding(graph: Graph, state?: 'window'): (rows: readonly Float32Array[]) => Embedded[] {
  const interpreter = createInterpreter(floatView(graph), { compiled: true });
  const last = graph.operators.findLast(({ op }) => op === 'FULLY_CONNECTED')?.inputs[0] ?? graph.inputs[0]!;
  const { scale: [scale = 1] = [], zeroPoint: [zero = 0] = [] } = graph.tensors[last]!.quantization ?? {};
  return (rows) => {
    interpreter.reset();
    return rows.map((row, i) => {
      if (i > 0 && state === 'window') interpreter.reset();
      let place = row;
      const output = interpreter.invoke(row, (tensor, values) => {
        if (tensor === last) place = Float32Array.from(values, (value) => (value - zero) * scale);
      });
      return { place, output: Float32Array.from(output as Float32Array) };
    });
  };
}

/**
 * Opens recordings as rows that represent how the project's network interprets them. Each window is a row, with a column for each input of
 * the network's last layer, and one for the predicted class. Columns that do not vary over the project's own recordings are omitted.
 * @returns a function that opens a folder of recordings, or by default the project's own recordings
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_UNFIT (a model of tables, or a forest)
 */
export async function openEmbeddings(project: Project): Promise<(source?: string) => Promise<Rows>> {
  const training = await readTraining(project);
  if (training.source.kind === 'table' || training.network.kind === 'forest') {
    const what = training.source.kind === 'table' ? 'a model of tables' : 'a forest';
    throw new AiotError('AIOT_MODEL_UNFIT', `expected a network trained on recordings, got ${what}`, {
      next: 'Compare the data itself: leave out --embeddings.',
    });
  }
  const { graph } = await readNetwork(buildFiles(project).float, floatStep(project, training));
  const embed = createEmbedding(graph, training.state);
  const rowsOf = (name: string, from: Rows['from'], dataset: Dataset) =>
    embedded(name, from, dataset, training, embed);
  const own = rowsOf(project.dir, 'project', await openDataset(project));
  const moving = new Set(
    own.features.flatMap((column) =>
      column.kind === 'number' && isMoving(column.values) ? [column.name] : [],
    ),
  );
  const chosen = (rows: Rows) => ({
    ...rows,
    features: rows.features.filter(({ name }) => moving.has(name)),
  });
  return async (source) => {
    if (source === undefined) return chosen(own);
    const isProject = await isFile(join(source, 'aiot.yaml'));
    const folder = isProject ? join(source, 'data') : source;
    return chosen(rowsOf(source, 'recordings', await openDataset(project, folder)));
  };
}

function isMoving(values: Float64Array): boolean {
  return values.some((value) => value !== values[0]);
}

function embedded(
  name: string,
  from: Rows['from'],
  { recordings }: Dataset,
  training: TrainingFile,
  embed: ReturnType<typeof createEmbedding>,
): Rows {
  const places: Float32Array[] = [];
  const predicted: number[] = [];
  const takes: number[] = [];
  const named = recordings.filter((recording) => recording.columns.length > 0);
  named.forEach((recording, take) => {
    for (const { place, output } of windowsOf(recording, training, embed)) {
      places.push(place);
      predicted.push(classOf(output, training));
      takes.push(take);
    }
  });
  if (places.length === 0)
    throw new AiotError('AIOT_DATA_EMPTY', `${name}: no recording is as long as one window of the model`);
  const { kind } = training.network.output;
  const hasClasses = kind === 'classes' || kind === 'probability';
  return {
    name,
    from,
    rows: places.length,
    features: Array.from(places[0]!, (_, i) => columnOf(`e${i + 1}`, places, i)),
    label: null,
    prediction: hasClasses ? wordsOf('prediction', predicted, training.classes) : null,
    take: wordsOf(
      'recording',
      takes,
      named.map(({ id }) => id),
    ),
    time: null,
    rateHz: training.signal.resampleHz / training.signal.strideSamples,
    ignored: [],
  };
}

function windowsOf(
  recording: Recording,
  { signal, standardization }: TrainingFile,
  embed: ReturnType<typeof createEmbedding>,
) {
  checkNumbers(recording);
  const rows = windowFeatures(signal, columnsFor(recording, signal));
  return embed(rows.map((row) => standardize(row, standardization, new Float32Array(row.length))));
}

/** The predicted class. @param output of the float network: for a probability, that of the second class */
export function classOf(output: Float32Array, { threshold, network }: TrainingFile): number {
  if (network.output.kind === 'probability') return output[0]! >= (threshold ?? 0.5) ? 1 : 0;
  return output.indexOf(Math.max(...output));
}

function columnOf(name: string, places: readonly Float32Array[], index: number): NumberColumn {
  const values = Float64Array.from(places, (place) => place[index]!);
  return { name, kind: 'number', values, missing: 0, words: 0, first: [] };
}

function wordsOf(name: string, codes: readonly number[], words: string[]): TextColumn {
  return { name, kind: 'text', codes: Int32Array.from(codes), words, missing: 0 };
}
