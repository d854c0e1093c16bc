import { quantile } from '../evaluate/intervals.js';
import { type NetworkSpec, outputSize } from '../network/layers.js';
import { distance } from './fit/loss.js';

/** What a network says of examples. */
export interface Answers {
  /** Class of each example; empty where values are asked for. */
  classes: Int32Array;
  /** The value; of a reconstruction its error; of one probability what it was told by. Empty for several classes. */
  values: Float64Array;
}

/**
 * Answers from a network's outputs [rows × outputs].
 * @param inputs standardized, [rows × inputs]: what a reconstruction is compared with
 * @param from where the second class begins: of one output (0 of a logit, 0.5 of a probability), or of an error
 */
export function answersOf(
  outputs: Float32Array,
  inputs: Float32Array,
  network: NetworkSpec,
  from: number | null,
): Answers {
  const width = outputSize(network);
  const rows = outputs.length / width;
  const own = (row: number) => outputs.subarray(row * width, (row + 1) * width);
  const none = new Float64Array(0);
  switch (network.output.kind) {
    case 'classes':
      return { classes: Int32Array.from({ length: rows }, (_, row) => largest(own(row))), values: none };
    case 'probability':
      return {
        classes: Int32Array.from(outputs, (output) => (output >= (from ?? 0.5) ? 1 : 0)),
        values: Float64Array.from(outputs),
      };
    case 'value':
      return { classes: new Int32Array(0), values: Float64Array.from(outputs) };
    case 'reconstruction': {
      const errors = Float64Array.from({ length: rows }, (_, row) => distance(own(row), inputs, row));
      return {
        classes: Int32Array.from(errors, (error) => (error > (from ?? Infinity) ? 1 : 0)),
        values: errors,
      };
    }
  }
}

/** The reconstruction error that this share of the rows stays below. */
export function errorQuantile(
  outputs: Float32Array,
  inputs: Float32Array,
  network: NetworkSpec,
  share: number,
): number {
  return quantile(answersOf(outputs, inputs, network, null).values.sort(), share);
}

function largest(row: Float32Array): number {
  let best = 0;
  for (let c = 1; c < row.length; c++) if (row[c]! > row[best]!) best = c;
  return best;
}
