import type { Activation, Graph, Operator, Tensor } from '../../formats/index.js';
import { convolutionTaps, poolingPlan } from '../train/network.js';
import type { LayerWeights, TrainedNetwork } from '../train/types.js';

/**
 * A trained network as a TFLite graph of batch 1, float32: dense layers become FULLY_CONNECTED, convolutions over time
 * CONV_2D of height 1, global average pooling MEAN; activations are fused, a SOFTMAX ends it. Convolutional networks take
 * [1, 1, samples, fields], so that no RESHAPE copies the input.
 */
export function lowerNetwork({ spec, layers }: TrainedNetwork, name: string): Graph {
  const build = new GraphBuilder();
  const output = layers.at(-1);
  if (!output) throw new Error('a network without layers');
  const hidden = layers.slice(0, -1);
  let x: number;
  if (spec.kind === 'cnn1d') {
    const [samples = 1, fields = 1] = spec.inputShape;
    x = build.activation('input', [1, 1, samples, fields]);
    build.inputs = [x];
    const pools = poolingPlan(spec);
    hidden.forEach((layer, i) => {
      x = build.convolution(x, layer, i);
      if (pools[i]) x = build.maxPool(x, i);
    });
    x = build.mean(x);
  } else {
    x = build.activation('input', [1, ...spec.inputShape]);
    build.inputs = [x];
    hidden.forEach((layer, i) => {
      x = build.dense(x, layer, `dense_${i + 1}`, 'relu');
    });
  }
  const logits = build.dense(x, output, 'logits', 'none');
  const scores = build.softmax(logits);
  return {
    name: 'main',
    description: name,
    tensors: build.tensors,
    operators: build.operators,
    inputs: build.inputs,
    outputs: [scores],
  };
}

class GraphBuilder {
  readonly tensors: Tensor[] = [];
  readonly operators: Operator[] = [];
  inputs: number[] = [];

  activation(name: string, shape: number[]): number {
    return this.tensors.push({ name, shape, type: 'float32' }) - 1;
  }

  private constant(name: string, shape: number[], data: Float32Array): number {
    return this.tensors.push({ name, shape, type: 'float32', data }) - 1;
  }

  dense(x: number, { kernel, bias }: LayerWeights, name: string, activation: Activation): number {
    const [inputs = 0, outputs = 0] = kernel.shape;
    const weights = this.constant(
      `${name}/weights`,
      [outputs, inputs],
      transposed(kernel.data, inputs, outputs),
    );
    const biases = this.constant(`${name}/bias`, [outputs], bias);
    const y = this.activation(name, [1, outputs]);
    const options = { activation, keepNumDims: false };
    this.operators.push({ op: 'FULLY_CONNECTED', inputs: [x, weights, biases], outputs: [y], options });
    return y;
  }

  convolution(x: number, { kernel, bias }: LayerWeights, i: number): number {
    const [taps = convolutionTaps, inputs = 0, outputs = 0] = kernel.shape;
    const name = `conv_${i + 1}`;
    // tfjs [taps, in, out] → TFLite [out, 1, taps, in].
    const data = transposed(kernel.data, taps * inputs, outputs);
    const weights = this.constant(`${name}/weights`, [outputs, 1, taps, inputs], data);
    const biases = this.constant(`${name}/bias`, [outputs], bias);
    const y = this.activation(name, [1, 1, this.shape(x)[2]!, outputs]);
    const options = {
      padding: 'same' as const,
      strideH: 1,
      strideW: 1,
      dilationH: 1,
      dilationW: 1,
      activation: 'relu' as const,
    };
    this.operators.push({ op: 'CONV_2D', inputs: [x, weights, biases], outputs: [y], options });
    return y;
  }

  maxPool(x: number, i: number): number {
    const [, , samples = 0, channels = 0] = this.shape(x);
    const y = this.activation(`pool_${i + 1}`, [1, 1, Math.floor(samples / 2), channels]);
    const options = {
      padding: 'valid' as const,
      strideH: 1,
      strideW: 2,
      filterH: 1,
      filterW: 2,
      activation: 'none' as const,
    };
    this.operators.push({ op: 'MAX_POOL_2D', inputs: [x], outputs: [y], options });
    return y;
  }

  mean(x: number): number {
    const axes =
      this.tensors.push({ name: 'mean/axes', shape: [2], type: 'int32', data: Int32Array.of(1, 2) }) - 1;
    const y = this.activation('mean', [1, this.shape(x)[3]!]);
    this.operators.push({ op: 'MEAN', inputs: [x, axes], outputs: [y], options: { keepDims: false } });
    return y;
  }

  softmax(x: number): number {
    const y = this.activation('scores', this.shape(x));
    this.operators.push({ op: 'SOFTMAX', inputs: [x], outputs: [y], options: { beta: 1 } });
    return y;
  }

  private shape(tensor: number): number[] {
    return [...(this.tensors[tensor]?.shape ?? [])];
  }
}

function transposed(data: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(data.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) out[c * rows + r] = data[r * columns + c]!;
  }
  return out;
}
