import { z } from 'zod';
import { namePattern } from '../ids.js';

const name = z.string().regex(namePattern, 'letters, digits, dot, dash or underscore, at most 64');
const positive = z.number().positive();
/** Samples: more than a day at 10 Hz, and little enough to be allocated. */
const windowLength = z.int().min(1).max(1_000_000);
/** What people call a class or what they recorded; it is printed, and is a name in files. */
const word = z
  .string()
  .regex(/^[^\p{Cc}]{1,64}$/u, 'expected 1 to 64 characters, none of them a control character');

const field = z.strictObject({
  type: z.enum(['float', 'int']).default('float'),
  unit: z.string(),
  /** Plausible values, inclusive; what lies outside is a finding of `data check`. */
  range: z.tuple([z.number(), z.number()]).optional(),
});

const stream = z.strictObject({
  /** The stream's name on the wire: `aiot/v1/{device}/telemetry/{topic}`. */
  topic: name,
  format: z.literal('json').default('json'),
  /** The field that names the device, or `topic` when the topic does. */
  device: z.string().default('topic'),
  fields: z.record(
    z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'expected letters, digits and underscores, no digit first'),
    field,
  ),
});

/** Named feature sets; see the signal room. */
export const featureSetNames = ['raw', 'motion', 'har', 'spectral'] as const;

const signal = z.strictObject({
  /** Samples a second as they arrive, Hz. */
  rate: positive,
  /** Corner of the low-pass filter, Hz; absent = none. */
  lowpass: positive.optional(),
  /** Samples a second after resampling, Hz; absent = as `rate`. */
  resample: positive.optional(),
  /** Samples (after resampling) in one window. */
  window: windowLength,
  /** Samples between the starts of two windows. */
  stride: windowLength,
  features: z.union([z.enum(featureSetNames), z.array(z.string()).min(1)]).default('raw'),
});

/** Class → the recorded labels that count as it. */
const labels = z.record(word, z.array(word).min(1));

const train = z.strictObject({
  epochs: z.int().min(1).max(10_000).default(50),
  batch: z.int().min(1).max(65_536).default(32),
  seed: z.int().min(0).default(7),
  learningRate: positive.default(0.001),
});

const accept = z.strictObject({
  /** Smallest macro-F1 of the int8 model on recordings never trained on, by window. */
  macroF1: z.number().min(0).max(1).optional(),
  /** Largest loss of macro-F1 from float to int8, 0..1. */
  drop: z.number().min(0).max(1).optional(),
  /** Largest arena: a number of bytes, or `32KiB`. */
  arena: z
    .union([z.int().positive(), z.string().regex(/^\d+ ?(B|KiB|MiB)$/, 'a size such as 32KiB')])
    .optional(),
});

const model = z.strictObject({
  name: name.optional(),
  kind: z.enum(['mlp', 'cnn1d']),
  /** Units of the hidden layers (mlp), or filters of the convolutions (cnn1d). */
  layers: z.array(z.int().min(1).max(4096)).min(1).max(16).optional(),
  labels,
  split: z.enum(['recording', 'device', 'time']).default('recording'),
  train: train.prefault({}),
  quantize: z.literal('int8').default('int8'),
  vote: z
    .union([z.literal('none'), z.string().regex(/^majority:[1-9]\d?$/, '"none" or "majority:N"')])
    .default('none'),
  accept: accept.prefault({}),
});

export const projectSchema = z.strictObject({ name, stream, signal, model });

/** aiot.yaml, checked and with defaults filled in. */
export type ProjectConfig = z.output<typeof projectSchema>;
