import { malformed, unsupported } from '../errors.js';
import type { Lower, NodeCall } from './call.js';
import { type Constant, constantOf } from './constants.js';
import { dense } from './linear.js';
import { type Activation, mostOperators, type OnnxMaker } from './maker.js';
import { clipped, elu, hardSigmoid, leaky, scalar, smoothRelu, softsign, unary } from './pointwise.js';
import { joined, part } from './shapes.js';

/** The state after a step: the hidden state and, for an LSTM, the cell state. */
interface State {
  hidden: Activation | undefined;
  cell: Activation | undefined;
}

type Activate = (x: Activation) => Activation;

/** One direction of a recurrent layer. */
interface Direction {
  maker: OnnxMaker;
  units: number;
  /** Weights for the hidden state, [gates · units, units]. */
  recurrent: Constant;
  /** Biases for the hidden state, [gates · units]; used only if `projected` does not include them. */
  recurrentBias: Constant;
  /** A GRU's weights for the update and reset gates, and for the new state. All steps share them. */
  gateWeights: Constant;
  stateWeights: Constant;
  activations: Activate[];
  isLinearBeforeReset: boolean;
  /** An LSTM's weights for its cell, [1, units] each; undefined without peepholes. */
  peepholes: Record<'input' | 'output' | 'forget', Constant> | undefined;
  /** Whether an LSTM's forget gate is 1 minus its input gate. */
  isCoupled: boolean;
}

/** One step. @param projected the input times the input weights, plus biases, [batch, gates · units] */
type Step = (direction: Direction, projected: Activation, state: State) => State;

interface Kind {
  gates: number;
  activations: readonly string[];
  step: Step;
  hasCell: boolean;
}

const gateOf = ({ maker, units }: Direction, x: Activation, gate: number): Activation =>
  part(maker, x, 1, gate * units, units);

/** Gates: input, output, forget, cell. With peepholes, gates also see the cell: the output gate the new one, the others the one before. */
const lstmStep: Step = (direction, projected, { hidden, cell }) => {
  const { maker, recurrent, activations, peepholes } = direction;
  const [f, g, h] = activations as [Activate, Activate, Activate];
  const sum = hidden ? maker.two('ADD', projected, dense(maker, hidden, recurrent)) : projected;
  const [input, output, forget, candidate] = [0, 1, 2, 3].map((gate) => gateOf(direction, sum, gate)) as [
    Activation,
    Activation,
    Activation,
    Activation,
  ];
  const seen = (gate: Activation, from: Activation | undefined, weights: Constant | undefined) =>
    from && weights ? maker.two('ADD', gate, maker.two('MUL', from, weights)) : gate;
  const entering = f(seen(input, cell, peepholes?.input));
  const added = maker.two('MUL', entering, g(candidate));
  const kept = () =>
    direction.isCoupled ? maker.two('SUB', scalar(1), entering) : f(seen(forget, cell, peepholes?.forget));
  const next = cell ? maker.two('ADD', maker.two('MUL', kept(), cell), added) : added;
  return { hidden: maker.two('MUL', f(seen(output, next, peepholes?.output)), h(next)), cell: next };
};

/** Gates: update, reset, hidden. h' = n + z ⊙ (h − n) */
const gruStep: Step = (direction, projected, { hidden, cell }) => {
  const { maker, units, gateWeights, stateWeights, recurrentBias, activations } = direction;
  const { isLinearBeforeReset } = direction;
  const [f, g] = activations as [Activate, Activate];
  const bias = constantOf('float32', [units], recurrentBias.data.subarray(2 * units));
  const gates = part(maker, projected, 1, 0, 2 * units);
  const candidate = gateOf(direction, projected, 2);
  const sums = hidden ? maker.two('ADD', gates, dense(maker, hidden, gateWeights)) : gates;
  const [update, reset] = [0, 1].map((gate) => f(gateOf(direction, sums, gate))) as [Activation, Activation];
  let next: Activation;
  if (isLinearBeforeReset) {
    const inner = hidden
      ? maker.two('MUL', reset, dense(maker, hidden, stateWeights, bias))
      : maker.two('MUL', reset, bias);
    next = g(maker.two('ADD', candidate, inner));
  } else {
    const inner = hidden ? dense(maker, maker.two('MUL', reset, hidden), stateWeights) : undefined;
    next = g(inner ? maker.two('ADD', candidate, inner) : candidate);
  }
  const kept = hidden
    ? maker.two('ADD', next, maker.two('MUL', update, maker.two('SUB', hidden, next)))
    : maker.two('SUB', next, maker.two('MUL', update, next));
  return { hidden: kept, cell };
};

const rnnStep: Step = ({ maker, recurrent, activations: [f] }, projected, { hidden, cell }) => ({
  hidden: f!(hidden ? maker.two('ADD', projected, dense(maker, hidden, recurrent)) : projected),
  cell,
});

const kinds: Readonly<Record<'GRU' | 'LSTM' | 'RNN', Kind>> = {
  GRU: { gates: 3, activations: ['Sigmoid', 'Tanh'], step: gruStep, hasCell: false },
  LSTM: { gates: 4, activations: ['Sigmoid', 'Tanh', 'Tanh'], step: lstmStep, hasCell: true },
  RNN: { gates: 1, activations: ['Tanh'], step: rnnStep, hasCell: false },
};

/** Unrolls a recurrent layer step by step. The input [time, batch, features] has a fixed length. */
const recurrent =
  (name: 'GRU' | 'LSTM' | 'RNN'): Lower =>
  (call) => {
    const { maker, attributes, where } = call;
    const kind = kinds[name];
    const isBatchFirst = attributes.integer('layout', 0) === 1;
    const given = call.x();
    if (given.shape.length !== 3)
      throw malformed(`${where}: expected [time, batch, features], got [${given.shape.join(', ')}]`);
    const x = maker.arranged(isBatchFirst ? maker.transposedValue(given, [1, 0, 2]) : given, [0, 1, 2]);
    const [time = 0, batch = 0] = x.shape;
    if (time > mostOperators)
      throw unsupported(where, `it has ${time} time steps`, `use at most ${mostOperators}`);
    const length = lengthOf(call, time);
    const weights = call.constant(1, 'weights');
    const both = call.constant(2, 'recurrent weights');
    const units = attributes.integer('hidden_size', both.shape[2] ?? 0);
    const rows = kind.gates * units;
    const ways = directionsOf(call);
    const expected = [
      [ways.length, rows, x.shape[2]],
      [ways.length, rows, units],
    ];
    if (weights.shape.join() !== expected[0]!.join() || both.shape.join() !== expected[1]!.join())
      throw malformed(
        `${where}: its weights have unexpected shapes: [${weights.shape.join(', ')}] and [${both.shape.join(', ')}]`,
      );
    const bias = call.optional(3, 'bias');
    if (bias && bias.data.length !== ways.length * 2 * rows)
      throw malformed(
        `${where}: expected a bias of ${ways.length * 2 * rows} elements, got ${bias.data.length}`,
      );
    const outputs = ways.map((isBackward, way) => {
      const biases = [0, 1].map((half) =>
        Float32Array.from({ length: rows }, (_, k) => bias?.data[way * 2 * rows + half * rows + k] ?? 0),
      ) as [Float32Array, Float32Array];
      const recurrent = row(both, way);
      const rowsOf = (gates: number, first: number): Constant =>
        constantOf(
          'float32',
          [gates * units, units],
          recurrent.data.subarray(first * units * units, (first + gates) * units * units),
        );
      const direction: Direction = {
        maker,
        units,
        recurrent,
        gateWeights: rowsOf(Math.min(2, kind.gates), 0),
        stateWeights: rowsOf(1, kind.gates - 1),
        recurrentBias: constantOf('float32', [rows], biases[1]),
        activations: activationsOf(call, kind, way),
        isLinearBeforeReset: attributes.integer('linear_before_reset', 0) === 1,
        peepholes: kind.hasCell ? peepholesOf(call, way, ways.length, units) : undefined,
        isCoupled: attributes.integer('input_forget', 0) === 1,
      };
      // With `linear_before_reset`, the bias of a GRU's third gate is multiplied by the reset gate, so the bias is not added in advance.
      const separate = name === 'GRU' && direction.isLinearBeforeReset ? 2 * units : rows;
      const shift = biases[0].map((value, k) => value + (k < separate ? biases[1][k]! : 0));
      const projected = dense(maker, x, row(weights, way), constantOf('float32', [rows], shift));
      let state: State = {
        hidden: initial(call, 5, way, [ways.length, batch, units]),
        cell: kind.hasCell ? initial(call, 6, way, [ways.length, batch, units]) : undefined,
      };
      const steps = Array.from({ length }, (_, k) => (isBackward ? length - 1 - k : k));
      const hidden = new Array<Activation>(length);
      for (const at of steps) {
        const now = maker.reshaped(part(maker, projected, 0, at, 1), [batch, rows]);
        state = kind.step(direction, now, state);
        hidden[at] = maker.reshaped(state.hidden!, [1, 1, batch, units]);
      }
      return { hidden: joined(call, hidden, 0), last: state };
    });
    const ends = [
      outputs.map(({ last }) => last.hidden!),
      ...(kind.hasCell ? [outputs.map(({ last }) => last.cell!)] : []),
    ];
    const steps = joined(
      call,
      outputs.map(({ hidden }) => hidden),
      1,
    );
    const all = length === time ? steps : withZeros(maker, steps, time - length);
    const lasts = ends.map((each) =>
      joined(
        call,
        each.map((one) => maker.reshaped(one, [1, batch, units])),
        0,
      ),
    );
    if (!isBatchFirst) return [all, ...lasts];
    return [
      maker.transposedValue(all, [2, 0, 1, 3]),
      ...lasts.map((each) => maker.transposedValue(each, [1, 0, 2])),
    ];
  };

/** The number of steps, which may be less than the length of the input. */
function lengthOf(call: NodeCall, time: number): number {
  const lengths = call.optional(4, 'sequence length')?.data ?? [time];
  const [length = time] = lengths;
  if (lengths.some((each) => each !== length))
    throw unsupported(call.where, 'sequences of different lengths are not supported', 'use one length');
  if (!(Number.isInteger(length) && length >= 1 && length <= time))
    throw malformed(`${call.where}: expected a sequence length from 1 to ${time}, got ${length}`);
  return length;
}

/** The outputs of all steps, followed by zeros for the steps beyond the sequence's length. */
function withZeros(maker: OnnxMaker, steps: Activation, count: number): Activation {
  const y = maker.settled(steps);
  const shape = y.shape.map((size, axis) => (axis === 0 ? size + count : size));
  const pads = maker.integers(
    y.order.flatMap((axis) => [0, axis === 0 ? count : 0]),
    [y.order.length, 2],
  );
  const stored = maker.storedShape({ shape, order: y.order });
  return maker.stored(maker.op('PAD', [y.tensor, pads], stored, {}), shape, y.order);
}

/** The weights by which an LSTM's gates see its cell. Their order in the file is input, output, forget. */
function peepholesOf(call: NodeCall, way: number, ways: number, units: number): Direction['peepholes'] {
  const found = call.optional(7, 'peepholes');
  if (found === undefined || found.data.every((value) => value === 0)) return undefined;
  if (found.data.length !== ways * 3 * units)
    throw malformed(`${call.where}: expected ${ways * 3 * units} peepholes, got ${found.data.length}`);
  const [input, output, forget] = [0, 1, 2].map((gate) => {
    const start = (way * 3 + gate) * units;
    return constantOf('float32', [1, units], found.data.subarray(start, start + units));
  }) as [Constant, Constant, Constant];
  return { input, output, forget };
}

/** Whether each direction runs backwards. */
function directionsOf({ attributes, where }: NodeCall): boolean[] {
  const given = attributes.text('direction', 'forward');
  if (given === 'forward') return [false];
  if (given === 'reverse') return [true];
  if (given === 'bidirectional') return [false, true];
  throw malformed(`${where}: unknown direction ${JSON.stringify(given)}`);
}

interface Activator {
  /** Default values of the settings alpha and beta; none for a function without that setting. */
  alpha?: number;
  beta?: number;
  apply(maker: OnnxMaker, x: Activation, alpha: number, beta: number): Activation;
}

const single = (op: 'LOGISTIC' | 'RELU' | 'TANH'): Activator => ({
  apply: (maker, x) => unary(maker, op, x),
});

/** Activations by their names in lower case. */
const activators: Readonly<Record<string, Activator>> = {
  affine: {
    alpha: 1,
    beta: 0,
    apply: (maker, x, alpha, beta) => maker.two('ADD', maker.two('MUL', x, scalar(alpha)), scalar(beta)),
  },
  elu: { alpha: 1, apply: elu },
  hardsigmoid: { alpha: 0.2, beta: 0.5, apply: hardSigmoid },
  leakyrelu: { alpha: 0.01, apply: leaky },
  relu: single('RELU'),
  scaledtanh: {
    alpha: 1,
    beta: 1,
    apply: (maker, x, alpha, beta) =>
      maker.two('MUL', unary(maker, 'TANH', maker.two('MUL', x, scalar(beta))), scalar(alpha)),
  },
  sigmoid: single('LOGISTIC'),
  softplus: { apply: smoothRelu },
  softsign: { apply: softsign },
  tanh: single('TANH'),
};

/** Activations of one direction. The lists of alphas and betas contain values only for functions that have this setting. */
function activationsOf(
  { attributes, maker, where }: NodeCall,
  { activations }: Kind,
  way: number,
): Activate[] {
  const given = attributes.texts('activations');
  const alphas = attributes.floats('activation_alpha') ?? [];
  const betas = attributes.floats('activation_beta') ?? [];
  const clip = attributes.has('clip') ? attributes.float('clip', 0) : Number.POSITIVE_INFINITY;
  if (!(clip > 0)) throw malformed(`${where}: expected a positive clip, got ${clip}`);
  const names = given.length === 0 ? activations : given;
  const all = names.map((name): Activate => {
    const key = name.toLowerCase();
    const found = Object.hasOwn(activators, key) ? activators[key] : undefined;
    if (found === undefined)
      throw unsupported(where, `the activation ${name} is not supported`, 'use Sigmoid, Tanh or Relu');
    const alpha = found.alpha === undefined ? 0 : (alphas.shift() ?? found.alpha);
    const beta = found.beta === undefined ? 0 : (betas.shift() ?? found.beta);
    return (x) => found.apply(maker, clipped(maker, x, -clip, clip), alpha, beta);
  });
  const own = given.length === 0 ? all : all.slice(way * activations.length, (way + 1) * activations.length);
  if (own.length !== activations.length)
    throw malformed(`${where}: it has ${given.length} activations, too few for its directions`);
  return own;
}

/** One direction's matrix. */
function row({ shape, data }: Constant, way: number): Constant {
  const size = data.length / shape[0]!;
  return constantOf('float32', shape.slice(1), data.subarray(way * size, (way + 1) * size));
}

/** The state before the first step; undefined = zeros. @param expected its shape: directions, batch, units */
function initial(
  call: NodeCall,
  place: number,
  way: number,
  expected: readonly [number, number, number],
): Activation | undefined {
  const { maker } = call;
  const value = call.inputs[place];
  if (value === undefined) return undefined;
  const isBatchFirst = call.attributes.integer('layout', 0) === 1;
  const [ways, batch, units] = expected;
  const shape = isBatchFirst ? [batch, ways, units] : expected;
  if (value.shape.join() !== shape.join())
    throw malformed(
      `${call.where}: expected an initial state of shape [${shape.join(', ')}], got [${value.shape.join(', ')}]; PyTorch's export drops the projection of an LSTM with proj_size`,
    );
  if (value.kind === 'constant' && value.data.every((each) => each === 0)) return undefined;
  const state = isBatchFirst ? maker.transposedValue(call.x(place), [1, 0, 2]) : call.x(place);
  return maker.reshaped(part(maker, state, 0, way, 1), [batch, units]);
}

export const recurrentRows: Readonly<Record<string, Lower>> = {
  GRU: recurrent('GRU'),
  LSTM: recurrent('LSTM'),
  RNN: recurrent('RNN'),
};
