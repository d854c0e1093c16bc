import { canonicalJson } from '../../core/crypto.js';
import { writeJsonAtomic } from '../../core/files.js';
import type { Project } from '../../core/project.js';
import { elementCount, type Graph, hasForest, hasFrontEnd, hasState } from '../../formats/tflite/graph.js';
import { type Built, readBuilt, stale } from '../build-folder.js';
import type { ObjectPoint } from '../bundle/detections.js';
import { decode, encodeInput, endOf, valuesOf } from '../bundle/ends.js';
import { deviceInterpreter } from '../bundle/interpreters.js';
import { answeringOf, evenOdds } from '../bundle/predictor.js';
import type { RejectSpec } from '../bundle/types.js';
import { buildFiles, readFolds } from '../files.js';
import { arenaOf, graphMacs, precisionOf, refusalOfDevice, refuseOffDevice } from '../inspect/costs.js';
import type { DataSource } from '../material.js';
import { mainOutput } from '../network/join-ends.js';
import { unfit } from '../train/examples/examples.js';
import type { PartPieces } from '../train/examples/parts.js';
import { partLetters } from '../train/examples/row-split.js';
import { standardizeAll } from '../train/examples/standardize.js';
import type { TrainingFile } from '../train/types.js';
import { costMatrix, voteAll } from '../vote.js';
import { type EvaluationFile, type GateName, gateError, gatesFrom, type Limit, limitsOf } from './gates.js';
import { metricsOf } from './metrics.js';
import { inPieces, openNetwork, type RunningNetwork, type Runtime } from './predict.js';
import { type Outputs, rejectionOf } from './rejection.js';
import type { EvaluateResult, NetworkFigures, Verdict, Worst, WorstWindow } from './result.js';
import { sensorDrop } from './sensor-drop.js';
import {
  evaluateStream,
  type HeardStream,
  hearStream,
  lateSecondsOf,
  thresholdsFor,
  validationMinutes,
} from './stream.js';
import { costFigures, judge, reconstructionErrors } from './verdict.js';

interface EvaluateOptions extends DataSource {
  project: Project;
  /** Runtime of the quantized network whose metrics come first. Default: `device`, or `litert` if the network cannot run on a device. */
  runtime?: Runtime;
  /** Limits in addition to those of model.accept. */
  limits?: readonly Limit[];
  /** Whether to repeat the evaluation with each field missing in turn. */
  sensorDrop?: boolean | undefined;
  /** Also simulates a continuous stream from the test recordings. */
  stream?: { minutes: number; background?: string | undefined } | undefined;
  signal?: AbortSignal;
}

/**
 * Evaluates the float and the quantized network on the test set, which was never used for training, and writes build/evaluation.json. A
 * failed gate does not throw: `gateError(result.gates)` is the error.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_STALE, AIOT_TRAINING_DATA_UNFIT (no test window), AIOT_TFLITE_UNSUPPORTED, and for a stream any
 *   error of `evaluateStream`
 */
export async function evaluateProject(options: EvaluateOptions): Promise<EvaluateResult> {
  const { project, signal, limits = [] } = options;
  const { vote, accept, reject } = project.config.model;
  const built = await readBuilt(project, options);
  const { training, int8, dataset } = built;
  const costs = costMatrix(project.config.model.costs, training.classes);
  const test = built.part('test');
  if (test.count === 0) throw unfit('the test set is empty: its recordings are shorter than one window');
  const folds = await readFolds(project, training);
  const runs = refusalOfDevice(int8.graph) === null;
  const runtime = options.runtime ?? (runs ? 'device' : 'litert');
  const outputs = await runBuilt(built, test, { onDevice: runs || runtime === 'device', runtime }, signal);
  const verdictOf = (of: Said, resample: boolean) =>
    judge({ ...rowsOf(built, outputs), costs, outputs: of, resample });
  const onDevice = outputs.device ?? outputs.litert;
  const first = verdictOf(runtime === 'device' ? onDevice : outputs.litert, true);
  const [float, device, litert] = [outputs.float, onDevice, outputs.litert].map((of) => verdictOf(of, false));
  const { predicted, worst, ...figures } = first;
  const measured = {
    float: networkFigures(float!),
    int8: networkFigures(device!),
    arenaBytes: arenaOf(int8.graph),
    bytes: int8.bytes.length,
    macs: graphMacs(int8.graph),
  };
  const gates = gatesFrom([...limitsOf(accept), ...limits], gateFigures(measured));
  const { rejecting, drops, heard } = await extrasOf(built, runs, costs, options);
  const result: EvaluateResult = {
    model: training.model,
    network: int8.file,
    digest: int8.digest,
    datasetDigest: dataset.digest,
    precision: precisionOf(int8.graph),
    unit: training.source.kind === 'table' ? 'row' : 'window',
    output: training.network.output.kind,
    runtime,
    ...figures,
    ...measured,
    litert: onlyHere(int8.graph) !== null ? null : networkFigures(litert!),
    voted:
      predicted && isVoted(outputs)
        ? votedFigures(built, outputs, { predicted: device!.predicted ?? predicted, vote, costs })
        : null,
    rejection: rejecting?.rejection ?? null,
    cost: costs ? costFigures({ ...rowsOf(built, outputs), outputs: onDevice }, costs) : null,
    sensorDrop: drops,
    baseline: baselineOf(training),
    folds: folds && { ...folds.together, voted: folds.vote === vote ? folds.together.voted : null },
    agreement: onlyHere(int8.graph) !== null ? null : agreementOf(device!.predicted, litert!.predicted),
    worst: worstWindows(worst, outputs.groups, built),
    ...(options.stream && {
      stream: evaluateStream(built, {
        ...options.stream,
        background: options.stream.background ?? reject?.background,
        ...{ vote, costs, reject: rejecting?.rule, validation: heard ?? undefined },
        seed: project.config.model.train.seed,
        signal,
      }),
    }),
    gates,
    passed: gates.every(({ passed }) => passed),
    warnings: sentences(built, outputs, figures),
    error: gateError(gates)?.toJSON() ?? null,
  };
  const rule = rejecting && reject ? { asked: reject, rule: rejecting.rule } : null;
  const file: EvaluationFile = {
    ...{ spec: 'aiot-evaluation/2', vote, reject: rule, ...(costs && { costs }) },
    ...result,
  };
  await writeJsonAtomic(buildFiles(project).evaluation, file);
  return result;
}

/** The linear model's metrics, which training measured on the same test set. */
function baselineOf({ baseline }: TrainingFile): EvaluateResult['baseline'] {
  const { testAccuracy = null, testRmse = null } = baseline ?? {};
  return testAccuracy === null && testRmse === null ? null : { accuracy: testAccuracy, rmse: testRmse };
}

/** The rows' true classes or values, in the form that `judge` accepts. */
function rowsOf({ training }: Built, { classes, values, objects, groups, width }: BuiltOutputs) {
  const { output } = training.network;
  const { image } = training.signal;
  return {
    objects:
      output.kind === 'objects' && image
        ? { truth: objects, layout: { grid: output.grid, picture: image } }
        : undefined,
    kind: training.network.output.kind,
    truth: classes,
    values: values ?? undefined,
    classes: training.classes,
    threshold: training.threshold,
    groups,
    width,
    // Reconstruction errors are already known, and inputs have no further use.
    inputs: null,
  };
}

function votedFigures(
  { training }: Built,
  { classes: truth, groups, device, litert }: BuiltOutputs,
  { predicted, vote, costs }: { predicted: Int32Array; vote: string; costs: number[] | undefined },
): NetworkFigures {
  const { answer } = answeringOf(training, { vote, costs });
  const outputs = device ?? litert;
  const own = outputs.length / truth.length;
  const ballotOf = (row: number) => {
    const scores = outputs.subarray(row * own, (row + 1) * own);
    return {
      index: predicted[row]!,
      scores: answer.kind === 'probability' ? [1 - scores[0]!, scores[0]!] : scores,
    };
  };
  return metricsOf(truth, voteAll(groups ?? [], ballotOf, { vote, answer }), training.classes.length);
}

/** Whether predictions are smoothed, which they are not if all rows are independent. */
function isVoted({ groups }: BuiltOutputs): boolean {
  return groups !== null && new Set(groups).size < groups.length;
}

function agreementOf(a: Int32Array | null, b: Int32Array | null): number | null {
  if (!a || !b) return null;
  let same = 0;
  for (let row = 0; row < a.length; row++) if (a[row] === b[row]) same++;
  return same / a.length;
}

/** Warnings about the metrics. Leaks come first, because they make every metric meaningless. */
function sentences(
  { training, int8 }: Built,
  test: BuiltOutputs,
  { classes, confusion }: Pick<Verdict, 'classes' | 'confusion'>,
): string[] {
  const unit = training.source.kind === 'table' ? 'rows' : 'windows';
  const here = onlyHere(int8.graph);
  const alone = here
    ? [`${here}, so all metrics are from the device interpreter`]
    : refusalOfDevice(int8.graph) === null
      ? []
      : [`devices cannot run ${precisionOf(int8.graph)} models, so the metrics are from LiteRT only`];
  return [
    ...training.leaks.map((leak) => `the split leaks: ${leak}`),
    ...alone,
    ...(test.objects.length > 0
      ? []
      : training.network.output.kind === 'reconstruction' && confusion[1]?.every((n) => n === 0)
        ? [falseAlarmsOnly(confusion[0]!, unit)]
        : warningsOf(classes, confusion, groupsPerClass(test), unit)),
  ];
}

/** The reason why the device interpreter replaces LiteRT; null if LiteRT runs the network. */
function onlyHere(graph: Graph): string | null {
  if (hasForest(graph)) return 'LiteRT cannot run a forest';
  if (hasFrontEnd(graph)) return 'LiteRT cannot run an audio front end';
  return hasState(graph) ? 'LiteRT cannot reset the state of a model between recordings' : null;
}

/** The warning about a test set without anomalies. @param normal number of normal examples predicted as normal and as anomalies */
function falseAlarmsOnly([normal = 0, alarms = 0]: readonly number[], unit: string): string {
  return `no held-out ${unit} are anomalies, so this measures only false alarms: ${alarms} of ${normal + alarms}. To measure how many faults the model finds, add faults labeled anomaly`;
}

function groupsPerClass({ classes, groups }: BuiltOutputs): Map<number, number> {
  if (groups === null) {
    const counts = new Map<number, number>();
    for (const c of classes) counts.set(c, (counts.get(c) ?? 0) + 1);
    return counts;
  }
  const seen = new Map<number, Set<string>>();
  groups.forEach((id, i) => {
    const c = classes[i]!;
    seen.set(c, (seen.get(c) ?? new Set()).add(id));
  });
  return new Map([...seen].map(([c, ids]) => [c, ids.size]));
}

/** A network's outputs as real values [rows × width], row-major, or its reconstruction errors. */
type Said = Float32Array | Float64Array;

/** Expected and actual outputs of a project's networks for one part of the data. The rows themselves are not kept in memory. */
interface BuiltOutputs {
  classes: Int32Array;
  values: Float32Array | null;
  /** Objects in each picture; empty unless the network finds objects. */
  objects: ObjectPoint[][];
  /** Each row's group; null if all rows are independent. */
  groups: string[] | null;
  float: Said;
  litert: Said;
  /** Outputs on a device; null if a device cannot run the network. */
  device: Said | null;
  width: number;
}

/**
 * Runs the float network, and the quantized one on LiteRT, in chunks. If a device can run the quantized network, it also runs as on a device, starting from features.
 * @throws any error of `predictRows` and of the chunks
 */
async function runBuilt(
  built: Built,
  { count, pieces }: PartPieces,
  { onDevice, runtime }: { onDevice: boolean; runtime: Runtime },
  signal?: AbortSignal,
): Promise<BuiltOutputs> {
  const { training, float, int8, rows } = built;
  const opened: RunningNetwork[] = [];
  const device = onDevice ? asDevice(mainOutput(int8.graph), training, signal)() : null;
  try {
    opened.push(
      await openNetwork(float.bytes, hasState(float.graph) ? 'device' : undefined),
      await openNetwork(int8.bytes, runtime !== 'device' || hasState(int8.graph) ? runtime : 'litert'),
    );
    const running = opened.map((network) => inPieces(network, training.state, signal));
    const width = opened[0]!.outputs;
    const reconstructs = training.network.output.kind === 'reconstruction';
    const room = () => (reconstructs ? new Float64Array(count) : new Float32Array(count * width));
    const said = [room(), room(), ...(device ? [room()] : [])];
    const classes = new Int32Array(count);
    const values = training.network.output.kind === 'value' ? new Float32Array(count) : null;
    const groups: string[] | null = rows && rows.table.groups === null ? null : [];
    const objects: ObjectPoint[][] = [];
    const once = new Map<string, string>();
    let at = 0;
    for (const piece of pieces()) {
      const inputs = standardizeAll(piece, training.standardization);
      const outputs = running.map((run) => run(inputs, piece.recordings));
      if (device) outputs.push(device(piece));
      outputs.forEach((own, i) => {
        said[i]!.set(
          reconstructs ? reconstructionErrors(inputs, own, width) : own,
          reconstructs ? at : at * width,
        );
      });
      classes.set(piece.classes, at);
      if (piece.values) values?.set(piece.values, at);
      if (piece.objects) objects.push(...piece.objects);
      if (groups) for (const name of piece.recordings) groups.push(oneOf(once, name));
      at += piece.classes.length;
    }
    const outputs = { float: said[0]!, litert: said[1]!, device: said[2] ?? null };
    return { classes, values, objects, groups, ...outputs, width };
  } finally {
    for (const network of opened) network.close();
  }
}

/** Metrics that are measured only on request: for rejection, and with missing fields. */
async function extrasOf(
  built: Built,
  onDevice: boolean,
  costs: number[] | undefined,
  { project, sensorDrop: drop, signal }: EvaluateOptions,
) {
  const { reject, vote } = project.config.model;
  const isClassifier = built.training.network.output.kind === 'classes';
  const config = isClassifier ? reject : undefined;
  if (!config && !drop) return { rejecting: null, drops: null, heard: null };
  return await withOutputs(built, onDevice, signal, (outputsOf) => {
    let heard: HeardStream | null = null;
    const { falseAlarms: target } = config ?? {};
    const minimumFor = (rule: RejectSpec): number[] => {
      heard = validationStream(built, { project, rule, signal });
      const { classes, signal: own } = built.training;
      return thresholdsFor(heard, {
        ...{ target: target!, vote, signal: own, costs, classes: classes.length },
        lateSeconds: lateSecondsOf(built),
      });
    };
    const rejecting = config
      ? rejectionOf(built, config, {
          outputsOf,
          costs,
          minimumFor: target === undefined ? undefined : minimumFor,
        })
      : null;
    return {
      rejecting,
      drops: drop ? sensorDrop(built, outputsOf, { costs, reject: rejecting?.rule }) : null,
      heard,
    };
  });
}

/** The stream on which thresholds are chosen: validation recordings only, with words among other sound. */
function validationStream(
  built: Built,
  { project, rule, signal }: { project: Project; rule: RejectSpec; signal: AbortSignal | undefined },
): HeardStream {
  const { reject, train } = project.config.model;
  return hearStream(built, {
    ...{ part: 'validation', minutes: validationMinutes, onlyOthers: true },
    ...{ reject: rule, background: reject?.background, seed: train.seed + 1, signal },
  });
}

/** Calls `use` with a function that runs the quantized network as a device does, or on LiteRT if no device can run it. */
async function withOutputs<T>(
  { training, int8 }: Built,
  onDevice: boolean,
  signal: AbortSignal | undefined,
  use: (outputsOf: Outputs) => T,
): Promise<T> {
  if (onDevice) {
    return use(asDevice(mainOutput(int8.graph), training, signal));
  }
  const network = await openNetwork(int8.bytes, 'litert');
  try {
    return use(() => {
      const run = inPieces(network, training.state, signal);
      return (piece) => run(standardizeAll(piece, training.standardization), piece.recordings);
    });
  } finally {
    network.close();
  }
}

/** Returns the first instance of a name, because a copy of the string for each chunk would waste memory. */
function oneOf(known: Map<string, string>, name: string): string {
  const same = known.get(name);
  if (same === undefined) known.set(name, name);
  return same ?? name;
}

/** The bit-exact interpreter, from features to outputs. It quantizes the input as devices do. */
export function asDevice(
  graph: Graph,
  { standardization, state }: Pick<TrainingFile, 'standardization' | 'state'>,
  signal?: AbortSignal,
): Outputs {
  refuseOffDevice(graph);
  const [input, output] = [endOf(graph, 'inputs'), endOf(graph, 'outputs')];
  const interpreter = deviceInterpreter(graph);
  const width = elementCount(output.shape);
  return () => {
    let recording: string | undefined;
    return ({ inputs, inputSize, classes, recordings }) => {
      const values = valuesOf(input, inputSize);
      const outputs = new Float32Array(classes.length * width);
      for (let row = 0; row < classes.length; row++) {
        if (row % 64 === 0) signal?.throwIfAborted();
        const features = inputs.subarray(row * inputSize, (row + 1) * inputSize);
        if (state === 'window' || recordings[row] !== recording) interpreter.reset();
        recording = recordings[row];
        outputs.set(
          decode(interpreter.invoke(encodeInput(features, standardization, input, values)), output),
          row * width,
        );
      }
      return outputs;
    };
  };
}

/** Number of windows that are drawn, and number of points per curve. */
const most = 6;

const points = 120;

/**
 * Finds the recording, position and samples of the worst predictions, for drawing.
 * @param groups each test row's group; null if a table's rows are independent
 */
function worstWindows(
  worst: readonly Worst[],
  groups: readonly string[] | null,
  built: Built,
): WorstWindow[] {
  return worst.slice(0, most).map(({ row, truth, predicted, score }) => {
    const recording = groups ? groups[row - 1]! : rowName(built, row);
    const inOrder = built.rows === null && built.training.split.by !== 'window';
    const window = inOrder && groups ? row - 1 - groups.indexOf(recording) : null;
    const place = window === null ? null : samplesOf(built, recording, window);
    const startS = place?.startS ?? null;
    return { recording, window, startS, truth, predicted, score, samples: place?.samples ?? null };
  });
}

/** Name of a test row, from its position in the file. @param row number of the row in the test set, from 1 */
function rowName({ training: { source } }: Built, row: number): string {
  const parts = source.kind === 'table' ? source.parts : '';
  let place = -1;
  for (let seen = 0; seen < row; seen++) place = parts.indexOf(partLetters.test, place + 1);
  return `row ${place + 1}`;
}

/** A window's raw samples. */
function samplesOf({ dataset, training: { signal } }: Built, id: string, window: number) {
  const recording = dataset.recordings.find((one) => one.id === id);
  if (!recording) return null;
  const perSample = signal.rateHz / signal.resampleHz;
  const start = Math.round(window * signal.strideSamples * perSample);
  const length = Math.round(signal.windowSamples * perSample);
  const common = { fields: [...signal.fields], seconds: length / signal.rateHz };
  const columns = signal.fields.map(
    (field) => recording.columns[recording.fields.indexOf(field)] ?? new Float64Array(),
  );
  if (signal.image) {
    const pictures = columns.map((column) => reduced(column.subarray(start, start + length), signal.image!));
    const [{ width, height } = signal.image] = pictures;
    const values = pictures.map(({ values: pixels }) => pixels);
    return { startS: start / signal.rateHz, samples: { ...common, values, picture: { width, height } } };
  }
  const step = Math.max(1, Math.ceil(length / points));
  const values = columns.map((column) => {
    const taken = column.subarray(start, start + length);
    return Array.from({ length: Math.ceil(taken.length / step) }, (_, i) =>
      Number(taken[i * step]!.toPrecision(5)),
    );
  });
  return {
    startS: start / signal.rateHz,
    samples: { ...common, values },
  };
}

/** Maximum width and height of a picture in a report. */
const mostPixels = 32;

/** A picture's pixels, each the mean of a block of at most `mostPixels` blocks in each direction. */
function reduced(pixels: Float64Array, { width, height }: { width: number; height: number }) {
  const block = Math.ceil(Math.max(width, height) / mostPixels);
  const size = { width: Math.ceil(width / block), height: Math.ceil(height / block) };
  const values = Array.from({ length: size.width * size.height }, (_, at) => {
    const [left, top] = [(at % size.width) * block, Math.floor(at / size.width) * block];
    let [sum, count] = [0, 0];
    for (let y = top; y < Math.min(top + block, height); y++)
      for (let x = left; x < Math.min(left + block, width); x++) {
        sum += pixels[y * width + x] ?? 0;
        count += 1;
      }
    return Math.round(sum / count);
  });
  return { ...size, values };
}

/** If two classes are confused in at least this share of their windows, the data is considered unable to separate them. */
const confusedShare = 0.25;

/** Minimum number of windows. With fewer, every metric is uncertain by several percentage points. */
const fewWindows = 30;

/**
 * The metrics' limitations and reasons to distrust them, as sentences.
 * @param recordings test recordings (or groups of rows) of each class, by its index
 * @param unit counted unit: windows or rows
 */
export function warningsOf(
  classes: string[],
  confusion: number[][],
  recordings: Map<number, number>,
  unit = 'windows',
): string[] {
  const warnings: string[] = [];
  const support = confusion.map((row) => row.reduce((a, b) => a + b, 0));
  for (let a = 0; a < classes.length; a++) {
    for (let b = a + 1; b < classes.length; b++) {
      const mixed = confusion[a]![b]! + confusion[b]![a]!;
      const total = support[a]! + support[b]!;
      if (support[a]! > 0 && support[b]! > 0 && mixed / total >= confusedShare) {
        const share = Math.round((100 * mixed) / total);
        warnings.push(
          `${classes[a]} and ${classes[b]} are confused in ${share} % of their ${unit}: these recordings hardly distinguish them`,
        );
      }
    }
  }
  classes.forEach((name, c) => {
    if (support[c] === 0) {
      warnings.push(`${name}: not measured, because none of the held-out ${unit} has this label`);
      return;
    }
    const few = support[c]! < fewWindows;
    const alone = (recordings.get(c) ?? 0) < 2;
    const of = alone ? ' of one recording: another machine, person or day may differ' : '';
    if (few || alone) warnings.push(`${name}: measured on ${few ? 'only ' : ''}${support[c]} ${unit}${of}`);
  });
  return warnings;
}

/** One network's metrics, without those that do not apply to its kind of output. */
export function networkFigures(verdict: Verdict): NetworkFigures {
  const { n, accuracy, macroF1, confusion, auc, calibrationError, mae, rmse, r2 } = verdict;
  if (macroF1 !== null && confusion.length === 0 && mae !== null && rmse !== null)
    return { windows: n, accuracy: accuracy ?? 0, macroF1, mae, rmse };
  if (accuracy === null || macroF1 === null)
    return mae === null || rmse === null ? { windows: n, auc } : { windows: n, mae, rmse, r2 };
  return { windows: n, accuracy, macroF1, confusion, auc, calibrationError };
}

/**
 * The evaluation of the quantized network in build/, if its gates pass under the current aiot.yaml.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_STALE, AIOT_GATE_FAILED
 */
export function requireAccepted(evaluation: EvaluationFile, digest: string, project: Project): void {
  const next = 'Evaluate it again with `aiot model evaluate`.';
  if (evaluation.digest !== digest) throw stale('the quantized model has changed since the evaluation', next);
  requireSameDecision(evaluation, project);
  if (evaluation.vote !== project.config.model.vote) {
    throw stale('model.vote in aiot.yaml has changed since the evaluation', next);
  }
  const error = gateError(gatesFrom(limitsOf(project.config.model.accept), gateFigures(evaluation)));
  if (error) throw error;
}

/**
 * @throws AIOT_MODEL_STALE if model.threshold, model.reject, whose thresholds the evaluation chooses, or model.costs has changed since the
 * evaluation
 */
export function requireSameDecision(evaluation: EvaluationFile, project: Project): void {
  const { reject, costs, classes, threshold } = evaluation;
  const { reject: asked, costs: priced, output, kind, threshold: wanted = evenOdds } = project.config.model;
  const next = 'Evaluate it again with `aiot model evaluate`.';
  if (canonicalJson(costMatrix(priced, classes) ?? null) !== canonicalJson(costs ?? null))
    throw stale('model.costs in aiot.yaml has changed since the evaluation', next);
  if (evaluation.output === 'probability' && (threshold ?? evenOdds) !== wanted)
    throw stale('model.threshold in aiot.yaml has changed since the evaluation', next);
  const own = output === 'classes' && kind !== 'autoencoder' && kind !== 'fomo' ? (asked ?? null) : null;
  if (canonicalJson(own) === canonicalJson(reject?.asked ?? null)) return;
  throw stale('model.reject in aiot.yaml has changed since the evaluation', next);
}

type Measured = Pick<EvaluateResult, 'float' | 'int8' | 'arenaBytes' | 'bytes' | 'macs'>;

/** The metrics that limits apply to: the quantized network's, as it runs on devices. */
export function gateFigures({
  float,
  int8,
  arenaBytes,
  bytes,
  macs,
}: Measured): Partial<Record<GateName, number | null>> {
  const drop =
    float.macroF1 === undefined || int8.macroF1 === undefined ? null : float.macroF1 - int8.macroF1;
  const { accuracy, macroF1, auc, calibrationError, mae, rmse, r2 } = int8;
  return { accuracy, macroF1, auc, calibrationError, mae, rmse, r2, drop, arena: arenaBytes, bytes, macs };
}
