import { z } from 'zod';
import { digestPattern } from '../../core/index.js';

const digest = z.string().regex(digestPattern);
const part = z.enum(['train', 'validation', 'test', 'none']);

/**
 * lineage.json: how a bundle's network came about, back to the devices that recorded its data. Null is what nobody wrote
 * down: it is told as unknown, and never guessed.
 */
export const provenanceSchema = z.object({
  spec: z.literal('aiot-lineage/1'),
  /** model.tflite. */
  network: z.object({ digest, mode: z.string() }),
  /** The float network that it was made from. */
  float: z.object({ digest }).nullable(),
  training: z
    .object({
      /** `mlp`, `cnn1d`, … */
      kind: z.string(),
      /** Digest of the project file's contents as parsed, when it was trained. */
      configDigest: digest,
      seed: z.int().nullable(),
      epochs: z.int().nullable(),
      bestEpoch: z.int().nullable(),
      /** What computed it: `wasm`, `cpu`, `node`, … */
      backend: z.string().nullable(),
      /** Name of a tool → its version. */
      tools: z.record(z.string(), z.string()),
      /** ms since 1970 */
      created: z.int(),
    })
    .nullable(),
  /** Digest of build/evaluation.json, and the limits that it was let through. */
  evaluation: z.object({ digest, vote: z.string() }).nullable(),
  dataset: z
    .object({
      name: z.string(),
      digest,
      /** A folder of recordings, or one table of rows. */
      source: z.enum(['recordings', 'table']),
      samples: z.int(),
    })
    .nullable(),
  recordings: z
    .array(
      z.object({
        id: z.string(),
        label: z.string().nullable(),
        /** Name of the device that made it. */
        device: z.string().nullable(),
        part,
        samples: z.int(),
        /** ms since 1970 */
        startedAt: z.number().nullable(),
      }),
    )
    .nullable(),
  /** The run of a pipeline that pushed it. */
  run: z
    .object({
      id: z.string(),
      /** What started it, in a few words. */
      cause: z.string().nullable(),
    })
    .optional(),
  /** Its last layer was learned anew on the spot; all else above is told of the bundle that this was done with. */
  taught: z
    .object({
      /** Digest of that bundle. */
      from: digest,
      /** Ids of the recordings that were marked there. */
      recordings: z.array(z.string()),
      /** ms since 1970 */
      created: z.int(),
    })
    .optional(),
});
export type Provenance = z.output<typeof provenanceSchema>;
export type RecordingPart = z.output<typeof part>;

/** Nothing is known of it but the file. */
export function unknownProvenance(modelDigest: string, mode: string): Provenance {
  return {
    spec: 'aiot-lineage/1',
    network: { digest: modelDigest, mode },
    float: null,
    training: null,
    evaluation: null,
    dataset: null,
    recordings: null,
  };
}
