import { readTflite } from '../../formats/index.js';
import { createInterpreter } from '../../runtime/index.js';
import { createPipeline, quantizeInput } from '../../signal/index.js';
import { argMaxRows } from '../evaluate/metrics.js';
import type { Bundle } from './types.js';
import { createVote } from './vote.js';

/** The answer for one window. */
export interface Prediction {
  /** Number of the window since the last reset, from 0. */
  window: number;
  /** Index of the class. */
  index: number;
  label: string;
  /** The label after the vote over the last windows. */
  voted: string;
  /** Dequantized outputs in the order of the classes; they sum to about 1. */
  scores: number[];
  /** From the sample that completed the window to this answer, ms. */
  latencyMs: number;
}

export interface Predictor {
  /** Takes one sample, a value a field in the order of `info.signal.fields`; answers when it completes a window. */
  push(sample: ArrayLike<number>): Prediction | null;
  /** Forgets samples and votes: the next sample is the first of a new recording. */
  reset(): void;
}

/**
 * A bundle ready to run as on a device: pipeline, quantization and the bit-exact int8 interpreter.
 * @throws AIOT_TFLITE_MALFORMED, AIOT_TFLITE_UNSUPPORTED
 */
export function createPredictor({ info, model }: Bundle): Predictor {
  const interpreter = createInterpreter(readTflite(model));
  const pipeline = createPipeline(info.signal);
  const vote = createVote(info.vote);
  const input = new Int8Array(info.standardization.mean.length);
  let window = 0;
  return {
    push(sample) {
      const started = performance.now();
      const features = pipeline.push(sample);
      if (features === null) return null;
      const output = interpreter.invoke(quantizeInput(features, info.standardization, info.input, input));
      const index = argMaxRows(output, output.length)[0]!;
      return {
        window: window++,
        index,
        label: info.classes[index]!,
        voted: info.classes[vote.push(index)]!,
        scores: Array.from(output, (q) => info.output.scale * (q - info.output.zeroPoint)),
        latencyMs: performance.now() - started,
      };
    },
    reset() {
      pipeline.reset();
      vote.reset();
      window = 0;
    },
  };
}
