import type { Random } from '../../src/lib/core/numbers.js';
import type { Activation, Graph } from '../../src/lib/formats/tflite/graph.js';
import { GraphBuilder } from './graph-builder.js';

/** An int8 MLP with `sizes` neurons per layer, ReLU between layers, and a softmax at the end. */
export function mlp(random: Random, sizes: number[]): Graph {
  const b = new GraphBuilder(random);
  const input = b.activation([1, sizes[0]!], 0.05, -3);
  let x = input;
  sizes.slice(1).forEach((outputs, layer) => {
    const last = layer === sizes.length - 2;
    x = dense(b, x, outputs, last ? 'none' : 'relu');
  });
  return b.graph(input, softmax(b, x));
}

/**
 * An int8 1-D CNN: convolution, max pool, depthwise and pointwise convolution, mean over time, dense layer, and
 * softmax.
 */
export function cnn(random: Random): Graph {
  const b = new GraphBuilder(random);
  const input = b.activation([1, 64, 3], 0.05, 4);
  const axis = b.add({ type: 'int32', shape: [], data: Int32Array.of(1) });
  const image = b.activation([1, 1, 64, 3], 0.05, 4);
  b.op({ op: 'EXPAND_DIMS', inputs: [input, axis], outputs: [image], options: {} });
  const first = convolution(b, image, [1, 1, 30, 8], 5, 2, 'valid');
  const pooled = b.activation([1, 1, 15, 8], b.tensors[first]!.quantization!.scale[0], -128);
  const pool = {
    strideH: 1,
    strideW: 2,
    filterH: 1,
    filterW: 2,
    padding: 'valid',
    activation: 'none',
  } as const;
  b.op({ op: 'MAX_POOL_2D', inputs: [first], outputs: [pooled], options: pool });
  const w = b.weights([1, 1, 3, 8], 3);
  const deep = b.activation([1, 1, 15, 8], 0.3, -128);
  b.op({
    op: 'DEPTHWISE_CONV_2D',
    inputs: [pooled, w, b.bias(pooled, w, 8)],
    outputs: [deep],
    options: { ...plain, padding: 'same', strideW: 1, depthMultiplier: 1, activation: 'relu' },
  });
  const second = convolution(b, deep, [1, 1, 15, 12], 1, 1, 'same');
  const mean = b.activation([1, 1, 12], 0.1, -128);
  b.op({ op: 'MEAN', inputs: [second, b.int32s(2)], outputs: [mean], options: { keepDims: false } });
  const flat = b.activation([1, 12], 0.1, -128);
  b.op({ op: 'RESHAPE', inputs: [mean, b.int32s(1, 12)], outputs: [flat], options: { newShape: [1, 12] } });
  return b.graph(input, softmax(b, dense(b, flat, 4, 'none')));
}

const plain = { strideH: 1, dilationH: 1, dilationW: 1 } as const;

function dense(b: GraphBuilder, x: number, outputs: number, activation: Activation): number {
  const w = b.weights([outputs, b.tensors[x]!.shape[1]!], 0);
  const y = b.activation([1, outputs], 0.4, activation === 'relu' ? -128 : 11);
  const inputs = [x, w, b.bias(x, w, outputs)];
  return b.op({ op: 'FULLY_CONNECTED', inputs, outputs: [y], options: { activation, keepNumDims: false } });
}

function convolution(
  b: GraphBuilder,
  x: number,
  shape: number[],
  filter: number,
  strideW: number,
  padding: 'same' | 'valid',
): number {
  const [channels, outputs] = [b.tensors[x]!.shape[3]!, shape[3]!];
  const w = b.weights([outputs, 1, filter, channels], 0);
  const options = { ...plain, padding, strideW, activation: 'relu' } as const;
  return b.op({
    op: 'CONV_2D',
    inputs: [x, w, b.bias(x, w, outputs)],
    outputs: [b.activation(shape, 0.3, -128)],
    options,
  });
}

function softmax(b: GraphBuilder, x: number): number {
  const y = b.activation(b.tensors[x]!.shape, 1 / 256, -128);
  return b.op({ op: 'SOFTMAX', inputs: [x], outputs: [y], options: { beta: 1 } });
}
