import type { Graph, Operator, OperatorName, Tensor } from '../../../formats/tflite/graph.js';
import type { Kind } from '../types.js';
import type { Seen } from './calibrate.js';
import { channelScales, quantizeWeights } from './numbers.js';
import { channelAxis, isWeighted, type Weighted } from './rules.js';

/** Maximum factor for a channel. A larger factor would only move the problem to the other layer. */
const largestFactor = 16;

/** Operators that do not mix channels, and commute with a positive factor per channel. */
const passing: readonly OperatorName[] = ['MAX_POOL_2D', 'AVERAGE_POOL_2D', 'MEAN', 'REDUCE_MAX', 'RESHAPE'];

/** Two layers between which all operators commute with a positive factor per channel. */
interface Pair {
  first: number;
  second: number;
  /** Output tensor of the first layer, and input tensor of the second. */
  made: number;
  read: number;
}

/**
 * Cross-layer equalization. Divides each channel between two layers by s, and multiplies the channel's weights in the next layer by s.
 * Channels then use the tensor's single scale more evenly, and the network computes the same function. The factor is s = √(a / w), where a
 * is the channel's largest activation and w its largest weight in the next layer, each divided by its geometric mean. Source: Nagel et al.,
 * "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019), equation 11. Here the activation replaces the first
 * layer's weights, which have a scale per channel anyway.
 */
export function equalized(graph: Graph, seen: ReadonlyMap<number, Seen>): { graph: Graph; pairs: number } {
  const tensors: Tensor[] = [...graph.tensors];
  const operators: Operator[] = [...graph.operators];
  let pairs = 0;
  for (const pair of pairsOf(graph)) {
    const [first, second] = [operators[pair.first] as Weighted, operators[pair.second] as Weighted];
    const factors = factorsOf({ ...graph, tensors }, pair, second, seen);
    if (factors === undefined) continue;
    operators[pair.first] = scaledOutputs(tensors, first, factors);
    operators[pair.second] = scaledInputs(graph, tensors, second, pair.read, factors);
    pairs++;
  }
  return { graph: { ...graph, tensors, operators }, pairs };
}

function* pairsOf({ operators, outputs, tensors }: Graph): Iterable<Pair> {
  const readers = (index: number) =>
    operators.flatMap(({ inputs }, at) => (inputs.includes(index) ? [at] : []));
  for (const [at, operator] of operators.entries()) {
    if (!isWeighted(operator) || !['none', 'relu'].includes(operator.options.activation)) continue;
    const made = operator.outputs[0]!;
    let read = made;
    for (;;) {
      const [next, ...more] = readers(read);
      if (next === undefined || more.length > 0 || outputs.includes(read)) break;
      const reader = operators[next]!;
      if (isWeighted(reader)) {
        if (reader.inputs[0] === read) yield { first: at, second: next, made, read };
        break;
      }
      const output = reader.outputs[0]!;
      const same = tensors[output]!.shape.at(-1) === tensors[made]!.shape.at(-1);
      // A clamp fused into a pool does not commute with a factor, and a change of the last axis mixes channels.
      const clamped = 'activation' in reader.options && reader.options.activation !== 'none';
      if (!passing.includes(reader.op) || clamped || !same) break;
      read = output;
    }
  }
}

function factorsOf(
  graph: Graph,
  { made, read }: Pair,
  second: Weighted,
  seen: ReadonlyMap<number, Seen>,
): Float64Array | undefined {
  const [largest, weights] = [seen.get(made)?.largest, graph.tensors[second.inputs[1]!]];
  const input = graph.tensors[read]!;
  const channels = graph.tensors[made]!.shape.at(-1)!;
  if (largest === undefined || !(weights?.data instanceof Float32Array)) return undefined;
  const [activation, weight] = [new Float64Array(channels), new Float64Array(channels)];
  largest.forEach((value, i) => {
    activation[i % channels] = Math.max(activation[i % channels]!, value);
  });
  const size = input.shape.reduce((product, length) => product * length, 1);
  const { channel } = inputOfWeight(second, weights.shape, size, input.shape.at(-1)!);
  weights.data.forEach((value, i) => {
    const c = channel(i) % channels;
    weight[c] = Math.max(weight[c]!, Math.abs(value));
  });
  const raw = activation.map((a, c) => (a > 0 && weight[c]! > 0 ? Math.sqrt(a / weight[c]!) : 0));
  const used = raw.filter((value) => value > 0);
  if (used.length === 0) return undefined;
  const middle = Math.exp(used.reduce((sum, value) => sum + Math.log(value), 0) / used.length);
  return raw.map((value) =>
    value === 0 ? 1 : Math.min(largestFactor, Math.max(1 / largestFactor, value / middle)),
  );
}

/** The layer with each output channel c divided by its factor. */
function scaledOutputs(tensors: Tensor[], operator: Weighted, factors: Float64Array): Operator {
  const [x = -1, w = -1, b = -1] = operator.inputs;
  const weights = tensors[w]!;
  const data = weights.data as Float32Array;
  const channels = factors.length;
  const block = channelAxis(operator.op) === 3 ? 1 : data.length / channels;
  const scaled = data.map((value, i) => value / factors[Math.floor(i / block) % channels]!);
  const place = tensors.push({ ...weights, data: scaled }) - 1;
  if (b === -1) return { ...operator, inputs: [x, place, -1] };
  const bias = tensors[b]!;
  const moved = (bias.data as Float32Array).map((value, c) => value / factors[c]!);
  return { ...operator, inputs: [x, place, tensors.push({ ...bias, data: moved }) - 1] };
}

/** The layer with the weights of each input channel c multiplied by its factor. */
function scaledInputs(
  graph: Graph,
  tensors: Tensor[],
  operator: Weighted,
  read: number,
  factors: Float64Array,
): Operator {
  const [x = -1, w = -1, ...rest] = operator.inputs;
  const weights = tensors[w]!;
  const { shape } = graph.tensors[read]!;
  const size = shape.reduce((product, length) => product * length, 1);
  const { channel } = inputOfWeight(operator, weights.shape, size, shape.at(-1)!);
  const data = (weights.data as Float32Array).map(
    (value, i) => value * factors[channel(i) % factors.length]!,
  );
  return { ...operator, inputs: [x, tensors.push({ ...weights, data }) - 1, ...rest] };
}

/**
 * Subtracts the mean error caused by rounded weights from each layer's bias: b − Σ (w_q − w)·E[x], with E[x] the mean input over the
 * representative rows. Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019, section 4.2.
 * Cells beyond the border count as if they were inside. Layers that stay float32, and layers without a bias, are not changed.
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

/** For each output channel, how much rounding the weights changes the mean output. */
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

/**
 * The input channel that each weight multiplies, and the number of channels. `size`, `last`: number of elements and length of the last axis
 * of the input.
 */
function inputOfWeight(
  { op }: Weighted,
  shape: readonly number[],
  size: number,
  last: number,
): { channels: number; channel: (i: number) => number } {
  const columns = shape.at(-1)!;
  if (op === 'FULLY_CONNECTED') {
    // A dense layer reads the whole input, or (along the last axis) one position after another.
    const channels = size === columns ? size : last;
    return { channels, channel: (i) => (i % columns) % channels };
  }
  if (op === 'DEPTHWISE_CONV_2D') {
    const multiplier = columns / last;
    return { channels: last, channel: (i) => Math.floor((i % columns) / multiplier) };
  }
  // [out, kh, kw, in / groups]: each group of outputs reads its own inputs.
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
