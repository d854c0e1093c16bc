import type { Random } from '../../src/lib/core/numbers.js';
import {
  elementCount,
  type Graph,
  type Operator,
  type Tensor,
  zeros,
} from '../../src/lib/formats/tflite/graph.js';

/** Assembles a model tensor by tensor. */
export class GraphBuilder {
  readonly tensors: Tensor[] = [];
  readonly operators: Operator[] = [];

  constructor(
    readonly random: Random,
    readonly type: 'int8' | 'int16' = 'int8',
  ) {}

  add(tensor: Omit<Tensor, 'name'>): number {
    this.tensors.push({ name: `t${this.tensors.length}`, ...tensor });
    return this.tensors.length - 1;
  }
  integer(low: number, high: number): number {
    return low + Math.floor(this.random() * (high - low + 1));
  }
  pick<T>(...values: T[]): T {
    return values[this.integer(0, values.length - 1)]!;
  }
  scale(low = 0.002, high = 0.2): number {
    return Math.fround(low * (high / low) ** this.random());
  }
  /**
   * An activation of the model's type with a random scale and zero point, or with the given ones (int16: scale ÷ 128,
   * 0).
   */
  activation(shape: number[], scale = this.scale(), zeroPoint = this.integer(-128, 127)): number {
    const wide = this.type === 'int16';
    const quantization = {
      scale: [Math.fround(wide ? scale / 128 : scale)],
      zeroPoint: [wide ? 0 : zeroPoint],
      axis: 0,
    };
    return this.add({ type: this.type, shape, quantization });
  }
  /** An activation with the scale and zero point of another one. */
  like(other: number, shape: number[]): number {
    return this.add({ type: this.type, shape, quantization: this.tensors[other]!.quantization! });
  }
  /** A variable with the scale of an activation, which starts with random values or real zeros. */
  variable(like: number, shape: number[], random: boolean): number {
    const { type, quantization } = this.tensors[like]!;
    const zero = zeros({ name: '', type, shape, ...(quantization && { quantization }) });
    const variable = random ? zero.map(() => this.integer(-128, 127) as never) : zero;
    return this.add({
      type,
      shape,
      ...(quantization && { quantization }),
      variable: variable as typeof zero,
    });
  }
  /** The state of an operator, which is a variable with its own type and scale that starts with real zeros. */
  state(type: 'int8' | 'int16', shape: number[], scale: number, zeroPoint = 0): number {
    const quantization = { scale: [Math.fround(scale)], zeroPoint: [zeroPoint], axis: 0 };
    const tensor = { name: '', type, shape, quantization };
    return this.add({ ...tensor, variable: zeros(tensor) });
  }
  /** The output of LOGISTIC, SOFTMAX or TANH, whose scales are fixed. */
  fixed(op: 'LOGISTIC' | 'SOFTMAX' | 'TANH', shape: number[]): number {
    const int8: [number, number] = op === 'TANH' ? [1 / 128, 0] : [1 / 256, -128];
    const [scale, zeroPoint] = this.type === 'int16' ? [2 ** -15, 0] : int8;
    return this.add({
      type: this.type,
      shape,
      quantization: { scale: [scale], zeroPoint: [zeroPoint], axis: 0 },
    });
  }
  /** A constant in place of an activation. */
  constant(shape: number[], scale?: number): number {
    const index = this.activation(shape, scale);
    const length = elementCount(shape);
    this.tensors[index]!.data =
      this.type === 'int16'
        ? Int16Array.from({ length }, () => this.integer(-32768, 32767))
        : Int8Array.from({ length }, () => this.integer(-128, 127));
    return index;
  }
  /** Weights with a scale for each index of `axis`, or a single scale. */
  weights(shape: number[], axis: number, perChannel = true): number {
    const scale = Array.from({ length: perChannel ? shape[axis]! : 1 }, () => this.scale(0.001, 0.05));
    const data = Int8Array.from({ length: elementCount(shape) }, () => this.integer(-127, 127));
    return this.add({
      type: 'int8',
      shape,
      data,
      quantization: { scale, zeroPoint: scale.map(() => 0), axis },
    });
  }
  /** The bias for an input and its weights. */
  bias(input: number, weights: number, channels: number): number {
    const inputScale = this.tensors[input]!.quantization!.scale[0]!;
    const scale = this.tensors[weights]!.quantization!.scale.map((value) => Math.fround(value * inputScale));
    const quantization = { scale, zeroPoint: scale.map(() => 0), axis: 0 };
    if (this.type === 'int16') {
      const data = BigInt64Array.from({ length: channels }, () => BigInt(this.integer(-5000000, 5000000)));
      return this.add({ type: 'int64', shape: [channels], data, quantization });
    }
    const data = Int32Array.from({ length: channels }, () => this.integer(-20000, 20000));
    return this.add({ type: 'int32', shape: [channels], data, quantization });
  }
  int32s(...values: number[]): number {
    return this.add({ type: 'int32', shape: [values.length], data: Int32Array.from(values) });
  }
  int32(value: number): number {
    return this.add({ type: 'int32', shape: [], data: Int32Array.of(value) });
  }
  /** Adds an operator, and returns its output. */
  op(operator: Operator): number {
    this.operators.push(operator);
    return operator.outputs[0]!;
  }
  /** The graph with one input and one output, or with lists of them. */
  graph(input: number | number[], output: number | number[]): Graph {
    const { tensors, operators } = this;
    const [inputs, outputs] = [[input].flat(), [output].flat()];
    return { name: 'main', description: 'test', tensors, operators, inputs, outputs };
  }
}
