import { createCipheriv, createDecipheriv, randomBytes, scryptSync } from 'node:crypto';
import { join } from 'node:path';
import { AiotError, readText, unless, writeFileAtomic } from '../core/index.js';
import { type Authority, openAuthority } from '../provision/index.js';
import type { Engine } from './store/engine.js';

export interface PkiOptions {
  /** Of ca.key, ca.crt and the server's certificate. */
  folder: string;
  engine: Engine;
  /** ms since 1970 */
  now: () => number;
  /** Whether the platform was used before: it must have its authority then. */
  inUse: boolean;
  /** Seals the CA's key in a database that processes share; that in `secret` of the folder when absent. */
  secret?: string | undefined;
  /** Encrypts the CA's key in the folder. */
  passphrase?: string | undefined;
}

/**
 * Opens the platform's authority. In a database that processes share they share the CA too: it is sealed in there, and each
 * has it in its own folder besides. The server's certificate is each one's own.
 * @throws AIOT_DATABASE_REFUSED (sealed with another secret, or the folder is of another platform), and as openAuthority
 */
export async function openPki({
  folder,
  engine,
  now,
  inUse,
  secret,
  passphrase,
}: PkiOptions): Promise<Authority> {
  if (!engine.changes.shared) return openAuthority(folder, now, inUse, passphrase);
  return engine.turns.of('pki')(async () => {
    const { store } = engine;
    const row = await store.selectFrom('meta').select('value').where('key', '=', 'pki').executeTakeFirst();
    const shared = row && (JSON.parse(row.value) as Sealed);
    if (shared) await bring(folder, shared, secret);
    const authority = await openAuthority(folder, now, shared !== undefined, passphrase);
    if (!shared) {
      const key = await readText(join(folder, 'ca.key'));
      const own = secret ?? (await keptSecret(folder)) ?? (await newSecret(folder));
      const value = JSON.stringify({ certificate: authority.certificate, ...seal(key, own) });
      await store.insertInto('meta').values({ key: 'pki', value }).execute();
    }
    return authority;
  });
}

/** The CA in the database: AES-256-GCM with a key by scrypt; base64. */
interface Sealed {
  /** PEM */
  certificate: string;
  salt: string;
  nonce: string;
  tag: string;
  sealed: string;
}

async function bring(folder: string, shared: Sealed, secret: string | undefined): Promise<void> {
  const [crt, keyFile] = [join(folder, 'ca.crt'), join(folder, 'ca.key')];
  const here = await unless('AIOT_FILE_NOT_FOUND', readText(crt));
  if (here !== undefined && here !== shared.certificate) {
    throw new AiotError('AIOT_DATABASE_REFUSED', `${crt} is the CA of another platform than the database's`, {
      next: 'Start with the data folder of that platform, or a new one: --data DIR',
    });
  }
  if (here !== undefined && (await unless('AIOT_FILE_NOT_FOUND', readText(keyFile))) !== undefined) return;
  const key = unseal(shared, secret ?? (await keptSecret(folder)));
  await writeFileAtomic(keyFile, key, 0o600);
  await writeFileAtomic(crt, shared.certificate);
}

const secretIn = (folder: string) => join(folder, 'secret');

async function keptSecret(folder: string): Promise<string | undefined> {
  return (await unless('AIOT_FILE_NOT_FOUND', readText(secretIn(folder))))?.trim();
}

/** Made once, when nobody gave one; beside the key that it seals elsewhere. */
async function newSecret(folder: string): Promise<string> {
  const made = randomBytes(32).toString('base64url');
  await writeFileAtomic(secretIn(folder), `${made}\n`, 0o600);
  return made;
}

function seal(text: string, secret: string): Omit<Sealed, 'certificate'> {
  const [salt, nonce] = [randomBytes(16), randomBytes(12)];
  const cipher = createCipheriv('aes-256-gcm', keyOf(secret, salt), nonce);
  const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
  const base64 = (bytes: Buffer) => bytes.toString('base64');
  return {
    salt: base64(salt),
    nonce: base64(nonce),
    tag: base64(cipher.getAuthTag()),
    sealed: base64(sealed),
  };
}

function unseal({ salt, nonce, tag, sealed }: Sealed, secret = ''): string {
  const bytes = (base64: string) => Buffer.from(base64, 'base64');
  try {
    const decipher = createDecipheriv('aes-256-gcm', keyOf(secret, bytes(salt)), bytes(nonce));
    decipher.setAuthTag(bytes(tag));
    return Buffer.concat([decipher.update(bytes(sealed)), decipher.final()]).toString('utf8');
  } catch (cause) {
    throw new AiotError(
      'AIOT_DATABASE_REFUSED',
      'the CA in the database was sealed with another secret than this platform has',
      {
        next: 'Give it the one of the platform that made the database: AIOT_PLATFORM_SECRET, or what is in pki/secret of its folder.',
        cause,
      },
    );
  }
}

/** RFC 7914: N = 2^15, r = 8, p = 1. */
function keyOf(secret: string, salt: Buffer): Buffer {
  return scryptSync(secret, salt, 32, { N: 2 ** 15, r: 8, p: 1, maxmem: 64 * 1024 ** 2 });
}
