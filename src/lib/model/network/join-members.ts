import { AiotError } from '../../core/index.js';
import type { Graph, Operator, Tensor } from '../../formats/index.js';

type Dense = Extract<Operator, { op: 'FULLY_CONNECTED' }>;

/**
 * Networks of the same dense layers, trained from different beginnings, as one network whose outputs are the mean of theirs: the
 * first layers stand side by side, each member's later layers see its own part alone (the rest of the weights is 0), and
 * the last layer adds up. A device runs it as any other network, with no operator more.
 * @param graphs float32 chains of FULLY_CONNECTED, as `buildTrainable` makes them of dense layers
 * @throws AIOT_MODEL_UNFIT for other operators, or networks that differ in shape
 */
export function joinMembers(graphs: readonly Graph[]): Graph {
  const [first] = graphs;
  if (!first) throw unfit('there is none');
  if (graphs.length === 1) return first;
  const chains = graphs.map(denseChain);
  const tensors: Tensor[] = [...first.tensors];
  const last = first.operators.length - 1;
  chains[0]!.forEach((operator, layer) => {
    const members = graphs.map((graph, m) => memberLayer(graph, chains[m]![layer]));
    const [{ outputs, inputs }] = members as [Layer];
    if (members.some((other) => other.outputs !== outputs || other.inputs !== inputs))
      throw unfit('their layers differ in size');
    const joined =
      layer === last ? averaged(members, layer === 0) : layer === 0 ? stacked(members) : sideBySide(members);
    const [, w = -1, b = -1] = operator.inputs;
    tensors[w] = { ...tensors[w]!, shape: [joined.outputs, joined.inputs], data: joined.weights };
    tensors[b] = { ...tensors[b]!, shape: [joined.outputs], data: joined.bias };
    const [output = -1] = operator.outputs;
    tensors[output] = { ...tensors[output]!, shape: [1, joined.outputs] };
  });
  return { ...first, tensors };
}

interface Layer {
  outputs: number;
  inputs: number;
  /** [outputs, inputs] */
  weights: Float32Array;
  bias: Float32Array;
}

function denseChain(graph: Graph): Dense[] {
  return graph.operators.map((operator, i) => {
    const before = i === 0 ? graph.inputs[0] : graph.operators[i - 1]!.outputs[0];
    if (operator.op !== 'FULLY_CONNECTED' || operator.inputs[0] !== before)
      throw unfit(`expected dense layers one after the other, got ${operator.op} as operator ${i}`);
    return operator;
  });
}

function memberLayer(graph: Graph, operator: Dense | undefined): Layer {
  const [, w = -1, b = -1] = operator?.inputs ?? [];
  const [weights, bias] = [graph.tensors[w], graph.tensors[b]];
  if (!(weights?.data instanceof Float32Array) || !(bias?.data instanceof Float32Array))
    throw unfit('expected a float32 weight and bias in every layer, and as many layers in each');
  const [outputs = 0, inputs = 0] = weights.shape;
  return { outputs, inputs, weights: weights.data, bias: bias.data };
}

/** All see the same input. */
function stacked(members: Layer[]): Layer {
  const { inputs, outputs } = members[0]!;
  const weights = new Float32Array(members.length * outputs * inputs);
  members.forEach((member, m) => {
    weights.set(member.weights, m * outputs * inputs);
  });
  return { outputs: members.length * outputs, inputs, weights, bias: concatenated(members) };
}

/** Each sees the part of the input that is its own. */
function sideBySide(members: Layer[]): Layer {
  const { inputs, outputs } = members[0]!;
  const width = members.length * inputs;
  const weights = new Float32Array(members.length * outputs * width);
  members.forEach((member, m) => {
    for (let o = 0; o < outputs; o++) {
      weights.set(
        member.weights.subarray(o * inputs, (o + 1) * inputs),
        (m * outputs + o) * width + m * inputs,
      );
    }
  });
  return { outputs: members.length * outputs, inputs: width, weights, bias: concatenated(members) };
}

/** Mean of the members' outputs. `shared`: they see one input, not each a part of it. */
function averaged(members: Layer[], shared: boolean): Layer {
  const { inputs, outputs } = members[0]!;
  const count = members.length;
  const width = shared ? inputs : count * inputs;
  const weights = new Float32Array(outputs * width);
  const bias = new Float32Array(outputs);
  members.forEach((member, m) => {
    const from = shared ? 0 : m * inputs;
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) {
        const at = o * width + from + i;
        weights[at] = weights[at]! + member.weights[o * inputs + i]! / count;
      }
      bias[o] = bias[o]! + member.bias[o]! / count;
    }
  });
  return { outputs, inputs: width, weights, bias };
}

function concatenated(members: Layer[]): Float32Array {
  return Float32Array.from(members.flatMap(({ bias }) => [...bias]));
}

function unfit(message: string): AiotError {
  return new AiotError('AIOT_MODEL_UNFIT', `these networks cannot be joined: ${message}`, {
    next: 'Use several members with dense layers alone (model.kind: mlp).',
  });
}
