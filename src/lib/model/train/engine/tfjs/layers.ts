import type { Rank, Tensor, Tensor1D, Tensor2D, Tensor4D } from '@tensorflow/tfjs-core';
import { type Activation, type Operator, sliceAxes } from '../../../../formats/index.js';
import type { Core } from './load.js';

type Op<Name extends Operator['op']> = Extract<Operator, { op: Name }>;

/** How the operators of a graph are said in TensorFlow.js. Activations are [rows, …shape of one example]. */
export interface Scene {
  tf: Core;
  rows: number;
  /** Shape of one example's tensor, by index. */
  shape(index: number): number[];
  integers(index: number): number[];
}

export function activated(tf: Core, x: Tensor, activation: Activation): Tensor {
  switch (activation) {
    case 'none':
      return x;
    case 'relu':
      return tf.relu(x);
    case 'relu6':
      return tf.relu6(x);
    case 'relu_n1_to_1':
      return tf.clipByValue(x, -1, 1);
  }
}

export function dense(
  { tf, rows, shape }: Scene,
  operator: Op<'FULLY_CONNECTED'>,
  x: Tensor,
  w: Tensor,
  b?: Tensor,
) {
  const flat = tf.reshape(x, [-1, w.shape[1]!]) as Tensor2D;
  const product = tf.matMul(flat, w as Tensor2D, false, true);
  const sums = b ? tf.add(product, b) : product;
  const y = tf.reshape(sums, [rows, ...shape(operator.outputs[0]!)]);
  return activated(tf, y, operator.options.activation);
}

export function convolution(
  scene: Scene,
  operator: Op<'CONV_2D'> | Op<'DEPTHWISE_CONV_2D'>,
  x: Tensor,
  w: Tensor,
  b?: Tensor,
): Tensor {
  const { tf, rows, shape } = scene;
  const { strideH, strideW, dilationH, dilationW, padding, activation } = operator.options;
  const image = merged(scene, x, shape(operator.inputs[0]!));
  const strides: [number, number] = [strideH, strideW];
  let sums: Tensor;
  if (operator.op === 'CONV_2D') {
    const filter = tf.transpose(w, [1, 2, 3, 0]);
    sums = tf.conv2d(image, dilated(tf, filter, [dilationH, dilationW]), strides, padding);
  } else {
    const [, height, width] = w.shape as [number, number, number];
    const channels = image.shape[3];
    const filter = tf.reshape(w, [height, width, channels, w.shape[3]! / channels]);
    sums = tf.depthwiseConv2d(image, dilated(tf, filter, [dilationH, dilationW]), strides, padding);
  }
  const y = tf.reshape(b ? tf.add(sums, b) : sums, [rows, ...shape(operator.outputs[0]!)]);
  return activated(tf, y, activation);
}

/** The filter with zeros between its taps: TensorFlow.js has no gradient of a dilated convolution. */
function dilated(tf: Core, filter: Tensor, dilations: [number, number]): Tensor4D {
  let wide = filter;
  dilations.forEach((dilation, axis) => {
    const taps = wide.shape[axis]!;
    if (dilation === 1 || taps === 1) return;
    const padded = tf.pad(
      wide,
      wide.shape.map((_, k) => (k === axis ? [0, 1] : [0, 0]) as [number, number]),
    );
    const places = Array.from({ length: (taps - 1) * dilation + 1 }, (_, i) =>
      i % dilation === 0 ? i / dilation : taps,
    );
    wide = tf.gather(padded, tf.tensor1d(places, 'int32'), axis);
  });
  return wide as Tensor4D;
}

export function pool(scene: Scene, operator: Op<'MAX_POOL_2D'> | Op<'AVERAGE_POOL_2D'>, x: Tensor): Tensor {
  const { tf, rows, shape } = scene;
  const { filterH, filterW, strideH, strideW, padding, activation } = operator.options;
  const image = merged(scene, x, shape(operator.inputs[0]!));
  const strides: [number, number] = [strideH, strideW];
  let y: Tensor;
  if (operator.op === 'MAX_POOL_2D') y = tf.maxPool(image, [filterH, filterW], strides, padding);
  else {
    // Sums over counts: the gradient of avgPool divides by the whole window even where padding does not count.
    const ones = tf.ones<Rank.R4>([filterH, filterW, image.shape[3], 1]);
    const sums = tf.depthwiseConv2d(image, ones, strides, padding);
    y = tf.div(sums, tf.depthwiseConv2d(tf.onesLike(image), ones, strides, padding));
  }
  return activated(tf, tf.reshape(y, [rows, ...shape(operator.outputs[0]!)]), activation);
}

/** [rows, images, height, width, channels] → [rows · images, height, width, channels] */
function merged({ tf, rows }: Scene, x: Tensor, shape: number[]): Tensor4D {
  const images: number[] = [rows * shape[0]!, ...shape.slice(1)];
  return tf.reshape<Rank>(x, images) as Tensor4D;
}

export function sum(
  { tf, rows, shape }: Scene,
  operator: Op<'ADD' | 'SUB' | 'MUL'>,
  [a, b]: [Tensor, Tensor],
): Tensor {
  const rank = shape(operator.outputs[0]!).length;
  // Shapes are aligned at their last axis; the rows stay in front.
  const aligned = (x: Tensor, index: number) => {
    const own = shape(index);
    if (x.shape.length === own.length) return x;
    return tf.reshape(x, [rows, ...new Array<number>(rank - own.length).fill(1), ...own]);
  };
  const [left, right] = [aligned(a, operator.inputs[0]!), aligned(b, operator.inputs[1]!)];
  const y =
    operator.op === 'ADD'
      ? tf.add(left, right)
      : operator.op === 'SUB'
        ? tf.sub(left, right)
        : tf.mul(left, right);
  return activated(tf, y, operator.options.activation);
}

export function reduce(
  { tf, integers, shape }: Scene,
  operator: Op<'MEAN' | 'REDUCE_MAX'>,
  x: Tensor,
): Tensor {
  const rank = shape(operator.inputs[0]!).length;
  const axes = [...new Set(integers(operator.inputs[1]!).map((axis) => (axis < 0 ? axis + rank : axis) + 1))];
  const { keepDims } = operator.options;
  return operator.op === 'MEAN' ? tf.mean(x, axes, keepDims) : tf.max(x, axes, keepDims);
}

/** PAD, TRANSPOSE, STRIDED_SLICE: one tensor to one. */
export function moved(
  { tf, rows, shape, integers }: Scene,
  operator: Op<'PAD' | 'PADV2' | 'TRANSPOSE' | 'STRIDED_SLICE'>,
  x: Tensor,
  fill = 0,
): Tensor {
  const [from, list] = [shape(operator.inputs[0]!), integers(operator.inputs[1]!)];
  switch (operator.op) {
    case 'PAD':
    case 'PADV2':
      return tf.pad(
        x,
        [[0, 0], ...from.map((_, k) => [list[2 * k]!, list[2 * k + 1]!] as [number, number])],
        fill,
      );
    case 'TRANSPOSE':
      return tf.transpose(x, [0, ...list.map((axis) => axis + 1)]);
    case 'STRIDED_SLICE': {
      const bounds = [list, integers(operator.inputs[2]!), integers(operator.inputs[3]!)] as const;
      const axes = sliceAxes(from, bounds, operator.options)!;
      const taken = axes.reduce((y, { first, step, count }, axis) => {
        const places = Array.from({ length: count }, (_, i) => first + i * step);
        return tf.gather(y, tf.tensor1d(places, 'int32') as Tensor1D, axis + 1);
      }, x);
      return tf.reshape(taken, [rows, ...shape(operator.outputs[0]!)]);
    }
  }
}
