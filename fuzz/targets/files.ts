import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readWav, writeWav } from '../../src/lib/formats/wav.js';
import { kerasToGraph } from '../../src/lib/model/import/keras/to-graph.js';
import { readKerasH5, readKerasZip } from '../../src/lib/model/import/keras-files.js';
import { readTfjs } from '../../src/lib/model/import/tfjs.js';
import { avroDecoder } from '../../src/lib/stream/decode/avro.js';
import { protobufDecoder } from '../../src/lib/stream/decode/protobuf.js';
import { decodePicture } from '../../src/lib/vision/picture.js';
import { filesIn } from '../seeds.js';
import type { Seed, Target } from '../types.js';

let folder: string | undefined;

/** A file with these contents, for readers that take a path. */
function fileOf(name: string, content: Uint8Array | string): string {
  folder ??= mkdtempSync(join(tmpdir(), 'files-'));
  const file = join(folder, name);
  writeFileSync(file, content);
  return file;
}

const layer = (name: string, units: number) => ({
  class_name: 'Dense',
  config: { name, units, activation: 'relu', use_bias: true },
});
const input = { class_name: 'InputLayer', config: { name: 'in', batch_input_shape: [null, 4] } };
const weight = (name: string, ...shape: number[]) => ({ name, shape, dtype: 'float32' });
const tfjs = {
  format: 'layers-model',
  modelTopology: { class_name: 'Sequential', config: { layers: [input, layer('one', 3)] } },
  weightsManifest: [{ paths: ['weights.bin'], weights: [weight('one/kernel', 4, 3), weight('one/bias', 3)] }],
};

const record = {
  ...{ type: 'record', name: 'Reading' },
  fields: [
    { name: 'device', type: 'string' },
    { name: 'values', type: { type: 'array', items: 'double' } },
    { name: 'more', type: { type: 'map', values: ['null', 'long', 'bytes'] } },
    { name: 'next', type: ['null', 'Reading'] },
  ],
};
const proto = `syntax = "proto3";
message Reading {
  string device = 1;
  repeated double values = 2;
  map<string, int64> more = 3;
  Reading next = 4;
  bytes raw = 5;
}
`;

/** A few samples of sound, as a plain WAV file, as an extensible one, and with a chunk before the samples. */
function sounds(): Seed[] {
  const column = Float64Array.from({ length: 40 }, (_, i) => Math.sin(i / 3) / 2);
  const mono = Buffer.from(writeWav({ rateHz: 16_000, channels: [column] }));
  const stereo = Buffer.from(writeWav({ rateHz: 44_100, channels: [column, column.toReversed()] }));
  const format = Buffer.alloc(40);
  stereo.copy(format, 0, 20, 36);
  format.writeUInt16LE(0xfffe, 0);
  format.writeUInt16LE(1, 24);
  const chunk = (name: string, content: Buffer) => {
    const head = Buffer.from(`${name}....`);
    head.writeUInt32LE(content.length, 4);
    return Buffer.concat([head, content]);
  };
  const samples = chunk('data', stereo.subarray(44));
  return [
    mono,
    stereo,
    Buffer.concat([stereo.subarray(0, 12), chunk('fmt ', format), samples]),
    Buffer.concat([mono.subarray(0, 36), chunk('LIST', Buffer.from('INFOIART')), samples]),
  ];
}

type Decode = (bytes: Buffer) => unknown;
let avro: Promise<Decode> | undefined;
let protobuf: Promise<Decode> | undefined;

/** Targets that read models, sound and images from other programs, and payloads described by a schema. */
export const files: readonly Target[] = [
  {
    name: 'model/keras-h5',
    seeds: () => filesIn('test/golden/models', '.h5'),
    run: async (bytes) => kerasToGraph(await readKerasH5(bytes)),
    words: ['model_config', 'model_weights', 'keras_version', 'TREE', 'SNOD', 'HEAP', 'OHDR', 'OCHK'],
  },
  {
    name: 'model/keras-zip',
    seeds: () => filesIn('test/golden/models', '.keras'),
    run: async (bytes) => kerasToGraph(await readKerasZip(bytes)),
    words: ['"class_name": "', '"config": {', 'vars', 'layers', 'PK\x03\x04'],
  },
  {
    name: 'model/tfjs',
    seeds: (): Seed[] => [
      JSON.stringify(tfjs),
      JSON.stringify({ ...tfjs, modelTopology: { model_config: tfjs.modelTopology } }),
    ],
    run: async (bytes) => {
      const file = fileOf('model.json', bytes);
      fileOf('weights.bin', Buffer.alloc(60, 1));
      return kerasToGraph(await readTfjs(file));
    },
    words: ['"uint8"', '"float16"', '"quantization":{"dtype":"uint8","scale":2},', '"Conv1D"', '"LSTM"'],
  },
  {
    name: 'stream/avro',
    seeds: () =>
      ['02610202000000000000f03f0000000200000062', '04616200000000', 'c3010000000000000000020000000000'].map(
        (hex) => Buffer.from(hex, 'hex'),
      ),
    run: async (bytes) => {
      avro ??= avroDecoder({ schema: fileOf('reading.avsc', JSON.stringify(record)) });
      return (await avro)(bytes);
    },
  },
  {
    name: 'stream/protobuf',
    seeds: () =>
      ['0a01611208000000000000f03f', '1a050a0161100222030a01622a0100'].map((hex) => Buffer.from(hex, 'hex')),
    run: async (bytes) => {
      protobuf ??= protobufDecoder({ schema: fileOf('reading.proto', proto) });
      return (await protobuf)(bytes);
    },
  },
  {
    name: 'formats/wav',
    seeds: sounds,
    run: (bytes) => readWav(bytes, 'sound.wav'),
    words: ['RIFF', 'WAVE', 'fmt ', 'data', 'LIST', '\x01\x00', '\xfe\xff', '\x10\x00'],
  },
  {
    name: 'vision/picture',
    seeds: async () => {
      const { default: sharp } = await import('sharp');
      const raw = { width: 9, height: 7, channels: 3 } as const;
      const pixels = sharp(Buffer.alloc(9 * 7 * 3, 90), { raw });
      return [
        await pixels.clone().jpeg().toBuffer(),
        await pixels.clone().png().toBuffer(),
        await pixels.webp().toBuffer(),
      ];
    },
    run: (bytes) => decodePicture(bytes),
  },
];
