import { elementCount, type Graph, type Tensor } from '../../formats/tflite/graph.js';
import { affordable, decibels } from './graph/noise.js';
import type { Compared } from './graph/quantize-graph.js';
import { createRunner } from './runner.js';

/** Multiply-add budget for the detailed analysis, the same as for the noise measurement. */
const budget = 5e7;
const mostRows = 200;
const binCount = 48;

/** Distribution of one activation's values, in the float network and in the quantized network. */
export interface Spread {
  tensor: string;
  /** Ends of the bins: the range of the float network's values. */
  from: number;
  to: number;
  /** Share of the values in each bin. */
  float: number[];
  quantized: number[];
  /** Range of the activation's integers; null if the activation is not quantized. */
  range: [low: number, high: number] | null;
  /** Share of the float network's values that are more than a step outside this range. */
  clipped: number;
  /** Maximum deviation from the float network's value. */
  error: number;
}

/** Rounding error of one layer's weights. */
interface WeightLoss {
  tensor: string;
  shape: readonly number[];
  /** Smallest and largest scale among the layer's channels. */
  scales: [number, number];
  channels: number;
  sqnrDb: number;
}

/** A quantized network compared with its float network, value by value. */
export interface QuantizeDetail {
  rows: number;
  spreads: Spread[];
  weights: WeightLoss[];
  /** Share of rows for which both networks predict the same class, for each output with several values; null if there is no such output. */
  agreement: number | null;
  /** Mean absolute error over all output values. */
  meanError: number;
}

/** Runs both networks on some of the rows, and compares every activation and the weights. */
export function detailOf(compared: Compared, rows: readonly Float32Array[]): QuantizeDetail {
  const { graph, twins, against } = compared;
  const some = affordable(against, rows, budget, 16, mostRows);
  const [float, other] = [createRunner(against), createRunner(graph)];
  const found = [...twins].flatMap(([index, place]) => {
    const tensor = against.tensors[index]!;
    const [a, b] = [float.tensors[index], other.tensors[place]];
    if (a === undefined || b === undefined || tensor.data) return [];
    return [{ index, a, b, ...ends(), ...realOf(graph.tensors[place]!), spread: empty(tensor.name) }];
  });
  for (const row of some) {
    float.run(row);
    for (const one of found)
      for (const value of one.a) {
        one.low = Math.min(one.low, Number(value));
        one.high = Math.max(one.high, Number(value));
      }
  }
  for (const { spread, low, high, type, scale, zero } of found) {
    [spread.from, spread.to] = [low, high];
    const limits = type === 'int8' ? [-128, 127] : type === 'int16' ? [-32768, 32767] : null;
    spread.range = limits && [(limits[0]! - zero) * scale, (limits[1]! - zero) * scale];
  }
  const outputs = found.filter(({ index }) => against.outputs.includes(index));
  const values = outputs.reduce((sum, { a }) => sum + a.length, 0);
  let [same, error] = [0, 0];
  for (const row of some) {
    float.run(row);
    other.run(row);
    for (const one of found) count(one);
    let alike = true;
    for (const { a, b, zero, scale } of outputs) {
      const real = Array.from(b, (q) => (Number(q) - zero) * scale);
      alike &&= largest(a) === largest(real);
      error += real.reduce((sum, value, i) => sum + Math.abs(value - Number(a[i])), 0) / values;
    }
    same += Number(alike);
  }
  const classes = Math.max(...against.outputs.map((index) => elementCount(against.tensors[index]!.shape)));
  return {
    rows: some.length,
    spreads: found.map(({ spread, a }) => shares(spread, a.length * some.length)),
    weights: weightsOf(against, graph),
    agreement: classes > 1 && some.length > 0 ? same / some.length : null,
    meanError: some.length === 0 ? 0 : error / some.length,
  };
}

const ends = () => ({ low: Number.POSITIVE_INFINITY, high: Number.NEGATIVE_INFINITY });

const empty = (tensor: string): Spread => ({
  ...{ tensor, from: 0, to: 0, range: null, clipped: 0, error: 0 },
  float: new Array<number>(binCount).fill(0),
  quantized: new Array<number>(binCount).fill(0),
});

function realOf({ type, quantization }: Tensor) {
  return { type, scale: quantization?.scale[0] ?? 1, zero: quantization?.zeroPoint[0] ?? 0 };
}

interface Counted {
  a: ArrayLike<number | bigint>;
  b: ArrayLike<number | bigint>;
  scale: number;
  zero: number;
  spread: Spread;
}

function count({ a, b, scale, zero, spread }: Counted): void {
  const { from, to, range } = spread;
  const bin = (value: number) =>
    Math.max(0, Math.min(binCount - 1, Math.floor(((value - from) / (to - from || 1)) * binCount)));
  for (let i = 0; i < a.length; i++) {
    const value = Number(a[i]);
    const real = (Number(b[i]) - zero) * scale;
    spread.float[bin(value)]!++;
    spread.quantized[bin(real)]!++;
    // Up to one step beyond the last integer, the error is no larger than ordinary rounding. (A SOFTMAX's 1 is always in this interval.)
    if (range && (value < range[0] - scale || value > range[1] + scale)) spread.clipped++;
    spread.error = Math.max(spread.error, Math.abs(value - real));
  }
}

function shares(spread: Spread, values: number): Spread {
  const of = (counts: number[]) => counts.map((one) => one / Math.max(1, values));
  return {
    ...spread,
    float: of(spread.float),
    quantized: of(spread.quantized),
    clipped: spread.clipped / Math.max(1, values),
  };
}

function largest(values: ArrayLike<number | bigint>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

/** The quantized network's integer tensors that are named after a float constant. */
function weightsOf(float: Graph, quantized: Graph): WeightLoss[] {
  const constants = new Map(
    float.tensors.flatMap(({ name, data }) => (data instanceof Float32Array ? [[name, data] as const] : [])),
  );
  return quantized.tensors.flatMap(({ name, shape, data, quantization }) => {
    const own = constants.get(name);
    if (!(data instanceof Int8Array) || !quantization || own?.length !== data.length) return [];
    const { scale, axis = 0 } = quantization;
    const block = shape.slice(axis + 1).reduce((product, length) => product * length, 1);
    let [signal, noise] = [0, 0];
    own.forEach((value, i) => {
      signal += value * value;
      noise += (value - data[i]! * scale[Math.floor(i / block) % scale.length]!) ** 2;
    });
    const scales: [number, number] = [Math.min(...scale), Math.max(...scale)];
    return [{ tensor: name, shape, scales, channels: scale.length, sqnrDb: decibels(signal, noise) }];
  });
}
