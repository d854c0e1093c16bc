import { z } from 'zod';
import { AiotError, digestPattern, namePattern } from '../../core/index.js';
import { checkedPayload, type Envelope, malformedPayload, signPayload, type TrustRoot } from './envelope.js';
import { bundleFileSchema, modelPartSchema } from './model-part.js';

/** One file that a manifest vouches for. */
const artifactSchema = z.strictObject({
  name: z.string(),
  digest: z.string().regex(digestPattern),
  bytes: z.int().min(0),
});

/**
 * What is signed. Times are milliseconds since 1970. `sequence` rises strictly over a fleet's releases of one kind,
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
  /** Of a model: what it is. */
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
