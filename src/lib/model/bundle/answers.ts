import { type Standardization, standardize } from '../../signal/index.js';
import { decode } from './ends.js';
import type { BundleInfo } from './types.js';

/** What a network's output means. */
export interface Answer {
  /** Of the class; null where it answers with values. */
  index: number | null;
  /** A share of each class, the values, or the reconstruction error. */
  scores: number[];
  /** The probability, the first value, or the reconstruction error; null for classes. */
  value: number | null;
}

type Parts = Pick<BundleInfo, 'answer' | 'output' | 'standardization'>;

/**
 * The answer in an output, from the features (before standardization) that went in.
 * @param output in the network's own type
 */
export function answerOf(
  { answer, output: end, standardization }: Parts,
  output: ArrayLike<number>,
  features: ArrayLike<number>,
): Answer {
  const scores = decode(output, end);
  switch (answer.kind) {
    case 'classes':
      return { index: argMax(output), scores, value: null };
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
  }
}

/**
 * Mean squared distance of a reconstruction from the standardized input. The input is taken before it was quantized: what
 * lies beyond the range of an int8 input is clipped there, and must still count as far away.
 */
function reconstructionError(
  reconstruction: number[],
  features: ArrayLike<number>,
  standardization: Standardization,
): number {
  const input = standardize(features, standardization, new Float64Array(reconstruction.length));
  let sum = 0;
  for (let i = 0; i < input.length; i++) {
    // Not to the power of 2, which engines round as they like: a chip multiplies.
    const distance = reconstruction[i]! - input[i]!;
    sum += distance * distance;
  }
  return sum / input.length;
}

/** Index of the greatest; the first of equals. Of the output's own numbers: dequantizing must not make a difference. */
function argMax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}
