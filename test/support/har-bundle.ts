import { digestOf } from '../../src/lib/core/crypto.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import type { LoadedModel, ModelKeeper } from '../../src/lib/loop/types.js';
import { goldenVector } from '../../src/lib/model/bundle/golden.js';
import { packBundle, unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { createPredictor } from '../../src/lib/model/bundle/predictor.js';
import type { Bundle } from '../../src/lib/model/bundle/types.js';
import { featureRows } from '../../src/lib/signal/pipeline.js';
import { featureNames, type SignalSpec } from '../../src/lib/signal/spec.js';
import { motionBundle } from './motion-bundle.js';
import { mlp } from './networks.js';

const spec: SignalSpec = {
  fields: ['x', 'y', 'z'],
  rateHz: 100,
  lowpassHz: null,
  resampleHz: 100,
  windowSamples: 500,
  strideSamples: 500,
  features: 'har',
};

/** The names of all 115 features. */
export const harNames = featureNames(spec);
/** The first 60 features, because the original implementation's selection is unknown. */
const sixty = harNames.slice(0, 60);

/**
 * A bundle with 60 of the 115 features as inputs, windows of 500 samples at 100 Hz, untrained weights that depend on the
 * seed, and the standardization of the given samples.
 */
export function harBundle(samples: readonly (readonly number[])[], seed = 1): Bundle {
  const signal = { ...spec, features: sixty };
  const columns = [0, 1, 2].map((axis) => Float64Array.from(samples, (sample) => sample[axis]!));
  const { rows } = featureRows({ ...signal, strideSamples: 50 }, columns);
  const mean = sixty.map((_, i) => rows.reduce((sum, row) => sum + row[i]!, 0) / rows.length);
  const deviation = mean.map((m, i) => {
    const variance = rows.reduce((sum, row) => sum + (row[i]! - m) ** 2, 0) / rows.length;
    return Math.sqrt(variance) || 1;
  });
  const graph = mlp(seededRandom(seed), [60, 8, 3]);
  const end = (index: number | undefined) => {
    const { quantization, shape = [] } = graph.tensors[index ?? -1] ?? {};
    const [scale = 1] = quantization?.scale ?? [];
    return { type: 'int8' as const, scale, zeroPoint: quantization?.zeroPoint[0] ?? 0, shape };
  };
  const other = unpackBundle(motionBundle(seed));
  const info = {
    ...other.info,
    name: 'har',
    signal,
    standardization: { mean, deviation },
    input: end(graph.inputs[0]),
    output: end(graph.outputs[0]),
  };
  const model = writeTflite(graph);
  const vector = { recording: 'take', samples: samples.slice(0, 500).map((sample) => [...sample]) };
  const golden = [goldenVector(readTflite(model), info, vector)];
  return unpackBundle(packBundle({ info, model, golden, lineage: other.lineage }));
}

/** A model store that contains only this bundle. `answers` replaces the recorded predictions. */
export function keeperOf(bundle: Bundle): ModelKeeper & { misbehaviours: unknown[] } {
  const loaded: LoadedModel = {
    name: bundle.info.name,
    version: 1,
    digest: digestOf(bundle.model),
    info: bundle.info,
    delegate: 'cpu',
    createPredictor: () => createPredictor(bundle),
  };
  const misbehaviours: unknown[] = [];
  return {
    misbehaviours,
    current: () => loaded,
    misbehaved: (_, error) => void misbehaviours.push(error),
    use: async () => loaded,
    check: async () => {},
    state: () => ({
      name: loaded.name,
      version: 1,
      digest: loaded.digest,
      source: 'file',
      delegate: 'cpu',
      swaps: 0,
      refused: [],
      lastError: null,
    }),
    close: async () => {},
  };
}
