import { createPrivateKey, X509Certificate } from 'node:crypto';
import { AiotError, readText } from '../../core/index.js';
import type { StreamCredentials } from '../options.js';

export interface CredentialFiles {
  ca?: string;
  cert?: string;
  key?: string;
  /** Of NATS: what `nsc generate creds` writes. */
  creds?: string;
}

/**
 * Reads PEM files, and NATS's file of a user.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED, AIOT_USAGE (one of cert and key without the other)
 */
export async function credentialsFrom(
  files: CredentialFiles,
): Promise<Pick<StreamCredentials, 'ca' | 'cert' | 'key' | 'creds'>> {
  if ((files.cert === undefined) !== (files.key === undefined)) {
    throw new AiotError('AIOT_USAGE', 'expected --cert and --key together, got one of them');
  }
  const read: Pick<StreamCredentials, 'ca' | 'cert' | 'key' | 'creds'> = {};
  for (const name of ['ca', 'cert', 'key', 'creds'] as const) {
    const path = files[name];
    if (path !== undefined) read[name] = checked[name](await readText(path), path);
  }
  return read;
}

const checked = {
  ca: certificate,
  cert: certificate,
  key: (text: string, path: string) => pem(text, path, 'an unencrypted private key', createPrivateKey),
  // Decorated as nsc writes it: the JWT between two lines of dashes, then the seed of its key.
  creds(text: string, path: string): string {
    if (/BEGIN NATS USER JWT[\s\S]*BEGIN USER NKEY SEED/.test(text)) return text;
    throw new AiotError('AIOT_FILE_MALFORMED', `${path}: expected a NATS user's JWT and NKey seed`);
  },
};

function certificate(text: string, path: string): string {
  return pem(text, path, 'a certificate', (content) => new X509Certificate(content));
}

function pem(text: string, path: string, what: string, parse: (text: string) => unknown): string {
  try {
    parse(text);
    return text;
  } catch (error) {
    throw new AiotError('AIOT_FILE_MALFORMED', `${path}: expected ${what} in PEM`, { cause: error });
  }
}
