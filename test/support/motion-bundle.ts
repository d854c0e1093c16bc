import { digestOf } from '../../src/lib/core/crypto.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import type { Tensor } from '../../src/lib/formats/tflite/graph.js';
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

/** An untrained network for `motionBundle`. */
const untrained = (seed: number) => mlp(seededRandom(seed), [150, 8, 3]);

/** The same bundle with a streaming network, which adds up its outputs in a variable. */
export function streamingBundle(seed = 1): Uint8Array {
  const graph = untrained(seed);
  const place = graph.tensors.length;
  const quantization = { scale: [1 / 16], zeroPoint: [-128], axis: 0 };
  const total = ['total', 'before', 'sum'].map(
    (name): Tensor => ({ name, shape: [1, 3], type: 'int8', quantization }),
  );
  const [variable, before, sum] = [place, place + 1, place + 2];
  return motionBundle(seed, 'right', fields, {
    ...graph,
    tensors: [...graph.tensors, { ...total[0]!, variable: new Int8Array(3).fill(-128) }, ...total.slice(1)],
    operators: [
      ...graph.operators,
      { op: 'READ_VARIABLE', inputs: [variable], outputs: [before], options: {} },
      { op: 'ADD', inputs: [before, graph.outputs[0]!], outputs: [sum], options: { activation: 'none' } },
      { op: 'ASSIGN_VARIABLE', inputs: [variable, sum], outputs: [], options: {} },
    ],
    outputs: [sum],
  });
}

/**
 * A bundle for three axes at 100 Hz, with windows of 50 samples every 25 samples, raw inputs, and untrained weights
 * from the seed.
 */
export function motionBundle(
  seed = 1,
  golden: 'right' | 'wrong' = 'right',
  axes: readonly string[] = fields,
  graph = untrained(seed),
): Uint8Array {
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
