import {
  type Graph,
  type Operator,
  type Quantization,
  type Tensor,
  zeros,
} from '../../../formats/tflite/graph.js';
import type { Interpreter } from '../../../runtime/interpreter/node.js';
import type { Kind } from '../types.js';
import { quantizeWeights, type Range } from './numbers.js';

type Lstm = Extract<Operator, { op: 'UNIDIRECTIONAL_SEQUENCE_LSTM' }>;
export type Recurrent = Extract<Operator, { op: 'SVDF' | 'UNIDIRECTIONAL_SEQUENCE_LSTM' }>;

/** Whether the operator keeps a state in its own tensors. */
export function isRecurrent(operator: Operator): operator is Recurrent {
  return operator.op === 'SVDF' || operator.op === 'UNIDIRECTIONAL_SEQUENCE_LSTM';
}

/** Places of an LSTM's gates: weights for x, weights for the hidden state, bias. */
const gates = { input: [1, 5, 12], forget: [2, 6, 13], cell: [3, 7, 14], output: [4, 8, 15] } as const;
const [hiddenPlace, cellPlace] = [18, 19];

/**
 * Follows the states of recurrent operators while a network runs. An LSTM's cells change with each time step, but their tensor shows only
 * the last one; the others are computed again.
 * @returns a function that is called after an operator, with its output, and returns the states' values with their tensors
 */
export function stateFollower(graph: Graph, values: Interpreter['tensors']) {
  const operators = new Map(
    graph.operators.filter(isRecurrent).map((operator) => [operator.outputs[0]!, operator]),
  );
  const before = new Map<number, { hidden: Float32Array; cell: Float32Array }>();
  return (output: number): [state: number, values: Float32Array][] => {
    const operator = operators.get(output);
    if (!operator) return [];
    const floats = (place: number) => values[operator.inputs[place]!] as Float32Array;
    if (operator.op === 'SVDF') return [[operator.inputs[4]!, floats(4)]];
    const [hidden, cell] = [floats(hiddenPlace), floats(cellPlace)];
    const first = { hidden: new Float32Array(hidden.length), cell: new Float32Array(cell.length) };
    const cells = lstmCells(graph, operator, values, before.get(output) ?? first);
    before.set(output, { hidden: hidden.slice(), cell: cell.slice() });
    return [[operator.inputs[cellPlace]!, cells]];
  };
}

/** The cell state of an LSTM after each time step. @param start the state before the first step */
function lstmCells(
  graph: Graph,
  { inputs: operands, outputs, options }: Lstm,
  values: Interpreter['tensors'],
  start: { hidden: Float32Array; cell: Float32Array },
): Float32Array {
  const of = (place: number) => values[operands[place]!] as Float32Array;
  const [first = 0, second = 0, width = 0] = graph.tensors[operands[0]!]!.shape;
  const units = graph.tensors[operands[hiddenPlace]!]!.shape[1]!;
  const [steps, batches] = options.timeMajor ? [first, second] : [second, first];
  const rowOf = (batch: number, time: number) =>
    options.timeMajor ? time * batches + batch : batch * steps + time;
  const [x, y] = [of(0), values[outputs[0]!] as Float32Array];
  const sum = (gate: keyof typeof gates, batch: number, time: number, unit: number) => {
    const [weights, recurrent, bias] = gates[gate].map(of) as [Float32Array, Float32Array, Float32Array];
    let total = bias[unit]!;
    const row = rowOf(batch, time) * width;
    for (let i = 0; i < width; i++) total += weights[unit * width + i]! * x[row + i]!;
    const [past, at] = time === 0 ? [start.hidden, batch * units] : [y, rowOf(batch, time - 1) * units];
    for (let i = 0; i < units; i++) total += recurrent[unit * units + i]! * past[at + i]!;
    return total;
  };
  const clip = options.cellClip > 0 ? options.cellClip : Number.POSITIVE_INFINITY;
  const cells = new Float32Array(steps * batches * units);
  for (let batch = 0; batch < batches; batch++)
    for (let time = 0; time < steps; time++)
      for (let unit = 0; unit < units; unit++) {
        const past =
          time === 0 ? start.cell[batch * units + unit]! : cells[rowOf(batch, time - 1) * units + unit]!;
        const kept = logistic(sum('forget', batch, time, unit)) * past;
        const added = logistic(sum('input', batch, time, unit)) * Math.tanh(sum('cell', batch, time, unit));
        cells[rowOf(batch, time) * units + unit] = Math.min(Math.max(kept + added, -clip), clip);
      }
  return cells;
}

const logistic = (x: number) => 1 / (1 + Math.exp(-x));

/** Makes the tensors of an operator on integers. */
interface Maker {
  graph: Graph;
  add(tensor: Tensor): number;
  unfit(message: string): Error;
}

/** Quantization of a recurrent operator's activations. */
interface Ends {
  /** Type of the input and the output. */
  kind: Exclude<Kind, 'float32'>;
  input: Quantization;
  output: Quantization;
  /** Observed range of the cell state, or of an SVDF's state. */
  state: Range;
}

/**
 * Weights, biases and states of a recurrent operator on integers, in the order of its inputs, without the first one. Weights have one
 * scale, as the kernels require.
 */
export function recurrentInputs(maker: Maker, operator: Recurrent, ends: Ends): number[] {
  return operator.op === 'SVDF' ? svdfInputs(maker, operator, ends) : lstmInputs(maker, operator, ends);
}

function lstmInputs(maker: Maker, { inputs }: Lstm, { kind, input, output, state }: Ends): number[] {
  const made = new Array<number>(inputs.length).fill(-1);
  for (const [weights, recurrent, bias] of Object.values(gates)) {
    const own = weightsOf(maker, inputs[weights]!, 127);
    made[weights] = own.place;
    made[recurrent] = weightsOf(maker, inputs[recurrent]!, 127).place;
    made[bias] = biasOf(maker, inputs[bias]!, input.scale[0]! * own.scale, kind);
  }
  const largest = Math.max(-state.low, state.high);
  // The kernel takes a power of two. With 16 bits, the cell state is from −2^(15 + power) to 2^(15 + power).
  const power = Math.max(-15, Math.ceil(Math.log2(Math.max(largest, 2 ** -30) / 32767)));
  if (power > -9)
    throw maker.unfit(`the cell state of an LSTM reaches ${Math.round(largest)}, expected at most 64`);
  made[hiddenPlace] = stateOf(maker, inputs[hiddenPlace]!, kind, output);
  made[cellPlace] = stateOf(maker, inputs[cellPlace]!, 'int16', quantizationOf(2 ** power));
  return made.slice(1);
}

/** Bits of an SVDF's time weights beside the sign, so that sums of up to 64 products with the int16 state fit into 32 bits. */
const timeSteps = 511;

function svdfInputs(
  maker: Maker,
  { inputs, options }: Extract<Operator, { op: 'SVDF' }>,
  { state: range }: Ends,
): number[] {
  const feature = weightsOf(maker, inputs[1]!, 127);
  const time = weightsOf(maker, inputs[2]!, timeSteps);
  const scale = Math.fround(Math.max(-range.low, range.high, 1e-6) / 32767);
  const units = maker.graph.tensors[inputs[1]!]!.shape[0]! / options.rank;
  const bias = inputs[3]! === -1 ? null : inputs[3]!;
  const made = biasOf(maker, bias, scale * time.scale, 'int8', units);
  return [feature.place, time.place, made, stateOf(maker, inputs[4]!, 'int16', quantizationOf(scale))];
}

const quantizationOf = (scale: number): Quantization => ({ scale: [scale], zeroPoint: [0], axis: 0 });

/** Symmetric weights with one scale: int8 for 127 steps, otherwise int16. */
function weightsOf(maker: Maker, index: number, steps: number): { place: number; scale: number } {
  const tensor = maker.graph.tensors[index];
  if (!(tensor?.data instanceof Float32Array))
    throw maker.unfit('expected constant float32 weights of a recurrent layer');
  const largest = tensor.data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const scale = Math.fround((largest || 1e-6) / steps);
  const quantization = quantizationOf(scale);
  if (steps === 127) {
    const data = quantizeWeights(tensor.data, [scale], tensor.data.length);
    return { place: maker.add({ ...tensor, type: 'int8', data, quantization }), scale };
  }
  const data = Int16Array.from(tensor.data, (value) => Math.round(value / scale));
  return { place: maker.add({ ...tensor, type: 'int16', data, quantization }), scale };
}

/** A bias as int32, or int64 beside int16. @param index null = zeros, for `units` units */
function biasOf(maker: Maker, index: number | null, product: number, kind: Ends['kind'], units = 0): number {
  const tensor = index === null ? null : maker.graph.tensors[index]!;
  const values = tensor?.data ?? new Float32Array(units);
  if (!(values instanceof Float32Array))
    throw maker.unfit('expected a constant float32 bias of a recurrent layer');
  const scale = Math.fround(product);
  const limit = 2 ** 30;
  const whole = Array.from(values, (value) => Math.max(-limit, Math.min(limit, Math.round(value / scale))));
  const shape = [values.length];
  const typed =
    kind === 'int16'
      ? ({ type: 'int64', data: BigInt64Array.from(whole, BigInt) } as const)
      : ({ type: 'int32', data: Int32Array.from(whole) } as const);
  return maker.add({ name: tensor?.name ?? 'bias', shape, ...typed, quantization: quantizationOf(scale) });
}

/** A state that starts with zeros. */
function stateOf(maker: Maker, index: number, type: 'int8' | 'int16', quantization: Quantization): number {
  const { name, shape } = maker.graph.tensors[index]!;
  const tensor: Tensor = { name, shape, type, quantization };
  return maker.add({ ...tensor, variable: zeros(tensor) });
}
