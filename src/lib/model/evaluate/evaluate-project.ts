import { writeJsonAtomic } from '../../core/files.js';
import type { Project } from '../../core/project.js';
import type { Graph } from '../../formats/tflite/graph.js';
import { createInterpreter } from '../../runtime/interpreter/interpreter.js';
import { type Built, readBuilt, stale } from '../build-folder.js';
import { decode, encodeInput, endOf, valuesOf } from '../bundle/ends.js';
import { voteAll } from '../bundle/predictor.js';
import { buildFiles, readFolds } from '../files.js';
import { arenaOf, multiplyAdds, precisionOf, refusalOfMicro, refuseOffDevice } from '../inspect/costs.js';
import type { DataSource } from '../material.js';
import { unfit } from '../train/examples/examples.js';
import type { PartPieces } from '../train/examples/parts.js';
import { partLetters } from '../train/examples/row-split.js';
import { standardizeAll } from '../train/examples/standardize.js';
import type { Lesson, TrainingFile } from '../train/types.js';
import { type EvaluationFile, type GateName, gateError, gatesFrom, type Limit, limitsOf } from './gates.js';
import { metricsOf } from './metrics.js';
import { openNetwork, predictRows, type RunningNetwork, type Runtime } from './predict.js';
import type { EvaluateResult, NetworkFigures, WorstWindow } from './result.js';
import { judge, reconstructionErrors, type Verdict, type Worst } from './verdict.js';

interface EvaluateOptions extends DataSource {
  project: Project;
  /** Whose figures of the quantized network stand first: `device` unless told, or where it does not run there. */
  runtime?: Runtime;
  /** Limits besides those of model.accept. */
  limits?: readonly Limit[];
  signal?: AbortSignal;
}

/**
 * Measures the float and the quantized network on the test part, which was never trained on, and writes
 * build/evaluation.json. It returns also when a gate says no: `gateError(result.gates)` is the refusal.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_STALE, AIOT_TRAINING_DATA_UNFIT (no test window), AIOT_TFLITE_UNSUPPORTED
 */
export async function evaluateProject(options: EvaluateOptions): Promise<EvaluateResult> {
  const { project, signal, limits = [] } = options;
  const { vote, accept } = project.config.model;
  const built = await readBuilt(project, options);
  const { training, int8, dataset } = built;
  const test = built.part('test');
  if (test.count === 0) throw unfit('the test part is empty: its recordings are shorter than one window');
  const folds = await readFolds(project, training);
  const runs = refusalOfMicro(int8.graph) === null;
  const runtime = options.runtime ?? (runs ? 'device' : 'litert');
  const outputs = await runBuilt(built, test, runs || runtime === 'device', signal);
  const verdictOf = (of: Said, resample: boolean) =>
    judge({ ...rowsOf(built, outputs), outputs: of, resample });
  const onDevice = outputs.device ?? outputs.litert;
  const first = verdictOf(runtime === 'device' ? onDevice : outputs.litert, true);
  const [float, device, litert] = [outputs.float, onDevice, outputs.litert].map((of) => verdictOf(of, false));
  const { predicted, worst, ...figures } = first;
  const measured = {
    float: networkFigures(float!),
    int8: networkFigures(device!),
    arenaBytes: arenaOf(int8.graph),
    bytes: int8.bytes.length,
    macs: int8.graph.operators.reduce((sum, operator) => sum + multiplyAdds(int8.graph, operator), 0),
  };
  const gates = gatesFrom([...limitsOf(accept), ...limits], gateFigures(measured));
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
    litert: networkFigures(litert!),
    voted:
      predicted && isVoted(outputs)
        ? votedFigures(outputs, device!.predicted ?? predicted, vote, figures.classes.length)
        : null,
    baseline: baselineOf(training),
    folds: folds && { ...folds.together, voted: folds.vote === vote ? folds.together.voted : null },
    agreement: agreementOf(device!.predicted, litert!.predicted),
    worst: worstWindows(worst, outputs.groups, built),
    gates,
    passed: gates.every(({ passed }) => passed),
    warnings: sentences(built, outputs, figures),
    error: gateError(gates)?.toJSON() ?? null,
  };
  const file: EvaluationFile = { spec: 'aiot-evaluation/2', vote, ...result };
  await writeJsonAtomic(buildFiles(project).evaluation, file);
  return result;
}

/** As training measured it: the test part is the same. */
function baselineOf({ baseline }: TrainingFile): EvaluateResult['baseline'] {
  const { testAccuracy = null, testRmse = null } = baseline ?? {};
  return testAccuracy === null && testRmse === null ? null : { accuracy: testAccuracy, rmse: testRmse };
}

/** The rows' true classes or values, in the form that `judge` takes. */
function rowsOf({ training }: Built, { classes, values, groups, width }: BuiltOutputs) {
  return {
    kind: training.network.output.kind,
    truth: classes,
    values: values ?? undefined,
    classes: training.classes,
    threshold: training.threshold,
    groups,
    width,
    // The errors of reconstructions are known, and nothing else asks for inputs.
    inputs: null,
  };
}

function votedFigures(
  { classes: truth, groups }: BuiltOutputs,
  predicted: Int32Array,
  vote: string,
  classes: number,
): NetworkFigures {
  return metricsOf(truth, voteAll(predicted, groups ?? [], vote), classes);
}

/** Rows that stand for themselves, each its own recording, are not voted on. */
function isVoted({ groups }: BuiltOutputs): boolean {
  return groups !== null && new Set(groups).size < groups.length;
}

function agreementOf(a: Int32Array | null, b: Int32Array | null): number | null {
  if (!a || !b) return null;
  let same = 0;
  for (let row = 0; row < a.length; row++) if (a[row] === b[row]) same++;
  return same / a.length;
}

/** Leaks first: they make every figure a fiction. */
function sentences(
  { training, int8 }: Built,
  test: BuiltOutputs,
  { classes, confusion }: Pick<Verdict, 'classes' | 'confusion'>,
): string[] {
  const unit = training.source.kind === 'table' ? 'rows' : 'windows';
  const alone =
    refusalOfMicro(int8.graph) === null
      ? []
      : [`${precisionOf(int8.graph)}: devices cannot run it, so its figures are those on LiteRT alone`];
  return [
    ...training.leaks.map((leak) => `the split leaks: ${leak}`),
    ...alone,
    ...warningsOf(classes, confusion, groupsPerClass(test), unit),
  ];
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

/** What a network said of each row: its outputs as real values [rows × width], row-major, or the errors of its reconstructions. */
type Said = Float32Array | Float64Array;

/** A part of the data with what is true of it and what a project's networks said: all that stays of its rows. */
interface BuiltOutputs {
  classes: Int32Array;
  values: Float32Array | null;
  /** Group of each row; null where each row is independent. */
  groups: string[] | null;
  float: Said;
  litert: Said;
  /** Null where a device cannot run it. */
  device: Said | null;
  width: number;
}

/**
 * Runs the float and the quantized network on LiteRT, and the quantized one as a device does, from features on: piece by piece.
 * @throws what `predictRows` and the pieces throw
 */
async function runBuilt(
  built: Built,
  { count, pieces }: PartPieces,
  onDevice: boolean,
  signal?: AbortSignal,
): Promise<BuiltOutputs> {
  const { training, float, int8, rows } = built;
  const opened: RunningNetwork[] = [];
  const device = onDevice ? asDevice(int8.graph, training.standardization, signal) : null;
  try {
    for (const { bytes } of [float, int8]) opened.push(await openNetwork(bytes, 'litert'));
    const width = opened[0]!.outputs;
    const reconstructs = training.network.output.kind === 'reconstruction';
    const room = () => (reconstructs ? new Float64Array(count) : new Float32Array(count * width));
    const said = [room(), room(), ...(device ? [room()] : [])];
    const classes = new Int32Array(count);
    const values = training.network.output.kind === 'value' ? new Float32Array(count) : null;
    const groups: string[] | null = rows && rows.table.groups === null ? null : [];
    const once = new Map<string, string>();
    let at = 0;
    for (const piece of pieces()) {
      const inputs = standardizeAll(piece, training.standardization);
      const outputs = opened.map((network) => predictRows(network, inputs, signal, at));
      if (device) outputs.push(device(piece, width));
      outputs.forEach((own, i) => {
        said[i]!.set(
          reconstructs ? reconstructionErrors(inputs, own, width) : own,
          reconstructs ? at : at * width,
        );
      });
      classes.set(piece.classes, at);
      if (piece.values) values?.set(piece.values, at);
      if (groups) for (const name of piece.recordings) groups.push(oneOf(once, name));
      at += piece.classes.length;
    }
    return { classes, values, groups, float: said[0]!, litert: said[1]!, device: said[2] ?? null, width };
  } finally {
    for (const network of opened) network.close();
  }
}

/** Pieces have strings of their own for the same name. */
function oneOf(known: Map<string, string>, name: string): string {
  const same = known.get(name);
  if (same === undefined) known.set(name, name);
  return same ?? name;
}

/** The bit-exact interpreter, from features to outputs, with the input quantized the way devices do it. */
function asDevice(
  graph: Graph,
  standardization: Built['training']['standardization'],
  signal?: AbortSignal,
): (piece: Lesson, width: number) => Float32Array {
  refuseOffDevice(graph);
  const [input, output] = [endOf(graph, 'inputs'), endOf(graph, 'outputs')];
  const interpreter = createInterpreter(graph);
  return ({ inputs, inputSize, classes }, width) => {
    const values = valuesOf(input, inputSize);
    const outputs = new Float32Array(classes.length * width);
    for (let row = 0; row < classes.length; row++) {
      if (row % 64 === 0) signal?.throwIfAborted();
      const features = inputs.subarray(row * inputSize, (row + 1) * inputSize);
      outputs.set(
        decode(interpreter.invoke(encodeInput(features, standardization, input, values)), output),
        row * width,
      );
    }
    return outputs;
  };
}

/** Windows that are drawn, and points of each curve. */
const most = 6;

const points = 120;

/**
 * Where the rows that a network is most wrong about come from, with their samples to be drawn.
 * @param groups what each row of the test part belongs to; null where rows of a table stand for themselves
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

/** What a row of the test part is called, by its place in the file. @param row of the part, from 1 */
function rowName({ training: { source } }: Built, row: number): string {
  const parts = source.kind === 'table' ? source.parts : '';
  let place = -1;
  for (let seen = 0; seen < row; seen++) place = parts.indexOf(partLetters.test, place + 1);
  return `row ${place + 1}`;
}

/** The raw samples that a window was made of. */
function samplesOf({ dataset, training: { signal } }: Built, id: string, window: number) {
  const recording = dataset.recordings.find((one) => one.id === id);
  if (!recording) return null;
  const perSample = signal.rateHz / signal.resampleHz;
  const start = Math.round(window * signal.strideSamples * perSample);
  const length = Math.round(signal.windowSamples * perSample);
  const step = Math.max(1, Math.ceil(length / points));
  const values = signal.fields.map((field) => {
    const column = recording.columns[recording.fields.indexOf(field)] ?? new Float64Array();
    const taken = column.subarray(start, start + length);
    return Array.from({ length: Math.ceil(taken.length / step) }, (_, i) =>
      Number(taken[i * step]!.toPrecision(5)),
    );
  });
  return {
    startS: start / signal.rateHz,
    samples: { fields: [...signal.fields], seconds: length / signal.rateHz, values },
  };
}

/** Share of two classes' windows taken for each other, from which on the data does not tell them apart. */
const confusedShare = 0.25;

/** Fewer windows than this make every figure uncertain by several points. */
const fewWindows = 30;

/**
 * Limits of the figures and reasons to distrust them, in sentences.
 * @param recordings test recordings (or groups of rows) of each class, by its index
 * @param unit what is counted: windows or rows
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
      if (total > 0 && mixed / total >= confusedShare) {
        const share = Math.round((100 * mixed) / total);
        warnings.push(
          `${classes[a]} and ${classes[b]} are taken for each other in ${share} % of their ${unit}: these recordings hardly tell them apart`,
        );
      }
    }
  }
  classes.forEach((name, c) => {
    const few = support[c]! < fewWindows;
    const alone = (recordings.get(c) ?? 0) < 2;
    const of = alone ? ' of one recording: another person or day may differ' : '';
    if (few || alone) warnings.push(`${name}: measured on ${few ? 'only ' : ''}${support[c]} ${unit}${of}`);
  });
  return warnings;
}

/** The figures of one network, without those that its kind of output does not have. */
export function networkFigures(verdict: Verdict): NetworkFigures {
  const { n, accuracy, macroF1, confusion, auc, calibrationError, mae, rmse, r2 } = verdict;
  if (accuracy === null || macroF1 === null)
    return mae === null || rmse === null ? { windows: n, auc } : { windows: n, mae, rmse, r2 };
  return { windows: n, accuracy, macroF1, confusion, auc, calibrationError };
}

/**
 * The evaluation of the quantized network that lies in build/, with its gates let through under today's aiot.yaml.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_STALE, AIOT_GATE_FAILED
 */
export function requireAccepted(evaluation: EvaluationFile, digest: string, project: Project): void {
  const next = 'aiot model evaluate';
  if (evaluation.digest !== digest)
    throw stale('the quantized network has changed since it was evaluated', next);
  if (evaluation.vote !== project.config.model.vote) {
    throw stale('model.vote in aiot.yaml has changed since the evaluation', next);
  }
  const error = gateError(gatesFrom(limitsOf(project.config.model.accept), gateFigures(evaluation)));
  if (error) throw error;
}

type Measured = Pick<EvaluateResult, 'float' | 'int8' | 'arenaBytes' | 'bytes' | 'macs'>;

/** The figures that limits apply to: those of the quantized network as it runs on devices. */
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
