import { AiotError, issueText, publicKeyIn, readJson, readText } from '../core/index.js';
import { type TrustRoot, trustRootOf, trustRootSchema } from '../formats/index.js';

export interface TrustFiles {
  /** A trust root, JSON: `trust.json` of a device's identity is one. */
  trust?: string | undefined;
  /** A public key, PEM. */
  key?: string | undefined;
}

/**
 * Whose signatures count, from a file; null when none is named. Nothing is asked of a platform.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED
 */
export async function readTrust({ trust, key }: TrustFiles): Promise<TrustRoot | null> {
  if (trust !== undefined) {
    const read = trustRootSchema.safeParse(await readJson(trust));
    if (read.success) return read.data;
    throw malformed(`${trust}: ${issueText(read.error, 'the file')}`);
  }
  if (key === undefined) return null;
  const pem = await readText(key);
  try {
    return trustRootOf(publicKeyIn(pem));
  } catch (error) {
    throw malformed(`${key} is not an ECDSA P-256 key in PEM`, error);
  }
}

function malformed(message: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_FILE_MALFORMED', message, { cause });
}
