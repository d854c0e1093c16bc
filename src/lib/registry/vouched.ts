import { keyIdOf, publicKeyOf } from '../core/crypto.js';
import { AiotError } from '../core/errors.js';
import { type Envelope, validSigners } from '../formats/manifest/envelope.js';
import { type Manifest, peekManifest } from '../formats/manifest/manifest.js';

type Asked = Pick<Manifest, 'kind' | 'name' | 'version'>;

/** The manifest in an envelope, which has to be the one that was asked for. Who signed it is not looked at. @throws AIOT_UPDATE_MISMATCH, AIOT_MANIFEST_MALFORMED */
export function manifestAsked(envelope: Envelope, asked: Asked): Manifest {
  const manifest = peekManifest(envelope);
  const text = ({ kind, name, version }: Asked) => `${kind} ${name}@${version}`;
  if (text(manifest) === text(asked)) return manifest;
  throw new AiotError(
    'AIOT_UPDATE_MISMATCH',
    `expected the manifest of ${text(asked)}, got that of ${text(manifest)}: nothing was signed`,
    { next: 'The platform gives another manifest than it was asked for: look at who runs it.' },
  );
}

/** Whether the key (PKCS#8 PEM) has signed it. */
export function signedBy(envelope: Envelope, privatePem: string): boolean {
  const publicKey = publicKeyOf(privatePem);
  const keyid = keyIdOf(publicKey);
  const key = { algorithm: 'ecdsa-p256-sha256' as const, publicKey };
  return validSigners(envelope, { [keyid]: key }, [keyid]).length === 1;
}

const lookFirst: Record<Manifest['kind'], (what: string) => string> = {
  model: (what) => `Look at what it is and sign it by hand: aiot model sign ${what}`,
  firmware: () => 'Push its file again: aiot firmware push FILE',
  config: () => 'Push its file again: aiot device config push FILE',
};

/**
 * What is signed again without anybody looking has to bear the signature of the very key that signs it: the platform tells which
 * keys count, and could name its own. @throws AIOT_SIGNATURE_INVALID
 */
export function requireOwn(envelope: Envelope, { kind, name, version }: Asked, privatePem: string): void {
  if (signedBy(envelope, privatePem)) return;
  const what = `${name}@${version}`;
  const message = `${kind} ${what} has no valid signature of this user's present key, and is not signed again unseen`;
  throw new AiotError('AIOT_SIGNATURE_INVALID', message, { next: lookFirst[kind](what) });
}
