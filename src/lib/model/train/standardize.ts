import type { Standardization } from '../../signal/index.js';
import type { Examples } from './types.js';

/** Below this share of a feature's magnitude its spread is rounding noise. */
const relativeFloor = 1e-9;

/**
 * Mean and population deviation per input over the training windows. With `fields` (raw windows, [sample][field]) all
 * samples of a field share theirs, repeated per input: one input's own statistics would depend on where a window starts.
 * A feature that never varies gets deviation 1, so that it stays 0 instead of becoming noise.
 */
export function fitStandardization(examples: Examples, fields?: number): Standardization {
  const { inputs, inputSize } = examples;
  const groups = fields ?? inputSize;
  const mean = new Float64Array(groups);
  const square = new Float64Array(groups);
  const perGroup = inputs.length / groups;
  for (let i = 0; i < inputs.length; i++) mean[i % groups]! += inputs[i]! / perGroup;
  for (let i = 0; i < inputs.length; i++)
    square[i % groups]! += (inputs[i]! - mean[i % groups]!) ** 2 / perGroup;
  const deviation = Array.from(square, (variance, g) => {
    const value = Math.sqrt(variance);
    return value > Math.abs(mean[g]!) * relativeFloor && value > Number.MIN_VALUE ** 0.5 ? value : 1;
  });
  return {
    mean: Array.from({ length: inputSize }, (_, i) => mean[i % groups]!),
    deviation: Array.from({ length: inputSize }, (_, i) => deviation[i % groups]!),
  };
}

/** (feature − mean) / deviation for every window, as the network's float input. */
export function standardize(inputs: ArrayLike<number>, { mean, deviation }: Standardization): Float32Array {
  const size = mean.length;
  const out = new Float32Array(inputs.length);
  for (let i = 0; i < out.length; i++) out[i] = (inputs[i]! - mean[i % size]!) / deviation[i % size]!;
  return out;
}
