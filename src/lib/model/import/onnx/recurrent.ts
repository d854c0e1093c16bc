import { malformed, unsupported } from '../errors.js';
import type { Lower, NodeCall } from './call.js';
import { type Constant, constantOf } from './constants.js';
import { dense } from './linear.js';
import { type Activation, mostOperators, type OnnxMaker } from './maker.js';
import { unary } from './pointwise.js';
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
  activations: Activate[];
  isLinearBeforeReset: boolean;
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

/** Gates: input, output, forget, cell. */
const lstmStep: Step = (direction, projected, { hidden, cell }) => {
  const { maker, recurrent, activations } = direction;
  const [f, g, h] = activations as [Activate, Activate, Activate];
  const sum = hidden ? maker.two('ADD', projected, dense(maker, hidden, recurrent)) : projected;
  const [input, output, forget, candidate] = [0, 1, 2, 3].map((gate) => gateOf(direction, sum, gate)) as [
    Activation,
    Activation,
    Activation,
    Activation,
  ];
  const added = maker.two('MUL', f(input), g(candidate));
  const next = cell ? maker.two('ADD', maker.two('MUL', f(forget), cell), added) : added;
  return { hidden: maker.two('MUL', f(output), h(next)), cell: next };
};

/** Gates: update, reset, hidden. h' = n + z ⊙ (h − n) */
const gruStep: Step = (direction, projected, { hidden, cell }) => {
  const { maker, units, recurrent, recurrentBias, activations, isLinearBeforeReset } = direction;
  const [f, g] = activations as [Activate, Activate];
  const rows = (from: number, count: number): Constant => ({
    ...recurrent,
    shape: [count * units, units],
    data: recurrent.data.subarray(from * units * units, (from + count) * units * units),
  });
  const bias = constantOf('float32', [units], recurrentBias.data.subarray(2 * units));
  const gates = part(maker, projected, 1, 0, 2 * units);
  const candidate = gateOf(direction, projected, 2);
  const sums = hidden ? maker.two('ADD', gates, dense(maker, hidden, rows(0, 2))) : gates;
  const [update, reset] = [0, 1].map((gate) => f(gateOf(direction, sums, gate))) as [Activation, Activation];
  let next: Activation;
  if (isLinearBeforeReset) {
    const inner = hidden
      ? maker.two('MUL', reset, dense(maker, hidden, rows(2, 1), bias))
      : maker.two('MUL', reset, bias);
    next = g(maker.two('ADD', candidate, inner));
  } else {
    const inner = hidden ? dense(maker, maker.two('MUL', reset, hidden), rows(2, 1)) : undefined;
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
    refuseUnusual(call, time);
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
      const direction: Direction = {
        maker,
        units,
        recurrent: row(both, way),
        recurrentBias: constantOf('float32', [rows], biases[1]),
        activations: activationsOf(call, kind, way),
        isLinearBeforeReset: attributes.integer('linear_before_reset', 0) === 1,
      };
      // With `linear_before_reset`, the bias of a GRU's third gate is multiplied by the reset gate, so the bias is not added in advance.
      const separate = name === 'GRU' && direction.isLinearBeforeReset ? 2 * units : rows;
      const shift = biases[0].map((value, k) => value + (k < separate ? biases[1][k]! : 0));
      const projected = dense(maker, x, row(weights, way), constantOf('float32', [rows], shift));
      let state: State = {
        hidden: initial(call, 5, way, units),
        cell: kind.hasCell ? initial(call, 6, way, units) : undefined,
      };
      const steps = Array.from({ length: time }, (_, k) => (isBackward ? time - 1 - k : k));
      const hidden = new Array<Activation>(time);
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
    const all = joined(
      call,
      outputs.map(({ hidden }) => hidden),
      1,
    );
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

function refuseUnusual(call: NodeCall, time: number): void {
  const { attributes, where } = call;
  if (attributes.has('clip'))
    throw unsupported(where, 'clip is not supported', 'export the layer without it');
  attributes.refuse('input_forget', 0);
  const lengths = call.optional(4, 'sequence length');
  if (lengths?.data.some((length) => length !== time))
    throw unsupported(where, 'sequences of different lengths are not supported', 'use one length');
  const peepholes = call.optional(7, 'peepholes');
  if (peepholes?.data.some((value) => value !== 0))
    throw unsupported(where, 'peepholes are not supported', 'use a plain LSTM');
}

/** Whether each direction runs backwards. */
function directionsOf({ attributes, where }: NodeCall): boolean[] {
  const given = attributes.text('direction', 'forward');
  if (given === 'forward') return [false];
  if (given === 'reverse') return [true];
  if (given === 'bidirectional') return [false, true];
  throw malformed(`${where}: unknown direction ${JSON.stringify(given)}`);
}

function activationsOf(
  { attributes, maker, where }: NodeCall,
  { activations }: Kind,
  way: number,
): Activate[] {
  const given = attributes.texts('activations');
  const names =
    given.length === 0 ? activations : given.slice(way * activations.length, (way + 1) * activations.length);
  return activations.map((_, k): Activate => {
    const op = { sigmoid: 'LOGISTIC', tanh: 'TANH', relu: 'RELU' }[(names[k] ?? '').toLowerCase()];
    if (op === undefined)
      throw unsupported(where, `the activation ${names[k]} is not supported`, 'use Sigmoid, Tanh or Relu');
    return (x) => unary(maker, op as 'TANH', x);
  });
}

/** One direction's matrix. */
function row({ shape, data }: Constant, way: number): Constant {
  const size = data.length / shape[0]!;
  return constantOf('float32', shape.slice(1), data.subarray(way * size, (way + 1) * size));
}

/** The state before the first step; undefined = zeros. */
function initial(call: NodeCall, place: number, way: number, units: number): Activation | undefined {
  const { maker } = call;
  const value = call.inputs[place];
  if (value === undefined || (value.kind === 'constant' && value.data.every((each) => each === 0)))
    return undefined;
  const isBatchFirst = call.attributes.integer('layout', 0) === 1;
  const state = isBatchFirst ? maker.transposedValue(call.x(place), [1, 0, 2]) : call.x(place);
  return maker.reshaped(part(maker, state, 0, way, 1), [state.shape[1]!, units]);
}

export const recurrentRows: Readonly<Record<string, Lower>> = {
  GRU: recurrent('GRU'),
  LSTM: recurrent('LSTM'),
  RNN: recurrent('RNN'),
};
