import { digestOf } from '../../src/lib/core/index.js';
import { type Manifest, signManifest, writeTflite } from '../../src/lib/formats/index.js';
import { type Bundle, packBundle } from '../../src/lib/model/index.js';
import type { ModelVersion, RegistryClient } from '../../src/lib/registry/index.js';

const figures = {
  windows: 4,
  accuracy: 1,
  macroF1: 1,
  confusion: [
    [2, 0],
    [0, 2],
  ],
};

/** The smallest model there can be: two inputs, handed through. `seed` makes another one of the same shape. */
export function tinyBundle(name = 'tiny', seed = 0): Uint8Array {
  const scale = Math.fround(0.1);
  const ends = { scale, zeroPoint: 0, shape: [1, 2] };
  const one = Math.fround(1 / 127);
  const quantization = { scale: [scale], zeroPoint: [0], axis: 0 };
  const model = writeTflite({
    name: 'main',
    description: `${name} ${seed}`,
    tensors: [
      { name: 'input', shape: [1, 2], type: 'int8', quantization },
      {
        name: 'weights',
        shape: [2, 2],
        type: 'int8',
        data: Int8Array.of(127, 0, 0, 127),
        quantization: { scale: [one, one], zeroPoint: [0, 0], axis: 0 },
      },
      {
        name: 'bias',
        shape: [2],
        type: 'int32',
        data: Int32Array.of(0, 0),
        quantization: { scale: [scale * one, scale * one].map(Math.fround), zeroPoint: [0, 0], axis: 0 },
      },
      { name: 'output', shape: [1, 2], type: 'int8', quantization },
    ],
    operators: [
      {
        op: 'FULLY_CONNECTED',
        inputs: [0, 1, 2],
        outputs: [3],
        options: { activation: 'none', keepNumDims: false },
      },
    ],
    inputs: [0],
    outputs: [3],
  });
  const bundle: Bundle = {
    info: {
      spec: 'aiot-bundle/1',
      name,
      signal: {
        fields: ['x', 'y'],
        rateHz: 100,
        lowpassHz: null,
        resampleHz: 100,
        windowSamples: 1,
        strideSamples: 1,
        features: 'raw',
      },
      standardization: { mean: [0, 0], deviation: [1, 1] },
      classes: ['resting', 'walking'],
      labels: { resting: ['sit', 'stand'], walking: ['walking'] },
      vote: 'none',
      arenaBytes: 64,
      input: ends,
      output: ends,
      metrics: { float: figures, int8: figures, voted: figures },
      lineage: {
        dataset: { name: 'imu', digest: digestOf(`data ${seed}`), recordings: 4, samples: 400 },
        split: { by: 'recording', seed: 7, train: ['a'], validation: ['b'], test: ['c'] },
        configDigest: digestOf('config'),
        aiot: '0.1.0',
        created: 1,
      },
    },
    model,
    golden: [{ recording: 'c', samples: [[1, 2]], features: [1, 2], input: [10, 20], output: [10, 20] }],
  };
  return packBundle(bundle);
}

/** Uploads a bundle and pushes it as the next version, signed; `change` bends the manifest before. */
export async function pushTiny(
  client: RegistryClient,
  key: string,
  options: { name?: string; seed?: number; change?: (manifest: Manifest) => Manifest } = {},
): Promise<ModelVersion> {
  const { name = 'tiny', seed = 0, change = (manifest) => manifest } = options;
  const bytes = tinyBundle(name, seed);
  const digest = digestOf(bytes);
  await client.blobs.put(digest, bytes);
  const manifest: Manifest = {
    spec: 'aiot-manifest/1',
    role: 'release',
    kind: 'model',
    name,
    ...(await client.models.next(name)),
    floor: 0,
    issued: Date.now(),
    expires: null,
    deviceTypes: ['virtual'],
    artifacts: [{ name: 'model.aiot', digest, bytes: bytes.length }],
  };
  return client.models.push(name, signManifest(change(manifest), key));
}
