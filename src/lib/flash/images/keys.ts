import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { AiotError } from '../../core/errors.js';
import { readBytes } from '../../core/files.js';

/** @throws AIOT_USAGE, AIOT_FILE_… */
export async function privateKeyOf(path: string): Promise<KeyObject> {
  const pem = await readBytes(path);
  try {
    return createPrivateKey({ key: Buffer.from(pem), format: 'pem' });
  } catch (cause) {
    throw notAKey(path, 'a private key', cause);
  }
}

/** Reads the public key from a file, which may instead contain the private key. @throws AIOT_USAGE, AIOT_FILE_… */
export async function publicKeyOf(path: string): Promise<KeyObject> {
  const pem = await readBytes(path);
  try {
    return createPublicKey({ key: Buffer.from(pem), format: 'pem' });
  } catch (cause) {
    throw notAKey(path, 'a public or private key', cause);
  }
}

function notAKey(path: string, what: string, cause: unknown): AiotError {
  return new AiotError('AIOT_USAGE', `${path}: expected ${what} in PEM format without a passphrase`, {
    next: 'Create a key with `openssl genrsa -out key.pem 3072`; decrypt one with `openssl pkey -in key.pem`.',
    cause,
  });
}
