import { digestOf } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { readBytes, writeFileAtomic } from '../../core/files.js';
import { aiotVersion } from '../../core/folders.js';
import type { Project } from '../../core/project.js';
import { type ModelReference, modelReference, type ReferencePart } from '../../data/drift/model-reference.js';
import type { Recording } from '../../data/types.js';
import type { NetworkMode } from '../../formats/manifest/manifest.js';
import { type Graph, hasFrontEnd, hasState } from '../../formats/tflite/graph.js';
import { createPipeline } from '../../signal/pipeline.js';
import type { SignalSpec, Standardization } from '../../signal/spec.js';
import { type Built, readBuilt, stale } from '../build-folder.js';
import { gateFigures, requireSameDecision } from '../evaluate/evaluate-project.js';
import { type EvaluationFile, gatesFrom } from '../evaluate/gates.js';
import { macroF1Of } from '../evaluate/metrics.js';
import { buildFiles, modelName, readEvaluation } from '../files.js';
import { arenaOf, graphMacs } from '../inspect/costs.js';
import type { DataSource } from '../material.js';
import { extraOutputs } from '../network/join-ends.js';
import { columnsFor, unfit } from '../train/examples/examples.js';
import type { PartPieces } from '../train/examples/parts.js';
import type { TrainingFile } from '../train/types.js';
import { compareObjects, emptyCounts, meanF1 } from './detections.js';
import { encodeInput, endOf, modeOf, valuesOf } from './ends.js';
import { checkGolden, goldenVector, oneWindow, type Take } from './golden.js';
import { deviceInterpreter } from './interpreters.js';
import { isLong, isLongRaw, packBundle, unpackBundle } from './pack.js';
import { answeringOf, answerOf, withoutRejection } from './predictor.js';
import type { Provenance, RecordingPart } from './schema.js';
import type { Bundle, BundleInfo, End, Figures, GoldenVector } from './types.js';

interface BundleOptions extends DataSource {
  project: Project;
  /** Overrides the project's name for the model. */
  name?: string;
  /** The pipeline run to which this step belongs. */
  run?: Provenance['run'];
}

/**
 * Packs the evaluated network, its signal part, golden vectors from held-out data and its lineage into build/model.aiot. The evaluation's
 * metrics are recomputed, and the packed bundle is unpacked and run before the file is written.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_STALE, AIOT_MODEL_UNFIT, AIOT_GOLDEN_MISMATCH, AIOT_TFLITE_UNSUPPORTED
 */
export async function bundleProject(
  options: BundleOptions,
): Promise<{ file: string; bytes: Uint8Array; digest: string; bundle: Bundle }> {
  const { project } = options;
  const built = await readBuilt(project, options);
  const evaluation = await readEvaluation(project);
  if (evaluation.digest !== built.int8.digest || evaluation.datasetDigest !== built.dataset.digest) {
    throw stale('the quantized model or its data has changed since the evaluation', 'aiot model evaluate');
  }
  requireSameDecision(evaluation, project);
  const evaluationDigest = digestOf(await readBytes(buildFiles(project).evaluation));
  const mode = modeOf(built.int8.graph);
  const info = infoOf(built, evaluation, {
    name: options.name ?? modelName(project),
    mode,
    evaluationDigest,
  });
  requireFigures(built, info);
  const evaluated = { digest: evaluationDigest, vote: evaluation.vote };
  const reference = referenceOf(info, built);
  const lineage = {
    ...provenanceOf(built, mode, evaluated, options.run),
    ...(reference && { reference }),
  };
  const golden = goldenOf(built.int8.graph, info, built);
  const bytes = packBundle({ info, model: built.int8.bytes, golden, lineage });
  const bundle = unpackBundle(bytes);
  const { failures } = checkGolden(bundle);
  if (failures[0]) {
    const { recording, reason } = failures[0];
    throw new AiotError('AIOT_GOLDEN_MISMATCH', `golden vector of ${recording}: ${reason}`);
  }
  const file = buildFiles(project).bundle;
  await writeFileAtomic(file, bytes);
  return { file, bytes, digest: digestOf(bytes), bundle };
}

interface Named {
  name: string;
  mode: NetworkMode;
  evaluationDigest: string;
}

function infoOf({ training, int8 }: Built, evaluation: EvaluationFile, named: Named): BundleInfo {
  const extra = extraOutputs(int8.graph);
  const { float, int8: quantized, voted, vote, interval, intervals, groups, folds } = evaluation;
  // Gates are recomputed from the verified metrics, because those recorded in the file may have been edited.
  const gates = gatesFrom(evaluation.gates, gateFigures(evaluation));
  return {
    spec: 'aiot-bundle/2',
    kind: 'model',
    name: named.name,
    signal: training.signal,
    standardization: training.standardization,
    ...answeringOf(training, { vote, reject: evaluation.reject?.rule, costs: evaluation.costs }),
    // Networks without state run on earlier firmware, too.
    state: keepsState(int8.graph) ? training.state : undefined,
    quantization: { mode: named.mode },
    arenaBytes: runnable(evaluation),
    input: endOf(int8.graph, 'inputs'),
    output: endOf(int8.graph, 'outputs'),
    ...(extra.length > 0 && { extra }),
    metrics: { float, int8: { ...quantized, groups, interval, intervals }, voted, ...(folds && { folds }) },
    gates,
    evaluation: named.evaluationDigest,
    lineage: training.lineage,
  };
}

/** Arena size that the network needs on a device, in bytes. @throws AIOT_MODEL_UNFIT */
function runnable({ arenaBytes }: EvaluationFile): number {
  if (arenaBytes !== null) return arenaBytes;
  throw new AiotError(
    'AIOT_MODEL_UNFIT',
    'TFLite Micro, and therefore a device, does not support float16 and dynamic range',
    {
      next: 'Run `aiot model quantize --mode int8`, then `aiot model evaluate`.',
    },
  );
}

/**
 * A built model's lineage, as far as the build steps recorded it.
 * @param evaluation digest of build/evaluation.json, and the smoothing used in that evaluation
 * @param run the pipeline run to which this step belongs
 */
function provenanceOf(
  built: Built,
  mode: NetworkMode,
  evaluation: { digest: string; vote: string },
  run?: Provenance['run'],
): Provenance {
  const { training, dataset, rows, int8 } = built;
  const { lineage, network, split, backend } = training;
  const partOf = partsOf(split);
  return {
    spec: 'aiot-lineage/1',
    network: { digest: int8.digest, mode },
    float: { digest: training.digest },
    training: {
      kind: network.kind,
      configDigest: lineage.configDigest,
      seed: split.seed,
      epochs: training.history.length || null,
      bestEpoch: training.bestEpoch || null,
      backend: backend ?? null,
      tools: { aiot: lineage.aiot, 'aiot bundle': aiotVersion() },
      created: lineage.created,
    },
    evaluation,
    dataset: {
      name: dataset.name,
      digest: dataset.digest,
      source: rows ? 'table' : 'recordings',
      samples: lineage.dataset.samples,
    },
    recordings: rows
      ? null
      : dataset.recordings.map(({ id, label, device, startedAt, columns }) => ({
          id,
          label,
          device,
          part: partOf.get(id) ?? 'none',
          samples: columns[0]?.length ?? 0,
          startedAt,
        })),
    ...(run ? { run } : {}),
  };
}

/** Number of rows of a table that are summarized. */
const rowsSummarized = 200_000;

/** Statistics of the data that the model was built with, by class. Null if devices do not send the same signal as telemetry. */
function referenceOf({ signal, classes, labels }: BundleInfo, built: Built): ModelReference | null {
  if (signal.image || signal.mel || isLong(signal)) return null;
  const { dataset, training, rows } = built;
  const { fields, rateHz } = signal;
  if (rows) {
    const sampled = signal.windowSamples === 1 && signal.features === 'raw';
    return sampled ? modelReference(fields, rateHz, partsOfRows(built, fields.length)) : null;
  }
  const used = partsOf(training.split);
  const parts = dataset.recordings
    .filter(({ id }) => used.has(id))
    .map((recording): ReferencePart => {
      const own = classes.find((name) => recording.label !== null && labels[name]?.includes(recording.label));
      return { label: own ?? '', columns: columnsFor(recording, signal) };
    });
  return modelReference(fields, rateHz, parts);
}

/** The rows of a table by class, in their order. */
function partsOfRows({ part }: Built, width: number): ReferencePart[] {
  const byClass = new Map<number, number[][]>();
  let count = 0;
  for (const { inputs, inputSize, classes } of part('train').pieces()) {
    if (inputSize !== width) return [];
    for (const [row, c] of classes.entries()) {
      if (count++ === rowsSummarized) break;
      const columns = byClass.get(c) ?? Array.from({ length: width }, () => []);
      byClass.set(c, columns);
      for (let f = 0; f < width; f++) columns[f]!.push(inputs[row * inputSize + f]!);
    }
    if (count >= rowsSummarized) break;
  }
  return [...byClass].map(([c, columns]) => ({
    label: String(c),
    columns: columns.map((values) => Float64Array.from(values)),
  }));
}

function partsOf(split: TrainingFile['split']): Map<string, RecordingPart> {
  const of = (part: 'train' | 'validation' | 'test') => split[part].map((id) => [id, part] as const);
  return new Map<string, RecordingPart>([...of('train'), ...of('validation'), ...of('test')]);
}

/**
 * Golden vectors for a built model, several per class: first from the test data, then from data used only to choose the epoch.
 * @throws AIOT_TRAINING_DATA_UNFIT if a class has no window
 */
function goldenOf(graph: Graph, info: BundleInfo, built: Built): GoldenVector[] {
  const all = built.rows ? takesOfRows(info, built) : takesOfRecordings(info, built);
  // The inputs of a long raw window are as many as its samples, so one vector is large enough.
  const takes = isLongRaw(info.signal) ? all.slice(0, 1) : all;
  return takes.map((take, i) =>
    goldenVector(graph, info, isLong(info.signal) && i > 0 ? withoutSamples(take, info.signal) : take),
  );
}

function withoutSamples({ recording, samples, features }: Take, signal: SignalSpec): Take {
  const own = features ?? oneWindow(signal, samples);
  return own ? { recording, samples: [], features: own } : { recording, samples };
}

function takesOfRecordings(info: BundleInfo, { training, dataset }: Built): Take[] {
  const { test, validation } = training.split;
  const heldOut = [...test, ...validation].flatMap((id) => dataset.recordings.filter((r) => r.id === id));
  // In a split by window, part of every recording was used for training.
  const recordings = heldOut.length > 0 ? heldOut : dataset.recordings;
  if (info.classes.length === 0) {
    const chosen = chooseGolden(recordings, info, 2 * vectorsOf(info));
    if (chosen.length === 0) throw unfit('no held-out recording is as long as one window');
    return chosen;
  }
  const missing: string[] = [];
  const takes = info.classes.flatMap((name) => {
    const own = recordings.filter(
      ({ label, boxes = [] }) =>
        (label !== null && info.labels[name]?.includes(label)) ||
        boxes.some((box) => info.labels[name]?.includes(box.label)),
    );
    const chosen = chooseGolden(own, info);
    if (chosen.length === 0) missing.push(name);
    return chosen;
  });
  if (takes.length > 0 && info.answer.kind === 'reconstruction') return takes;
  // An anomaly model may have only unlabeled recordings of the normal state.
  if (info.answer.kind === 'reconstruction') return chooseGolden(recordings, info, 2 * vectorsOf(info));
  if (missing[0]) throw unfit(`class ${missing[0]} has no held-out recording as long as one window`);
  return takes;
}

/** If the signal consists of the table's columns, a row is a sample; otherwise it contains a window's features. */
function takesOfRows(info: BundleInfo, built: Built): Take[] {
  const { windowSamples, features, fields } = info.signal;
  const byClass = info.classes.length > 0;
  const groups = heldOutRows(built, byClass ? info.classes.length : 1, byClass);
  const width = groups.find((rows) => rows.length > 0)?.[0]?.inputs.length;
  const sampled = windowSamples === 1 && features === 'raw' && fields.length === width;
  const wanted = byClass ? vectorsPerClass : 2 * vectorsPerClass;
  return groups.flatMap((rows) => chooseGoldenRows(rows, info, sampled, wanted));
}

/**
 * The first rows of each class (or of all together), up to the limit. Test rows come before rows that were used to select the epoch.
 */
function heldOutRows(built: Built, groups: number, byClass: boolean) {
  const found = Array.from({ length: groups }, (): { name: string; inputs: Float32Array }[] => []);
  for (const part of ['test', 'validation'] as const) {
    for (const { inputs, inputSize, classes, recordings } of built.part(part).pieces()) {
      classes.forEach((c, row) => {
        const own = found[byClass ? c : 0]!;
        if (own.length === rowsTried) return;
        own.push({ name: recordings[row]!, inputs: inputs.slice(row * inputSize, (row + 1) * inputSize) });
      });
      if (found.every((rows) => rows.length === rowsTried)) return found;
    }
  }
  return found;
}

const vectorsPerClass = 3;

function vectorsOf({ signal }: Pick<BundleInfo, 'signal'>): number {
  return isLong(signal) ? 1 : vectorsPerClass;
}

/** Offsets tried in each recording. */
const offsetsPerRecording = 4;

/** Maximum number of table rows per class that are searched for unambiguous vectors. */
const rowsTried = 64;

/** Minimum distance of an input from the next rounding step, in steps. Closer inputs may round differently in single precision. */
const tieMargin = 1e-4;

interface Ready {
  signal: SignalSpec;
  standardization: Standardization;
  input: End;
}

/**
 * One-window excerpts from held-out recordings of one class, taken from different recordings first. Inputs far from a rounding step are
 * preferred, because a chip that computes in single precision produces the same bytes for them.
 */
function chooseGolden(recordings: Recording[], parts: Ready, wanted = vectorsOf(parts)): Take[] {
  const count = samplesOfOneWindow(parts.signal);
  const clear: Take[] = [];
  const others: Take[] = [];
  for (let turn = 0; turn < offsetsPerRecording && clear.length < wanted; turn++) {
    for (const recording of recordings) {
      if (clear.length === wanted) break;
      const room = (recording.columns[0]?.length ?? 0) - count;
      if (room < 0) continue;
      const offset = Math.floor((room * turn) / offsetsPerRecording);
      if (turn > 0 && offset === Math.floor((room * (turn - 1)) / offsetsPerRecording)) continue;
      const samples = slice(recording, parts.signal, offset, count);
      const take = { recording: recording.id, samples };
      (isClear(oneWindow(parts.signal, samples), parts) ? clear : others).push(take);
    }
  }
  return [...clear, ...others].slice(0, wanted);
}

/**
 * Like `chooseGolden`, but for table rows, which are model inputs without further processing.
 * @param sampled whether a row is one sample of the signal; otherwise, it contains features whose samples are unknown
 */
function chooseGoldenRows(
  rows: { name: string; inputs: Float32Array }[],
  parts: Ready,
  sampled: boolean,
  wanted = vectorsPerClass,
): Take[] {
  const clear: Take[] = [];
  const others: Take[] = [];
  for (const { name, inputs } of rows) {
    if (clear.length === wanted) break;
    const take = { recording: name, samples: sampled ? [Array.from(inputs)] : [], features: inputs };
    (isClear(inputs, parts) ? clear : others).push(take);
  }
  return [...clear, ...others].slice(0, wanted);
}

/** Samples at `rateHz` that fill the first window after a reset. */
function samplesOfOneWindow(signal: SignalSpec): number {
  const pipeline = createPipeline(signal);
  const sample = signal.fields.map(() => 1);
  let count = 1;
  while (!pipeline.push(sample)) count++;
  return count;
}

/** An excerpt of a recording, rounded to six significant digits: more precise than any sensor, yet small enough for a bundle. */
function slice(recording: Recording, signal: SignalSpec, offset: number, count: number): number[][] {
  const columns = columnsFor(recording, signal);
  return Array.from({ length: count }, (_, i) =>
    columns.map((column) => Number(column[offset + i]!.toPrecision(6))),
  );
}

/** Whether every input is far from a rounding step. Float inputs are never rounded, so they always are. */
function isClear(features: ArrayLike<number> | null, { standardization, input }: Ready): boolean {
  if (!features) return false;
  if (input.type === 'float32') return true;
  const { mean, deviation } = standardization;
  for (let i = 0; i < features.length; i++) {
    const steps = (features[i]! - mean[i]!) / deviation[i]! / input.scale;
    if (Math.abs(steps - Math.floor(steps) - 0.5) <= tieMargin) return false;
  }
  return true;
}

/** Maximum number of multiply-adds; the interpreter takes about a second for them. */
const budget = 2e8;

/** Relative tolerance of a metric, because the order of summation may differ. */
const tolerance = 1e-4;

/**
 * Recomputes the metrics of the quantized network on the original data, because a file that claims that gates have passed is easily forged.
 * If recomputing all of them would take too long, only some rows are checked, and the recorded metrics must be consistent with these rows.
 * @throws AIOT_MODEL_STALE if the metrics are not this network's
 */
function requireFigures(built: Built, info: BundleInfo): void {
  const { float, int8, voted } = info.metrics;
  for (const figures of [float, int8, voted]) if (figures) requireSum(figures);
  const arena = arenaOf(built.int8.graph);
  if (arena !== info.arenaBytes) throw wrong(`arena: expected ${arena} bytes, got ${info.arenaBytes}`);
  const test = built.part('test');
  const windows = test.count;
  if (windows !== int8.windows) throw wrong(`expected ${windows} windows, got ${int8.windows}`);
  if (info.answer.kind === 'objects') {
    requireObjects(test, built.int8.graph, info);
    return;
  }
  const counted = countAgain(test, built.int8.graph, info);
  if (int8.confusion) requireConfusion(counted, int8.confusion);
  if (counted.meanError === null || counted.rows < windows || typeof int8.mae !== 'number') return;
  if (isNear(counted.meanError, int8.mae)) return;
  throw wrong(`mean error: expected ${counted.meanError}, got ${int8.mae}`);
}

/** Recomputes the metrics of the objects on all pictures. @throws AIOT_MODEL_STALE if they differ */
function requireObjects({ pieces }: PartPieces, graph: Graph, info: BundleInfo): void {
  const { answer, metrics } = info;
  if (answer.kind !== 'objects') return;
  const interpreter = deviceInterpreter(graph);
  const counts = emptyCounts(info.classes.length);
  let right = 0;
  for (const { inputs, inputSize, objects = [] } of pieces()) {
    const input = valuesOf(info.input, inputSize);
    for (const [row, truth] of objects.entries()) {
      const features = inputs.subarray(row * inputSize, (row + 1) * inputSize);
      const output = interpreter.invoke(encodeInput(features, info.standardization, info.input, input));
      const { objects: found = [] } = answerOf(info, output, features);
      if (compareObjects(found, truth, answer, counts)) right++;
    }
  }
  const { windows, accuracy = 0, macroF1 = 0 } = metrics.int8;
  if (!isNear(macroF1, meanF1(counts))) throw wrong(`F1: expected ${meanF1(counts)}, got ${macroF1}`);
  if (!isNear(accuracy * windows, right))
    throw wrong(`pictures without error: expected ${right}, got ${accuracy * windows}`);
}

interface Counted {
  /** Number of rows checked. */
  rows: number;
  confusion: number[][] | null;
  /** Mean absolute error, if the network predicts values. */
  meanError: number | null;
}

function keepsState(graph: Graph): boolean {
  return hasState(graph) || hasFrontEnd(graph);
}

function countAgain({ count, pieces }: PartPieces, graph: Graph, info: BundleInfo): Counted {
  const each = graphMacs(graph);
  // The state of a network depends on every earlier window, so only the first rows are checked instead of some of all rows.
  const keeps = keepsState(graph);
  const step = keeps ? 1 : Math.max(1, Math.ceil((each * count) / budget));
  const most = keeps ? Math.max(1, Math.floor(budget / each)) : count;
  const interpreter = deviceInterpreter(graph);
  const names = info.classes.length;
  // Rejected windows count toward the class that was predicted, as in the evaluation.
  const closed = { ...info, answer: withoutRejection(info.answer) };
  const confusion = Array.from({ length: names }, () => new Array<number>(names).fill(0));
  let [rows, error, before] = [0, 0, 0];
  let recording: string | undefined;
  for (const { inputs, inputSize, classes, values, recordings } of pieces()) {
    const input = valuesOf(info.input, inputSize);
    for (let row = rows * step - before; row < classes.length && rows < most; row += step, rows++) {
      if (info.state === 'window' || recordings[row] !== recording) interpreter.reset();
      recording = recordings[row];
      const features = inputs.subarray(row * inputSize, (row + 1) * inputSize);
      const output = interpreter.invoke(encodeInput(features, info.standardization, info.input, input));
      const { index, value } = answerOf(closed, output, features);
      if (names > 0) confusion[classes[row]!]![index ?? 0]! += 1;
      if (values && value !== null) error += Math.abs(value - values[row]!);
    }
    before += classes.length;
  }
  if (names === 0) return { rows, confusion: null, meanError: rows === 0 ? 0 : error / rows };
  return { rows, confusion, meanError: null };
}

function requireConfusion({ confusion, rows }: Counted, told: number[][]): void {
  const whole = sum(told) === rows;
  const fits = confusion?.every((row, t) =>
    row.every((count, p) => (whole ? count === told[t]?.[p] : count <= (told[t]?.[p] ?? 0))),
  );
  if (fits) return;
  throw wrong(`over ${rows} windows: expected ${JSON.stringify(confusion)}, got ${JSON.stringify(told)}`);
}

/** Accuracy and macro-F1 must match the confusion matrix recorded beside them. */
function requireSum({ confusion, accuracy, macroF1, windows }: Figures): void {
  if (!confusion) return;
  const right = confusion.reduce((all, row, c) => all + (row[c] ?? 0), 0);
  const told = { windows, accuracy: (accuracy ?? 0) * windows, macroF1: macroF1 ?? 0 };
  const counted = { windows: sum(confusion), accuracy: right, macroF1: macroF1Of(confusion) };
  for (const name of ['windows', 'accuracy', 'macroF1'] as const) {
    if (!isNear(told[name], counted[name])) {
      throw wrong(`${name}: expected ${counted[name]} according to the confusion matrix, got ${told[name]}`);
    }
  }
}

function sum(rows: number[][]): number {
  return rows.flat().reduce((a, b) => a + b, 0);
}

function isNear(a: number, b: number): boolean {
  return Math.abs(a - b) <= tolerance * Math.max(1e-6, Math.abs(a), Math.abs(b));
}

function wrong(message: string) {
  return stale(`the metrics in evaluation.json do not match the model: ${message}`, 'aiot model evaluate');
}
