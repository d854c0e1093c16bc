import * as z from 'zod';
import { bundleInfoSchema } from '../bundle/schema.js';

const quantization = z
  .object({ scale: z.array(z.number()), zeroPoint: z.array(z.number()), axis: z.int() })
  .nullable();

const end = z.object({
  /** Of the tensor. */
  index: z.int(),
  name: z.string(),
  type: z.string(),
  shape: z.array(z.int()),
  quantization,
});

export const inspectionSchema = z.object({
  file: z.string(),
  kind: z.enum(['tflite', 'aiot']),
  /** Of the file; of a bundle `networkBytes` is the network alone. */
  bytes: z.int(),
  networkBytes: z.int(),
  digest: z.string(),
  description: z.string(),
  precision: z.enum(['float32', 'float16', 'dynamic', 'int8', 'int16x8', 'mixed', 'none']).nullable(),
  parameters: z.int(),
  /** Multiply-adds of one run; null where an operator's are not known. */
  macs: z.int().nullable(),
  /** To give TFLite Micro as `tensor_arena`; null when it would not run there, or it is not known: `notes` say why. */
  arenaBytes: z.int().nullable(),
  /** Where TFLite Micro's greedy planner puts what is in use only for a while. */
  arena: z
    .object({
      head: z.int(),
      tail: z.int(),
      smallest: z.int(),
      pieces: z.array(
        z.object({
          /** Index of the tensor in it, or of the operator whose scratch memory it is. */
          tensor: z.int().nullable(),
          operator: z.int().nullable(),
          bytes: z.int(),
          /** In use from the first to the last operator, counted from 1; 0 = inputs are being filled. */
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
      /** Null where an element has no fixed size. */
      bytes: z.int().nullable(),
      constant: z.boolean(),
    }),
  ),
  operators: z.array(
    z.object({
      index: z.int(),
      op: z.string(),
      version: z.int(),
      /** Whether aiot can run and quantize it. */
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
  /** Of a .aiot file. */
  bundle: z
    .object({ info: bundleInfoSchema, golden: z.object({ vectors: z.int(), passed: z.int() }) })
    .nullable(),
});

export type Inspection = z.output<typeof inspectionSchema>;
