import {
  createCipheriv,
  createPrivateKey,
  hkdfSync,
  randomBytes,
  scryptSync,
  X509Certificate,
} from 'node:crypto';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { generateKeyPair } from '../core/crypto.js';
import { AiotError, unless } from '../core/errors.js';
import { readBytes, readText, writeFileAtomic } from '../core/files.js';
import { newId } from '../core/names.js';
import {
  deviceCertificate,
  type Issuer,
  revocationList,
  selfSignedCa,
  serverCertificate,
} from './certificates.js';

/** A certificate as the platform stores it. */
export interface IssuedCertificate {
  /** PEM */
  certificate: string;
  /** SHA-256 of the DER, 64 hex digits. */
  fingerprint: string;
  /** Serial number in lower-case hex. */
  serial: string;
  /** ms since 1970 */
  expires: number;
}

/** The platform's own certificate authority: it signs the certificates of the server and of devices. */
export interface Authority {
  /** PEM, and the file that contains it. */
  certificate: string;
  file: string;
  /**
   * Key and certificate for a server with these host names. They are renewed when the names change or the certificate is about to expire.
   */
  server(hosts: string[]): Promise<{ key: string; certificate: string }>;
  /** @throws AIOT_CSR_INVALID */
  device(request: { csr: string; name: string; id: string }): Promise<IssuedCertificate>;
  /**
   * Creates a PEM list that revokes the certificates with these serial numbers. `at`: ms since 1970, in a later second than the previous
   * list's.
   */
  revocationList(serials: readonly string[], at: number): Promise<string>;
  /** 32 bytes derived from the CA's key (HKDF-SHA-256), the same in every process that has this key. `purpose`: different names yield independent bytes. */
  derive(purpose: string): Uint8Array;
}

const renewBefore = 30 * 86_400_000;

/**
 * Opens the authority in this folder (ca.key 0600, ca.crt), or creates one. `now`: ms since 1970. `inUse`: certificates signed by
 * the authority are in use, so the authority must exist; a new one would lock out the devices with these certificates. With a
 * passphrase, the key is encrypted (PKCS#8), even if it was stored in plain text before.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED (also for a key that does not belong to the certificate), AIOT_CA_LOCKED
 */
export async function openAuthority(
  folder: string,
  now: () => number,
  inUse = false,
  passphrase?: string,
): Promise<Authority> {
  const file = join(folder, 'ca.crt');
  const issuer =
    (await readIssuer(folder, inUse, passphrase)) ?? (await makeIssuer(folder, now(), passphrase));
  return {
    certificate: issuer.certificate,
    file,
    server: (hosts) => serverIdentity(folder, issuer, hosts, now()),
    async device(request) {
      const certificate = await deviceCertificate(issuer, request, now());
      const serial = new X509Certificate(certificate).serialNumber.toLowerCase();
      return { certificate, serial, ...describeCertificate(certificate) };
    },
    revocationList: (serials, at) => revocationList(issuer, serials, at),
    derive(purpose) {
      // The private scalar, because a key's DER may differ between writers.
      const { d = '' } = createPrivateKey(issuer.key).export({ format: 'jwk' });
      return new Uint8Array(hkdfSync('sha256', Buffer.from(d, 'base64url'), '', purpose, 32));
    },
  };
}

/** Fingerprint (SHA-256 of the DER, 64 hex digits) and expiry (ms since 1970) of a PEM certificate. */
export function describeCertificate(pem: string): { fingerprint: string; expires: number } {
  const certificate = new X509Certificate(pem);
  return {
    fingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    expires: Date.parse(certificate.validTo),
  };
}

async function readIssuer(folder: string, inUse: boolean, passphrase?: string): Promise<Issuer | null> {
  const [crt, keyFile] = [join(folder, 'ca.crt'), join(folder, 'ca.key')];
  const certificate = await textOrNull(crt);
  if (certificate === null) {
    // The certificate is written last. A key without a certificate has signed nothing yet, so it is replaced.
    if (!inUse && (await textOrNull(join(folder, 'server.crt'))) === null) return null;
    throw new AiotError('AIOT_FILE_NOT_FOUND', `${crt} is missing, and devices trust no other CA`, {
      next: restore,
    });
  }
  const kept = await readText(keyFile);
  const key = isSealed(kept) ? unsealKey(kept, passphrase, keyFile) : kept;
  if (belongs(certificate, key)) {
    if (passphrase && !isSealed(kept)) await writeFileAtomic(keyFile, sealKey(key, passphrase), 0o600);
    return { certificate, key };
  }
  throw new AiotError('AIOT_FILE_MALFORMED', `${keyFile} is not the key that belongs to ${crt}`, {
    next: restore,
  });
}

const restore = 'Restore the folder from a backup, or start a new platform with --data.';

/** Whether the certificate and the key belong together; false if either is malformed. */
function belongs(certificate: string, key: string): boolean {
  try {
    return new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}

async function makeIssuer(folder: string, now: number, passphrase?: string): Promise<Issuer> {
  const key = generateKeyPair().privatePem;
  const certificate = await selfSignedCa(key, `aiot ${newId('ca', now)}`, now);
  await writeFileAtomic(join(folder, 'ca.key'), passphrase ? sealKey(key, passphrase) : key, 0o600);
  await writeFileAtomic(join(folder, 'ca.crt'), certificate);
  return { certificate, key };
}

async function serverIdentity(folder: string, issuer: Issuer, hosts: string[], now: number) {
  const certificate = await textOrNull(join(folder, 'server.crt'));
  const key = await textOrNull(join(folder, 'server.key'));
  if (certificate && key && belongs(certificate, key) && stillGood(certificate, issuer, hosts, now))
    return { certificate, key };
  const fresh = generateKeyPair().privatePem;
  const signed = await serverCertificate(issuer, fresh, hosts, now);
  await writeFileAtomic(join(folder, 'server.key'), fresh, 0o600);
  await writeFileAtomic(join(folder, 'server.crt'), signed);
  return { key: fresh, certificate: signed };
}

function stillGood(pem: string, issuer: Issuer, hosts: string[], now: number): boolean {
  const certificate = new X509Certificate(pem);
  return (
    Date.parse(certificate.validTo) - now > renewBefore &&
    Date.parse(certificate.validFrom) <= now &&
    certificate.verify(new X509Certificate(issuer.certificate).publicKey) &&
    hosts.every((host) => (isIP(host) ? certificate.checkIP(host) : certificate.checkHost(host)))
  );
}

async function textOrNull(path: string): Promise<string | null> {
  const bytes = await unless('AIOT_FILE_NOT_FOUND', readBytes(path));
  return bytes?.toString('utf8') ?? null;
}

/** scrypt cost (RFC 7914), as used by `openssl pkcs8 -scrypt`: 16 MiB. */
const cost = { N: 2 ** 14, r: 8, p: 1 };

function isSealed(pem: string): boolean {
  return pem.includes('-----BEGIN ENCRYPTED PRIVATE KEY-----');
}

/**
 * Encrypts a PKCS#8 key with a passphrase: EncryptedPrivateKeyInfo (RFC 5958, 3), PBES2 (RFC 8018, 6.2) with scrypt (RFC 7914, 7)
 * and AES-256-CBC, which openssl can read.
 */
function sealKey(pem: string, passphrase: string): string {
  const der = createPrivateKey(pem).export({ type: 'pkcs8', format: 'der' });
  const [salt, iv] = [randomBytes(16), randomBytes(16)];
  const cipher = createCipheriv('aes-256-cbc', scryptSync(passphrase, salt, 32, cost), iv);
  const sealed = Buffer.concat([cipher.update(der), cipher.final()]);
  const scrypt = sequence(
    oid('2b06010401da47040b'),
    sequence(octets(salt), integer(cost.N), integer(cost.r), integer(cost.p)),
  );
  const aes = sequence(oid('60864801650304012a'), octets(iv));
  const info = sequence(sequence(oid('2a864886f70d01050d'), sequence(scrypt, aes)), octets(sealed));
  const lines = info.toString('base64').match(/.{1,64}/g) ?? [];
  return ['-----BEGIN ENCRYPTED PRIVATE KEY-----', ...lines, '-----END ENCRYPTED PRIVATE KEY-----', ''].join(
    '\n',
  );
}

/** Decrypts the key to PKCS#8 PEM. @throws AIOT_CA_LOCKED if the passphrase is missing or wrong */
function unsealKey(pem: string, passphrase: string | undefined, file: string): string {
  if (passphrase === undefined || passphrase === '') {
    throw new AiotError('AIOT_CA_LOCKED', `${file} is encrypted, but no passphrase was given`);
  }
  try {
    return createPrivateKey({ key: pem, passphrase }).export({ type: 'pkcs8', format: 'pem' }).toString();
  } catch (cause) {
    throw new AiotError('AIOT_CA_LOCKED', `${file} cannot be decrypted with the given passphrase`, {
      cause,
    });
  }
}

/** A DER element (X.690): tag, length of the content, content. */
function element(tag: number, ...contents: Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const head =
    length < 128
      ? [tag, length]
      : length < 256
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from(head), content]);
}

const sequence = (...contents: Buffer[]) => element(0x30, ...contents);
const octets = (bytes: Buffer) => element(0x04, bytes);
const oid = (hex: string) => element(0x06, Buffer.from(hex, 'hex'));

function integer(value: number): Buffer {
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.length % 2 ? `0${hex}` : hex, 'hex');
  return element(0x02, (bytes[0] ?? 0) > 127 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes);
}
