import {
  type Activation,
  elementCount,
  type Graph,
  type Operator,
  type Padding,
  type Tensor,
} from '../../formats/tflite/graph.js';
import type { BatchNorm, Dropout } from '../engine/types.js';

export type Options<Op extends Operator['op']> = Extract<Operator, { op: Op }>['options'];

/** [height, width] of a window and of its steps. */
export interface WindowShape {
  filter: [number, number];
  stride: [number, number];
  padding: Padding;
}

/** Assembles a trainable graph, operator by operator. Every function returns the index of the resulting tensor. */
export class TrainableBuilder {
  readonly tensors: Tensor[] = [];
  readonly operators: Operator[] = [];
  readonly parameters: number[] = [];
  readonly batchNorms: BatchNorm[] = [];
  readonly dropouts: Dropout[] = [];

  shape(tensor: number): number[] {
    return this.tensors[tensor]!.shape;
  }

  /** Number of elements in a tensor. */
  size(tensor: number): number {
    return elementCount(this.shape(tensor));
  }

  activation(name: string, shape: number[]): number {
    return this.tensors.push({ name, shape, type: 'float32' }) - 1;
  }

  parameter(name: string, shape: number[], data: Float32Array): number {
    const index = this.constant(name, shape, data);
    this.parameters.push(index);
    return index;
  }

  constant(name: string, shape: number[], data: Float32Array | Int32Array): number {
    const type = data instanceof Float32Array ? 'float32' : 'int32';
    return this.tensors.push({ name, shape, type, data }) - 1;
  }

  operator<Op extends Operator['op']>(
    op: Op,
    inputs: number[],
    name: string,
    shape: number[],
    options: Options<Op>,
  ): number {
    const y = this.activation(name, shape);
    this.operators.push({ op, inputs, outputs: [y], options } as unknown as Operator);
    return y;
  }

  /** A layer with the given initial weights, and with zero biases or no bias. */
  dense(
    x: number,
    units: number,
    name: string,
    activation: Activation,
    weights: Float32Array,
    bias: boolean,
  ): number {
    const w = this.parameter(`${name}/weights`, [units, this.size(x)], weights);
    const b = this.bias(name, units, bias);
    return this.operator('FULLY_CONNECTED', [x, w, b], name, [1, units], { activation, keepNumDims: false });
  }

  convolution(
    x: number,
    filters: number,
    { filter, stride, padding }: WindowShape,
    [height, width]: [number, number],
    name: string,
    activation: Activation,
    weights: Float32Array,
    bias: boolean,
  ): number {
    const w = this.parameter(`${name}/weights`, [filters, ...filter, this.shape(x)[3]!], weights);
    const b = this.bias(name, filters, bias);
    const options = { ...windowOptions(stride, padding), activation };
    return this.operator('CONV_2D', [x, w, b], name, [1, height, width, filters], options);
  }

  depthwise(
    x: number,
    { filter, stride, padding }: WindowShape,
    [height, width]: [number, number],
    name: string,
    activation: Activation,
    weights: Float32Array,
    bias: boolean,
  ): number {
    const channels = this.shape(x)[3]!;
    const w = this.parameter(`${name}/weights`, [1, ...filter, channels], weights);
    const b = this.bias(name, channels, bias);
    const options = { ...windowOptions(stride, padding), depthMultiplier: 1, activation };
    return this.operator('DEPTHWISE_CONV_2D', [x, w, b], name, [1, height, width, channels], options);
  }

  private bias(name: string, channels: number, wanted: boolean): number {
    return wanted ? this.parameter(`${name}/bias`, [channels], new Float32Array(channels)) : -1;
  }

  pool(
    op: 'MAX_POOL_2D' | 'AVERAGE_POOL_2D',
    x: number,
    { filter, stride, padding }: WindowShape,
    [height, width]: [number, number],
    name: string,
  ): number {
    const [filterH, filterW] = filter;
    const [strideH, strideW] = stride;
    const options = { padding, strideH, strideW, filterH, filterW, activation: 'none' as const };
    return this.operator(op, [x], name, [1, height, width, this.shape(x)[3]!], options);
  }

  /** Mean over the image: [1, height, width, channels] → [1, channels]. */
  mean(x: number): number {
    const axes = this.constant('mean/axes', [2], Int32Array.of(1, 2));
    return this.operator('MEAN', [x, axes], 'mean', [1, this.shape(x)[3]!], { keepDims: false });
  }

  flatten(x: number, name: string): number {
    const newShape = [1, this.size(x)];
    const shape = this.constant(`${name}/shape`, [2], Int32Array.from(newShape));
    return this.operator('RESHAPE', [x, shape], name, newShape, { newShape });
  }

  batchNorm(x: number, name: string, activation: Activation): number {
    const channels = this.shape(x).at(-1)!;
    const all = (value: number) => new Float32Array(channels).fill(value);
    // Keras' ε. The momentum is lower than Keras' 0.99, because a small dataset yields few steps.
    const norm = {
      gamma: all(1),
      beta: all(0),
      mean: all(0),
      variance: all(1),
      epsilon: 1e-3,
      momentum: 0.9,
    };
    const factor = all(Math.fround(1 / Math.sqrt(1 + norm.epsilon)));
    const scaled = this.operator(
      'MUL',
      [x, this.constant(`${name}/factor`, [channels], factor)],
      `${name}/scaled`,
      this.shape(x),
      { activation: 'none' },
    );
    const offset = this.constant(`${name}/offset`, [channels], all(0));
    const y = this.operator('ADD', [scaled, offset], name, this.shape(x), { activation });
    const add = this.operators.length - 1;
    this.batchNorms.push({ multiply: add - 1, add, ...norm });
    return y;
  }

  /** The graph with one input and one output, or with lists of them. */
  graph(input: number | readonly number[], output: number | readonly number[]): Graph {
    const { tensors, operators } = this;
    const [inputs, outputs] = [[input].flat(), [output].flat()];
    return { name: 'main', description: '', tensors, operators, inputs, outputs };
  }
}

function windowOptions([strideH, strideW]: [number, number], padding: Padding) {
  return { padding, strideH, strideW, dilationH: 1, dilationW: 1 };
}
