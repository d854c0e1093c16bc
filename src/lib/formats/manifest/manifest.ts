import * as z from 'zod';
import { digestPattern } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { namePattern } from '../../core/names.js';
import { checkedPayload, type Envelope, malformedPayload, signPayload, type TrustRoot } from './envelope.js';

/** One file that a manifest vouches for. */
const artifactSchema = z.strictObject({
  name: z.string(),
  digest: z.string().regex(digestPattern),
  bytes: z.int().min(0),
});

const anything = z.record(z.string(), z.unknown());

/** How a network's numbers are kept; `mixed`: int8 with layers of a wider type. */
export const networkModes = ['float32', 'float16', 'dynamic', 'int8', 'int16x8', 'mixed'] as const;

const digest = z.string().regex(digestPattern);

/**
 * A manifest's description of a model besides its bytes, so that whoever signs it signs this too. Recordings, standardization and
 * golden vectors are in the files, which are signed by their sums.
 */
export const modelPartSchema = z.strictObject({
  /** `network`: a .tflite file alone, without a signal part; devices cannot run it. */
  kind: z.enum(['model', 'network']),
  /** How samples become inputs; null = not known. */
  signal: anything.nullable(),
  /** Class → recorded labels. */
  labels: z.record(z.string(), z.array(z.string())),
  /** Meaning of the outputs, thresholds included. */
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

/** One file of a bundle. */
export const bundleFileSchema = z.strictObject({
  name: z.string(),
  /** 64 hex digits. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  bytes: z.int().min(0),
});

/**
 * The signed part. Times are milliseconds since 1970. `sequence` rises strictly over a fleet's releases of one kind,
 * whatever `version` does; `floor` is the smallest sequence that a device may accept after committing this one.
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
  /** Least interface that a device's firmware must have; see docs/protocol.md. */
  interface: z.int().min(1).default(1),
  /** Description of a model; absent for other kinds. */
  model: modelPartSchema.optional(),
  /** The files in the artifact, each by itself, so that a changed byte can be told by its file. */
  files: z.array(bundleFileSchema).optional(),
});

/** As it is given to be signed. */
export type UnsignedManifest = z.input<typeof manifestSchema>;

export type Manifest = z.output<typeof manifestSchema>;

/** Signs with one private key (PKCS#8 PEM). */
export function signManifest(manifest: UnsignedManifest, privatePem: string): Envelope {
  return signPayload(manifestSchema.parse(manifest), privatePem);
}

/**
 * Checks the signatures first, then the form: unsigned bytes are never parsed as a manifest.
 * @throws AIOT_MANIFEST_MALFORMED, AIOT_SIGNATURE_INVALID
 */
export function verifyManifest(value: unknown, trust: TrustRoot): Manifest {
  return parsePayload(checkedPayload(value, trust, 'manifest').payload);
}

/** The manifest inside an envelope WITHOUT checking signatures: for showing, never for deciding. */
export function peekManifest(envelope: Envelope): Manifest {
  return parsePayload(Buffer.from(envelope.payload, 'base64'));
}

function parsePayload(payload: Buffer): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(payload.toString('utf8'));
  } catch (error) {
    throw new AiotError('AIOT_MANIFEST_MALFORMED', 'the manifest is not JSON', { cause: error });
  }
  const manifest = manifestSchema.safeParse(value);
  if (manifest.success) return manifest.data;
  throw malformedPayload(manifest.error, 'manifest', value);
}

export type NetworkMode = (typeof networkModes)[number];

export type ModelPart = z.output<typeof modelPartSchema>;

export type BundleFile = z.output<typeof bundleFileSchema>;
