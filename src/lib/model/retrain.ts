import { canonicalJson, digestOf } from '../core/crypto.js';
import { errorMaker } from '../core/errors.js';
import type { Recording } from '../data/types.js';
import type { Graph, Operator, Tensor } from '../formats/tflite/graph.js';
import { readTflite } from '../formats/tflite/read.js';
import { writeTflite } from '../formats/tflite/write.js';
import { createInterpreter } from '../runtime/interpreter/interpreter.js';
import { windowFeatures } from '../signal/pipeline.js';
import { encodeInput, endOf, valuesOf } from './bundle/ends.js';
import { goldenVector } from './bundle/golden.js';
import { packBundle } from './bundle/pack.js';
import { answerOf, withoutRejection } from './bundle/predictor.js';
import type { AnswerSpec, Bundle, BundleInfo, Metrics } from './bundle/types.js';
import { gatesFrom, isGateName } from './evaluate/gates.js';
import { metricsOf } from './evaluate/metrics.js';
import { quantizeLayer } from './quantize/graph/numbers.js';
import { checkNumbers, columnsFor, unfit as unfitData } from './train/examples/examples.js';
import { type Ballot, voteAll } from './vote.js';

/** Error for a layer, or a whole model, that cannot be retrained on the device. */
const unfit = errorMaker('AIOT_MODEL_UNFIT', 'this model cannot be taught here: ', {
  next: 'The recordings are kept: train with them on a more powerful machine (`aiot model train`).',
});

/** A model whose last layer was retrained, compared with the original model. */
export interface Taught {
  /** A complete bundle. */
  bytes: Uint8Array;
  digest: string;
  /** `biases`: without the original training data, only biases may change. */
  what: 'last layer' | 'biases';
  /** Metrics on the held-out windows, before and after retraining. */
  before: Metrics;
  after: Metrics;
  /** Share of the windows labeled on the device that are predicted correctly, before and after retraining. */
  taught: { windows: number; before: number; after: number };
  /** Number of golden vectors whose prediction differs from the original model's. */
  goldenChanged: number;
  /**
   * Whether the held-out windows are predicted worse. Without the original training data, a changed prediction for a golden vector also counts as
   * worse.
   */
  worse: boolean;
}

interface RetrainOptions {
  /** Digest of `bundle`. */
  from: string;
  bundle: Bundle;
  lesson: Lesson;
  /** ms since 1970 */
  now: number;
  breathe?: () => Promise<void>;
}

/** Number of iterations of the fit. More iterations would not change a prediction. */
const iterations = 150;

/** Penalty for changing the layer: with the original training data, and without it. */
const stay = { whole: 0.01, bias: 0.05 };

/**
 * Retrains the last layer, without changing anything before it. With the original training data, the whole layer is trained. Without it,
 * only the biases are trained, constrained by the golden vectors, because otherwise a few seconds of one class would make the layer forget
 * the others.
 * @throws AIOT_MODEL_UNFIT (not a classifier that ends in a fully connected layer), AIOT_TRAINING_DATA_UNFIT
 */
export async function retrainLastLayer(options: RetrainOptions): Promise<Taught> {
  const { bundle, lesson, breathe } = options;
  // Training and measuring use only the classes; `taughtBundle` restores the rejection.
  const info = { ...bundle.info, answer: withoutRejection(bundle.info.answer) };
  if (info.answer.kind !== 'classes' && info.answer.kind !== 'probability') {
    throw unfit(`it outputs a ${info.answer.kind}, not classes`);
  }
  const graph = readTflite(bundle.model);
  const layer = lastLayerOf(graph);
  if (lesson.taught.length === 0) throw unfitData('all labeled intervals are shorter than one window');
  const hasAll = info.classes.every((_, c) => lesson.old.some((window) => window.class === c));
  const anchors = hasAll ? lesson.old : anchorsOf(bundle);
  const fitted = await fitLayer(graph, layer, info, { anchors, taught: lesson.taught, hasAll, breathe });
  const next = withLastLayer(graph, fitted.layer, fitted.range);
  const heldOut = lesson.heldOut.length > 0 ? lesson.heldOut : lesson.taught;
  const runs = { before: answersOf(graph, info, heldOut), after: answersOf(next, info, heldOut) };
  const metrics = (answers: readonly Ballot[]) =>
    metricsOf(
      heldOut.map((window) => window.class),
      answers.map(({ index }) => index),
      info.classes.length,
    );
  const [before, after] = [metrics(runs.before), metrics(runs.after)];
  const made = taughtBundle(options, next, { heldOut, predicted: runs.after, metrics: after });
  const goldenChanged = made.golden.filter(
    ({ answer }, i) => answer.label !== bundle.golden[i]?.answer.label,
  ).length;
  const bytes = packBundle(made);
  const taught = {
    windows: lesson.taught.length,
    before: shareRight(answersOf(graph, info, lesson.taught), lesson.taught),
    after: shareRight(answersOf(next, info, lesson.taught), lesson.taught),
  };
  return {
    bytes,
    digest: digestOf(bytes),
    what: hasAll ? 'last layer' : 'biases',
    before,
    after,
    taught,
    goldenChanged,
    worse: after.macroF1 < before.macroF1 || (!hasAll && goldenChanged > 0),
  };
}

/**
 * Golden vectors, with their original predictions, substitute for the original training data. Each is the first window of a recording, so
 * each has a recording of its own.
 */
function anchorsOf({ golden, info }: Bundle): LabelledWindow[] {
  return golden.flatMap(({ features, answer }, vector) => {
    const c = answer.label === null ? -1 : info.classes.indexOf(answer.label);
    const recording = `golden vector ${vector}`;
    return c < 0 ? [] : [{ features: Float32Array.from(features), class: c, recording }];
  });
}

/** Whether a network's variables are reset before this window, as on a device: in each recording, or in each window. */
function startsAnew(windows: readonly LabelledWindow[], row: number, { state }: BundleInfo): boolean {
  return state === 'window' || windows[row]!.recording !== windows[row - 1]?.recording;
}

interface Material {
  anchors: LabelledWindow[];
  taught: LabelledWindow[];
  hasAll: boolean;
  breathe: (() => Promise<void>) | undefined;
}

async function fitLayer(
  graph: Graph,
  layer: LastLayer,
  info: BundleInfo,
  { anchors, taught, hasAll, breathe }: Material,
): Promise<{ layer: LastLayer; range: [number, number] }> {
  const windows = [...anchors, ...taught];
  const hidden = createHidden(graph, info);
  const values = new Float64Array(windows.length * layer.inputs);
  for (const [row, { features }] of windows.entries()) {
    if (row % 32 === 0) await breathe?.();
    if (startsAnew(windows, row, info)) hidden.reset();
    values.set(hidden.of(features), row * layer.inputs);
  }
  const examples: Hidden = {
    values,
    classes: Int32Array.from(windows, (window) => window.class),
    weights: weightsOf(anchors, taught),
  };
  const fitted = await fitSoftmax(layer, examples, {
    biasOnly: !hasAll,
    stay: hasAll ? stay.whole : stay.bias,
    iterations,
    ...(breathe ? { breathe } : {}),
  });
  const range: [number, number] = [0, 0];
  const z = new Float64Array(layer.outputs);
  for (let row = 0; row < windows.length; row++) {
    for (const value of layerOutputs(fitted, values, row * layer.inputs, z)) {
      range[0] = Math.min(range[0], value);
      range[1] = Math.max(range[1], value);
    }
  }
  return { layer: fitted, range };
}

function answersOf(graph: Graph, info: BundleInfo, windows: readonly LabelledWindow[]): Ballot[] {
  const interpreter = createInterpreter(graph);
  const room = valuesOf(info.input, info.standardization.mean.length);
  // Retraining may have changed the output's scale and zero point, so both are read from the given graph.
  const parts = { ...info, output: endOf(graph, 'outputs') };
  return windows.map(({ features }, row) => {
    if (startsAnew(windows, row, info)) interpreter.reset();
    const output = interpreter.invoke(encodeInput(features, info.standardization, info.input, room));
    const { index, scores } = answerOf(parts, output, features);
    return { index: index ?? 0, scores };
  });
}

function shareRight(answers: readonly Ballot[], windows: readonly LabelledWindow[]): number {
  return windows.filter((window, row) => window.class === answers[row]!.index).length / windows.length;
}

/** A window from a recording with a known class. */
export interface LabelledWindow {
  /** Features before standardization. */
  features: Float32Array;
  class: number;
  /** Windows of one recording are consecutive and in order. */
  recording: string;
}

/** Windows for retraining a model. */
export interface Lesson {
  /** Windows from the original training data; empty = not available on this machine. */
  old: LabelledWindow[];
  /** Windows labeled on the device. */
  taught: LabelledWindow[];
  /** Windows that are in neither list above. On these windows, the retrained model is compared with the original. */
  heldOut: LabelledWindow[];
}

/** Index of the class for a recorded label, or for a class's own name; null = the model has no such class. */
export function classOfLabel({ classes, labels }: BundleInfo, label: string): number | null {
  const named = classes.findIndex((name) => labels[name]?.includes(label));
  const found = named >= 0 ? named : classes.indexOf(label);
  return found >= 0 ? found : null;
}

/**
 * The windows of one recording as the model's input; none if the recording's label is not one of the model's.
 * @throws AIOT_TRAINING_DATA_UNFIT (another rate, a missing field, a non-numeric sample)
 */
export function labelledWindows(info: BundleInfo, recording: Recording): LabelledWindow[] {
  const known = recording.label === null ? null : classOfLabel(info, recording.label);
  if (known === null) return [];
  checkNumbers(recording);
  return windowFeatures(info.signal, columnsFor(recording, info.signal)).map((features) => ({
    features,
    class: known,
    recording: recording.id,
  }));
}

/** Minimum share of a class's weight that is given to the windows labeled on the device. */
const taughtShare = 1 / 3;

/** Weight of each window. Classes have equal total weight, so that teaching one class does not bias predictions against the others. */
function weightsOf(old: readonly LabelledWindow[], taught: readonly LabelledWindow[]): Float64Array {
  const count = new Map<number, [number, number]>();
  for (const [side, windows] of [old, taught].entries()) {
    for (const { class: c } of windows) {
      const both = count.get(c) ?? [0, 0];
      both[side as 0 | 1]++;
      count.set(c, both);
    }
  }
  const weightOf = (c: number, side: 0 | 1) => {
    const both = count.get(c)!;
    const own = both[1] / (both[0] + both[1]);
    const share = both[0] === 0 || both[1] === 0 ? own : Math.max(own, taughtShare);
    return (side === 1 ? share : 1 - share) / both[side] / count.size;
  };
  const of = (windows: readonly LabelledWindow[], side: 0 | 1) =>
    windows.map((window) => weightOf(window.class, side));
  return Float64Array.from([...of(old, 0), ...of(taught, 1)]);
}

type Dense = Extract<Operator, { op: 'FULLY_CONNECTED' }>;

/** The last layer of a classifier as real values: scores = softmax or sigmoid of weights · hidden + bias. */
interface LastLayer {
  /** Index in `graph.operators`. */
  at: number;
  outputs: number;
  inputs: number;
  /** [outputs × inputs] */
  weights: Float64Array;
  bias: Float64Array;
}

/**
 * @throws AIOT_MODEL_UNFIT if the network does not end in a fully connected layer (before a softmax or sigmoid), or if that layer's weights
 * are neither int8 nor float32
 */
function lastLayerOf({ operators, tensors, outputs }: Graph): LastLayer {
  let at = operators.length - 1;
  while (at >= 0 && ['SOFTMAX', 'LOGISTIC', 'DEQUANTIZE', 'QUANTIZE'].includes(operators[at]!.op)) at--;
  const operator = operators[at];
  if (outputs.length !== 1 || operator?.op !== 'FULLY_CONNECTED' || operator.options.activation !== 'none') {
    throw unfit(`it ends with ${operator?.op ?? 'nothing'} instead of a plain fully connected layer`);
  }
  const [, w = -1, b = -1] = operator.inputs;
  const weights = tensors[w];
  const [rows = 0, columns = 0] = weights?.shape ?? [];
  return {
    at,
    outputs: rows,
    inputs: columns,
    weights: realValues(weights, columns),
    bias: b < 0 ? new Float64Array(rows) : realValues(tensors[b], 1),
  };
}

/** A constant's real values. If it has several scales, each scale applies to `block` consecutive elements. */
function realValues(tensor: Tensor | undefined, block: number): Float64Array {
  const { data, quantization } = tensor ?? {};
  if (data instanceof Float32Array) return Float64Array.from(data);
  if (!(data instanceof Int8Array || data instanceof Int32Array || data instanceof BigInt64Array)) {
    throw unfit('its last layer has no constant int8 or float32 weights');
  }
  const { scale = [1] } = quantization ?? {};
  const of = (i: number) => scale[scale.length === 1 ? 0 : Math.floor(i / block)] ?? 1;
  return Float64Array.from(data as ArrayLike<number | bigint>, (q, i) => Number(q) * of(i));
}

interface HiddenLayer {
  /** Computes the last layer's input, from features before standardization. The next call overwrites the returned array. */
  of(features: ArrayLike<number>): Float64Array;
  /** Resets the network's variables, so that the next features are those of a new recording. */
  reset(): void;
}

function createHidden(graph: Graph, info: BundleInfo): HiddenLayer {
  const { at, inputs } = lastLayerOf(graph);
  const interpreter = createInterpreter(graph);
  const [index = -1] = graph.operators[at]!.inputs;
  const { scale = [1], zeroPoint = [0] } = graph.tensors[index]?.quantization ?? {};
  const room = valuesOf(info.input, info.standardization.mean.length);
  const hidden = new Float64Array(inputs);
  return {
    of(features) {
      interpreter.invoke(encodeInput(features, info.standardization, info.input, room));
      const values = interpreter.tensors[index]!;
      for (let i = 0; i < inputs; i++) hidden[i] = scale[0]! * (Number(values[i]) - zeroPoint[0]!);
      return hidden;
    },
    reset: interpreter.reset,
  };
}

/**
 * The graph with new weights in the last layer, in that layer's original data type.
 * @param range smallest and largest output of the new layer, before softmax or sigmoid
 */
function withLastLayer(graph: Graph, layer: LastLayer, range: readonly [number, number]): Graph {
  const operator = graph.operators[layer.at] as Dense;
  const [x = -1, w = -1, b = -1] = operator.inputs;
  const [z = -1] = operator.outputs;
  const tensors = [...graph.tensors];
  const set = (index: number, change: Partial<Tensor>) => {
    if (index >= 0) tensors[index] = { ...tensors[index]!, ...change };
  };
  const weights = Float32Array.from(layer.weights);
  const bias = Float32Array.from(layer.bias);
  if (tensors[w]!.data instanceof Float32Array) {
    set(w, { data: weights });
    set(b, { data: bias });
    return { ...graph, tensors };
  }
  const scale = tensors[x]!.quantization?.scale[0] ?? 1;
  const made = quantizeLayer(weights, bias, layer.outputs, layer.inputs, 0, scale);
  set(w, { data: made.weights, quantization: made.weightQuantization });
  const wide = tensors[b]?.data instanceof BigInt64Array;
  set(b, {
    data: wide ? BigInt64Array.from(made.bias, BigInt) : made.bias,
    quantization: made.biasQuantization,
  });
  set(z, { quantization: outputQuantization(tensors[z]!, range) });
  return { ...graph, tensors };
}

/** Quantization of the layer's output: int16 without a zero point, or int8 with one. The range includes 0. */
function outputQuantization({ type }: Tensor, range: readonly [number, number]): Tensor['quantization'] {
  const [low, high] = [Math.min(0, range[0]), Math.max(0, range[1])];
  if (type === 'int16') {
    const scale = Math.fround(Math.max(-low, high, 1e-6) / 32_767);
    return { scale: [scale], zeroPoint: [0], axis: 0 };
  }
  const scale = Math.fround(Math.max(high - low, 1e-6) / 255);
  const zeroPoint = Math.min(127, Math.max(-128, Math.round(-128 - low / scale)));
  return { scale: [scale], zeroPoint: [zeroPoint], axis: 0 };
}

/** The last layer's inputs for a set of examples, with the examples' classes and weights. */
interface Hidden {
  /** [count × inputs], row-major. */
  values: Float64Array;
  classes: Int32Array;
  /** Weight of each example; all weights sum to 1. */
  weights: Float64Array;
}

interface FitOptions {
  /** Leaves the weights unchanged. */
  biasOnly: boolean;
  /** Penalty for deviating from the initial layer. */
  stay: number;
  iterations: number;
  /** Called periodically so that other tasks can run, because samples may be waiting. */
  breathe?: () => Promise<void>;
}

/** Iterations between two calls of `breathe`. */
const stretch = 10;

/**
 * Fits the layer to examples: cross-entropy of softmax (or of a sigmoid, if there is one output) plus stay/2 · |new − old|², by accelerated
 * gradient steps of 1/L. The problem is convex, so the solution is unique, and no hyperparameters are needed. Sources: Nesterov 1983; Beck
 * and Teboulle, "A Fast Iterative Shrinkage-Thresholding Algorithm", SIAM J. Imaging Sci. 2, 2009, section 4.
 */
async function fitSoftmax(start: LastLayer, examples: Hidden, options: FitOptions): Promise<LastLayer> {
  const { outputs, inputs } = start;
  const size = outputs * (inputs + 1);
  const origin = new Float64Array(size);
  origin.set(start.weights);
  origin.set(start.bias, outputs * inputs);
  let at = origin.slice();
  const ahead = origin.slice();
  const step = 1 / (curvature(examples, inputs, options.biasOnly) + options.stay);
  const gradient = new Float64Array(size);
  let momentum = 1;
  for (let i = 0; i < options.iterations; i++) {
    if (i % stretch === 0) await options.breathe?.();
    gradientAt(ahead, examples, { outputs, inputs }, gradient);
    if (options.biasOnly) gradient.fill(0, 0, outputs * inputs);
    const next = new Float64Array(size);
    for (let p = 0; p < size; p++) {
      next[p] = ahead[p]! - step * (gradient[p]! + options.stay * (ahead[p]! - origin[p]!));
    }
    const later = (1 + Math.sqrt(1 + 4 * momentum * momentum)) / 2;
    const factor = (momentum - 1) / later;
    for (let p = 0; p < size; p++) ahead[p] = next[p]! + factor * (next[p]! - at[p]!);
    [at, momentum] = [next, later];
  }
  return { ...start, weights: at.slice(0, outputs * inputs), bias: at.slice(outputs * inputs) };
}

/** Outputs of the layer for one example, before softmax or sigmoid. */
function layerOutputs(
  { weights, bias, inputs, outputs }: Pick<LastLayer, 'weights' | 'bias' | 'inputs' | 'outputs'>,
  hidden: Float64Array,
  from: number,
  out: Float64Array,
): Float64Array {
  for (let o = 0; o < outputs; o++) {
    let sum = bias[o]!;
    for (let i = 0; i < inputs; i++) sum += weights[o * inputs + i]! * hidden[from + i]!;
    out[o] = sum;
  }
  return out;
}

type Size = Pick<LastLayer, 'outputs' | 'inputs'>;

function gradientAt(
  parameters: Float64Array,
  { values, classes, weights: counts }: Hidden,
  { outputs, inputs }: Size,
  gradient: Float64Array,
): void {
  gradient.fill(0);
  const [weights, bias] = [parameters.subarray(0, outputs * inputs), parameters.subarray(outputs * inputs)];
  const z = new Float64Array(outputs);
  for (let row = 0; row < classes.length; row++) {
    layerOutputs({ weights, bias, inputs, outputs }, values, row * inputs, z);
    const error = outputs === 1 ? sigmoidError(z, classes[row]!) : softmaxError(z, classes[row]!);
    for (let o = 0; o < outputs; o++) {
      const e = error[o]! * counts[row]!;
      for (let i = 0; i < inputs; i++) {
        const p = o * inputs + i;
        gradient[p] = gradient[p]! + e * values[row * inputs + i]!;
      }
      const p = outputs * inputs + o;
      gradient[p] = gradient[p]! + e;
    }
  }
}

/** Replaces one example's outputs by each class's error: predicted minus true probability. */
function softmaxError(z: Float64Array, truth: number): Float64Array {
  const most = z.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  let sum = 0;
  for (let o = 0; o < z.length; o++) {
    z[o] = Math.exp(z[o]! - most);
    sum += z[o]!;
  }
  for (let o = 0; o < z.length; o++) z[o] = z[o]! / sum - (o === truth ? 1 : 0);
  return z;
}

function sigmoidError(z: Float64Array, truth: number): Float64Array {
  z[0] = 1 / (1 + Math.exp(-z[0]!)) - truth;
  return z;
}

/** An upper bound for the loss's curvature: half of the largest eigenvalue of the examples' second moments, by power iteration. */
function curvature({ values, weights: counts }: Hidden, inputs: number, biasOnly: boolean): number {
  if (biasOnly) return 0.5;
  let vector = new Float64Array(inputs + 1).fill(1 / Math.sqrt(inputs + 1));
  let largest = 1;
  for (let turn = 0; turn < 12; turn++) {
    const next = new Float64Array(inputs + 1);
    for (let row = 0; row < counts.length; row++) {
      let dot = vector[inputs]!;
      for (let i = 0; i < inputs; i++) dot += vector[i]! * values[row * inputs + i]!;
      dot *= counts[row]!;
      for (let i = 0; i < inputs; i++) next[i] = next[i]! + dot * values[row * inputs + i]!;
      next[inputs] = next[inputs]! + dot;
    }
    largest = Math.hypot(...next);
    if (largest === 0) return 1;
    vector = next.map((value) => value / largest);
  }
  // Twelve iterations underestimate the eigenvalue by a few percent; the factor 0.6 instead of 0.5 keeps the result an upper bound.
  return 0.6 * largest;
}

interface Judged {
  heldOut: LabelledWindow[];
  predicted: Ballot[];
  metrics: Metrics;
}

/**
 * Output thresholds are removed, because they do not apply to a retrained layer. The distance from the classes does not depend on that
 * layer.
 */
function taughtAnswer(answer: AnswerSpec): AnswerSpec {
  if (answer.kind !== 'classes' || !answer.reject) return answer;
  const { minimum, ...reject } = answer.reject;
  return { ...answer, reject: { ...reject, minimum: minimum.map(() => 0) } };
}

/** The bundle with the retrained network. Its metrics are measured on the windows held out on this device. */
function taughtBundle(
  { bundle, from, lesson, now }: Pick<RetrainOptions, 'bundle' | 'from' | 'lesson' | 'now'>,
  graph: Graph,
  judged: Judged,
): Bundle {
  const { info, lineage } = bundle;
  const model = writeTflite(graph);
  const { heldOut, predicted, metrics } = judged;
  const own = [...new Set(lesson.taught.map(({ recording }) => recording))];
  const tested = [...new Set(heldOut.map(({ recording }) => recording))];
  const voted = voteAll(
    heldOut.map(({ recording }) => recording),
    (place) => predicted[place]!,
    { vote: info.vote, answer: withoutRejection(info.answer) },
  );
  const truth = heldOut.map((window) => window.class);
  const figures = { accuracy: metrics.accuracy, macroF1: metrics.macroF1, arena: info.arenaBytes };
  const limits = info.gates.flatMap(({ name, limit }) => (isGateName(name) ? [{ name, limit }] : []));
  const made: BundleInfo = {
    ...info,
    answer: taughtAnswer(info.answer),
    output: endOf(graph, 'outputs'),
    metrics: {
      float: info.metrics.float,
      int8: { ...metrics },
      voted: { ...metricsOf(truth, voted, info.classes.length) },
    },
    gates: gatesFrom(limits, { bytes: model.length, ...figures }),
    evaluation: digestOf(canonicalJson({ from, metrics })),
    lineage: {
      ...info.lineage,
      split: {
        ...info.lineage.split,
        train: [...new Set([...info.lineage.split.train, ...own])],
        test: [...new Set([...info.lineage.split.test, ...tested.filter((id) => !own.includes(id))])],
      },
      created: now,
    },
  };
  const golden = bundle.golden.map(({ recording, samples, features }) =>
    goldenVector(graph, made, { recording, samples, ...(samples.length === 0 ? { features } : {}) }),
  );
  return {
    info: made,
    model,
    golden,
    lineage: {
      ...lineage,
      network: { ...lineage.network, digest: digestOf(model) },
      taught: { from, recordings: own, created: now },
    },
  };
}
