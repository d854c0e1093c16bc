import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  randomBytes,
  scryptSync,
  X509Certificate,
} from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import type { Logger } from 'pino';
import { AiotError, unless } from '../core/errors.js';
import { readText, writeFileAtomic } from '../core/files.js';
import { type Authority, openAuthority } from '../provision/authority.js';
import type { Engine } from './store/engine.js';

/** A server whose certificate can be changed while it runs. */
interface Following {
  setSecureContext(options: SecureContextOptions): void;
}

/** What a TLS listener shows. Each passes itself to `follow`, and shows the next certificate when there is one. */
export interface TlsOptions {
  key: string;
  cert: string;
  ca: string;
  /** Another certificate for clients that ask for a name of it. */
  SNICallback?: (name: string, done: (error: Error | null, context?: SecureContext) => void) => void;
  follow: (server: Following) => void;
}

interface TlsParts {
  authority: Authority;
  /** Names and addresses that the server is reached by. */
  hosts: string[];
  /** PEM files of a certificate by another CA, with its chain, and of its key. */
  given?: { cert: string; key: string } | undefined;
  now: () => number;
  log: Logger;
}

/** How often files and ends are looked at, ms. */
const lookEvery = 5000;

/**
 * The certificates of all listeners. The platform's own is renewed 30 days before it ends, a given one is read anew when
 * its file changes; listeners change over without closing. What knows only the platform's CA goes on: the given one is
 * shown to who asks for a name of it (SNI), and by the listeners for other people's clients.
 * @throws AIOT_CERTIFICATE_UNFIT, AIOT_FILE_NOT_FOUND
 */
export async function openTls(parts: TlsParts) {
  const { authority, given, now, log } = parts;
  const ca = authority.certificate;
  const followers = { own: new Set<Following>(), shown: new Set<Following>() };
  let own = await authority.server(parts.hosts);
  let other = given && (await readGiven(given, now()));
  const ownOptions = () => ({ key: own.key, cert: own.certificate, ca });
  const shownOptions = () => (other ? { key: other.key, cert: other.cert, ca } : ownOptions());

  const look = async () => {
    const next = await authority.server(parts.hosts);
    if (next.certificate !== own.certificate) {
      own = next;
      for (const server of followers.own) server.setSecureContext(ownOptions());
      if (!other) for (const server of followers.shown) server.setSecureContext(shownOptions());
      log.warn(
        { expires: new X509Certificate(own.certificate).validTo },
        'the server’s certificate was renewed',
      );
    }
    if (!given || !other || (await changed(given)) === other.changed) return;
    other = await readGiven(given, now());
    for (const server of followers.shown) server.setSecureContext(shownOptions());
    log.warn({ expires: other.expires }, 'the given certificate was read anew');
  };
  let failed = '';
  const timer = setInterval(() => {
    look().then(
      () => {
        failed = '';
      },
      (error: Error) => {
        // Once a reason: a certificate that is being written is unfit for a moment, and the one before goes on.
        if (error.message !== failed)
          log.error({ err: error }, 'the certificate could not be changed; the one before goes on');
        failed = error.message;
      },
    );
  }, lookEvery);

  const api: TlsOptions = {
    ...ownOptions(),
    follow: (server) => void followers.own.add(server),
    SNICallback: (name, done) => done(null, other?.leaf.checkHost(name) ? other.context : undefined),
  };
  const guests: TlsOptions = { ...shownOptions(), follow: (server) => void followers.shown.add(server) };
  return {
    api,
    guests,
    /** PEM of the platform's own, as it is shown now. */
    current: () => own.certificate,
    close: () => clearInterval(timer),
  };
}

async function changed({ cert, key }: { cert: string; key: string }): Promise<string> {
  const times = await Promise.all([cert, key].map(async (file) => (await stat(file)).mtimeMs));
  return times.join();
}

/** Reads a certificate and its key, and looks whether a server can be trusted by them. */
async function readGiven(files: { cert: string; key: string }, now: number) {
  const [cert, key] = [await readText(files.cert), await readText(files.key)];
  const unfit = (why: string, cause?: unknown) => new AiotError('AIOT_CERTIFICATE_UNFIT', why, { cause });
  let leaf: X509Certificate;
  try {
    leaf = new X509Certificate(cert);
  } catch (cause) {
    throw unfit(`${files.cert} is no certificate in PEM`, cause);
  }
  if (Date.parse(leaf.validTo) <= now)
    throw unfit(`the certificate in ${files.cert} ended on ${leaf.validTo}`);
  if (Date.parse(leaf.validFrom) > now)
    throw unfit(`the certificate in ${files.cert} begins on ${leaf.validFrom}`);
  // Node lists extended key usages as object ids; none = all.
  const usages = leaf.keyUsage as string[] | undefined;
  if (usages && !usages.includes(serverAuth))
    throw unfit(`the certificate in ${files.cert} is not for servers`);
  try {
    if (!leaf.checkPrivateKey(createPrivateKey(key)))
      throw unfit(`${files.key} is not the key of ${files.cert}`);
    const context = createSecureContext({ key, cert });
    return { key, cert, leaf, context, expires: leaf.validTo, changed: await changed(files) };
  } catch (cause) {
    if (cause instanceof AiotError) throw cause;
    throw unfit(`${files.key} is no private key in PEM that can be read without a passphrase`, cause);
  }
}

/** id-kp-serverAuth (RFC 5280, 4.2.1.12). */
const serverAuth = '1.3.6.1.5.5.7.3.1';

interface PkiOptions {
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
