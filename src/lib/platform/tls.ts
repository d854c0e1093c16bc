import { createPrivateKey, X509Certificate } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import type { Logger } from 'pino';
import { AiotError, readText } from '../core/index.js';
import type { Authority } from '../provision/index.js';

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

export interface TlsParts {
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
