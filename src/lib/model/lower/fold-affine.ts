import { elementCount, type Graph, type Operator, type Tensor } from '../../formats/index.js';
import { makerOf, replaced, usesOf } from './rewrite.js';

type Layer = Extract<Operator, { op: 'FULLY_CONNECTED' | 'CONV_2D' | 'DEPTHWISE_CONV_2D' }>;
type Affine = Extract<Operator, { op: 'ADD' | 'SUB' | 'MUL' }>;

/** y = factor[c] · x + offset[c] for channel c. */
interface Line {
  factor: Float64Array;
  offset: Float64Array;
}

/**
 * A MUL, ADD or SUB by constants per channel that alone reads a linear layer's float32 output goes into the layer's
 * weights and bias: so a batch norm (γ/√(var + ε) as MUL, the rest as ADD) disappears.
 */
export function foldAffine(graph: Graph): Graph | undefined {
  for (const [at, operator] of graph.operators.entries()) {
    if (operator.op !== 'ADD' && operator.op !== 'SUB' && operator.op !== 'MUL') continue;
    const place = operator.inputs.findIndex((index) => graph.tensors[index]?.data === undefined);
    const index = operator.inputs[place] ?? -1;
    const maker = makerOf(graph, index);
    if (maker === undefined || !isLinear(maker.operator) || usesOf(graph, index) !== 1) continue;
    const line = lineOf(graph, operator, place);
    const folded = line && foldInto(graph, maker.operator, line);
    if (folded === undefined) continue;
    const options = { ...maker.operator.options, activation: operator.options.activation };
    const layer = {
      ...maker.operator,
      inputs: folded.inputs,
      outputs: operator.outputs,
      options,
    } as Operator;
    return replaced(
      graph,
      folded.tensors,
      new Map([
        [maker.at, [layer]],
        [at, []],
      ]),
    );
  }
  return undefined;
}

function isLinear(operator: Operator): operator is Layer {
  const { op } = operator;
  if (op !== 'FULLY_CONNECTED' && op !== 'CONV_2D' && op !== 'DEPTHWISE_CONV_2D') return false;
  return operator.options.activation === 'none';
}

/** The operator as a line per channel of the layer; undefined when its constant is no float32 per channel. */
function lineOf({ tensors }: Graph, { op, inputs, outputs }: Affine, place: number): Line | undefined {
  const [x, constant] = [tensors[inputs[place]!]!, tensors[inputs[1 - place]!]!];
  const { data, shape } = constant;
  if (!(data instanceof Float32Array) || x.shape.join() !== tensors[outputs[0]!]!.shape.join())
    return undefined;
  const channels = x.shape.at(-1) ?? 1;
  const perChannel = shape.at(-1) === channels && elementCount(shape) === channels;
  if (!perChannel && elementCount(shape) !== 1) return undefined;
  const values = Float64Array.from({ length: channels }, (_, c) => data[perChannel ? c : 0]!);
  const all = (value: number) => new Float64Array(channels).fill(value);
  if (op === 'MUL') return { factor: values, offset: all(0) };
  if (op === 'ADD') return { factor: all(1), offset: values };
  return place === 0
    ? { factor: all(1), offset: values.map((value) => -value) }
    : { factor: all(-1), offset: values };
}

/** New weights and bias of the layer; undefined when they are not constants of float32. */
function foldInto(graph: Graph, { op, inputs }: Layer, { factor, offset }: Line) {
  const [x = -1, w = -1, b = -1] = inputs;
  const [weights, bias] = [graph.tensors[w], graph.tensors[b]];
  if (!(weights?.data instanceof Float32Array)) return undefined;
  if (b !== -1 && !(bias?.data instanceof Float32Array)) return undefined;
  const channels = factor.length;
  const given = bias?.data instanceof Float32Array ? bias.data : new Float32Array(channels);
  // Depthwise weights have the channel last, the others first.
  const block = op === 'DEPTHWISE_CONV_2D' ? 1 : weights.data.length / channels;
  const scaled = weights.data.map((value, i) => value * factor[Math.floor(i / block) % channels]!);
  const moved = given.map((value, c) => value * factor[c]! + offset[c]!);
  const tensors: Tensor[] = [...graph.tensors];
  const newWeights = tensors.push({ ...weights, data: scaled }) - 1;
  const name = bias?.name ?? `${weights.name}/bias`;
  const newBias = tensors.push({ name, shape: [channels], type: 'float32', data: moved }) - 1;
  return { tensors, inputs: [x, newWeights, newBias] };
}
