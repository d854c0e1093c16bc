import { dirname, isAbsolute, join, normalize } from 'node:path';
import * as z from 'zod';
import { readBytes } from '../../core/files.js';
import { issueText } from '../../core/issues.js';
import { isModel, malformed, parseJson, unsupported } from './errors.js';
import { type KerasModel, type NamedWeight, namedWeights, type Weight } from './keras/config.js';

const entrySchema = z.object({
  name: z.string(),
  shape: z.array(z.int().min(0)),
  dtype: z.string(),
  quantization: z
    .object({ dtype: z.string(), scale: z.number().optional(), min: z.number().optional() })
    .optional(),
});

type Entry = z.output<typeof entrySchema>;

const groupSchema = z.object({ paths: z.array(z.string()), weights: z.array(entrySchema) });

/** Bytes per number in a shard. */
const widths: Readonly<Record<string, number>> = {
  float32: 4,
  int32: 4,
  bool: 1,
  uint8: 1,
  uint16: 2,
  float16: 2,
};

/**
 * Reads a TensorFlow.js layers model: model.json with the topology and the list of weights, and the shards beside it. Weights that the
 * TensorFlow.js converter quantized are converted back to float32.
 * @throws AIOT_FILE_MALFORMED, AIOT_FILE_NOT_FOUND, AIOT_LAYER_UNSUPPORTED for a graph model
 */
export async function readTfjs(file: string): Promise<KerasModel> {
  const json = parseJson(await readBytes(file), 'model.json');
  if (json.format === 'graph-model')
    throw unsupported(
      'the model',
      'it is a TensorFlow.js graph model',
      'convert it to a layers model, or import the Keras file',
    );
  const topology = json.modelTopology as { model_config?: unknown; keras_version?: unknown } | undefined;
  const model = topology?.model_config ?? topology;
  if (!isModel(model)) throw malformed('model.json contains no layers model');
  const weights: NamedWeight[] = [];
  for (const group of groupsIn(json)) {
    const parts = await Promise.all(group.paths.map((path) => readBytes(shardOf(file, path))));
    const bytes = Buffer.concat(parts);
    let at = 0;
    for (const entry of group.weights) {
      const stored = entry.quantization?.dtype ?? entry.dtype;
      if (!Object.hasOwn(widths, stored))
        throw malformed(`${entry.name}: weights of type ${stored} are not supported`);
      const length = entry.shape.reduce((a, b) => a * b, 1) * widths[stored]!;
      const own = bytes.subarray(at, at + length);
      if (own.length !== length)
        throw malformed(`${entry.name}: its shards are ${length - own.length} bytes too short`);
      weights.push({ segments: entry.name.split('/'), weight: () => decoded(entry, own) });
      at += length;
    }
  }
  const writer = typeof json.generatedBy === 'string' ? json.generatedBy : 'TensorFlow.js';
  // A model that TensorFlow.js wrote states "tfjs-layers 4.22.0", a converted one the version of Keras.
  return { model, weights: namedWeights(weights), writer, version: String(topology?.keras_version ?? '') };
}

function groupsIn({ weightsManifest }: Record<string, unknown>): z.output<typeof groupSchema>[] {
  const read = z.object({ weightsManifest: z.array(groupSchema) }).safeParse({
    weightsManifest: weightsManifest ?? [],
  });
  if (read.success) return read.data.weightsManifest;
  throw malformed(`model.json: ${issueText(read.error, 'the file')}`);
}

/** Path of a shard. Must be inside model.json's folder, because an imported file must not make aiot read arbitrary files. */
function shardOf(file: string, path: string): string {
  const plain = normalize(path);
  if (!isAbsolute(plain) && !plain.split(/[\\/]/).includes('..')) return join(dirname(file), plain);
  throw malformed(`weightsManifest names the file ${path}, which is outside the model's folder`);
}

function decoded({ shape, dtype, quantization }: Entry, bytes: Uint8Array): Weight {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const stored = quantization?.dtype ?? dtype;
  const width = widths[stored]!;
  const { scale = 1, min = 0 } = quantization ?? {};
  const data = Float32Array.from({ length: bytes.length / width }, (_, i) => {
    switch (stored) {
      case 'float32':
        return view.getFloat32(i * width, true);
      case 'int32':
        return view.getInt32(i * width, true);
      case 'uint16':
        return view.getUint16(i * width, true) * scale + min;
      case 'float16':
        return half(view.getUint16(i * width, true));
      default:
        return view.getUint8(i) * scale + min;
    }
  });
  return { shape, data };
}

/** IEEE 754 binary16. */
function half(bits: number): number {
  const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 0x3ff];
  if (exponent === 0) return sign * 2 ** -24 * fraction;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * 2 ** (exponent - 15) * (1 + fraction / 1024);
}
