import { z } from 'zod';
import { featureSetNames } from '../../core/index.js';
import { metricsSchema } from '../../registry/index.js';
import type { BundleInfo, GoldenVector } from './types.js';

const numbers = z.array(z.number());
const end = z.object({ scale: z.number().positive(), zeroPoint: z.int(), shape: z.array(z.int()) });

/** bundle.json. Members that a newer aiot adds are dropped, so that an older device can take a newer bundle. */
export const bundleInfoSchema = z.object({
  spec: z.literal('aiot-bundle/1'),
  name: z.string(),
  signal: z.object({
    fields: z.array(z.string()).min(1),
    rateHz: z.number().positive(),
    lowpassHz: z.number().positive().nullable(),
    resampleHz: z.number().positive(),
    windowSamples: z.int().min(1),
    strideSamples: z.int().min(1),
    features: z.union([z.enum(featureSetNames), z.array(z.string())]),
  }),
  standardization: z.object({ mean: numbers, deviation: numbers }),
  classes: z.array(z.string()).min(2),
  labels: z.record(z.string(), z.array(z.string())),
  vote: z.string().regex(/^(none|majority:[1-9]\d?)$/, 'expected "none" or "majority:N"'),
  arenaBytes: z.int(),
  input: end,
  output: end,
  metrics: z.object({ float: metricsSchema, int8: metricsSchema, voted: metricsSchema }),
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

const int8 = z.array(z.int().min(-128).max(127));

/** golden.json */
export const goldenSchema = z.array(
  z.object({
    recording: z.string(),
    samples: z.array(numbers).min(1),
    features: numbers,
    input: int8,
    output: int8,
  }),
) satisfies z.ZodType<GoldenVector[]>;
