import { type Activation, elementCount, type Operator } from '../../../formats/tflite/graph.js';
import { TrainableBuilder } from '../../network/graph-builder.js';
import { malformed, unsupported } from '../errors.js';
import type { Weight } from './config.js';

type Options<Op extends Operator['op']> = Extract<Operator, { op: Op }>['options'];

/** Alternatives to unsupported Keras activation functions. */
const instead: Readonly<Record<string, string>> = {
  elu: 'use relu or leaky_relu',
  selu: 'use relu and batch normalization',
  softplus: 'use relu',
  softsign: 'use tanh',
  exponential: 'compute it after the network',
};

const largestErf = 3.9;

/** Coefficients of powers of x², highest first. */
const erfCoefficients = [
  -2.9685079e-6, 6.96967524e-5, -0.000568203288, -0.000256244272, 0.102799515, 1.12837569,
];

/** Assembles a graph from layers. Tensors are activations of batch 1, and functions return the index of the resulting tensor. */
export class GraphMaker extends TrainableBuilder {
  private names = 0;
  /** The slope of Keras's hard_sigmoid, which depends on its version. */
  hardSigmoidSlope = 1 / 6;

  op<Op extends Operator['op']>(
    op: Op,
    inputs: number[],
    shape: number[],
    options: Options<Op>,
    name?: string,
  ): number {
    return this.operator(op, inputs, name ?? `${op.toLowerCase()}_${++this.names}`, shape, options as never);
  }

  floats(data: Float32Array, shape: number[], name = `constant_${++this.names}`): number {
    const expected = elementCount(shape);
    if (data.length !== expected)
      throw malformed(`${name}: expected ${expected} numbers for [${shape}], got ${data.length}`);
    return this.constant(name, shape, data);
  }

  integers(values: readonly number[], shape = [values.length]): number {
    return this.constant(`list_${++this.names}`, shape, Int32Array.from(values));
  }

  reshape(x: number, shape: number[]): number {
    if (shape.join() === this.shape(x).join()) return x;
    return this.op('RESHAPE', [x, this.integers(shape)], shape, { newShape: shape });
  }

  /** [1, time, channels] → [1, 1, time, channels]; images are unchanged. */
  image(x: number, where: string): number {
    const shape = this.shape(x);
    if (shape.length === 4) return x;
    if (shape.length === 3) return this.reshape(x, [1, 1, shape[1]!, shape[2]!]);
    throw unsupported(where, `expected [time, channels] or an image, got [${shape.slice(1)}]`);
  }

  /** Converts an image back to the layer's original number of dimensions: the inverse of `image`. */
  back(y: number, rank: number): number {
    const [, , width = 1, channels = 1] = this.shape(y);
    return rank === 3 ? this.reshape(y, [1, width, channels]) : y;
  }

  binary(op: 'ADD' | 'SUB' | 'MUL', a: number, b: number): number {
    const [left, right] = [this.shape(a), this.shape(b)];
    const shape = left.length >= right.length ? left : right;
    const other = shape === left ? right : left;
    const wide = shape.map((size, k) => Math.max(size, other[k - shape.length + other.length] ?? 1));
    return this.op(op, [a, b], wide, { activation: 'none' as Activation } as Options<typeof op>);
  }

  /** x · factor + offset per channel, in the order in which a batch norm is folded. */
  line(x: number, factor: Float32Array, offset: Float32Array): number {
    const scaled = this.binary('MUL', x, this.floats(factor, [factor.length]));
    return this.binary('ADD', scaled, this.floats(offset, [offset.length]));
  }

  /** Applies one of Keras' activation functions. @param given a name, or an object that contains one */
  activate(x: number, given: unknown, where: string): number {
    const object = given as { class_name?: unknown; config?: unknown } | undefined;
    const name =
      typeof given === 'string'
        ? given
        : typeof object?.config === 'string'
          ? object.config
          : object?.class_name;
    const unary = (op: 'RELU' | 'RELU6' | 'TANH' | 'LOGISTIC') => this.op(op, [x], this.shape(x), {});
    switch (name) {
      case undefined:
      case 'linear':
        return x;
      case 'relu':
      case 'ReLU':
        return unary('RELU');
      case 'relu6':
        return unary('RELU6');
      case 'tanh':
        return unary('TANH');
      case 'sigmoid':
        return unary('LOGISTIC');
      case 'hard_sigmoid':
      case 'hardSigmoid':
        return this.hardSigmoid(x);
      case 'leaky_relu':
        return this.leaky(x, 0.2);
      case 'gelu':
        return this.gelu(x);
      case 'silu':
      case 'swish':
        return this.binary('MUL', x, unary('LOGISTIC'));
      case 'softmax':
        return this.op('SOFTMAX', [x], this.shape(x), { beta: 1 });
      default:
        throw unsupported(
          where,
          `the activation ${JSON.stringify(name)} is not supported`,
          Object.hasOwn(instead, String(name)) ? instead[String(name)] : undefined,
        );
    }
  }

  /** max(0, min(1, slope · x + 0.5)) */
  private hardSigmoid(x: number): number {
    const number = (value: number) => this.floats(Float32Array.of(value), [1]);
    const stretched = this.binary('MUL', x, number(6 * this.hardSigmoidSlope));
    const clipped = this.op('RELU6', [this.binary('ADD', stretched, number(3))], this.shape(x), {});
    return this.binary('MUL', clipped, number(1 / 6));
  }

  /**
   * The error function, to 10⁻⁶, as a hyperbolic tangent, which has an int8 kernel: erf(x) = tanh(x·p(x²)). The coefficients of p are a
   * least-maximum fit for arguments up to 3.9, beyond which the result is 1 in single precision.
   */
  erf(x: number): number {
    const shape = this.shape(x);
    const number = (value: number) => this.floats(Float32Array.of(value), [1]);
    const below = this.op('MINIMUM', [x, number(largestErf)], shape, {});
    const inside = this.op('MAXIMUM', [below, number(-largestErf)], shape, {});
    const square = this.binary('MUL', inside, inside);
    const [highest, ...others] = erfCoefficients;
    const sum = others.reduce<number>(
      (y, coefficient) => this.binary('ADD', this.binary('MUL', y, square), number(coefficient)),
      number(highest!),
    );
    return this.op('TANH', [this.binary('MUL', inside, sum)], shape, {});
  }

  /** x·Φ(x), with the normal distribution Φ. @param approximate whether to use the usual approximation, within 5·10⁻⁴ of it */
  gelu(x: number, approximate = false): number {
    const number = (value: number) => this.floats(Float32Array.of(value), [1]);
    const half = this.binary('MUL', x, number(0.5));
    if (!approximate) {
      const curve = this.erf(this.binary('MUL', x, number(Math.SQRT1_2)));
      return this.binary('MUL', half, this.binary('ADD', curve, number(1)));
    }
    const root = Math.sqrt(2 / Math.PI);
    const cubic = this.binary('MUL', this.binary('MUL', x, x), number(0.044715 * root));
    const inner = this.binary('MUL', x, this.binary('ADD', cubic, number(root)));
    const curve = this.op('TANH', [inner], this.shape(x), {});
    return this.binary('MUL', half, this.binary('ADD', curve, number(1)));
  }

  leaky(x: number, alpha: number): number {
    return this.op('LEAKY_RELU', [x], this.shape(x), { alpha: Math.fround(alpha) });
  }

  /** A dense layer on the last axis. Keras stores the weights as [in, out]. */
  dense1(x: number, kernel: Weight, bias: Weight | undefined, name: string): number {
    const [inputs, units] = kernel.shape as [number, number];
    const shape = this.shape(x);
    const w = this.floats(transposed(kernel.data, inputs, units), [units, inputs], `${name}/weights`);
    const b = bias ? this.floats(bias.data, [units], `${name}/bias`) : -1;
    const options = { activation: 'none' as const, keepNumDims: shape.length > 2 };
    return this.op('FULLY_CONNECTED', [x, w, b], [...shape.slice(0, -1), units], options, name);
  }
}

/** [rows, columns] → [columns, rows] */
export function transposed(data: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(data.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) out[c * rows + r] = data[r * columns + c]!;
  }
  return out;
}
