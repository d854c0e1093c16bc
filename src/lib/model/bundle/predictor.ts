import { readTflite } from '../../formats/index.js';
import { createInterpreter, type Interpreter } from '../../runtime/index.js';
import { createPipeline } from '../../signal/index.js';
import { answerOf } from './answers.js';
import { encodeInput, valuesOf } from './ends.js';
import type { Bundle } from './types.js';
import { createVote } from './vote.js';

/** Computes a network: from its input to its output, both in its own types. */
export type Invoker = Pick<Interpreter, 'invoke'>;

/** The answer for one window. */
export interface Prediction {
  /** Number of the window since the last reset, from 0. */
  window: number;
  /** Index of the class; null where the model answers with values. */
  index: number | null;
  label: string | null;
  /** The label after the vote over the last windows. */
  voted: string | null;
  /**
   * Dequantized outputs in the order of the classes (they sum to about 1), of a probability [1 − p, p]; the values; or the
   * reconstruction error.
   */
  scores: number[];
  /** The probability, the first value, or the reconstruction error; null for classes. */
  value: number | null;
  /** From the sample that completed the window to this answer, ms. */
  latencyMs: number;
}

export interface Predictor {
  /** Takes one sample, a value a field in the order of `info.signal.fields`; answers when it completes a window. */
  push(sample: ArrayLike<number>): Prediction | null;
  /**
   * The answer to a window whose features were computed elsewhere.
   * @param features before standardization, in the order of `featureNames(info.signal)`; left unchanged
   */
  answer(features: ArrayLike<number>): Prediction;
  /** Forgets samples and votes: the next sample is the first of a new recording. */
  reset(): void;
}

/**
 * A bundle ready to run as on a device: pipeline, quantization and the bit-exact interpreter.
 * @param runs computes the network instead of the interpreter: an accelerator
 * @throws AIOT_TFLITE_MALFORMED, AIOT_TFLITE_UNSUPPORTED
 */
export function createPredictor({ info, model }: Bundle, runs?: Invoker): Predictor {
  const interpreter = runs ?? createInterpreter(readTflite(model));
  const pipeline = createPipeline(info.signal);
  const vote = createVote(info.vote);
  const input = valuesOf(info.input, info.standardization.mean.length);
  const labelOf = (index: number | null) => (index === null ? null : (info.classes[index] ?? null));
  let window = 0;
  const predict = (features: Float32Array, started: number): Prediction => {
    const output = interpreter.invoke(encodeInput(features, info.standardization, info.input, input));
    const { index, scores, value } = answerOf(info, output, features);
    return {
      window: window++,
      index,
      label: labelOf(index),
      voted: labelOf(index === null ? null : vote.push(index)),
      scores,
      value,
      latencyMs: performance.now() - started,
    };
  };
  return {
    push(sample) {
      const started = performance.now();
      const features = pipeline.push(sample);
      return features === null ? null : predict(features, started);
    },
    // In single precision, as the pipeline gives them.
    answer: (features) => predict(Float32Array.from(features), performance.now()),
    reset() {
      pipeline.reset();
      vote.reset();
      window = 0;
    },
  };
}
