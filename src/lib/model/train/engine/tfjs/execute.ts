import type { Tensor } from '@tensorflow/tfjs-core';
import type { Operator } from '../../../../formats/index.js';
import { dropoutFactors } from '../fast/nodes/dropout.js';
import { unfit } from '../fast/planner.js';
import type { EngineOptions, Trainable } from '../types.js';
import { fakeActivation, fakeWeights } from './fake.js';
import { activated, convolution, dense, moved, pool, reduce, type Scene, sum } from './layers.js';
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
  /** Told mean and variance of each batch norm in training. */
  onMoments?: (norm: number, mean: Tensor, variance: Tensor) => void;
}

/** Runs the graph on a batch in TensorFlow.js; gradients are its own. @param input [rows × size] */
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
    if (!(data instanceof Float32Array)) throw unfit(`nothing makes ${graph.tensors[index]!.name}`);
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

/** Dropout and the integers of a tensor. */
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
      throw unfit(`it is quantized already (${operator.op})`);
  }
}
