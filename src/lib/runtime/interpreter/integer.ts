import { roundHalfAway } from '../../core/numbers.js';
import { scalesAlike } from '../../formats/tflite/check.js';
import type { OperatorOptions } from '../../formats/tflite/graph.js';
import {
  activationRange,
  multiplyByQuantized,
  type QuantizedMultiplier,
  ratio,
  scaleOf,
  stepsOf,
  typeRange,
} from './fixed-point.js';
import { poolKernel } from './geometry.js';
import { broadcastPlaces, reductionPlan } from './moves.js';
import type { Node, Operand } from './node.js';

/**
 * An operator that computes each output element from one input element. For int8, the results for all 256 inputs are computed in advance.
 */
export function perElement(node: Node, output: (q: number) => number): () => void {
  const [x, y] = [node.integers(0), node.integerOutput];
  node.expectOutputSize(x.length);
  const { low, high } = typeRange(node);
  const clamped = (q: number) => {
    const value = output(q);
    return value < low ? low : value > high ? high : value;
  };
  if (x instanceof Int16Array)
    return () => {
      for (let i = 0; i < x.length; i++) y[i] = clamped(x[i]!);
    };
  const table = Int16Array.from({ length: 256 }, (_, index) => clamped(index - 128));
  return () => {
    for (let i = 0; i < x.length; i++) y[i] = table[x[i]! + 128]!;
  };
}

/** RELU. It also rescales from the input's scale and zero point to the output's. */
export function relu(node: Node): () => void {
  const [input, output] = [scaleOf(node, node.input(0)), scaleOf(node, node.output)];
  const quotient = input.scale / output.scale;
  const { multiplier, shift } = ratio(
    node,
    node.ratioPrecision === 'single' ? Math.fround(quotient) : quotient,
  );
  return perElement(node, (q) =>
    Math.max(
      output.zeroPoint,
      multiplyByQuantized(q - input.zeroPoint, multiplier, shift) + output.zeroPoint,
    ),
  );
}

/**
 * RELU6 limits the values. If the output's scale or zero point differs from the input's, RELU6 also rescales as in LiteRT, with a ratio in
 * single precision.
 */
export function relu6(node: Node): () => void {
  const [input, output] = [scaleOf(node, node.input(0)), scaleOf(node, node.output)];
  const isSame = scalesAlike(node.input(0).tensor, node.output.tensor);
  const { multiplier, shift } = ratio(node, isSame ? 1 : Math.fround(input.scale / output.scale));
  const six = stepsOf(node, 6, isSame ? input.scale : output.scale);
  return perElement(node, (q) => {
    const scaled = multiplyByQuantized(q - input.zeroPoint, multiplier, shift);
    return Math.min(Math.max(scaled, 0), six) + output.zeroPoint;
  });
}

/** LEAKY_RELU, with one multiplier for positive values, and another for negative values, which includes the slope. */
export function leakyRelu(node: Node<OperatorOptions['LEAKY_RELU']>): () => void {
  const [input, output] = [scaleOf(node, node.input(0)), scaleOf(node, node.output)];
  const single = node.ratioPrecision === 'single';
  const precise = (value: number) => (single ? Math.fround(value) : value);
  const { alpha } = node.options;
  const positive = ratio(node, precise(input.scale / output.scale));
  const negative = ratio(node, precise(precise(input.scale * Math.abs(alpha)) / output.scale));
  const slope = alpha < 0 ? -negative.multiplier : negative.multiplier;
  return perElement(node, (q) => {
    const d = q - input.zeroPoint;
    const value =
      d >= 0
        ? multiplyByQuantized(d, positive.multiplier, positive.shift)
        : multiplyByQuantized(d, slope, negative.shift);
    return value + output.zeroPoint;
  });
}

/** QUANTIZE between int8 and int16, or to another scale and zero point. */
export function requantize(node: Node): () => void {
  const [input, output] = [scaleOf(node, node.input(0)), scaleOf(node, node.output)];
  const { multiplier, shift } = ratio(node, input.scale / output.scale);
  return perElement(
    node,
    (q) => multiplyByQuantized(q - input.zeroPoint, multiplier, shift) + output.zeroPoint,
  );
}

/** QUANTIZE from int8 or int16 to int32, or from int32 to int8 or int16. Sums of int32 wrap. */
export function requantizeWide(node: Node): () => void {
  const [x, y] = [integersOf(node, node.input(0)), integersOf(node, node.output)];
  node.expectOutputSize(x.length);
  const [input, output] = [scaleOf(node, node.input(0)), scaleOf(node, node.output)];
  const { multiplier, shift } = ratio(node, input.scale / output.scale);
  const { low, high } = y instanceof Int32Array ? { low: -(2 ** 31), high: 2 ** 31 - 1 } : typeRange(node);
  return () => {
    for (let i = 0; i < x.length; i++) {
      const d = (x[i]! - input.zeroPoint) | 0;
      const value = (multiplyByQuantized(d, multiplier, shift) + output.zeroPoint) | 0;
      y[i] = value < low ? low : value > high ? high : value;
    }
  };
}

function integersOf(node: Node, { values, tensor }: Operand): Int8Array | Int16Array | Int32Array {
  if (values instanceof Int8Array || values instanceof Int16Array || values instanceof Int32Array)
    return values;
  throw node.unsupported(`a tensor of type ${tensor.type}`);
}

/**
 * ADD (sign 1) and SUB (sign −1) on int8 and int16. Both inputs are rescaled to twice the larger scale with 20 (int16: 15) additional
 * fraction bits, added, and rescaled to the output (TFLite's reference add.h and sub.h).
 */
export function sum(sign: 1 | -1): (node: Node<OperatorOptions['ADD' | 'SUB']>) => () => void {
  return (node) => {
    const [x0, x1, y] = [node.integers(0), node.integers(1), node.integerOutput];
    const { a, b, bits, multiplierA, multiplierB, multiplierY, low, high, zeroPoint } = sumScaling(
      node,
      sign,
    );
    const [places0, places1] = broadcastPlaces(node);
    return () => {
      for (let i = 0; i < y.length; i++) {
        const u = scaledBy(multiplierA, (x0[places0[i]!]! - a.zeroPoint) << bits);
        const v = scaledBy(multiplierB, (x1[places1[i]!]! - b.zeroPoint) << bits);
        const value = scaledBy(multiplierY, u + sign * v) + zeroPoint;
        y[i] = value < low ? low : value > high ? high : value;
      }
    };
  };
}

function scaledBy({ multiplier, shift }: QuantizedMultiplier, x: number): number {
  return multiplyByQuantized(x, multiplier, shift);
}

/** The multipliers of an ADD (sign 1) or SUB (sign −1), for inputs that are shifted to the left by `bits`. */
export function sumScaling(node: Node<OperatorOptions['ADD' | 'SUB']>, sign: 1 | -1) {
  const [a, b, output] = [
    scaleOf(node, node.input(0)),
    scaleOf(node, node.input(1)),
    scaleOf(node, node.output),
  ];
  const bits = node.integerOutput instanceof Int16Array ? 15 : 20;
  const single = sign === -1 && node.ratioPrecision === 'single';
  const precise = (value: number) => (single ? Math.fround(value) : value);
  const twice = precise(2 * Math.max(a.scale, b.scale));
  const last = precise(twice / precise(2 ** bits * output.scale));
  if (!(last < 1)) throw node.malformed(`an output scale of ${output.scale} is too small for its inputs`);
  return {
    ...{ a, b, bits },
    multiplierA: ratio(node, precise(a.scale / twice)),
    multiplierB: ratio(node, precise(b.scale / twice)),
    multiplierY: ratio(node, last),
    ...activationRange(node, node.options.activation),
    zeroPoint: output.zeroPoint,
  };
}

/** MUL on int8 and int16. */
export function product(node: Node<OperatorOptions['MUL']>): () => void {
  const [x0, x1, y] = [node.integers(0), node.integers(1), node.integerOutput];
  const [a, b, output] = [
    scaleOf(node, node.input(0)),
    scaleOf(node, node.input(1)),
    scaleOf(node, node.output),
  ];
  const { multiplier, shift } = ratio(node, (a.scale * b.scale) / output.scale);
  const { low, high } = activationRange(node, node.options.activation);
  const [places0, places1] = broadcastPlaces(node);
  return () => {
    for (let i = 0; i < y.length; i++) {
      const q = (x0[places0[i]!]! - a.zeroPoint) * (x1[places1[i]!]! - b.zeroPoint);
      const value = multiplyByQuantized(q, multiplier, shift) + output.zeroPoint;
      y[i] = value < low ? low : value > high ? high : value;
    }
  };
}

/** MAX_POOL_2D on int8 and int16. */
export function maxPool(node: Node<OperatorOptions['MAX_POOL_2D']>): () => void {
  const { low, high } = activationRange(node, node.options.activation);
  return poolKernel(node, node.integers(0), node.integerOutput, {
    take: 'largest',
    // Values below the activation's lower limit have no effect.
    start: low,
    finish: (sum) => (sum > high ? high : sum),
  });
}

/** AVERAGE_POOL_2D on int8 and int16. The quantized values are averaged, and the quotient is rounded half away from zero. */
export function averagePool(node: Node<OperatorOptions['AVERAGE_POOL_2D']>): () => void {
  const { low, high } = activationRange(node, node.options.activation);
  return poolKernel(node, node.integers(0), node.integerOutput, {
    take: 'sum',
    start: 0,
    finish: (sum, count) => {
      const half = count >> 1;
      const value = Math.trunc((sum > 0 ? sum + half : sum - half) / count);
      return value < low ? low : value > high ? high : value;
    },
  });
}

/**
 * MEAN on int8 and int16. The division by the count N is part of the multiplier, M·2^k ÷ N, with as many bits as possible (TFLite's
 * QuantizedMeanOrSum).
 */
export function mean(node: Node<OperatorOptions['MEAN']>): () => void {
  const [x, y] = [node.integers(0), node.integerOutput];
  const { target } = reductionPlan(node);
  const { multiplier, shift, offset, zeroPoint } = meanScaling(node);
  const { low, high } = typeRange(node);
  const sums = new Int32Array(y.length);
  return () => {
    sums.fill(0);
    for (let i = 0; i < x.length; i++) sums[target[i]!]! += x[i]!;
    for (let i = 0; i < y.length; i++) {
      const value = multiplyByQuantized((sums[i]! - offset) | 0, multiplier, shift) + zeroPoint;
      y[i] = value < low ? low : value > high ? high : value;
    }
  };
}

/** The multiplier of a MEAN, and the sum of the input's zero points, which is subtracted first. */
export function meanScaling(node: Node<OperatorOptions['MEAN']>) {
  const { count } = reductionPlan(node);
  const [input, output] = [scaleOf(node, node.input(0)), scaleOf(node, node.output)];
  const scales = ratio(node, input.scale / output.scale);
  const bits = Math.min(31 - Math.clz32(count), 32, 31 + scales.shift);
  return {
    multiplier: Number((BigInt(scales.multiplier) << BigInt(bits)) / BigInt(count)),
    shift: scales.shift - bits,
    offset: Math.imul(input.zeroPoint, count),
    zeroPoint: output.zeroPoint,
  };
}

/** SUM on int8 and int16: like MEAN, but without the division. */
export function sumOf(node: Node<OperatorOptions['SUM']>): () => void {
  const [x, y] = [node.integers(0), node.integerOutput];
  const { target, count } = reductionPlan(node);
  const [input, output] = [scaleOf(node, node.input(0)), scaleOf(node, node.output)];
  const { multiplier, shift } = ratio(node, input.scale / output.scale);
  const { low, high } = typeRange(node);
  const offset = Math.imul(input.zeroPoint, count);
  const sums = new Int32Array(y.length);
  return () => {
    sums.fill(0);
    for (let i = 0; i < x.length; i++) sums[target[i]!]! += x[i]!;
    for (let i = 0; i < y.length; i++) {
      const value = multiplyByQuantized((sums[i]! - offset) | 0, multiplier, shift) + output.zeroPoint;
      y[i] = value < low ? low : value > high ? high : value;
    }
  };
}

/** QUANTIZE from float32 to int8 or int16: clamp(round(x / scale) + zero point), with the quotient in single precision. */
export function quantize(node: Node): () => void {
  const [x, y] = [node.float32(0), node.integerOutput];
  node.expectOutputSize(x.length);
  const { scale, zeroPoint } = scaleOf(node, node.output);
  const { low, high } = typeRange(node);
  return () => {
    for (let i = 0; i < x.length; i++) {
      const value = roundHalfAway(Math.fround(x[i]! / scale)) + zeroPoint;
      // A value that is not a number becomes the lowest one, as in C code and the firmware.
      y[i] = value > high ? high : value > low ? value : low;
    }
  };
}

/** DEQUANTIZE from int8 or int16 to float32: scale · (q − zero point), rounded once. */
export function dequantize(node: Node): () => void {
  const [x, y] = [node.integers(0), node.float32Output];
  node.expectOutputSize(x.length);
  const { scale, zeroPoint } = scaleOf(node, node.input(0));
  return () => {
    for (let i = 0; i < x.length; i++) y[i] = scale * (x[i]! - zeroPoint);
  };
}
