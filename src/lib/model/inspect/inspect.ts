import { z } from 'zod';
import { digestOf, readBytes } from '../../core/index.js';
import { elementBytes, elementCount, type Graph, readTflite, type Tensor } from '../../formats/index.js';
import { arenaBytes } from '../../runtime/index.js';
import { checkGolden } from '../bundle/golden.js';
import { bundleInfoSchema } from '../bundle/info-schema.js';
import { unpackBundle } from '../bundle/pack.js';
import { multiplyAdds, parameterCount } from './costs.js';

export const inspectionSchema = z.object({
  file: z.string(),
  kind: z.enum(['tflite', 'aiot']),
  bytes: z.int(),
  digest: z.string(),
  network: z.object({
    bytes: z.int(),
    description: z.string(),
    parameters: z.int(),
    multiplyAdds: z.int(),
    /** For TFLite Micro on a 32-bit chip; null when it would not run there. */
    arenaBytes: z.int().nullable(),
    inputs: z.array(z.int()),
    outputs: z.array(z.int()),
    tensors: z.array(
      z.object({
        index: z.int(),
        name: z.string(),
        type: z.string(),
        shape: z.array(z.int()),
        bytes: z.int(),
        constant: z.boolean(),
        /** One scale and zero point, or one a channel. */
        quantization: z
          .object({ scale: z.array(z.number()), zeroPoint: z.array(z.int()), axis: z.int() })
          .nullable(),
      }),
    ),
    operators: z.array(
      z.object({
        index: z.int(),
        op: z.string(),
        inputs: z.array(z.int()),
        outputs: z.array(z.int()),
        options: z.record(z.string(), z.unknown()),
        multiplyAdds: z.int(),
      }),
    ),
  }),
  /** Of a .aiot file. */
  bundle: z
    .object({ info: bundleInfoSchema, golden: z.object({ vectors: z.int(), passed: z.int() }) })
    .nullable(),
});
export type Inspection = z.output<typeof inspectionSchema>;

/**
 * What a .tflite or .aiot file holds and what running it costs. A bundle is checked and its golden vectors are run.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_TFLITE_MALFORMED, AIOT_TFLITE_UNSUPPORTED, AIOT_BUNDLE_MALFORMED
 */
export async function inspectModel(file: string): Promise<Inspection> {
  const bytes = await readBytes(file);
  const common = { file, bytes: bytes.length, digest: digestOf(bytes) };
  // By the contents, not the name: a TFLite file has its mark at byte 4.
  if (bytes.subarray(4, 8).toString('latin1') === 'TFL3' || file.endsWith('.tflite')) {
    return { ...common, kind: 'tflite', network: networkOf(bytes), bundle: null };
  }
  const bundle = unpackBundle(bytes);
  const { vectors, passed } = checkGolden(bundle);
  return {
    ...common,
    kind: 'aiot',
    network: networkOf(bundle.model),
    bundle: { info: bundle.info, golden: { vectors, passed } },
  };
}

function networkOf(bytes: Uint8Array): Inspection['network'] {
  const graph = readTflite(bytes);
  const operators = graph.operators.map((operator, index) => ({
    index,
    op: operator.op,
    inputs: operator.inputs,
    outputs: operator.outputs,
    options: { ...operator.options },
    multiplyAdds: multiplyAdds(graph, operator),
  }));
  return {
    bytes: bytes.length,
    description: graph.description,
    parameters: parameterCount(graph),
    multiplyAdds: operators.reduce((sum, operator) => sum + operator.multiplyAdds, 0),
    arenaBytes: arenaOf(graph),
    inputs: graph.inputs,
    outputs: graph.outputs,
    tensors: graph.tensors.map(tensorOf),
    operators,
  };
}

function tensorOf({ name, type, shape, data, quantization }: Tensor, index: number) {
  return {
    index,
    name,
    type,
    shape,
    bytes: elementCount(shape) * elementBytes(type),
    constant: data !== undefined,
    quantization: quantization ?? null,
  };
}

/** TFLite Micro takes neither float16 nor dynamic-range networks. */
function arenaOf(graph: Graph): number | null {
  const mixed = graph.operators.some(({ op, inputs }) => {
    const [x, w] = inputs.map((i) => graph.tensors[i]?.type);
    return (op === 'DEQUANTIZE' && x === 'float16') || (x === 'float32' && w === 'int8');
  });
  return mixed ? null : arenaBytes(graph);
}
