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

/** A TLS listener's server, whose certificate can be replaced while the server runs. */
interface Following {
  setSecureContext(options: SecureContextOptions): void;
}

/** Certificate of a TLS listener. Each listener passes itself to `follow`, and switches to each new certificate. */
export interface TlsOptions {
  key: string;
  cert: string;
  ca: string;
  /** Selects the provided certificate for clients whose requested name (SNI) it covers; other clients get `cert`. */
  SNICallback?: (name: string, done: (error: Error | null, context?: SecureContext) => void) => void;
  follow: (server: Following) => void;
}

interface TlsParts {
  authority: Authority;
  /** Names and addresses that clients reach the server by. */
  hosts: string[];
  /** PEM files: a certificate from another CA, with its chain, and the certificate's key. */
  given?: { cert: string; key: string } | undefined;
  now: () => number;
  log: Logger;
}

/** How often files and expiry dates are checked, ms. */
const lookEvery = 5000;

/**
 * Opens the certificates of all listeners. The platform's own certificate is renewed 30 days before it expires, and a provided one is
 * reloaded when its file changes. Listeners switch over without closing. Clients that trust only the platform's CA can still connect. The provided certificate is presented to clients that request one of its names (SNI), and to all
 * clients on the listeners for third-party clients.
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
      log.warn({ expires: new X509Certificate(own.certificate).validTo }, 'renewed the server certificate');
    }
    if (!given || !other || (await changed(given)) === other.changed) return;
    other = await readGiven(given, now());
    for (const server of followers.shown) server.setSecureContext(shownOptions());
    log.warn({ expires: other.expires }, 'reloaded the configured certificate');
  };
  let failed = '';
  const timer = setInterval(() => {
    look().then(
      () => {
        failed = '';
      },
      (error: Error) => {
        // Logged once per reason, because a file is briefly invalid while it is being written. The previous certificate
        // stays in use.
        if (error.message !== failed)
          log.error({ err: error }, 'could not change the certificate; the previous one stays in use');
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
    /** PEM of the platform's own certificate currently in use. */
    current: () => own.certificate,
    close: () => clearInterval(timer),
  };
}

async function changed({ cert, key }: { cert: string; key: string }): Promise<string> {
  const times = await Promise.all([cert, key].map(async (file) => (await stat(file)).mtimeMs));
  return times.join();
}

/** Reads a certificate and its key, and checks that a server can use them. */
async function readGiven(files: { cert: string; key: string }, now: number) {
  const [cert, key] = [await readText(files.cert), await readText(files.key)];
  const unfit = (why: string, cause?: unknown) => new AiotError('AIOT_CERTIFICATE_UNFIT', why, { cause });
  let leaf: X509Certificate;
  try {
    leaf = new X509Certificate(cert);
  } catch (cause) {
    throw unfit(`${files.cert} is not a PEM certificate`, cause);
  }
  if (Date.parse(leaf.validTo) <= now)
    throw unfit(`the certificate in ${files.cert} expired on ${leaf.validTo}`);
  if (Date.parse(leaf.validFrom) > now)
    throw unfit(`the certificate in ${files.cert} is not valid until ${leaf.validFrom}`);
  // Node lists extended key usages as object identifiers. A certificate without the extension may be used for anything.
  const usages = leaf.keyUsage as string[] | undefined;
  if (usages && !usages.includes(serverAuth))
    throw unfit(`the certificate in ${files.cert} is not a server certificate`);
  try {
    if (!leaf.checkPrivateKey(createPrivateKey(key)))
      throw unfit(`${files.key} is not the key for ${files.cert}`);
    const context = createSecureContext({ key, cert });
    return { key, cert, leaf, context, expires: leaf.validTo, changed: await changed(files) };
  } catch (cause) {
    if (cause instanceof AiotError) throw cause;
    throw unfit(`${files.key} is not a PEM private key without a passphrase`, cause);
  }
}

/** id-kp-serverAuth (RFC 5280, 4.2.1.12). */
const serverAuth = '1.3.6.1.5.5.7.3.1';

interface PkiOptions {
  /** Folder with ca.key, ca.crt and the server's certificate. */
  folder: string;
  engine: Engine;
  /** ms since 1970 */
  now: () => number;
  /** Whether the platform was used before, in which case its authority must exist. */
  inUse: boolean;
  /**
   * Secret that seals the CA's key in a database shared by processes; by default, the secret in the folder's file
   * `secret`.
   */
  secret?: string | undefined;
  /** Encrypts the CA's key in the folder. */
  passphrase?: string | undefined;
}

/**
 * Opens the platform's authority. Processes that share a database also share the CA. The database stores it with its
 * key sealed, and each process keeps a copy in its own folder. Each process has its own server certificate.
 * @throws AIOT_DATABASE_REFUSED (the key is sealed with another secret, or the folder belongs to another platform), and
 * as openAuthority
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

/** The CA as stored in the database: its certificate, and its private key encrypted by AES-256-GCM under a key derived with scrypt (base64). */
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
    throw new AiotError(
      'AIOT_DATABASE_REFUSED',
      `${crt} is the CA of a different platform than the database`,
      {
        next: "Use that platform's data folder, or a new one: --data DIR",
      },
    );
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

/** Generates the secret that seals the CA's key in the database, and stores it next to that key in the folder. */
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
      'the CA in the database was sealed with a different secret',
      {
        next: 'Set AIOT_PLATFORM_SECRET to the secret of the platform that created the database, or to the contents of pki/secret in its folder.',
        cause,
      },
    );
  }
}

/** RFC 7914: N = 2^15, r = 8, p = 1. */
function keyOf(secret: string, salt: Buffer): Buffer {
  return scryptSync(secret, salt, 32, { N: 2 ** 15, r: 8, p: 1, maxmem: 64 * 1024 ** 2 });
}
