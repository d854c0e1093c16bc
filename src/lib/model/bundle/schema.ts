import * as z from 'zod';
import { figuresSchema, foldsFiguresSchema, gateSchema } from '../../api/api.js';
import { digestPattern } from '../../core/crypto.js';
import { featureSetNames } from '../../core/project-schema.js';
import { modelReferenceSchema } from '../../data/drift/model-reference.js';
import { networkModes } from '../../formats/manifest/manifest.js';
import { votePattern } from '../vote.js';
import type { BundleInfo, GoldenVector, NetworkInfo } from './types.js';

const numbers = z.array(z.number());

const end = z.object({
  type: z.enum(['int8', 'int16', 'float32']),
  scale: z.number().positive(),
  zeroPoint: z.int(),
  shape: z.array(z.int()),
});

const quantization = z.object({ mode: z.enum(networkModes) });

export const rejectSchema = z.object({
  label: z.string().min(1),
  minimum: numbers,
  radius: numbers,
  center: numbers,
  weight: numbers,
});

const answerSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('classes'), reject: rejectSchema.optional(), costs: numbers.optional() }),
  z.object({ kind: z.literal('probability'), threshold: z.number() }),
  z.object({ kind: z.literal('value'), names: z.array(z.string()).min(1) }),
  z.object({ kind: z.literal('reconstruction'), threshold: z.number().min(0) }),
  z.object({
    kind: z.literal('objects'),
    threshold: z.number().gt(0).max(1),
    grid: z.tuple([z.int().min(1), z.int().min(1)]),
    picture: z.object({ width: z.int().min(1), height: z.int().min(1) }),
  }),
]);

/** bundle.json. Unknown members, such as those added by a newer aiot, are dropped, so that an older device can accept a newer bundle. */
export const bundleInfoSchema = z.object({
  spec: z.literal('aiot-bundle/2'),
  kind: z.literal('model'),
  name: z.string(),
  signal: z.object({
    fields: z.array(z.string()).min(1),
    rateHz: z.number().positive(),
    lowpassHz: z.number().positive().nullable(),
    resampleHz: z.number().positive(),
    windowSamples: z.int().min(1),
    strideSamples: z.int().min(1),
    features: z.union([z.enum(featureSetNames), z.array(z.string())]),
    mel: z
      .object({
        frameSamples: z.int().min(2),
        hopSamples: z.int().min(1),
        fftSamples: z.int().min(2),
        bands: z.int().min(1),
        lowHz: z.number().min(0),
        highHz: z.number().positive(),
        coefficients: z.int().min(1).nullable().optional(),
        state: z.literal('stream').optional(),
      })
      .refine(({ coefficients, state }) => (coefficients === undefined) === (state === 'stream'), {
        error: 'expected either coefficients or a state',
      })
      .optional(),
    image: z
      .object({
        width: z.int().min(1),
        height: z.int().min(1),
        fit: z.enum(['crop', 'stretch', 'pad']),
      })
      .optional(),
  }),
  standardization: z.object({ mean: numbers, deviation: numbers }),
  classes: z.array(z.string()),
  labels: z.record(z.string(), z.array(z.string())),
  answer: answerSchema,
  quantization,
  vote: z.string().regex(votePattern, 'expected "none", "majority:N" or "average:N"'),
  state: z.literal('window').optional(),
  arenaBytes: z.int(),
  input: end,
  output: end,
  extra: z
    .array(z.object({ name: z.string().min(1).max(48), count: z.int().min(1) }))
    .min(1)
    .optional(),
  metrics: z.object({
    float: figuresSchema,
    int8: figuresSchema,
    voted: figuresSchema.nullable(),
    folds: foldsFiguresSchema.optional(),
  }),
  gates: z.array(gateSchema),
  evaluation: z.string().regex(digestPattern),
  lineage: z.object({
    dataset: z.object({ name: z.string(), digest: z.string(), recordings: z.int(), samples: z.int() }),
    split: z.object({
      by: z.string(),
      seed: z.int(),
      train: z.array(z.string()),
      validation: z.array(z.string()),
      test: z.array(z.string()),
    }),
    configDigest: z.string(),
    aiot: z.string(),
    created: z.int(),
  }),
}) satisfies z.ZodType<BundleInfo>;

/** bundle.json of a network-only bundle. */
const networkInfoSchema = z.object({
  spec: z.literal('aiot-bundle/2'),
  kind: z.literal('network'),
  name: z.string(),
  quantization,
  input: end,
  output: end,
}) satisfies z.ZodType<NetworkInfo>;

export const anyInfoSchema = z.discriminatedUnion('kind', [bundleInfoSchema, networkInfoSchema]);

/** golden.json */
export const goldenSchema = z.array(
  z.object({
    recording: z.string(),
    samples: z.array(numbers),
    features: numbers,
    input: numbers,
    output: numbers,
    answer: z.object({ label: z.string().nullable(), value: z.number().nullable() }),
  }),
) satisfies z.ZodType<GoldenVector[]>;

const digest = z.string().regex(digestPattern);
const part = z.enum(['train', 'validation', 'test', 'none']);
export type RecordingPart = z.output<typeof part>;

/**
 * lineage.json: the history of a bundle's network, back to the devices that recorded its data. Null means not recorded, and is reported as
 * unknown rather than guessed.
 */
export const provenanceSchema = z.object({
  spec: z.literal('aiot-lineage/1'),
  /** model.tflite. */
  network: z.object({ digest, mode: z.string() }),
  /** The float network from which this one was quantized. */
  float: z.object({ digest }).nullable(),
  training: z
    .object({
      /** `mlp`, `cnn1d`, … */
      kind: z.string(),
      /** Digest of the project's settings that determine the trained model. */
      configDigest: digest,
      seed: z.int().nullable(),
      epochs: z.int().nullable(),
      bestEpoch: z.int().nullable(),
      /** The engine that trained it: `wasm-simd`, `tfjs-node`, … */
      backend: z.string().nullable(),
      /** Tool name → its version. */
      tools: z.record(z.string(), z.string()),
      /** ms since 1970 */
      created: z.int(),
    })
    .nullable(),
  /** Digest of build/evaluation.json, and the smoothing used in that evaluation. */
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
        /** Name of the device that made the recording. */
        device: z.string().nullable(),
        part,
        samples: z.int(),
        /** ms since 1970 */
        startedAt: z.number().nullable(),
      }),
    )
    .nullable(),
  /** Statistics of the training data. Absent if the signal is a picture, sound, or computed by the device. */
  reference: modelReferenceSchema.optional(),
  /** The pipeline run that pushed the bundle. */
  run: z
    .object({
      id: z.string(),
      /** Why the run started, in a few words. */
      cause: z.string().nullable(),
    })
    .optional(),
  /** Present if the last layer was retrained on the device; everything above then describes the original bundle. */
  taught: z
    .object({
      /** Digest of the original bundle. */
      from: digest,
      /** IDs of the recordings that were labeled on the device. */
      recordings: z.array(z.string()),
      /** ms since 1970 */
      created: z.int(),
    })
    .optional(),
});

export type Provenance = z.output<typeof provenanceSchema>;

/** Lineage of a model when only its file is known. */
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
