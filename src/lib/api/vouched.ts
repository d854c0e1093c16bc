import { keyIdOf, publicKeyOf } from '../core/crypto.js';
import { AiotError } from '../core/errors.js';
import { type Envelope, validSigners } from '../formats/manifest/envelope.js';
import { type Manifest, peekManifest } from '../formats/manifest/manifest.js';
import type { ModelVersion } from './api.js';

type Asked = Pick<Manifest, 'kind' | 'name' | 'version'>;

/**
 * Returns the manifest in an envelope, after checking that it is the requested manifest. Signatures are not checked.
 * @throws AIOT_UPDATE_MISMATCH, AIOT_MANIFEST_MALFORMED
 */
export function manifestAsked(envelope: Envelope, asked: Asked): Manifest {
  const manifest = peekManifest(envelope);
  const text = ({ kind, name, version }: Asked) => `${kind} ${name}@${version}`;
  if (text(manifest) === text(asked)) return manifest;
  throw new AiotError(
    'AIOT_UPDATE_MISMATCH',
    `expected the manifest of ${text(asked)}, got that of ${text(manifest)}. Nothing was signed`,
    { next: 'The platform returned a different manifest than requested: check who operates it.' },
  );
}

/** Whether this key (PKCS#8 PEM) has signed the envelope. */
export function signedBy(envelope: Envelope, privatePem: string): boolean {
  const publicKey = publicKeyOf(privatePem);
  const keyid = keyIdOf(publicKey);
  const key = { algorithm: 'ecdsa-p256-sha256' as const, publicKey };
  return validSigners(envelope, { [keyid]: key }, [keyid]).length === 1;
}

const lookFirst: Record<Manifest['kind'], (what: string) => string> = {
  model: (what) => `Inspect the version, then sign it with \`aiot model sign ${what}\`.`,
  firmware: () => 'Push its file again with `aiot firmware push FILE`.',
  config: () => 'Push its file again with `aiot device config push FILE --name NAME`.',
};

/**
 * Requires that this key has signed a manifest that is about to be signed again without inspection. The platform's list of valid keys is
 * not sufficient, because the platform could add a key of its own.
 * @throws AIOT_SIGNATURE_INVALID
 */
export function requireOwn(envelope: Envelope, { kind, name, version }: Asked, privatePem: string): void {
  if (signedBy(envelope, privatePem)) return;
  const what = `${name}@${version}`;
  const message = `${kind} ${what} has no valid signature of this user's present key, so it is not signed again automatically`;
  throw new AiotError('AIOT_SIGNATURE_INVALID', message, { next: lookFirst[kind](what) });
}

/** Rejects an untrusted version, which must not be promoted, rolled out or run. @throws AIOT_MODEL_UNTRUSTED */
export function requireTrusted({ name, version, trusted, origin }: ModelVersion): void {
  if (trusted) return;
  const source = !origin
    ? ''
    : origin.source === 'dashboard'
      ? ' on the dashboard'
      : ` through ${origin.source}`;
  throw new AiotError(
    'AIOT_MODEL_UNTRUSTED',
    `${name}@${version} was uploaded${source} and has not been signed`,
    { next: `Inspect the version, then sign it with \`aiot model sign ${name}@${version}\`.` },
  );
}
