import type { ModelVersion } from '../../src/lib/api/api.js';
import type { RegistryClient } from '../../src/lib/api/client.js';
import { digestOf } from '../../src/lib/core/crypto.js';
import { signManifest, type UnsignedManifest } from '../../src/lib/formats/manifest/manifest.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { packBundle } from '../../src/lib/model/bundle/pack.js';
import type { Bundle } from '../../src/lib/model/bundle/types.js';
import { manifestOf, release } from '../../src/lib/model/publish/push.js';

const figures = {
  windows: 4,
  accuracy: 1,
  macroF1: 1,
  confusion: [
    [2, 0],
    [0, 2],
  ],
};

/**
 * The smallest possible model, which passes its two inputs through. Each `seed` yields a different model of the same
 * shape.
 */
export function tinyBundle(name = 'tiny', seed = 0): Uint8Array {
  const scale = Math.fround(0.1);
  const ends = { type: 'int8' as const, scale, zeroPoint: 0, shape: [1, 2] };
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
  const answer = { label: 'walking', value: null };
  const bundle: Bundle = {
    info: {
      spec: 'aiot-bundle/2',
      kind: 'model',
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
      answer: { kind: 'classes' },
      quantization: { mode: 'int8' },
      vote: 'none',
      arenaBytes: 64,
      input: ends,
      output: ends,
      metrics: { float: figures, int8: figures, voted: figures },
      gates: [{ name: 'macroF1', limit: 0.9, got: 1, passed: true }],
      evaluation: digestOf(`evaluation ${seed}`),
      lineage: {
        dataset: { name: 'imu', digest: digestOf(`data ${seed}`), recordings: 4, samples: 400 },
        split: { by: 'recording', seed: 7, train: ['a'], validation: ['b'], test: ['c'] },
        configDigest: digestOf('config'),
        aiot: '0.1.0',
        created: 1,
      },
    },
    model,
    golden: [
      { recording: 'c', samples: [[1, 2]], features: [1, 2], input: [10, 20], output: [10, 20], answer },
    ],
    lineage: tinyLineage(digestOf(model), seed),
  };
  return packBundle(bundle);
}

function tinyLineage(network: string, seed: number): Bundle['lineage'] {
  const take = (id: string, part: 'train' | 'validation' | 'test', device: string | null) => ({
    ...{ id, label: 'sit', device, part, samples: 100, startedAt: null },
  });
  return {
    spec: 'aiot-lineage/1',
    network: { digest: network, mode: 'int8' },
    float: { digest: digestOf('float') },
    training: {
      kind: 'mlp',
      configDigest: digestOf('config'),
      seed: 7,
      epochs: 3,
      bestEpoch: 2,
      backend: 'cpu',
      tools: { aiot: '0.1.0' },
      created: 1,
    },
    evaluation: { digest: digestOf(`evaluation ${seed}`), vote: 'none' },
    dataset: { name: 'imu', digest: digestOf(`data ${seed}`), source: 'recordings', samples: 400 },
    recordings: [take('a', 'train', 'wrist-1'), take('b', 'validation', 'wrist-1'), take('c', 'test', null)],
  };
}

/** Uploads a bundle, and pushes it as the next version, signed. `change` modifies the manifest first. */
export async function pushTiny(
  client: RegistryClient,
  key: string,
  options: {
    name?: string;
    seed?: number;
    bundle?: Uint8Array;
    change?: (manifest: UnsignedManifest) => UnsignedManifest;
  } = {},
): Promise<ModelVersion> {
  const { name = 'tiny', seed = 0, bundle = tinyBundle(name, seed), change } = options;
  const signed = { name, issued: Date.now(), expires: null, deviceTypes: ['virtual'] };
  if (!change) {
    const { version } = await release(client, bundle, signed, key);
    return client.models.get(name, version);
  }
  await client.blobs.put(digestOf(bundle), bundle);
  const manifest = manifestOf(bundle, { ...signed, ...(await client.models.next(name)) });
  return client.models.push(name, signManifest(change(manifest), key));
}
