import { createPrivateKey, X509Certificate } from 'node:crypto';
import { AiotError, readText } from '../core/index.js';
import type { StreamOptions } from './options.js';

export interface CredentialFiles {
  ca?: string;
  cert?: string;
  key?: string;
}

/** Reads PEM files. @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED, AIOT_USAGE (one of cert and key without the other) */
export async function credentialsFrom(
  files: CredentialFiles,
): Promise<Pick<StreamOptions, 'ca' | 'cert' | 'key'>> {
  if ((files.cert === undefined) !== (files.key === undefined)) {
    throw new AiotError('AIOT_USAGE', 'expected --cert and --key together, got one of them');
  }
  const read: Pick<StreamOptions, 'ca' | 'cert' | 'key'> = {};
  for (const name of ['ca', 'cert', 'key'] as const) {
    const path = files[name];
    if (path === undefined) continue;
    const text = await readText(path);
    try {
      if (name === 'key') createPrivateKey(text);
      else new X509Certificate(text);
    } catch (error) {
      const what = name === 'key' ? 'an unencrypted private key' : 'a certificate';
      throw new AiotError('AIOT_FILE_MALFORMED', `${path}: expected ${what} in PEM`, { cause: error });
    }
    read[name] = text;
  }
  return read;
}
