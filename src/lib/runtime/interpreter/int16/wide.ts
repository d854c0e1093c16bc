import type { TensorType } from '../../../formats/index.js';
import { multiply64, multiplyByQuantized } from '../fixed-point.js';
import type { Node } from '../node.js';

/** What a layer adds to its sums, and how these become outputs. */
export interface Wide {
  bias: Float64Array;
  /** The sum (bias included) by the channel's multiplier. */
  scaled: (sum: number, multiplier: number, shift: number) => number;
}

/** Beyond, TFLite Micro's 64-bit multiplication would overflow. */
const limit = 2 ** 46;

/**
 * The bias of an int16 layer. With an int64 bias, or none, sums have 64 bits and multipliers 15; with an int32 bias both
 * are as on int8. Doubles hold the sums exactly.
 */
export function wideBias(node: Node, channels: number, absent: TensorType | undefined): Wide {
  const data = node.inputs[2]?.tensor.data;
  if (node.inputs[2] !== undefined && data?.length !== channels)
    throw node.malformed(`expected a bias of ${channels} elements, got ${data?.length}`);
  if (data instanceof Int32Array || (data === undefined && absent === 'int32'))
    return {
      bias: Float64Array.from(data ?? new Int32Array(channels)),
      scaled: (sum, multiplier, shift) => multiplyByQuantized(sum | 0, multiplier, shift),
    };
  if (data !== undefined && !(data instanceof BigInt64Array))
    throw node.unsupported(`${node.inputs[2]!.tensor.type} bias`);
  const bias = Float64Array.from(data ?? [], Number);
  const large = bias.find((value) => Math.abs(value) > limit);
  if (large !== undefined) throw node.unsupported(`a bias of ${large}`);
  return { bias: data === undefined ? new Float64Array(channels) : bias, scaled: multiply64 };
}

/** sums[r] = Σ weights[first + r][i] · x[start + i] for `rows` rows, exact in double precision. */
export function rowSums(
  weights: Int8Array,
  first: number,
  rows: number,
  x: Int16Array,
  start: number,
  length: number,
  sums: Float64Array,
): void {
  for (let row = 0; row < rows; row++) {
    const w = (first + row) * length;
    let sum = 0;
    for (let i = 0; i < length; i++) sum += weights[w + i]! * x[start + i]!;
    sums[row] = sum;
  }
}
