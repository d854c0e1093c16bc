import * as z from 'zod';
import { bundleInfoSchema } from '../bundle/schema.js';

const quantization = z
  .object({ scale: z.array(z.number()), zeroPoint: z.array(z.number()), axis: z.int() })
  .nullable();

const end = z.object({
  index: z.int(),
  name: z.string(),
  type: z.string(),
  shape: z.array(z.int()),
  quantization,
});

export const inspectionSchema = z.object({
  file: z.string(),
  kind: z.enum(['tflite', 'aiot']),
  /** Size of the whole file in bytes. */
  bytes: z.int(),
  /** Size of the network alone in bytes; for a bundle, less than `bytes`. */
  networkBytes: z.int(),
  digest: z.string(),
  description: z.string(),
  precision: z
    .enum(['float32', 'float16', 'dynamic', 'int8', 'int16x8', 'mixed', 'forest', 'none'])
    .nullable(),
  parameters: z.int(),
  /** Multiply-adds for one run; null if unknown for any operator. */
  macs: z.int().nullable(),
  /** Bytes for TFLite Micro's `tensor_arena`; null if the network does not run there or the size is unknown, as `notes` explain. */
  arenaBytes: z.int().nullable(),
  /** How TFLite Micro's greedy planner places temporary data. */
  arena: z
    .object({
      head: z.int(),
      tail: z.int(),
      smallest: z.int(),
      pieces: z.array(
        z.object({
          /** Index of the tensor in the network, or of the operator that uses the scratch memory. */
          tensor: z.int().nullable(),
          operator: z.int().nullable(),
          bytes: z.int(),
          /** Lifetime, from the first to the last operator, counted from 1; 0 = while inputs are being filled. */
          first: z.int(),
          last: z.int(),
          offset: z.int(),
        }),
      ),
    })
    .nullable(),
  inputs: z.array(end),
  outputs: z.array(end),
  tensors: z.array(
    end.extend({
      /** Null if an element has no fixed size. */
      bytes: z.int().nullable(),
      constant: z.boolean(),
    }),
  ),
  operators: z.array(
    z.object({
      index: z.int(),
      op: z.string(),
      version: z.int(),
      /** Whether aiot can run and quantize the operator. */
      known: z.boolean(),
      inputs: z.array(z.int()),
      outputs: z.array(z.int()),
      options: z.record(z.string(), z.unknown()),
      macs: z.int().nullable(),
    }),
  ),
  subgraphs: z.int(),
  signatures: z.array(z.string()),
  metadata: z.array(z.string()),
  notes: z.array(z.string()),
  /** Present for a .aiot file. */
  bundle: z
    .object({ info: bundleInfoSchema, golden: z.object({ vectors: z.int(), passed: z.int() }) })
    .nullable(),
});

export type Inspection = z.output<typeof inspectionSchema>;
