import { digestOf } from '../../src/lib/core/crypto.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { goldenVector } from '../../src/lib/model/bundle/golden.js';
import { packBundle } from '../../src/lib/model/bundle/pack.js';
import { unknownProvenance } from '../../src/lib/model/bundle/schema.js';
import type { BundleInfo } from '../../src/lib/model/bundle/types.js';
import { mlp } from './networks.js';

const fields = ['x', 'y', 'z'];
const classes = ['resting', 'walking', 'stairs'];

/** The samples of a seeded walk, as [sample][field]. */
export function motionSamples(count: number, seed = 1): number[][] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, (_, i) =>
    fields.map((_, f) => Math.sin(i / (5 + f)) + 0.2 * (random() - 0.5)),
  );
}

/**
 * A bundle for three axes at 100 Hz, with windows of 50 samples every 25 samples, raw inputs, and untrained weights
 * from the seed.
 */
export function motionBundle(
  seed = 1,
  golden: 'right' | 'wrong' = 'right',
  axes: readonly string[] = fields,
): Uint8Array {
  const graph = mlp(seededRandom(seed), [150, 8, 3]);
  const end = (index: number | undefined) => {
    const { quantization, shape = [] } = graph.tensors[index ?? -1] ?? {};
    return {
      type: 'int8' as const,
      scale: quantization?.scale[0] ?? 1,
      zeroPoint: quantization?.zeroPoint[0] ?? 0,
      shape,
    };
  };
  const metrics = { windows: 1, accuracy: 1, macroF1: 1, confusion: classes.map(() => classes.map(() => 0)) };
  const info: BundleInfo = {
    spec: 'aiot-bundle/2',
    kind: 'model',
    name: 'motion',
    signal: {
      fields: [...axes],
      rateHz: 100,
      lowpassHz: null,
      resampleHz: 100,
      windowSamples: 50,
      strideSamples: 25,
      features: 'raw',
    },
    standardization: { mean: Array(150).fill(0), deviation: Array(150).fill(1) },
    classes,
    labels: { resting: ['resting'], walking: ['walking'], stairs: ['stairs'] },
    answer: { kind: 'classes' },
    quantization: { mode: 'int8' },
    vote: 'majority:3',
    arenaBytes: 4096,
    input: end(graph.inputs[0]),
    output: end(graph.outputs[0]),
    metrics: { float: metrics, int8: metrics, voted: metrics },
    gates: [],
    evaluation: digestOf('evaluation'),
    lineage: {
      dataset: { name: 'imu', digest: `sha256:${'0'.repeat(64)}`, recordings: 1, samples: 50 },
      split: { by: 'recording', seed: 1, train: ['a'], validation: [], test: ['b'] },
      configDigest: `sha256:${'0'.repeat(64)}`,
      aiot: '0.0.0',
      created: 0,
    },
  };
  const vectors = [1, 2, 3].map((take) =>
    goldenVector(graph, info, { recording: `take${take}`, samples: motionSamples(50, take) }),
  );
  if (golden === 'wrong') {
    const output = vectors[0]!.output;
    output[0] = output[0] === 127 ? 126 : output[0]! + 1;
  }
  const model = writeTflite(graph);
  const lineage = unknownProvenance(digestOf(model), 'int8');
  return packBundle({ info, model, golden: vectors, lineage });
}
