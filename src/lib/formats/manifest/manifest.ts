import * as z from 'zod';
import { digestPattern } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { namePattern } from '../../core/names.js';
import { checkedPayload, type Envelope, malformedPayload, signPayload, type TrustRoot } from './envelope.js';

/** A file covered by a manifest. */
const artifactSchema = z.strictObject({
  name: z.string(),
  digest: z.string().regex(digestPattern),
  bytes: z.int().min(0),
});

const anything = z.record(z.string(), z.unknown());

/** A model's data type. `mixed`: int8, with a wider type in some layers. */
export const networkModes = ['float32', 'float16', 'dynamic', 'int8', 'int16x8', 'mixed'] as const;

/**
 * Interface 1: the firmware runs only int8 networks that predict classes. Interface 2: the firmware runs models with any kind of
 * prediction, and the data types that it declares. Interface 3: the firmware also runs decision trees. Interface 6: the firmware also
 * computes the micro front end, and reads one standardization per band for all frames of sound. Interface 7: it also runs decision trees on
 * these features. Interface 8: it also finds objects in pictures.
 * Interfaces 9 and 10: it also decides by costs or on mean outputs, also with decision trees. Interface 11: inputs or outputs of a quantized
 * network may be float32.
 * Interface 12: it also reports outputs in addition to the prediction. Interface 13: windows of samples may share means and deviations.
 * Interface 14: operators of a quantized network may compute on float32.
 */
export const firmwareInterfaces = {
  int8Classes: 1,
  anyAnswer: 2,
  forests: 3,
  rejection: 4,
  rejectingForests: 5,
  sound: 6,
  soundForests: 7,
  objects: 8,
  decisions: 9,
  decidingForests: 10,
  floatEnds: 11,
  extraOutputs: 12,
  longWindows: 13,
  floatOperators: 14,
  windowState: 15,
  soundStream: 16,
  soundStreamForests: 17,
} as const;

/** The newest interface that this version of aiot reads. */
export const newestInterface = Math.max(...Object.values(firmwareInterfaces));

const digest = z.string().regex(digestPattern);

/**
 * A model's description. It is in the manifest so that the signature covers it too. Recordings, standardization and golden vectors are in
 * the files, whose hashes are signed.
 */
export const modelPartSchema = z.strictObject({
  /** `network`: only a .tflite file without signal processing. Devices cannot run a network. */
  kind: z.enum(['model', 'network']),
  /** Signal processing from samples to inputs; null = unknown. */
  signal: anything.nullable(),
  /** Class → recorded labels. */
  labels: z.record(z.string(), z.array(z.string())),
  /** Meaning of the outputs, including thresholds. */
  answer: anything.nullable(),
  quantization: z.strictObject({ mode: z.enum(networkModes), input: z.string(), output: z.string() }),
  /** Metrics on data not used for training, with their intervals; null = never evaluated. */
  metrics: anything.nullable(),
  /** The limits that the model has passed. */
  gates: z.array(anything),
  /** Digest of the evaluation that produced these metrics. */
  evaluation: digest.nullable(),
  dataset: z.strictObject({ name: z.string(), digest }).nullable(),
  /** Digest of the project's settings that determine the trained model. */
  config: digest.nullable(),
  /** Tool name → version. */
  tools: z.record(z.string(), z.string()),
  /** The model's creation time, ms since 1970; null = unknown. */
  created: z.int().nullable(),
});

/** A file in a bundle. */
export const bundleFileSchema = z.strictObject({
  name: z.string(),
  /** 64 hex digits. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  bytes: z.int().min(0),
});

/**
 * The signed part. Times are milliseconds since 1970. Across a fleet's releases of one kind, `sequence` strictly increases, independently
 * of `version`. `floor` is the smallest sequence number that a device may accept after committing this release.
 */
export const manifestSchema = z.strictObject({
  spec: z.literal('aiot-manifest/1'),
  role: z.literal('release'),
  kind: z.enum(['model', 'firmware', 'config']),
  name: z.string().regex(namePattern),
  version: z.int().min(1),
  sequence: z.int().min(1),
  floor: z.int().min(0),
  issued: z.int(),
  expires: z.int().nullable(),
  deviceTypes: z.array(z.string()).min(1),
  artifacts: z.array(artifactSchema).min(1),
  /** Minimum interface version of a device's firmware; see docs/reference/protocol.md. */
  interface: z.int().min(1).default(1),
  /** Anti-rollback version of firmware: devices that require a higher one reject it. Absent = 0. */
  secureVersion: z.int().min(0).optional(),
  /** Description of a model; absent for other kinds. */
  model: modelPartSchema.optional(),
  /** The files in the artifact with their hashes, which reveal the file that contains a changed byte. */
  files: z.array(bundleFileSchema).optional(),
});

/** The manifest as passed to `signManifest`. */
export type UnsignedManifest = z.input<typeof manifestSchema>;

export type Manifest = z.output<typeof manifestSchema>;

/** Signs with one private key (PKCS#8 PEM). */
export function signManifest(manifest: UnsignedManifest, privatePem: string): Envelope {
  return signPayload(manifestSchema.parse(manifest), privatePem);
}

/**
 * Checks the signatures first, then the schema, so that unsigned bytes are never parsed as a manifest.
 * @throws AIOT_MANIFEST_MALFORMED, AIOT_SIGNATURE_INVALID
 */
export function verifyManifest(value: unknown, trust: TrustRoot): Manifest {
  return parsePayload(checkedPayload(value, trust, 'manifest').payload);
}

/** Reads the manifest in an envelope WITHOUT checking signatures. Use it for display, never for decisions. */
export function peekManifest(envelope: Pick<Envelope, 'payload'>): Manifest {
  return parsePayload(Buffer.from(envelope.payload, 'base64'));
}

function parsePayload(payload: Buffer): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(payload.toString('utf8'));
  } catch (error) {
    throw new AiotError('AIOT_MANIFEST_MALFORMED', 'the manifest is not valid JSON', { cause: error });
  }
  const manifest = manifestSchema.safeParse(value);
  if (manifest.success) return manifest.data;
  throw malformedPayload(manifest.error, 'manifest', value);
}

export type NetworkMode = (typeof networkModes)[number];

export type ModelPart = z.output<typeof modelPartSchema>;

export type BundleFile = z.output<typeof bundleFileSchema>;
