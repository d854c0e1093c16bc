import { Builder } from 'flatbuffers';
import { CheckedBuffer } from './schema.js';
import { tableVector } from './write-tables.js';

/** Name of the entry with TFLite metadata, and the identifier of its FlatBuffer. */
export const metadataName = 'TFLITE_METADATA';
const identifier = 'M001';

/** TFLite metadata for a model with one input and one output. */
export interface ModelMetadata {
  name: string;
  description: string;
  /** How a real value is normalized before it is passed to the model: (x − mean) / std, per channel. */
  normalization?: { mean: readonly number[]; std: readonly number[] };
  /** Textual descriptions of the input and the output. */
  input?: string;
  output?: string;
}

/** Slots of fields in the public schema (tflite-support, metadata_schema.fbs), by table. */
const slots = {
  model: { name: 0, description: 1, subgraphs: 3, minimum: 7, count: 8 },
  subgraph: { inputs: 2, outputs: 3, count: 10 },
  tensor: { name: 0, description: 1, units: 4, count: 7 },
  unit: { type: 0, options: 1, count: 2 },
  normalization: { mean: 0, std: 1, count: 2 },
} as const;
/** Number of NormalizationOptions in the schema's union ProcessUnitOptions. */
const normalizationOptions = 1;

/** Writes the bytes of a TFLITE_METADATA entry for tflite-support and Android's ML binding. */
export function writeMetadata(metadata: ModelMetadata): Uint8Array {
  const builder = new Builder(1024);
  const tensor = (name: string, description: string | undefined, units: number[]) => {
    const process = units.length === 0 ? 0 : tableVector(builder, units);
    return table(builder, slots.tensor.count, [
      [slots.tensor.name, builder.createString(name)],
      [slots.tensor.description, description === undefined ? 0 : builder.createString(description)],
      [slots.tensor.units, process],
    ]);
  };
  const { normalization } = metadata;
  const units = normalization === undefined ? [] : [normalizationUnit(builder, normalization)];
  const inputs = tableVector(builder, [tensor('input', metadata.input, units)]);
  const outputs = tableVector(builder, [tensor('output', metadata.output, [])]);
  const subgraph = table(builder, slots.subgraph.count, [
    [slots.subgraph.inputs, inputs],
    [slots.subgraph.outputs, outputs],
  ]);
  const subgraphs = tableVector(builder, [subgraph]);
  const root = table(builder, slots.model.count, [
    [slots.model.name, builder.createString(metadata.name)],
    [slots.model.description, builder.createString(metadata.description)],
    [slots.model.subgraphs, subgraphs],
    [slots.model.minimum, builder.createString('1.0.0')],
  ]);
  builder.finish(root, identifier);
  return builder.asUint8Array().slice();
}

/**
 * Reads metadata from `writeMetadata`, and the corresponding parts of other tools' metadata; null if the bytes are not TFLite metadata.
 * @throws AIOT_TFLITE_MALFORMED if an offset points outside the bytes
 */
export function readMetadata(bytes: Uint8Array): ModelMetadata | null {
  if (bytes.length < 8 || Buffer.from(bytes.subarray(4, 8)).toString('latin1') !== identifier) return null;
  const root = new CheckedBuffer(bytes).root('the metadata');
  const [subgraph] = root.tables(slots.model.subgraphs, 'metadata of a subgraph');
  const [input] = subgraph?.tables(slots.subgraph.inputs, 'metadata of an input') ?? [];
  const [output] = subgraph?.tables(slots.subgraph.outputs, 'metadata of an output') ?? [];
  const unit = input
    ?.tables(slots.tensor.units, 'process unit')
    .find((table) => table.uint8(slots.unit.type, 0) === normalizationOptions);
  const options = unit?.table(slots.unit.options, 'normalization');
  return {
    name: root.text(slots.model.name),
    description: root.text(slots.model.description),
    ...(options && {
      normalization: {
        mean: options.float32s(slots.normalization.mean),
        std: options.float32s(slots.normalization.std),
      },
    }),
    ...(input && { input: input.text(slots.tensor.description) }),
    ...(output && { output: output.text(slots.tensor.description) }),
  };
}

function normalizationUnit(
  builder: Builder,
  { mean, std }: NonNullable<ModelMetadata['normalization']>,
): number {
  const options = table(builder, slots.normalization.count, [
    [slots.normalization.mean, floats(builder, mean)],
    [slots.normalization.std, floats(builder, std)],
  ]);
  builder.startObject(slots.unit.count);
  builder.addFieldInt8(slots.unit.type, normalizationOptions, 0);
  builder.addFieldOffset(slots.unit.options, options, 0);
  return builder.endObject();
}

function floats(builder: Builder, values: readonly number[]): number {
  builder.startVector(4, values.length, 4);
  for (let i = values.length - 1; i >= 0; i--) builder.addFloat32(values[i]!);
  return builder.endVector();
}

function table(builder: Builder, count: number, fields: [slot: number, offset: number][]): number {
  builder.startObject(count);
  for (const [slot, offset] of fields) builder.addFieldOffset(slot, offset, 0);
  return builder.endObject();
}
