import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  randomBytes,
  scrypt,
  timingSafeEqual,
} from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { AiotError } from '../../core/index.js';
import { type BackupHead, malformed, memoryOf } from './format.js';

const nonceBytes = 12;
const tagBytes = 16;

/** The two keys of a passphrase. */
export interface Keys {
  /** AES-256-GCM */
  seal: Buffer;
  /** HMAC-SHA256 */
  mac: Buffer;
}

/** Shortest passphrase taken, characters. */
export const shortest = 12;

/** @throws AIOT_USAGE (too short) */
export function checkPassphrase(passphrase: string): void {
  if (passphrase.length >= shortest) return;
  throw new AiotError(
    'AIOT_USAGE',
    `expected a passphrase of at least ${shortest} characters, got ${passphrase.length}`,
  );
}

/** What a new backup makes its keys with: 128 MiB and about half a second for each guess. */
export function newScrypt(): BackupHead['scrypt'] {
  return { salt: randomBytes(16).toString('base64'), N: 2 ** 17, r: 8, p: 1 };
}

export async function keysOf(passphrase: string, { salt, N, r, p }: BackupHead['scrypt']): Promise<Keys> {
  const key = await new Promise<Buffer>((resolve, reject) => {
    const options = { N, r, p, maxmem: 2 * memoryOf({ N, r, p }) };
    scrypt(passphrase.normalize('NFC'), Buffer.from(salt, 'base64'), 64, options, (error, made) =>
      error ? reject(error) : resolve(made),
    );
  });
  return { seal: key.subarray(0, 32), mac: key.subarray(32) };
}

/** Nonce, ciphertext, tag (NIST SP 800-38D). The entry's name is bound to it: one sealed file is not taken for another. */
export async function sealFile(from: string, to: string, name: string, { seal }: Keys): Promise<void> {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', seal, nonce).setAAD(Buffer.from(name));
  const out = createWriteStream(to, { mode: 0o600 });
  out.write(nonce);
  await pipeline(createReadStream(from), cipher, out, { end: false });
  await new Promise<void>((resolve, reject) =>
    out.end(cipher.getAuthTag(), () => resolve()).once('error', reject),
  );
}

/** @throws AIOT_BACKUP_PASSPHRASE (or a file that was changed), AIOT_BACKUP_MALFORMED */
export async function unsealFile(from: string, to: string, name: string, { seal }: Keys): Promise<void> {
  const { size } = await stat(from);
  if (size < nonceBytes + tagBytes) throw malformed(`${name} is too short`);
  const file = await open(from);
  const ends = Buffer.alloc(nonceBytes + tagBytes);
  try {
    await file.read(ends, 0, nonceBytes, 0);
    await file.read(ends, nonceBytes, tagBytes, size - tagBytes);
  } finally {
    await file.close();
  }
  const decipher = createDecipheriv('aes-256-gcm', seal, ends.subarray(0, nonceBytes));
  decipher.setAAD(Buffer.from(name)).setAuthTag(ends.subarray(nonceBytes));
  const body = createReadStream(from, { start: nonceBytes, end: Math.max(nonceBytes, size - tagBytes - 1) });
  try {
    if (size === nonceBytes + tagBytes) {
      decipher.final();
      await (await open(to, 'w', 0o600)).close();
    } else await pipeline(body, decipher, createWriteStream(to, { mode: 0o600 }));
  } catch (error) {
    throw malformed(`${name} cannot be opened: it was changed`, error);
  }
}

export function macOf(text: string, { mac }: Keys): string {
  return createHmac('sha256', mac).update(text).digest('hex');
}

/** @throws AIOT_BACKUP_PASSPHRASE */
export function checkMac(text: string, mac: string, keys: Keys): void {
  const [own, told] = [Buffer.from(macOf(text, keys)), Buffer.from(mac)];
  if (own.length === told.length && timingSafeEqual(own, told)) return;
  throw new AiotError(
    'AIOT_BACKUP_PASSPHRASE',
    'the passphrase is another than the backup was made with, or the backup was changed',
  );
}
