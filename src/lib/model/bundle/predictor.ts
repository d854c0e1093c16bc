import type { Interpreter } from '../../runtime/interpreter/node.js';
import { createPipeline } from '../../signal/pipeline.js';
import { type Standardization, standardize } from '../../signal/spec.js';
import type { TrainingFile } from '../train/types.js';
import { bestClass, createVote } from '../vote.js';
import { type Detection, detectionsIn, type Found } from './detections.js';
import { decode, encodeInput, valuesOf } from './ends.js';
import { sharedInterpreter } from './interpreters.js';
import type { AnswerSpec, Bundle, BundleInfo, RejectSpec } from './types.js';

/** Runs a network. Input and output have the network's own types. `reset` is present if the network has variables. */
export type Invoker = Pick<Interpreter, 'invoke'> & Partial<Pick<Interpreter, 'reset'>>;

/** The prediction for one window. */
export interface Prediction {
  /** Number of the window since the last reset, from 0. */
  window: number;
  /** Index of the class, or the number of classes if the window is rejected; null if the model predicts values or objects. */
  index: number | null;
  /** Name of the class, or the label of rejected windows. */
  label: string | null;
  /** The label after smoothing over the last windows. */
  voted: string | null;
  /**
   * Dequantized outputs: one per class (summing to about 1), [1 − p, p] for a probability, the predicted values, or the reconstruction
   * error. For objects, the number of objects of each class.
   */
  scores: number[];
  /** The probability, the first value, the reconstruction error, or the number of objects; null for classes. */
  value: number | null;
  /** Values of the model's other outputs, by name; absent if there are none. */
  extra?: Record<string, number[]>;
  /** Objects in a picture, strongest first; absent if the model does not find objects. */
  detections?: Detection[];
  /** Time from the sample that completed the window to this prediction, ms. */
  latencyMs: number;
}

export interface Predictor {
  /**
   * Adds one sample, with one value per field in the order of `info.signal.fields`. Returns a prediction if the sample completes a window.
   */
  push(sample: ArrayLike<number>): Prediction | null;
  /**
   * Predicts for a window whose features were computed elsewhere.
   * @param features before standardization, in the order of `featureNames(info.signal)`; not modified
   */
  answer(features: ArrayLike<number>): Prediction;
  /** Clears the samples, the smoothing and the network's variables, so that the next sample starts a new recording. */
  reset(): void;
}

/** The parts of a bundle that predictions depend on. */
interface Predictable {
  info: Pick<
    BundleInfo,
    'signal' | 'standardization' | 'classes' | 'answer' | 'vote' | 'state' | 'input' | 'output' | 'extra'
  >;
  /** The quantized .tflite file. */
  model: Uint8Array;
}

/**
 * Prepares a bundle to run as it does on a device: pipeline, quantization and the bit-exact interpreter.
 * @param runs replaces the interpreter, for example with an accelerator
 * @throws AIOT_TFLITE_MALFORMED, AIOT_TFLITE_UNSUPPORTED
 */
export function createPredictor({ info, model }: Predictable | Bundle, runs?: Invoker): Predictor {
  const interpreter = runs ?? sharedInterpreter(model);
  const pipeline = createPipeline(info.signal);
  const vote = createVote(info.vote, info.answer);
  const input = valuesOf(info.input, info.standardization.mean.length);
  const labels = labelsOf(info);
  const labelOf = (index: number | null) => (index === null ? null : (labels[index] ?? null));
  let window = 0;
  const predict = (features: Float32Array, started: number): Prediction => {
    if (info.state === 'window') interpreter.reset?.();
    const output = interpreter.invoke(encodeInput(features, info.standardization, info.input, input));
    const { index, scores, value, objects, extra } = answerOf(info, output, features);
    return {
      window: window++,
      index,
      label: labelOf(index),
      voted: labelOf(index === null ? null : vote.push({ index, scores })),
      scores,
      value,
      ...(objects && { detections: namedDetections(objects, info.classes) }),
      ...(extra && { extra }),
      latencyMs: performance.now() - started,
    };
  };
  return {
    push(sample) {
      const started = performance.now();
      const features = pipeline.push(sample);
      return features === null ? null : predict(features, started);
    },
    // The pipeline computes features in single precision.
    answer: (features) => predict(Float32Array.from(features), performance.now()),
    reset() {
      pipeline.reset();
      vote.reset();
      interpreter.reset?.();
      window = 0;
    },
  };
}

/** A decoded output of a network. */
interface Answer {
  /** Index in `labelsOf`; null if the model predicts values or objects. */
  index: number | null;
  /** One probability per class, the values, the reconstruction error, or the number of objects of each class. */
  scores: number[];
  /** The probability, the first value, the reconstruction error, or the number of objects; null for classes. */
  value: number | null;
  objects?: Found[];
  extra?: Record<string, number[]>;
}

/** Detections with the names of their classes, and centers to a hundredth of a pixel. */
export function namedDetections(objects: readonly Found[], classes: readonly string[]): Detection[] {
  const round = (value: number, steps: number) => Math.round(value * steps) / steps;
  return objects.map(({ class: own, x, y, confidence }) => ({
    label: classes[own]!,
    ...{ x: round(x, 100), y: round(y, 100), confidence: round(confidence, 10_000) },
  }));
}

type Parts = Pick<BundleInfo, 'answer' | 'output' | 'standardization' | 'extra'>;

/**
 * Decodes the prediction from an output, given the input's features before standardization.
 * @param output in the network's own type
 */
export function answerOf(parts: Parts, output: ArrayLike<number>, features: ArrayLike<number>): Answer {
  const { extra, ...rest } = parts;
  if (!extra) return mainAnswerOf(rest, output, features);
  const values = Array.from(output);
  let at = values.length - extra.reduce((sum, { count }) => sum + count, 0);
  const main = mainAnswerOf(rest, values.slice(0, at), features);
  const named = extra.map(({ name, count }): [string, number[]] => {
    at += count;
    return [name, decode(values.slice(at - count, at), parts.output)];
  });
  return { ...main, extra: Object.fromEntries(named) };
}

function mainAnswerOf(
  { answer, output: end, standardization }: Parts,
  output: ArrayLike<number>,
  features: ArrayLike<number>,
): Answer {
  const scores = decode(output, end);
  switch (answer.kind) {
    case 'classes': {
      const { reject, costs } = answer;
      // Without costs, the quantized numbers are compared, so that dequantization cannot change the result.
      const best = costs ? bestClass(scores, costs) : bestClass(output);
      const out = reject && isRejected(reject, best, scores[best]!, features, standardization);
      return { index: out ? scores.length : best, scores, value: null };
    }
    case 'probability': {
      const share = scores[0] ?? 0;
      return { index: share >= answer.threshold ? 1 : 0, scores: [1 - share, share], value: share };
    }
    case 'value':
      return { index: null, scores, value: scores[0] ?? 0 };
    case 'reconstruction': {
      const error = reconstructionError(scores, features, standardization);
      return { index: error > answer.threshold ? 1 : 0, scores: [error], value: error };
    }
    case 'objects': {
      const objects = detectionsIn(scores, answer, answer.threshold);
      const [rows, columns] = answer.grid;
      const counts = new Array<number>(scores.length / (rows * columns) - 1).fill(0);
      for (const object of objects) counts[object.class]!++;
      return { index: null, scores: counts, value: objects.length, objects };
    }
  }
}

/** Settings of aiot.yaml that turn outputs into predictions. */
interface Deciding {
  /** model.vote */
  vote: string;
  /** Thresholds of model.reject. */
  reject?: RejectSpec | undefined;
  /** model.costs: [true class × predicted class], row-major. */
  costs?: number[] | undefined;
}

/** Minimum probability for predicting the second class, unless model.threshold is another one. */
export const evenOdds = 0.5;

/** Meaning of a trained network's outputs. */
function answerSpecOf(
  { network, threshold, source, signal: { image } }: TrainingFile,
  { reject, costs }: Deciding,
): AnswerSpec {
  const { output } = network;
  switch (output.kind) {
    case 'classes':
      return { kind: 'classes', ...(reject && { reject }), ...(costs && { costs }) };
    case 'probability':
      return { kind: 'probability', threshold: threshold ?? evenOdds };
    case 'value': {
      const named = source.kind === 'table' && output.count === 1 ? source.label : 'value';
      const names = Array.from({ length: output.count }, (_, i) =>
        output.count === 1 ? named : `${named}${i}`,
      );
      return { kind: 'value', names };
    }
    case 'reconstruction':
      return { kind: 'reconstruction', threshold: threshold ?? 0 };
    case 'objects': {
      const { width = 0, height = 0 } = image ?? {};
      return {
        kind: 'objects',
        threshold: threshold ?? evenOdds,
        grid: output.grid,
        picture: { width, height },
      };
    }
  }
}

/** How the outputs of a trained network become predictions: the part of a bundle that evaluation and every device share. */
export function answeringOf(
  training: TrainingFile,
  deciding: Deciding,
): Pick<BundleInfo, 'answer' | 'classes' | 'labels' | 'vote' | 'state'> {
  const answer = answerSpecOf(training, deciding);
  const state = training.state && { state: training.state };
  if (answer.kind === 'value') return { answer, classes: [], labels: {}, vote: 'none', ...state };
  return { answer, classes: training.classes, labels: training.labels, vote: deciding.vote, ...state };
}

/** Labels by the index of a prediction: the classes, followed by the label of rejected windows if there is one. */
export function labelsOf({ answer, classes }: Pick<BundleInfo, 'answer' | 'classes'>): string[] {
  return answer.kind === 'classes' && answer.reject ? [...classes, answer.reject.label] : classes;
}

/** The same output specification without rejection, so that every window gets the class with the largest output. */
export function withoutRejection(answer: AnswerSpec): AnswerSpec {
  if (answer.kind !== 'classes') return answer;
  const { reject: _, ...rest } = answer;
  return rest;
}

/** Whether a window is rejected, given its predicted class and that class's output. */
export function isRejected(
  reject: RejectSpec,
  index: number,
  share: number,
  features: ArrayLike<number>,
  standardization: Standardization,
): boolean {
  if (share < reject.minimum[index]!) return true;
  return (
    reject.radius.length > 0 && distanceTo(reject, index, features, standardization) > reject.radius[index]!
  );
}

/** Weighted mean squared distance between the standardized input and a class's center. */
export function distanceTo(
  { center, weight }: Pick<RejectSpec, 'center' | 'weight'>,
  index: number,
  features: ArrayLike<number>,
  { mean, deviation }: Standardization,
): number {
  const start = index * weight.length;
  let sum = 0;
  for (let i = 0; i < weight.length; i++) {
    const distance = ((features[i]! - mean[i]!) / deviation[i]! - center[start + i]!) * weight[i]!;
    sum += distance * distance;
  }
  return sum / weight.length;
}

/**
 * Mean squared distance of a reconstruction from the standardized input. Uses the input before quantization, because int8 would clip
 * outlying values, which must still count as far away.
 */
function reconstructionError(
  reconstruction: number[],
  features: ArrayLike<number>,
  standardization: Standardization,
): number {
  const input = standardize(features, standardization, new Float64Array(reconstruction.length));
  let sum = 0;
  for (let i = 0; i < input.length; i++) {
    // Multiplies as a chip does, because the rounding of Math.pow depends on the JavaScript engine.
    const distance = reconstruction[i]! - input[i]!;
    sum += distance * distance;
  }
  return sum / input.length;
}
