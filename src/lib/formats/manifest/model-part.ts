import { z } from 'zod';
import { digestPattern } from '../../core/index.js';

const anything = z.record(z.string(), z.unknown());
const digest = z.string().regex(digestPattern);

/** How a network's numbers are kept; `mixed`: int8 with layers of a wider type. */
export const networkModes = ['float32', 'float16', 'dynamic', 'int8', 'int16x8', 'mixed'] as const;
export type NetworkMode = (typeof networkModes)[number];

/**
 * What a manifest says of a model besides its bytes, so that who signs it signs this too. Recordings, standardization and
 * golden vectors are in the files, which are signed by their sums.
 */
export const modelPartSchema = z.strictObject({
  /** `network`: a .tflite file alone, without a signal part; devices cannot run it. */
  kind: z.enum(['model', 'network']),
  /** How samples become inputs; null = not known. */
  signal: anything.nullable(),
  /** Class → recorded labels. */
  labels: z.record(z.string(), z.array(z.string())),
  /** What the outputs mean, thresholds included. */
  answer: anything.nullable(),
  quantization: z.strictObject({ mode: z.enum(networkModes), input: z.string(), output: z.string() }),
  /** Figures on data never trained on, with their intervals; null = never evaluated. */
  metrics: anything.nullable(),
  /** The limits that it was let through. */
  gates: z.array(anything),
  /** Digest of the evaluation that these figures are from. */
  evaluation: digest.nullable(),
  dataset: z.strictObject({ name: z.string(), digest }).nullable(),
  /** Digest of the project file's contents as parsed. */
  config: digest.nullable(),
  /** Name of a tool → its version. */
  tools: z.record(z.string(), z.string()),
  /** When the network was made, ms since 1970; null = not known. */
  created: z.int().nullable(),
});
export type ModelPart = z.output<typeof modelPartSchema>;

/** One file of a bundle. */
export const bundleFileSchema = z.strictObject({
  name: z.string(),
  /** 64 hex digits. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  bytes: z.int().min(0),
});
export type BundleFile = z.output<typeof bundleFileSchema>;
