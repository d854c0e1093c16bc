import { AiotError } from '../../core/errors.js';
import { seededRandom, shuffled } from '../../core/numbers.js';
import { missingLabels, openTable } from '../../data/tables/table.js';
import { type Graph, hasState } from '../../formats/tflite/graph.js';
import { importTflite } from '../../formats/tflite/read.js';
import { featureNames, type ImageSpec, inputShape, type SignalSpec } from '../../signal/spec.js';
import { readBuilt } from '../build-folder.js';
import { mapLabels, valuesOfLabels } from '../evaluate/labels.js';
import { sharesOf } from '../evaluate/metrics.js';
import {
  openNetwork,
  predictRows,
  type RunningNetwork,
  type Sessions,
  sessionsOf,
} from '../evaluate/predict.js';
import { type OutputKind, outputKindOf } from '../evaluate/result.js';
import { rowsFor } from '../evaluate/rows.js';
import { type Answers, judge, reconstructionErrors } from '../evaluate/verdict.js';
import { type DataSource, openModelProject } from '../material.js';
import { isMainOutput } from '../network/join-ends.js';
import { standardizeAll } from '../train/examples/standardize.js';
import { type Explanation, saveExplanation } from './explanation.js';
import { readModelFile } from './model-file.js';

/** Options of `model explain`, as text. */
interface ExplainRequest {
  file?: string;
  project: string;
  data?: string;
  label?: string;
  output?: OutputKind;
  outputName?: string;
  classes?: string;
  seed?: number;
  repeats?: number;
  signal?: AbortSignal;
}

/** Explains a file on a table, or the project's network. @throws AIOT_USAGE, and any error of explainFile and explainProject */
export async function explainRequest(request: ExplainRequest): Promise<Explanation> {
  const { file, project, data, label, classes, ...rest } = request;
  if (file === undefined) {
    const { output, outputName, ...options } = rest;
    const given = { output, 'output-name': outputName, classes };
    const [misplaced] = Object.entries(given).find(([, value]) => value !== undefined) ?? [];
    if (misplaced !== undefined)
      throw new AiotError('AIOT_USAGE', `--${misplaced} needs a model file`, {
        next: `Pass the file too: \`aiot model explain FILE.tflite --data rows.csv --${misplaced} …\`.`,
      });
    return await explainProject(project, { data, label }, options);
  }
  if (data === undefined)
    throw new AiotError('AIOT_USAGE', `rows are needed to explain ${file}`, {
      next: `Pass rows to explain it on: \`aiot model explain ${file} --data rows.csv\`.`,
    });
  return await explainFile({ ...rest, file, data, label, classes: classes?.split(',') });
}

interface ExplainOptions {
  /** Seed of the permutations; an integer from 0. */
  seed?: number;
  repeats?: number;
  signal?: AbortSignal;
}

/** Maximum number of inferences; this many take a few seconds. */
const budget = 150_000;

/**
 * Explains a project's quantized network on its test set, and writes build/explanation.json for the report.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_STALE, AIOT_TRAINING_DATA_UNFIT
 */
async function explainProject(
  dir: string,
  source: DataSource,
  options: ExplainOptions,
): Promise<Explanation> {
  const project = await openModelProject(dir, source.data);
  const built = await readBuilt(project, source);
  const { training, int8 } = built;
  const test = built.examples('test');
  // LiteRT cannot reset variables.
  const network = await openNetwork(int8.bytes, hasState(int8.graph) ? 'device' : 'litert');
  try {
    const subject: Subject = {
      kind: training.network.output.kind,
      network,
      inputs: standardizeAll(test, training.standardization),
      ...stateOf(int8.graph, test.classes.length, test.recordings, training.state),
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

interface ExplainFileOptions extends ExplainOptions {
  file: string;
  data: string;
  label?: string;
  output?: OutputKind;
  /** Which of several outputs; default: the only one. */
  outputName?: string;
  classes?: readonly string[];
}

/**
 * Explains a .tflite or .aiot file on the rows of a table.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_TFLITE_*, AIOT_CSV_*, AIOT_DATA_COLUMNS, AIOT_LABELS_UNFIT
 */
async function explainFile(options: ExplainFileOptions): Promise<Explanation> {
  const { file, data, label, outputName } = options;
  const model = await readModelFile(file);
  const { graph, metadata } = importTflite(model.network);
  const table = await openTable(data, { label });
  if (table.labels === null) throw missingLabels(data, label ?? 'label', table.columns);
  // A bundle describes the output that predicts, not another one.
  const info = isMainOutput(graph, outputName) ? model.bundle?.info : undefined;
  const answer = info?.answer;
  const network = await openNetwork(model.network, hasState(graph) ? 'device' : undefined, outputName);
  try {
    const kind = options.output ?? answer?.kind ?? outputKindOf(network.graph, table.labels);
    const { inputs } = rowsFor(table, data, network.inputs, model.bundle, metadata);
    const names = options.classes ?? info?.classes ?? null;
    const isValue = kind === 'value';
    const labelled = isValue
      ? { truth: new Int32Array(table.rows), values: valuesOfLabels(table.labels), classes: [] }
      : mapLabels(table.labels, kind === 'classes' ? network.outputs : 2, names);
    const threshold = answer && 'threshold' in answer ? answer.threshold : null;
    const layout = layoutOfFile(graph, table.columns);
    const state = stateOf(graph, table.rows, table.groups ?? undefined, model.bundle?.info.state);
    const subject = { ...labelled, ...state, kind, network, inputs, threshold, layout };
    return explain(subject, file, model.digest, options);
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

/**
 * Permutation importance: how much the metric worsens when one feature's values (all its inputs together) are shuffled among the rows.
 * Redundant features share their importance, because the network can derive one from another. Source: Breiman, "Random Forests", 2001;
 * model-agnostic as in Fisher, Rudin and Dominici, 2019.
 */
function permutationImportance(
  subject: Subject,
  metric: Metric,
  base: number,
  repeats: number,
  seed: number,
  signal?: AbortSignal,
): Explanation['importance'] {
  const { inputs, layout, network, truth } = subject;
  const width = network.inputs;
  const random = seededRandom(seed);
  const rows = Array.from(truth, (_, row) => row);
  const found = layout.groups.map(({ name, inputs: places }) => {
    const losses = Array.from({ length: repeats }, () => {
      const from = shuffled(rows, random);
      const changed = inputs.slice();
      for (let row = 0; row < rows.length; row++)
        for (const place of places) changed[row * width + place] = inputs[from[row]! * width + place]!;
      const score = scoreOf(subject, changed, metric, signal);
      return metric === 'mae' ? score - base : base - score;
    });
    const loss = losses.reduce((a, b) => a + b, 0) / repeats;
    const variance = losses.reduce((sum, one) => sum + (one - loss) ** 2, 0) / Math.max(1, repeats - 1);
    return { feature: name, inputs: places.length, loss, deviation: Math.sqrt(variance) };
  });
  return found.sort((a, b) => b.loss - a.loss);
}

/** Maximum number of segments into which a window is divided. */
const mostParts = 20;

interface Part {
  name: string;
  /** Inputs of each field (for features: of the single row). */
  inputs: number[][];
}

/**
 * Occlusion: each part of the input is replaced by the part's mean over the rows. The drop in the true class's probability is averaged over
 * that class's rows. Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2014.
 */
function occlusionSaliency(subject: Subject, signal?: AbortSignal): Explanation['saliency'] {
  const { inputs, network, truth, kind } = subject;
  const { fields, parts, over } = partsOf(subject.layout);
  const width = network.inputs;
  const mean = meansOf(inputs, width);
  const before = scores(subject, inputs, signal);
  const names = kind === 'value' ? ['the value'] : subject.classes;
  const members = names.map((_, c) => rowsOf(truth, kind === 'value' ? null : c));
  const values = names.map(() => fields.map(() => parts.map(() => 0)));
  parts.forEach((part, p) => {
    fields.forEach((_, f) => {
      const changed = inputs.slice();
      for (let row = 0; row < truth.length; row++)
        for (const place of part.inputs[f]!) changed[row * width + place] = mean[place]!;
      const after = scores(subject, changed, signal);
      members.forEach((rows, c) => {
        const lost = rows.reduce((sum, row) => sum + (before[row]! - after[row]!), 0);
        values[c]![f]![p] = rows.length === 0 ? 0 : lost / rows.length;
      });
    });
  });
  return {
    over,
    fields,
    parts: parts.map(({ name }) => name),
    classes: names.map((name, c) => ({ class: name, n: members[c]!.length, values: values[c]! })),
  };
}

function partsOf({ groups, window }: Layout): { fields: string[]; parts: Part[]; over: 'time' | 'features' } {
  if (window === null) {
    const parts = groups.map(({ name, inputs }) => ({ name, inputs: [inputs] }));
    return { fields: [''], parts, over: 'features' };
  }
  const { fields, samples, rateHz } = window;
  const count = Math.min(mostParts, samples);
  const parts = Array.from({ length: count }, (_, p) => {
    const [from, to] = [Math.floor((p * samples) / count), Math.floor(((p + 1) * samples) / count)];
    const name = rateHz === null ? `sample ${from}` : `${(from / rateHz).toFixed(2)} s`;
    const inputs = fields.map((_, f) =>
      Array.from({ length: to - from }, (__, i) => (from + i) * fields.length + f),
    );
    return { name, inputs };
  });
  return { fields, parts, over: 'time' };
}

/** The score that each row can lose: the true class's probability, the value, or the negated reconstruction error. */
function scores(
  { network, kind, truth, sessions }: Subject,
  inputs: Float32Array,
  signal?: AbortSignal,
): ArrayLike<number> {
  const outputs = predictRows(network, inputs, signal, 0, sessions);
  const width = network.outputs;
  if (kind === 'reconstruction') return reconstructionErrors(inputs, outputs, width).map((error) => -error);
  if (kind === 'value') return Float64Array.from(truth, (_, row) => outputs[row * width]!);
  if (kind === 'probability')
    return Float64Array.from(truth, (c, row) => (c === 1 ? outputs[row]! : 1 - outputs[row]!));
  const shares = sharesOf(outputs, width);
  return Float64Array.from(truth, (c, row) => shares[row * width + c]!);
}

function meansOf(inputs: Float32Array, width: number): Float64Array {
  const mean = new Float64Array(width);
  const rows = inputs.length / width;
  for (let i = 0; i < inputs.length; i++) mean[i % width]! += inputs[i]! / rows;
  return mean;
}

function rowsOf(truth: Int32Array, wanted: number | null): number[] {
  return Array.from(truth, (_, row) => row).filter((row) => wanted === null || truth[row] === wanted);
}

/** A network, and the labeled rows on which it is explained. */
interface Subject extends Pick<Answers, 'kind' | 'truth' | 'values' | 'classes' | 'threshold'> {
  network: RunningNetwork;
  /** [rows × network.inputs]: the network's inputs. */
  inputs: Float32Array;
  /** The rows over which a network keeps its state; absent for a network without state. */
  sessions?: Sessions | undefined;
  layout: Layout;
}

/** The sessions of a network's rows. Without recordings, all rows are one recording. @param state see TrainingFile */
function stateOf(
  graph: Graph,
  rows: number,
  recordings: readonly string[] = new Array<string>(rows).fill(''),
  state?: 'window',
): Pick<Subject, 'sessions'> {
  return hasState(graph) ? { sessions: sessionsOf(recordings, state) } : {};
}

type Metric = 'macroF1' | 'auc' | 'mae';

/** The metric used for these rows. */
function metricOf({ kind, threshold }: Subject): Metric {
  if (kind === 'value') return 'mae';
  return kind === 'reconstruction' && threshold === null ? 'auc' : 'macroF1';
}

/** The metric from `metricOf`, with these inputs instead of the rows' own. */
function scoreOf(subject: Subject, inputs: Float32Array, metric: Metric, signal?: AbortSignal): number {
  const outputs = predictRows(subject.network, inputs, signal, 0, subject.sessions);
  const verdict = judge({ ...subject, inputs, outputs, width: subject.network.outputs, resample: false });
  return verdict[metric] ?? 0;
}

/**
 * A random sample of `most` of the rows, in order, if there are more; deterministic for each seed. If the network's state lasts for a
 * recording, recordings are sampled from their start, because a window's prediction depends on all windows before it. The last one chosen is
 * cut off where the sample is complete.
 */
function thinned(subject: Subject, most: number, seed: number): Subject {
  const { truth, inputs, values, network } = subject;
  if (truth.length <= most) return subject;
  const sessions = typeof subject.sessions === 'object' ? numbered(subject.sessions) : subject.sessions;
  const rows = sampleRows(truth.length, most, seed, sessions);
  const width = network.inputs;
  const picked = new Float32Array(rows.length * width);
  rows.forEach((row, i) => {
    picked.set(inputs.subarray(row * width, (row + 1) * width), i * width);
  });
  const each = values ? values.length / truth.length : 0;
  return {
    ...subject,
    inputs: picked,
    ...(typeof sessions === 'object' && { sessions: rows.map((row) => sessions[row]!) }),
    truth: Int32Array.from(rows, (row) => truth[row]!),
    values:
      values &&
      Float64Array.from(
        rows.flatMap((row) => Array.from({ length: each }, (_, i) => values[row * each + i]!)),
      ),
  };
}

/** Sessions by number. A session that is interrupted by another one starts anew, which must remain so if that other one is left out. */
function numbered(sessions: readonly string[]): string[] {
  let number = 0;
  return sessions.map((own, row) => {
    if (row > 0 && own !== sessions[row - 1]) number += 1;
    return String(number);
  });
}

function sampleRows(count: number, most: number, seed: number, sessions?: Sessions): number[] {
  const random = seededRandom(seed);
  const all = Array.from({ length: count }, (_, row) => row);
  if (sessions === undefined || sessions === 'each')
    return shuffled(all, random)
      .slice(0, most)
      .sort((a, b) => a - b);
  const starts = all.filter((row) => row === 0 || sessions[row] !== sessions[row - 1]);
  const runs = starts.map((from, i) => ({ from, to: starts[i + 1] ?? count }));
  let left = most;
  const taken = shuffled(runs, random).flatMap(({ from, to }) => {
    const rows = all.slice(from, Math.min(to, from + left));
    left -= rows.length;
    return rows;
  });
  return taken.sort((a, b) => a - b);
}

/** Meaning of a network's inputs. */
interface Layout {
  /** Inputs that are permuted together: a field over the whole window, or one feature. */
  groups: { name: string; inputs: number[] }[];
  /** Layout of inputs for windows, [sample][field]; null if inputs are features. */
  window: { fields: string[]; samples: number; rateHz: number | null } | null;
}

/** Meaning of a project's inputs: raw windows by field and time, spectrograms by band and time, pictures by part, or features by name. */
function layoutOfSignal(signal: SignalSpec, names: readonly string[]): Layout {
  const { fields, windowSamples, resampleHz, mel } = signal;
  if (mel) {
    const [frames = 1, bands = 1] = inputShape(signal);
    const named = names.slice(0, bands).map((name) => name.replace(/\[0\]$/, ''));
    return layoutOfWindow(named, frames, resampleHz / mel.hopSamples);
  }
  if (signal.image) return layoutOfPicture(signal.image, fields.length);
  if (signal.features !== 'raw' || windowSamples === 1) return layoutOfColumns(names);
  return layoutOfWindow([...fields], windowSamples, resampleHz);
}

/** Number of parts on each side of a picture. */
const pictureParts = 4;

/** A picture's inputs in 4 × 4 parts, which are permuted one by one, because single pixels have hardly any influence. */
function layoutOfPicture({ width, height }: ImageSpec, channels: number): Layout {
  const groups = Array.from({ length: pictureParts ** 2 }, (_, g) => ({
    name: `row ${Math.floor(g / pictureParts) + 1}, column ${(g % pictureParts) + 1}`,
    inputs: [] as number[],
  }));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const row = Math.floor((y * pictureParts) / height);
      const own = groups[row * pictureParts + Math.floor((x * pictureParts) / width)]!;
      for (let c = 0; c < channels; c++) own.inputs.push((y * width + x) * channels + c);
    }
  }
  return { groups, window: null };
}

/** Meaning of a file's inputs: a single input of rank 3 or more is a window [.., time, field]; all others are features. */
function layoutOfFile(graph: Graph, columns: readonly string[]): Layout {
  if (graph.inputs.length > 1) return layoutOfColumns(columns);
  const { shape } = graph.tensors[graph.inputs[0]!]!;
  const fields = shape.at(-1) ?? 1;
  if (shape.length < 3 || columns.length === fields) return layoutOfColumns(columns);
  const names = Array.from({ length: fields }, (_, f) => `field ${f}`);
  return layoutOfWindow(names, columns.length / fields, null);
}

function layoutOfColumns(names: readonly string[]): Layout {
  return { groups: names.map((name, i) => ({ name, inputs: [i] })), window: null };
}

function layoutOfWindow(fields: string[], samples: number, rateHz: number | null): Layout {
  const groups = fields.map((name, f) => ({
    name,
    inputs: Array.from({ length: samples }, (_, sample) => sample * fields.length + f),
  }));
  return { groups, window: { fields, samples, rateHz } };
}
