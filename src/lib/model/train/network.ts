import type { LayersModel, Sequential } from '@tensorflow/tfjs-layers';
import { AiotError } from '../../core/index.js';
import type { LayerNetwork, LayerWeights, TensorFlow } from './types.js';

/** Taps of every convolution. */
export const convolutionTaps = 5;

export const defaultLayers = { mlp: [32, 16], cnn1d: [16, 32] } as const;

/** For each convolution whether it halves the time after it: pooling ends when fewer than two samples are left. */
export function poolingPlan(spec: LayerNetwork): boolean[] {
  let samples = spec.inputShape[0] ?? 0;
  return spec.layers.map(() => {
    const pools = samples >= 2;
    if (pools) samples = Math.floor(samples / 2);
    return pools;
  });
}

/**
 * An untrained network with logits (no softmax: the loss is computed from logits, which is exact where a softmax has
 * underflowed). Input [batch, …spec.inputShape], output [batch, classes]. Initial weights depend on `seed` alone.
 */
export function buildNetwork({ layers }: TensorFlow, spec: LayerNetwork, seed: number): Sequential {
  if (spec.kind === 'cnn1d' && spec.inputShape.length !== 2) {
    throw new AiotError(
      'AIOT_MODEL_UNFIT',
      `expected raw windows [samples, fields] for a cnn1d, got ${spec.inputShape.length} dimension(s)`,
      { next: 'Set signal.features: raw, or model.kind: mlp, in aiot.yaml.' },
    );
  }
  const initializer = (i: number) => layers.initializers.heNormal({ seed: seed * 1000 + i });
  const model = layers.sequential();
  const shapeOnce = (i: number) => (i === 0 ? { inputShape: spec.inputShape } : {});
  const pools = poolingPlan(spec);
  spec.layers.forEach((units, i) => {
    const common = { activation: 'relu' as const, kernelInitializer: initializer(i), ...shapeOnce(i) };
    if (spec.kind === 'mlp') {
      model.add(layers.layers.dense({ units, ...common }));
      return;
    }
    model.add(
      layers.layers.conv1d({ filters: units, kernelSize: convolutionTaps, padding: 'same', ...common }),
    );
    if (pools[i]) model.add(layers.layers.maxPooling1d({ poolSize: 2, strides: 2 }));
  });
  if (spec.kind === 'cnn1d') model.add(layers.layers.globalAveragePooling1d({}));
  model.add(layers.layers.dense({ units: spec.classes, kernelInitializer: initializer(spec.layers.length) }));
  return model;
}

/** Copies the weights out of TensorFlow's memory: kernel and bias of each layer that has them. */
export function copyWeights(model: LayersModel): LayerWeights[] {
  return model.layers
    .filter((layer) => layer.weights.length === 2)
    .map((layer) => {
      const [kernel, bias] = layer.getWeights();
      if (!kernel || !bias) throw new Error(`layer ${layer.name} has no kernel and bias`);
      return {
        kernel: { shape: kernel.shape.slice(), data: Float32Array.from(kernel.dataSync()) },
        bias: Float32Array.from(bias.dataSync()),
      };
    });
}
