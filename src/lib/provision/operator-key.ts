import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { generateKeyPair, keyIdOf, publicKeyOf } from '../core/crypto.js';
import { AiotError, hasCode, unless } from '../core/errors.js';
import { readBytes, writeFileAtomic } from '../core/files.js';
import { configFolder } from '../core/folders.js';

function keyFile(context: string, folder: string): string {
  return join(folder, 'keys', `${context}.pem`);
}

/**
 * The operator's signing key for a platform, PKCS#8 PEM. It signs releases and never leaves this user's config folder. The platform and
 * the devices get only its public key, in the trust root. @throws AIOT_KEY_NOT_FOUND, AIOT_FILE_MALFORMED
 */
export async function operatorKey(context: string, folder = configFolder()): Promise<string> {
  const file = keyFile(context, folder);
  const privatePem = await readBytes(file).then(
    (bytes) => bytes.toString('utf8'),
    (error: unknown) => {
      if (!hasCode(error, 'AIOT_FILE_NOT_FOUND')) throw error;
      throw new AiotError(
        'AIOT_KEY_NOT_FOUND',
        `the signing key for the context ${context} is missing: ${file}`,
        {
          cause: error,
        },
      );
    },
  );
  try {
    publicKeyOf(privatePem);
    return privatePem;
  } catch (error) {
    throw new AiotError('AIOT_FILE_MALFORMED', `${file} is not a private key in PEM`, { cause: error });
  }
}

/** Like operatorKey, but creates the key if there is none: mode 0600 in a folder of mode 0700. */
export async function ensureOperatorKey(context: string, folder = configFolder()): Promise<string> {
  const there = await unless('AIOT_KEY_NOT_FOUND', operatorKey(context, folder));
  if (there !== undefined) return there;
  await mkdir(join(folder, 'keys'), { recursive: true, mode: 0o700 });
  await writeFileAtomic(keyFile(context, folder), generateKeyPair().privatePem, 0o600);
  return operatorKey(context, folder);
}

/**
 * Stages another signing key next to the current one. The old key is stored under its id; it no longer signs, but may still be needed for
 * investigation.
 * @returns a function that makes the new key the current one and returns its file; call it once the platform trusts the key
 */
export async function replaceOperatorKey(
  context: string,
  privatePem: string,
  folder = configFolder(),
): Promise<() => Promise<string>> {
  const file = keyFile(context, folder);
  const idOf = (pem: string) => keyIdOf(publicKeyOf(pem)).slice(0, 8);
  const waiting = keyFile(`${context}.${idOf(privatePem)}`, folder);
  await writeFileAtomic(waiting, privatePem, 0o600);
  return async () => {
    const before = await unless('AIOT_KEY_NOT_FOUND', operatorKey(context, folder));
    if (before !== undefined)
      await writeFileAtomic(keyFile(`${context}.${idOf(before)}.old`, folder), before, 0o600);
    await rename(waiting, file);
    return file;
  };
}
