import type { Graph, Tensor } from '../../formats/index.js';
import type { Seen } from './calibrate.js';
import { channelAxis, isWeighted, type Weighted } from './rules.js';
import type { Kind } from './types.js';
import { channelScales, quantizeWeights } from './weights.js';

/**
 * Takes the mean error that rounded weights cause out of each layer's bias: b − Σ (w_q − w)·E[x], with E[x] the mean input
 * over the representative rows (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
 * 2019, section 4.2). Cells beyond the border count as if they were inside. Layers that stay float32 keep their bias, and
 * so do those without one.
 */
export function biasCorrected(graph: Graph, seen: ReadonlyMap<number, Seen>, kinds: readonly Kind[]): Graph {
  const tensors: Tensor[] = [...graph.tensors];
  const operators = graph.operators.map((operator, at) => {
    if (!isWeighted(operator) || kinds[at] === 'float32') return operator;
    const [x = -1, w = -1, b = -1] = operator.inputs;
    const [mean, weights, bias] = [seen.get(x)?.mean, graph.tensors[w], graph.tensors[b]];
    if (!mean || !(weights?.data instanceof Float32Array) || !(bias?.data instanceof Float32Array))
      return operator;
    const shift = meanError(operator, weights, mean, graph.tensors[x]!.shape.at(-1)!);
    const data = bias.data.map((value, c) => value - shift[c]!);
    const place = tensors.push({ ...bias, data }) - 1;
    return { ...operator, inputs: [x, w, place] };
  });
  return { ...graph, tensors, operators };
}

/** Per output channel, what rounding the weights adds to the mean output. */
function meanError(
  operator: Weighted,
  { data, shape }: Tensor,
  mean: Float64Array,
  last: number,
): Float64Array {
  const weights = data as Float32Array;
  const axis = channelAxis(operator.op);
  const channels = shape[axis]!;
  const block = axis === 3 ? 1 : weights.length / channels;
  const scale = channelScales(weights, channels, block);
  const rounded = quantizeWeights(weights, scale, block);
  const inputOf = inputOfWeight(operator, shape, mean.length, last);
  const means = perChannel(mean, inputOf.channels);
  const error = new Float64Array(channels);
  for (let i = 0; i < weights.length; i++) {
    const c = Math.floor(i / block) % channels;
    error[c]! += (rounded[i]! * scale[c]! - weights[i]!) * means[inputOf.channel(i)]!;
  }
  return error;
}

/** Which channel of the input each weight multiplies, out of how many. `size`, `last`: elements and last axis of the input. */
export function inputOfWeight(
  { op }: Weighted,
  shape: readonly number[],
  size: number,
  last: number,
): { channels: number; channel: (i: number) => number } {
  const columns = shape.at(-1)!;
  if (op === 'FULLY_CONNECTED') {
    // A dense layer takes the whole input, or (along the last axis) one position after another.
    const channels = size === columns ? size : last;
    return { channels, channel: (i) => (i % columns) % channels };
  }
  if (op === 'DEPTHWISE_CONV_2D') {
    const multiplier = columns / last;
    return { channels: last, channel: (i) => Math.floor((i % columns) / multiplier) };
  }
  // [out, kh, kw, in / groups]: a group of outputs sees its own inputs.
  const perOutput = shape[1]! * shape[2]! * columns;
  const outputsPerGroup = (shape[0]! * columns) / last;
  return {
    channels: last,
    channel: (i) => Math.floor(Math.floor(i / perOutput) / outputsPerGroup) * columns + (i % columns),
  };
}

function perChannel(values: Float64Array, channels: number): Float64Array {
  const means = new Float64Array(channels);
  for (let i = 0; i < values.length; i++) means[i % channels]! += (values[i]! * channels) / values.length;
  return means;
}
