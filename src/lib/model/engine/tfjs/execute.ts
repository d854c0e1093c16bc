import type { Rank, Tensor, Tensor1D, Tensor2D, Tensor4D } from '@tensorflow/tfjs-core';
import { roundHalfAway } from '../../../core/numbers.js';
import type { Activation, Operator } from '../../../formats/tflite/graph.js';
import { sliceAxes } from '../../../formats/tflite/shapes.js';
import { dropoutFactors } from '../fast/elementwise.js';
import { unfit } from '../fast/planner.js';
import type { EngineOptions, FakeRange, Trainable } from '../types.js';
import type { Core } from './load.js';

export interface Pass {
  tf: Core;
  trainable: Trainable;
  options: EngineOptions;
  rows: number;
  training: boolean;
  steps: number;
  /** Parameters by tensor index. */
  parameters: ReadonlyMap<number, Tensor>;
  /** γ and β of each batch norm. */
  norms: readonly { gamma: Tensor; beta: Tensor }[];
  /** In training, receives each batch norm's mean and variance. */
  onMoments?: (norm: number, mean: Tensor, variance: Tensor) => void;
}

/** Runs the graph on a batch in TensorFlow.js, which computes the gradients. @param input [rows × size] */
export function execute(pass: Pass, input: Tensor): Tensor {
  const { tf, trainable, rows } = pass;
  const { graph, batchNorms } = trainable;
  const values = new Map<number, Tensor>();
  const scene: Scene = {
    tf,
    rows,
    shape: (index) => graph.tensors[index]!.shape,
    integers: (index) => [...(graph.tensors[index]!.data as Int32Array)],
  };
  const read = (index: number): Tensor => {
    const known = values.get(index) ?? pass.parameters.get(index);
    if (known) return known;
    const { data, shape } = graph.tensors[index]!;
    if (!(data instanceof Float32Array)) throw unfit(`no operator produces ${graph.tensors[index]!.name}`);
    return tf.tensor(data, shape);
  };
  const write = (index: number, value: Tensor) => values.set(index, finished(pass, index, value));
  write(graph.inputs[0]!, tf.reshape(input, [rows, ...scene.shape(graph.inputs[0]!)]));
  graph.operators.forEach((operator, at) => {
    const norm = batchNorms.findIndex(({ multiply, add }) => multiply === at || add === at);
    if (norm < 0) {
      apply(pass, scene, operator, read).forEach((y, k) => {
        write(operator.outputs[k]!, y);
      });
    } else if (batchNorms[norm]!.add === at) {
      const x = read(graph.operators[batchNorms[norm]!.multiply]!.inputs[0]!);
      write(operator.outputs[0]!, normalized(pass, norm, x));
    }
  });
  return tf.reshape(read(graph.outputs[0]!), [rows, -1]);
}

/** A tensor after dropout and fake quantization. */
function finished(
  { tf, trainable, options, rows, training, steps }: Pass,
  index: number,
  value: Tensor,
): Tensor {
  let y = value;
  for (const note of training ? trainable.dropouts : []) {
    if (note.tensor !== index) continue;
    const factors = dropoutFactors(y.size, note, options.seed, steps);
    y = tf.mul(y, tf.tensor(factors, y.shape));
  }
  const range = options.fakeQuant?.activations.get(index);
  return range ? fakeActivation(tf, y, range) : tf.reshape(y, [rows, ...y.shape.slice(1)]);
}

function normalized({ tf, trainable, norms, training, onMoments }: Pass, place: number, x: Tensor): Tensor {
  const note = trainable.batchNorms[place]!;
  const { gamma, beta } = norms[place]!;
  let [mean, variance]: [Tensor, Tensor] = [tf.tensor1d(note.mean), tf.tensor1d(note.variance)];
  if (training) {
    const seen = tf.moments(
      x,
      x.shape.slice(0, -1).map((_, axis) => axis),
    );
    [mean, variance] = [seen.mean, seen.variance];
    onMoments?.(place, mean, variance);
  }
  const normal = tf.div(tf.sub(x, mean), tf.sqrt(tf.add(variance, note.epsilon)));
  const add = trainable.graph.operators[note.add] as Extract<Operator, { op: 'ADD' }>;
  return activated(tf, tf.add(tf.mul(normal, gamma), beta), add.options.activation);
}

function apply(pass: Pass, scene: Scene, operator: Operator, read: (index: number) => Tensor): Tensor[] {
  const { tf } = pass;
  const [first = -1, second = -1, third = -1] = operator.inputs;
  const shaped = (x: Tensor) => tf.reshape(x, [pass.rows, ...scene.shape(operator.outputs[0]!)]);
  switch (operator.op) {
    case 'FULLY_CONNECTED':
    case 'CONV_2D':
    case 'DEPTHWISE_CONV_2D': {
      const axis = operator.op === 'DEPTHWISE_CONV_2D' ? 3 : 0;
      const w = pass.options.fakeQuant?.weights ? fakeWeights(tf, read(second), axis) : read(second);
      const b = third === -1 ? undefined : read(third);
      if (operator.op === 'FULLY_CONNECTED') return [dense(scene, operator, read(first), w, b)];
      return [convolution(scene, operator, read(first), w, b)];
    }
    case 'MAX_POOL_2D':
    case 'AVERAGE_POOL_2D':
      return [pool(scene, operator, read(first))];
    case 'MEAN':
    case 'REDUCE_MAX':
      return [reduce(scene, operator, read(first))];
    case 'ADD':
    case 'SUB':
    case 'MUL':
      return [sum(scene, operator, [read(first), read(second)])];
    case 'RELU':
      return [tf.relu(read(first))];
    case 'RELU6':
      return [tf.relu6(read(first))];
    case 'LEAKY_RELU':
      return [tf.leakyRelu(read(first), operator.options.alpha)];
    case 'TANH':
      return [tf.tanh(read(first))];
    case 'LOGISTIC':
      return [tf.sigmoid(read(first))];
    case 'SOFTMAX':
      return [tf.softmax(tf.mul(read(first), operator.options.beta))];
    case 'CONCATENATION': {
      const parts = operator.inputs.map((index) => {
        const part = read(index);
        if (part.shape.length > scene.shape(index).length) return part;
        return tf.tile(tf.expandDims(part), [pass.rows, ...part.shape.map(() => 1)]);
      });
      const axis =
        operator.options.axis < 0
          ? parts[0]!.shape.length + operator.options.axis
          : operator.options.axis + 1;
      return [activated(tf, tf.concat(parts, axis), operator.options.activation)];
    }
    case 'SPLIT': {
      const [axis = 0] = scene.integers(first);
      const x = read(second);
      return tf.split(x, operator.options.numSplits, axis < 0 ? x.shape.length + axis : axis + 1);
    }
    case 'PAD':
    case 'PADV2':
    case 'TRANSPOSE':
    case 'STRIDED_SLICE':
      return [moved(scene, operator, read(first), operator.op === 'PADV2' ? read(third).dataSync()[0] : 0)];
    case 'RESHAPE':
    case 'EXPAND_DIMS':
    case 'SQUEEZE':
      return [shaped(read(first))];
    case 'QUANTIZE':
    case 'DEQUANTIZE':
      throw unfit(`the model is already quantized (${operator.op})`);
    default:
      throw unfit(`no gradient is implemented for the operator ${operator.op}`);
  }
}

type Op<Name extends Operator['op']> = Extract<Operator, { op: Name }>;

/** A graph and its batch, for operators implemented with TensorFlow.js. Activations are [rows, …shape of one example]. */
interface Scene {
  tf: Core;
  rows: number;
  /** Shape of one example's tensor, by index. */
  shape(index: number): number[];
  integers(index: number): number[];
}

function activated(tf: Core, x: Tensor, activation: Activation): Tensor {
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

function dense(
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

function convolution(
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

/** The filter with zeros between its taps, because TensorFlow.js has no gradient for a dilated convolution. */
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

function pool(scene: Scene, operator: Op<'MAX_POOL_2D'> | Op<'AVERAGE_POOL_2D'>, x: Tensor): Tensor {
  const { tf, rows, shape } = scene;
  const { filterH, filterW, strideH, strideW, padding, activation } = operator.options;
  const image = merged(scene, x, shape(operator.inputs[0]!));
  const strides: [number, number] = [strideH, strideW];
  let y: Tensor;
  if (operator.op === 'MAX_POOL_2D') y = tf.maxPool(image, [filterH, filterW], strides, padding);
  else {
    // Divides sums by counts, because the gradient of avgPool divides by the whole window, including padding.
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

function sum(
  { tf, rows, shape }: Scene,
  operator: Op<'ADD' | 'SUB' | 'MUL'>,
  [a, b]: [Tensor, Tensor],
): Tensor {
  const rank = shape(operator.outputs[0]!).length;
  // Shapes are aligned at their last axis; the row axis stays first.
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

function reduce({ tf, integers, shape }: Scene, operator: Op<'MEAN' | 'REDUCE_MAX'>, x: Tensor): Tensor {
  const rank = shape(operator.inputs[0]!).length;
  const axes = [...new Set(integers(operator.inputs[1]!).map((axis) => (axis < 0 ? axis + rank : axis) + 1))];
  const { keepDims } = operator.options;
  return operator.op === 'MEAN' ? tf.mean(x, axes, keepDims) : tf.max(x, axes, keepDims);
}

/** PAD, TRANSPOSE and STRIDED_SLICE: operators with one input and one output. */
function moved(
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

/** Weights as int8 would represent them, computed as in the fast engine: see fast/elementwise.ts. */
function fakeWeights(tf: Core, weights: Tensor, axis: number): Tensor {
  const straight = tf.customGrad((x) => {
    const others = weights.shape.map((_, k) => k).filter((k) => k !== axis);
    const scale = tf.div(tf.max(tf.abs(x as Tensor), others, true), 127);
    const value = tf.mul(rounded(tf, tf.divNoNan(x as Tensor, scale)), scale);
    return { value, gradFunc: (dy) => dy as Tensor };
  });
  return straight(weights);
}

function fakeActivation(tf: Core, value: Tensor, { scale, zeroPoint, least, most }: FakeRange): Tensor {
  const [low, high] = [(least - zeroPoint) * scale, (most - zeroPoint) * scale];
  const straight = tf.customGrad((given, save) => {
    const x = given as Tensor;
    (save as (tensors: Tensor[]) => void)([x]);
    const q = tf.clipByValue(tf.add(rounded(tf, tf.div(x, scale)), zeroPoint), least, most);
    return {
      value: tf.mul(tf.sub(q, zeroPoint), scale),
      gradFunc: (dy, [saved]) => {
        const inside = tf.logicalAnd(tf.greaterEqual(saved!, low), tf.lessEqual(saved!, high));
        return tf.mul(dy as Tensor, tf.cast(inside, 'float32'));
      },
    };
  });
  return straight(value);
}

/** Rounds halves away from zero; TensorFlow's own function rounds them to even. */
function rounded(tf: Core, x: Tensor): Tensor {
  return tf.tensor(Float32Array.from(x.dataSync(), roundHalfAway), x.shape);
}
