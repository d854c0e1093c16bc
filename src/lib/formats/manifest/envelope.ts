import * as z from 'zod';
import { keyIdOf, publicKeyOf, signBytes, verifyBytes } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { issueText } from '../../core/issues.js';

/**
 * The payload's exact bytes (base64) and signatures over them. Canonical JSON is unnecessary, because the signed bytes themselves are sent.
 */
export const envelopeSchema = z.strictObject({
  payload: z.base64(),
  signatures: z.array(z.strictObject({ keyid: z.string(), sig: z.base64() })).min(1),
});
export type Envelope = z.output<typeof envelopeSchema>;

/** The keys that may sign for each role, and the number of signatures required. Public keys only: SPKI DER, base64. */
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

/** A trust root with one key. */
export function trustRootOf(publicKey: string): TrustRoot {
  const keyid = keyIdOf(publicKey);
  return {
    spec: 'aiot-trust/1',
    version: 1,
    keys: { [keyid]: { algorithm: 'ecdsa-p256-sha256', publicKey } },
    roles: { release: { keyids: [keyid], threshold: 1 } },
  };
}

/**
 * Signs a value's JSON with one private key (PKCS#8 PEM). The value's `spec` contains its type, so that a value of one type is not accepted
 * as another.
 */
export function signPayload(value: { spec: string }, privatePem: string): Envelope {
  const payload = Buffer.from(JSON.stringify(value));
  const keyid = keyIdOf(publicKeyOf(privatePem));
  return {
    payload: payload.toString('base64'),
    signatures: [{ keyid, sig: signBytes(privatePem, payload) }],
  };
}

/**
 * Returns the payload's bytes and the ids of the signing keys, after verifying that enough release keys signed it. `what` is the payload's
 * name in errors. @throws AIOT_MANIFEST_MALFORMED, AIOT_SIGNATURE_INVALID
 */
export function checkedPayload(
  value: unknown,
  trust: TrustRoot,
  what: string,
): { payload: Buffer; keyids: string[] } {
  const envelope = envelopeSchema.safeParse(value);
  if (!envelope.success) throw malformedPayload(envelope.error, what, value);
  const payload = Buffer.from(envelope.data.payload, 'base64');
  const { keyids, threshold } = trust.roles.release;
  const valid = validSigners(envelope.data, trust.keys, keyids);
  if (valid.length >= threshold) return { payload, keyids: valid };
  throw new AiotError(
    'AIOT_SIGNATURE_INVALID',
    `expected ${threshold} valid release signature(s), got ${valid.length}`,
  );
}

/** The distinct key ids in `keyids` whose signatures are valid. */
export function validSigners(
  envelope: Envelope,
  keys: TrustRoot['keys'],
  keyids: readonly string[],
): string[] {
  const payload = Buffer.from(envelope.payload, 'base64');
  const valid = envelope.signatures.filter(({ keyid, sig }) => {
    const key = keys[keyid];
    // A key id is the key's digest, so a trust root cannot list one key twice to reach the threshold.
    return (
      keyids.includes(keyid) &&
      key !== undefined &&
      keyIdOf(key.publicKey) === keyid &&
      verifyBytes(key.publicKey, payload, sig)
    );
  });
  return [...new Set(valid.map(({ keyid }) => keyid))];
}

export function malformedPayload(error: z.ZodError, what: string, value: unknown): AiotError {
  return new AiotError('AIOT_MANIFEST_MALFORMED', `${what}: ${issueText(error, 'the payload', value)}`);
}
