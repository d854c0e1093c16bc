import { errorMaker } from '../../core/errors.js';
import type { Graph, Operator, Tensor } from '../../formats/tflite/graph.js';
import type { Engine, EngineState, Step } from './types.js';

const unfit = errorMaker('AIOT_MODEL_UNFIT', 'these models cannot be joined: ', {
  next: 'Use several members only with dense layers (model.kind: mlp).',
});

/**
 * Combines several engines over networks with the same shape and different initial weights. Each learns from the same steps, and the
 * outputs are averaged. With little data, this reduces random variation. `graph` returns all networks joined into one (see `joinMembers`).
 * @param engines at least one; disposed with this one
 * @throws AIOT_MODEL_UNFIT for networks that cannot be joined
 */
export function membersEngine(engines: readonly Engine[]): Engine {
  const [first] = engines;
  if (!first) throw new RangeError('expected at least one engine');
  if (engines.length === 1) return first;
  const joined = () => joinMembers(engines.map((engine) => engine.graph()));
  // Networks that cannot be joined are rejected before training starts.
  joined();
  return {
    name: first.name,
    inputSize: first.inputSize,
    outputSize: first.outputSize,
    step(inputs, targets, weights, rows, share): Step {
      const steps = engines.map((engine) => engine.step(inputs, targets, weights, rows, share));
      const loss = steps.reduce((sum, step) => sum + step.loss, 0) / steps.length;
      return { loss, outputs: mean(steps.map(({ outputs }) => outputs)) };
    },
    forward: (inputs, rows) => mean(engines.map((engine) => engine.forward(inputs, rows))),
    save: () => joinStates(engines.map((engine) => engine.save())),
    load: (state) => {
      splitState(state, engines.length).forEach((own, i) => {
        engines[i]!.load(own);
      });
    },
    graph: joined,
    dispose: () => {
      for (const engine of engines) engine.dispose();
    },
  };
}

function mean(all: Float32Array[]): Float32Array {
  const out = new Float32Array(all[0]!.length);
  for (const one of all) for (let i = 0; i < out.length; i++) out[i] = out[i]! + one[i]! / all.length;
  return out;
}

/** Concatenates the members' arrays. */
function joinStates(states: EngineState[]): EngineState {
  const joined = (part: Exclude<keyof EngineState, 'steps'>) => {
    const size = states[0]![part].length;
    const out = new Float32Array(size * states.length);
    states.forEach((state, i) => {
      out.set(state[part], i * size);
    });
    return out;
  };
  return {
    steps: states[0]!.steps,
    values: joined('values'),
    first: joined('first'),
    second: joined('second'),
    statistics: joined('statistics'),
  };
}

/** Splits a joined state into one per member. If the number of members is wrong, the engines reject the lengths of the parts. */
function splitState(state: EngineState, count: number): EngineState[] {
  return Array.from({ length: count }, (_, i) => {
    const own = (values: Float32Array) =>
      values.slice((i * values.length) / count, ((i + 1) * values.length) / count);
    return {
      steps: state.steps,
      values: own(state.values),
      first: own(state.first),
      second: own(state.second),
      statistics: own(state.statistics),
    };
  });
}

type Dense = Extract<Operator, { op: 'FULLY_CONNECTED' }>;

/**
 * Joins networks with the same dense layers, trained from different initial weights, into one network that outputs their mean.
 * The first layers are placed side by side. Each member's later layers receive only its own part (the other weights are 0), and the last
 * layer averages the members. A device runs the result like any other network, with no additional operators.
 * @param graphs float32 chains of FULLY_CONNECTED, as built by `buildTrainable` from dense layers
 * @throws AIOT_MODEL_UNFIT for other operators, or networks that differ in shape
 */
export function joinMembers(graphs: readonly Graph[]): Graph {
  const [first] = graphs;
  if (!first) throw unfit('it is missing');
  if (graphs.length === 1) return first;
  const chains = graphs.map(denseChain);
  const tensors: Tensor[] = [...first.tensors];
  const last = first.operators.length - 1;
  chains[0]!.forEach((operator, layer) => {
    const members = graphs.map((graph, m) => memberLayer(graph, chains[m]![layer]));
    const [{ outputs, inputs }] = members as [Layer];
    if (members.some((other) => other.outputs !== outputs || other.inputs !== inputs))
      throw unfit('their layers have different sizes');
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
      throw unfit(`expected consecutive dense layers, got ${operator.op} as operator ${i}`);
    return operator;
  });
}

function memberLayer(graph: Graph, operator: Dense | undefined): Layer {
  const [, w = -1, b = -1] = operator?.inputs ?? [];
  const [weights, bias] = [graph.tensors[w], graph.tensors[b]];
  if (!(weights?.data instanceof Float32Array) || !(bias?.data instanceof Float32Array))
    throw unfit('expected a float32 weight and bias in every layer, and the same number of layers in each');
  const [outputs = 0, inputs = 0] = weights.shape;
  return { outputs, inputs, weights: weights.data, bias: bias.data };
}

/** Joins the members' first layers, which all read the same input. */
function stacked(members: Layer[]): Layer {
  const { inputs, outputs } = members[0]!;
  const weights = new Float32Array(members.length * outputs * inputs);
  members.forEach((member, m) => {
    weights.set(member.weights, m * outputs * inputs);
  });
  return { outputs: members.length * outputs, inputs, weights, bias: concatenated(members) };
}

/** Joins later layers, where each member reads only its own part of the input. */
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

/**
 * Joins the last layers into one that computes the mean of the members' outputs. `shared`: all members read one input instead of a part
 * each.
 */
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
