import { inputShape, type SignalSpec, type Standardization, standardize } from '../../../signal/spec.js';
import type { Plan } from '../plan.js';
import type { Lesson } from '../types.js';

/** Below this share of a feature's magnitude, its deviation is only single-precision rounding noise. */
const relativeFloor = 1e-6;

/**
 * Mean and population deviation per input over the training windows. With `fields` (windows over time, [sample][field]), all samples of a
 * field share one mean and deviation, repeated per input. Statistics of individual inputs would depend on where a window starts. A constant
 * feature gets deviation 1, so that the feature becomes 0 instead of noise.
 */
export function fitStandardization({ inputs, inputSize }: Lesson, fields?: number): Standardization {
  const groups = fields ?? inputSize;
  const mean = new Float64Array(groups);
  const variance = new Float64Array(groups);
  const perGroup = inputs.length / groups;
  for (let i = 0; i < inputs.length; i++) mean[i % groups]! += inputs[i]! / perGroup;
  for (let i = 0; i < inputs.length; i++) {
    variance[i % groups]! += (inputs[i]! - mean[i % groups]!) ** 2 / perGroup;
  }
  const deviation = Array.from(variance, (value, g) => {
    const root = Math.sqrt(value);
    return root > Math.abs(mean[g]!) * relativeFloor && root > 0 ? root : 1;
  });
  return {
    mean: Array.from({ length: inputSize }, (_, i) => mean[i % groups]!),
    deviation: Array.from({ length: inputSize }, (_, i) => deviation[i % groups]!),
  };
}

/** Number of values in one time step or pixel. In a spectrogram, a time step's values are the bands. */
export function fieldsOf(signal: SignalSpec): number {
  return signal.image ? signal.fields.length : (inputShape(signal)[1] ?? 1);
}

/** All windows as the network's float input, row-major. */
export function standardizeAll({ inputs, inputSize }: Lesson, by: Standardization): Float32Array {
  const out = new Float32Array(inputs.length);
  for (let start = 0; start < out.length; start += inputSize) {
    const end = start + inputSize;
    standardize(inputs.subarray(start, end), by, out.subarray(start, end));
  }
  return out;
}

/** Like `standardizeAll`, but in place: for callers that no longer need the original examples. */
export function standardizeInPlace({ inputs, inputSize }: Lesson, by: Standardization): Float32Array {
  for (let start = 0; start < inputs.length; start += inputSize) {
    const row = inputs.subarray(start, start + inputSize);
    standardize(row, by, row);
  }
  return inputs;
}

/**
 * The standardization for a training set, or the backbone's if known. Pictures with signal.image.normalize: range become −1…1. Rows of a
 * table that are already standardized are used unchanged. That is the case if every column's mean is within 0.25 of 0 and its deviation
 * between 0.5 and 2.
 */
export function standardizationFor(
  train: Lesson,
  { windows, rows, signal, pixelRange, backbone }: Plan,
): Standardization {
  if (backbone?.standardization) return backbone.standardization;
  if (pixelRange) {
    const half = new Array<number>(train.inputSize).fill(127.5);
    return { mean: half, deviation: [...half] };
  }
  const fitted = fitStandardization(train, windows ? fieldsOf(signal) : undefined);
  if (!rows) return fitted;
  const ready =
    fitted.mean.every((mean) => Math.abs(mean) <= 0.25) &&
    fitted.deviation.every((deviation) => deviation >= 0.5 && deviation <= 2);
  return ready ? { mean: fitted.mean.map(() => 0), deviation: fitted.mean.map(() => 1) } : fitted;
}
