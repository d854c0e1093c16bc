import { z } from 'zod';
import {
  AiotError,
  digestPattern,
  issueText,
  keyIdOf,
  namePattern,
  publicKeyOf,
  signBytes,
  verifyBytes,
} from '../../core/index.js';
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

/** The payload's exact bytes (base64) and signatures over them: nobody has to agree on a canonical JSON. */
export const envelopeSchema = z.strictObject({
  payload: z.base64(),
  signatures: z.array(z.strictObject({ keyid: z.string(), sig: z.base64() })).min(1),
});
export type Envelope = z.output<typeof envelopeSchema>;

/** Which keys may sign for which role, and how many of them must. Public keys only: SPKI DER, base64. */
export const trustRootSchema = z.strictObject({
  spec: z.literal('aiot-trust/1'),
  version: z.int().min(1),
  keys: z.record(
    z.string(),
    z.strictObject({ algorithm: z.literal('ecdsa-p256-sha256'), publicKey: z.base64() }),
  ),
  roles: z.strictObject({
    release: z.strictObject({ keyids: z.array(z.string()).min(1), threshold: z.int().min(1) }),
  }),
});
export type TrustRoot = z.output<typeof trustRootSchema>;

/** A trust root of one key. */
export function trustRootOf(publicKey: string): TrustRoot {
  const keyid = keyIdOf(publicKey);
  return {
    spec: 'aiot-trust/1',
    version: 1,
    keys: { [keyid]: { algorithm: 'ecdsa-p256-sha256', publicKey } },
    roles: { release: { keyids: [keyid], threshold: 1 } },
  };
}

/** Signs with one private key (PKCS#8 PEM). */
export function signManifest(manifest: UnsignedManifest, privatePem: string): Envelope {
  const payload = Buffer.from(JSON.stringify(manifestSchema.parse(manifest)));
  const keyid = keyIdOf(publicKeyOf(privatePem));
  return {
    payload: payload.toString('base64'),
    signatures: [{ keyid, sig: signBytes(privatePem, payload) }],
  };
}

/**
 * Checks the signatures first, then the form: unsigned bytes are never parsed as a manifest.
 * @throws AIOT_MANIFEST_MALFORMED, AIOT_SIGNATURE_INVALID
 */
export function verifyManifest(value: unknown, trust: TrustRoot): Manifest {
  const envelope = envelopeSchema.safeParse(value);
  if (!envelope.success) throw malformed(envelope.error);
  const payload = Buffer.from(envelope.data.payload, 'base64');
  const { keyids, threshold } = trust.roles.release;
  const valid = new Set(
    envelope.data.signatures
      .filter(({ keyid, sig }) => {
        const key = trust.keys[keyid];
        // A key id is the digest of its key: a trust root cannot name one key twice to reach the threshold.
        return (
          keyids.includes(keyid) &&
          key !== undefined &&
          keyIdOf(key.publicKey) === keyid &&
          verifyBytes(key.publicKey, payload, sig)
        );
      })
      .map(({ keyid }) => keyid),
  );
  if (valid.size < threshold) {
    throw new AiotError(
      'AIOT_SIGNATURE_INVALID',
      `expected ${threshold} valid release signature(s), got ${valid.size}`,
    );
  }
  return parsePayload(payload);
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
  if (!manifest.success) throw malformed(manifest.error);
  return manifest.data;
}

function malformed(error: z.ZodError): AiotError {
  return new AiotError('AIOT_MANIFEST_MALFORMED', `manifest: ${issueText(error, 'envelope')}`);
}
