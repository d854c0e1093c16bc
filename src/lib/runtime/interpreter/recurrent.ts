import type { OperatorOptions } from '../../formats/tflite/graph.js';
import { multiply64, multiplyByQuantized, ratio, scaleOf } from './fixed-point.js';
import { floatRange } from './float.js';
import { logisticOf, tanhOf, wideBias } from './int16.js';
import type { Node } from './node.js';

/** Sizes of an SVDF: x is [batches, inputs], and there are `units` units, each with `rank` filters that use the last `memory` steps. */
interface SvdfSizes {
  batches: number;
  inputs: number;
  filters: number;
  memory: number;
  rank: number;
  units: number;
}

function svdfSizes(node: Node<OperatorOptions['SVDF']>): SvdfSizes {
  const [batches, inputs] = node.shape(node.input(0), 2) as [number, number];
  const [filters, taken] = node.shape(node.input(1), 2) as [number, number];
  const [rows, memory] = node.shape(node.input(2), 2) as [number, number];
  const { rank } = node.options;
  if (taken !== inputs || rows !== filters)
    throw node.malformed(
      `weights of [${filters}, ${taken}] and [${rows}, ${memory}] do not match an input of ${inputs}`,
    );
  if (filters % rank !== 0) throw node.malformed(`${filters} filters are not a multiple of the rank ${rank}`);
  const state = node.shape(node.input(4), 2);
  if (state[0] !== batches || state[1] !== filters * memory)
    throw node.malformed(`expected a state of [${batches}, ${filters * memory}], got [${state}]`);
  const units = filters / rank;
  node.expectOutput(batches, units);
  return { batches, inputs, filters, memory, rank, units };
}

/**
 * SVDF on float32. Each filter stores its last `memory` values. The newest value is the dot product of its feature weights and x. A unit's
 * output is the sum, over its filters, of the dot product of these values and the time weights.
 */
export function floatSvdf(node: Node<OperatorOptions['SVDF']>): () => void {
  const { batches, inputs, filters, memory, rank, units } = svdfSizes(node);
  const [x, feature, time, state] = [node.float32(0), node.float32(1), node.float32(2), node.float32(4)];
  const [bias, y] = [node.float32Bias(3, units), node.float32Output];
  const { low, high } = floatRange(node.options.activation);
  const { fround } = Math;
  return () => {
    state.copyWithin(0, 1);
    for (let batch = 0; batch < batches; batch++) {
      for (let filter = 0; filter < filters; filter++) {
        let sum = 0;
        for (let i = 0; i < inputs; i++)
          sum = fround(sum + fround(feature[filter * inputs + i]! * x[batch * inputs + i]!));
        state[(batch * filters + filter + 1) * memory - 1] = sum;
      }
      for (let unit = 0; unit < units; unit++) {
        let value = bias[unit]!;
        for (let filter = unit * rank; filter < (unit + 1) * rank; filter++) {
          let sum = 0;
          for (let i = 0; i < memory; i++)
            sum = fround(
              sum + fround(time[filter * memory + i]! * state[(batch * filters + filter) * memory + i]!),
            );
          value = fround(value + sum);
        }
        y[batch * units + unit] = value < low ? low : value > high ? high : value;
      }
    }
  };
}

/** SVDF on int8. The state and the time weights are int16 or int8. */
export function svdf(node: Node<OperatorOptions['SVDF']>): () => void {
  const { batches, inputs, filters, memory, rank, units } = svdfSizes(node);
  const [x, feature, y] = [node.int8(0), node.int8Weights(1), node.int8Output];
  const [time, state] = [node.integers(2), node.integers(4)];
  const wide = state instanceof Int16Array;
  if (node.input(2).tensor.data === undefined) throw node.unsupported('time weights that are not constant');
  if (wide !== time instanceof Int16Array)
    throw node.malformed(
      `its state has the type ${node.input(4).tensor.type}, but its time weights ${node.input(2).tensor.type}`,
    );
  const [input, output, states] = [node.input(0), node.output, node.input(4)].map((end) =>
    scaleOf(node, end),
  ) as [Scale, Scale, Scale];
  const [featureScale, timeScale] = [1, 2].map((place) => symmetricScale(node, place)) as [number, number];
  if (wide && states.zeroPoint !== 0)
    throw node.malformed(`expected a zero point of 0 for its int16 state, got ${states.zeroPoint}`);
  const bias = node.int32Bias(3, units);
  const biasScale = node.input(3).tensor.quantization?.scale[0] ?? 0;
  // TFLite Micro computes this product in single precision, and compares it in double precision.
  if (!(Math.abs(biasScale - Math.fround(states.scale * timeScale)) < 1e-5))
    throw node.malformed(`expected a bias of scale ${states.scale * timeScale}, got ${biasScale}`);
  refuseIgnored(node, output.zeroPoint);
  const first = ratio(node, Math.fround(Math.fround(input.scale * featureScale) / states.scale));
  const second = ratio(node, Math.fround(Math.fround(states.scale * timeScale) / output.scale));
  const [low, high] = wide ? [-32768, 32767] : [-128, 127];
  return () => {
    state.copyWithin(0, 1);
    for (let batch = 0; batch < batches; batch++) {
      for (let filter = 0; filter < filters; filter++) {
        let sum = 0;
        for (let i = 0; i < inputs; i++)
          sum =
            (sum + Math.imul(feature[filter * inputs + i]!, x[batch * inputs + i]! - input.zeroPoint)) | 0;
        const value = multiplyByQuantized(sum, first.multiplier, first.shift);
        // As in the reference kernel, the zero point is added after clamping, so the result can wrap.
        state[(batch * filters + filter + 1) * memory - 1] =
          (value < low ? low : value > high ? high : value) + states.zeroPoint;
      }
      for (let unit = 0; unit < units; unit++) {
        let sum = bias[unit]!;
        // A unit's filters are consecutive.
        const from = unit * rank * memory;
        for (let i = from; i < from + rank * memory; i++)
          sum = (sum + Math.imul(time[i]!, state[batch * filters * memory + i]! - states.zeroPoint)) | 0;
        const value = multiplyByQuantized(sum, second.multiplier, second.shift) + output.zeroPoint;
        y[batch * units + unit] = value < -128 ? -128 : value > 127 ? 127 : value;
      }
    }
  };
}

type Scale = ReturnType<typeof scaleOf>;

/** The single scale of symmetric weights. @throws AIOT_TFLITE_MALFORMED if the zero point is not 0 */
function symmetricScale(node: Node, place: number): number {
  const { scale, zeroPoint } = scaleOf(node, node.input(place));
  if (zeroPoint !== 0) throw node.malformed(`the zero point of input ${place} is ${zeroPoint}, expected 0`);
  return scale;
}

/** Rejects an activation that the integer kernel ignores, unless the output's range has the same effect. */
function refuseIgnored(node: Node<OperatorOptions['SVDF']>, zeroPoint: number): void {
  const { activation } = node.options;
  if (activation === 'none' || (activation === 'relu' && zeroPoint === -128)) return;
  throw node.unsupported(`a fused ${activation} with the output's zero point ${zeroPoint}`);
}

/** Sizes of an LSTM: `steps` time steps with `inputs` values in each batch, and `units` cells. */
interface LstmSizes {
  batches: number;
  steps: number;
  inputs: number;
  units: number;
}

/** Indices of each gate's operands: weights for x, weights for the hidden state, bias. */
const gates = { input: [1, 5, 12], forget: [2, 6, 13], cell: [3, 7, 14], output: [4, 8, 15] } as const;
type Gate = keyof typeof gates;
const hiddenPlace = 18;
const cellPlace = 19;

function lstmSizes(node: Node<OperatorOptions['UNIDIRECTIONAL_SEQUENCE_LSTM']>): LstmSizes {
  const other = [9, 10, 11, 16, 17, 20, 21, 22, 23].find((place) => node.inputs[place] !== undefined);
  if (other !== undefined)
    throw node.unsupported(`input ${other} (peepholes, a projection or layer normalization)`);
  const [first, second, inputs] = node.shape(node.input(0), 3) as [number, number, number];
  const [steps, batches] = node.options.timeMajor ? [first, second] : [second, first];
  const units = node.shape(node.input(hiddenPlace), 2)[1]!;
  const expect = (place: number, ...shape: number[]) => {
    const got = node.input(place).tensor.shape;
    if (got.join() !== shape.join())
      throw node.malformed(`expected input ${place} of [${shape}], got [${got}]`);
  };
  for (const [weights, recurrent, bias] of Object.values(gates)) {
    expect(weights, units, inputs);
    expect(recurrent, units, units);
    expect(bias, units);
  }
  expect(hiddenPlace, batches, units);
  expect(cellPlace, batches, units);
  node.expectOutput(first, second, units);
  if (!(node.options.cellClip >= 0))
    throw node.malformed(`expected a cellClip of at least 0, got ${node.options.cellClip}`);
  return { batches, steps, inputs, units };
}

/** Calls `step` for each time step in each batch, with the batch's index and the row's index in x and y. */
function everyStep(
  { batches, steps }: LstmSizes,
  timeMajor: boolean,
  step: (batch: number, row: number) => void,
): void {
  for (let batch = 0; batch < batches; batch++)
    for (let time = 0; time < steps; time++)
      step(batch, timeMajor ? time * batches + batch : batch * steps + time);
}

/** UNIDIRECTIONAL_SEQUENCE_LSTM on float32, rounded to single precision after each operation, as the reference kernels do. */
export function floatLstm(node: Node<OperatorOptions['UNIDIRECTIONAL_SEQUENCE_LSTM']>): () => void {
  const sizes = lstmSizes(node);
  const { inputs, units } = sizes;
  const { timeMajor } = node.options;
  const [x, y] = [node.float32(0), node.float32Output];
  const [hidden, cell] = [node.float32(hiddenPlace), node.float32(cellPlace)];
  const clip = node.options.cellClip > 0 ? node.options.cellClip : Number.POSITIVE_INFINITY;
  const { fround } = Math;
  const sumOf = (gate: Gate) => {
    const [weights, recurrent, bias] = gates[gate].map((place) => node.float32(place)) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    return (row: number, batch: number, unit: number) => {
      let sum = 0;
      for (let i = 0; i < inputs; i++)
        sum = fround(sum + fround(weights[unit * inputs + i]! * x[row * inputs + i]!));
      let other = 0;
      for (let i = 0; i < units; i++)
        other = fround(other + fround(recurrent[unit * units + i]! * hidden[batch * units + i]!));
      return fround(fround(sum + bias[unit]!) + other);
    };
  };
  const sums = {
    input: sumOf('input'),
    forget: sumOf('forget'),
    cell: sumOf('cell'),
    output: sumOf('output'),
  };
  return () => {
    everyStep(sizes, timeMajor, (batch, row) => {
      for (let unit = 0; unit < units; unit++) {
        const at = batch * units + unit;
        const kept = fround(floatLogistic(sums.forget(row, batch, unit)) * cell[at]!);
        const added = fround(
          floatLogistic(sums.input(row, batch, unit)) * fround(Math.tanh(sums.cell(row, batch, unit))),
        );
        const value = fround(kept + added);
        cell[at] = value < -clip ? -clip : value > clip ? clip : value;
        y[row * units + unit] = floatLogistic(sums.output(row, batch, unit)) * fround(Math.tanh(cell[at]!));
      }
      for (let unit = 0; unit < units; unit++) hidden[batch * units + unit] = y[row * units + unit]!;
    });
  };
}

/** 1/(1 + e^−x) in single precision. */
function floatLogistic(x: number): number {
  const { fround } = Math;
  return fround(1 / fround(1 + fround(Math.exp(-x))));
}

/** Scales in the gates: sums are in Q3.12, and outputs are in Q0.15. */
const gateScale = 2 ** -12;
const unitScale = 2 ** -15;

/** UNIDIRECTIONAL_SEQUENCE_LSTM on int8 or int16, with int8 weights and an int16 cell state. */
export function lstm(node: Node<OperatorOptions['UNIDIRECTIONAL_SEQUENCE_LSTM']>): () => void {
  const sizes = lstmSizes(node);
  const { units } = sizes;
  const { timeMajor, cellClip } = node.options;
  const [x, hidden, cell, y] = [
    node.integers(0),
    node.integers(hiddenPlace),
    node.int16(cellPlace),
    node.integerOutput,
  ];
  const [input, state, output, cells] = [
    node.input(0),
    node.input(hiddenPlace),
    node.output,
    node.input(cellPlace),
  ].map((end) => scaleOf(node, end)) as [Scale, Scale, Scale, Scale];
  if (node.input(hiddenPlace).tensor.type !== node.input(0).tensor.type)
    throw node.malformed(
      `the type of its hidden state, ${node.input(hiddenPlace).tensor.type}, differs from that of its input`,
    );
  if (state.scale !== output.scale || state.zeroPoint !== output.zeroPoint)
    throw node.malformed('expected the hidden state and the output to have the same scale and zero point');
  const power = Math.round(Math.log2(cells.scale));
  if (cells.scale !== 2 ** power || power < -15 || power > -9 || cells.zeroPoint !== 0)
    throw node.unsupported(
      `a cell state of scale ${cells.scale} (expected a power of two from 2^−15 to 2^−9)`,
    );
  const clip = cellClip > 0 ? Math.trunc(Math.min(Math.fround(cellClip / cells.scale), 32767)) : 32767;
  const least = cellClip > 0 ? -clip : -32768;
  const sumOf = (gate: Gate) => gateSum(node, gate, { input, state }, sizes, x, hidden);
  const sums = {
    input: sumOf('input'),
    forget: sumOf('forget'),
    cell: sumOf('cell'),
    output: sumOf('output'),
  };
  const keep = ratio(node, unitScale);
  const add = ratio(node, (unitScale * unitScale) / cells.scale);
  const give = ratio(node, (unitScale * unitScale) / state.scale);
  const [low, high] = y instanceof Int16Array ? [-32768, 32767] : [-128, 127];
  const shift = 12 + power;
  const [up, down] = [3 * 2 ** Math.max(0, shift), 2 ** Math.max(0, -shift)];
  const half = down > 1 ? down / 2 : 0;
  const product = (value: number, { multiplier, shift: by }: typeof keep) =>
    multiplyByQuantized(value, multiplier, by);
  return () => {
    everyStep(sizes, timeMajor, (batch, row) => {
      for (let unit = 0; unit < units; unit++) {
        const at = batch * units + unit;
        const forget = logisticOf(3 * sums.forget(row, batch, unit));
        const entered = logisticOf(3 * sums.input(row, batch, unit));
        const candidate = tanhOf(3 * sums.cell(row, batch, unit));
        const value = clamp16(
          clamp16(product(forget * cell[at]!, keep)) + clamp16(product(entered * candidate, add)),
        );
        cell[at] = value < least ? least : value > clip ? clip : value;
        const shown = tanhOf(Math.floor((cell[at]! * up + half) / down));
        const given = product(logisticOf(3 * sums.output(row, batch, unit)) * shown, give) + state.zeroPoint;
        y[row * units + unit] = given < low ? low : given > high ? high : given;
      }
      for (let unit = 0; unit < units; unit++) hidden[batch * units + unit] = y[row * units + unit]!;
    });
  };
}

const clamp16 = (value: number) => (value < -32768 ? -32768 : value > 32767 ? 32767 : value);

/** The sum of one gate in Q3.12, for a row of x, a batch and a unit. The two dot products are rounded and clamped before they are added. */
function gateSum(
  node: Node,
  gate: Gate,
  { input, state }: { input: Scale; state: Scale },
  { inputs, units }: LstmSizes,
  x: Int8Array | Int16Array,
  hidden: Int8Array | Int16Array,
): (row: number, batch: number, unit: number) => number {
  const [weights, recurrent, biases] = gates[gate];
  const [w, r] = [node.int8Weights(weights), node.int8Weights(recurrent)];
  const [own, other] = [weights, recurrent].map((place, index) =>
    ratio(node, Math.fround((index === 0 ? input : state).scale * symmetricScale(node, place)) / gateScale),
  ) as [ReturnType<typeof ratio>, ReturnType<typeof ratio>];
  const wide = x instanceof Int16Array;
  const bias = wide ? wideBias(node, units, undefined, biases).bias : node.int32Bias(biases, units);
  if (wide && !(node.input(biases).tensor.data instanceof BigInt64Array))
    throw node.unsupported(`a bias of ${node.input(biases).tensor.type}`);
  const scaled = (sum: number, { multiplier, shift }: typeof own) =>
    clamp16(wide ? multiply64(sum, multiplier, shift) : multiplyByQuantized(sum | 0, multiplier, shift));
  return (row, batch, unit) => {
    let sum = bias[unit]!;
    for (let i = 0; i < inputs; i++) sum += w[unit * inputs + i]! * (x[row * inputs + i]! - input.zeroPoint);
    let past = 0;
    for (let i = 0; i < units; i++)
      past += r[unit * units + i]! * (hidden[batch * units + i]! - state.zeroPoint);
    return clamp16(scaled(sum, own) + scaled(past, other));
  };
}
