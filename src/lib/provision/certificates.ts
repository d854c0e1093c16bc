import { randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import { AiotError } from '../core/errors.js';

const day = 86_400_000;

/** Device clocks may be slow, so a certificate is valid from shortly before it was issued. */
const skew = 5 * 60_000;

export interface Issuer {
  /** PEM */
  certificate: string;
  /** PKCS#8 PEM */
  key: string;
}

/** A self-signed root certificate, valid for ten years. `key`: PKCS#8 PEM. */
export async function selfSignedCa(key: string, name: string, now: number): Promise<string> {
  const x509 = await loadX509();
  const keys = await importKeyPair(key);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: [{ CN: [name] }, { O: ['aiot'] }],
    serialNumber: serialNumber(),
    notBefore: new Date(now - skew),
    notAfter: new Date(now + 3652 * day),
    keys,
    signingAlgorithm: ecdsa,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return `${certificate.toString('pem')}\n`;
}

/** Issues a server certificate, valid for one year. The host names and addresses become its subject alternative names. */
export async function serverCertificate(
  issuer: Issuer,
  key: string,
  hosts: string[],
  now: number,
): Promise<string> {
  const x509 = await loadX509();
  const { publicKey } = await importKeyPair(key);
  const names = hosts.map((value) => ({ type: isIP(value) ? ('ip' as const) : ('dns' as const), value }));
  const certificate = await x509.X509CertificateGenerator.create({
    subject: [{ CN: [hosts[0] ?? 'localhost'] }, { O: ['aiot'] }],
    ...(await common(issuer, now, 366)),
    publicKey,
    extensions: [
      ...(await leaf(issuer, publicKey, x509.ExtendedKeyUsage.serverAuth)),
      new x509.SubjectAlternativeNameExtension(names),
    ],
  });
  return `${certificate.toString('pem')}\n`;
}

/**
 * Issues a certificate for client authentication, valid for two years. Its subject has CN = the device's name and serialNumber = its id.
 * Only the public key is used from the request. @throws AIOT_CSR_INVALID
 */
export async function deviceCertificate(
  issuer: Issuer,
  device: { csr: string; name: string; id: string },
  now: number,
): Promise<string> {
  const x509 = await loadX509();
  const publicKey = await keyOfRequest(device.csr);
  const certificate = await x509.X509CertificateGenerator.create({
    subject: [{ CN: [device.name] }, { O: ['aiot'] }, { '2.5.4.5': [device.id] }],
    ...(await common(issuer, now, 730)),
    publicKey,
    extensions: await leaf(issuer, publicKey, x509.ExtendedKeyUsage.clientAuth),
  });
  return `${certificate.toString('pem')}\n`;
}

/** The public key of a PKCS#10 request, after verifying that the request is signed with it. */
async function keyOfRequest(csr: string) {
  const x509 = await loadX509();
  let request: InstanceType<typeof x509.Pkcs10CertificateRequest>;
  try {
    request = new x509.Pkcs10CertificateRequest(csr);
  } catch (error) {
    throw new AiotError('AIOT_CSR_INVALID', 'expected a PKCS#10 request in PEM', { cause: error });
  }
  const algorithm = request.publicKey.algorithm as { name: string; namedCurve?: string };
  if (algorithm.name !== 'ECDSA' || algorithm.namedCurve !== 'P-256') {
    const got = [algorithm.name, algorithm.namedCurve].filter(Boolean).join(' ');
    throw new AiotError('AIOT_CSR_INVALID', `expected a request for an ECDSA P-256 key, got ${got}`);
  }
  if (!(await request.verify().catch(() => false))) {
    throw new AiotError('AIOT_CSR_INVALID', 'the request is not signed with its own key');
  }
  return request.publicKey.export();
}

/** The public key of a request (SPKI DER, base64), after verifying that the request is signed with it. @throws AIOT_CSR_INVALID */
export async function requestKey(csr: string): Promise<string> {
  const { webcrypto } = await import('node:crypto');
  const der = await webcrypto.subtle.exportKey('spki', await keyOfRequest(csr));
  return Buffer.from(der).toString('base64');
}

/**
 * A revocation list (RFC 5280, 5) of serial numbers in hex. It is valid as long as the CA, so that a broker whose copy is never updated
 * keeps working. The copies must therefore be updated by other means. @param at ms since 1970
 */
export async function revocationList(
  issuer: Issuer,
  serials: readonly string[],
  at: number,
): Promise<string> {
  const x509 = await loadX509();
  const ca = new x509.X509Certificate(issuer.certificate);
  const revocationDate = new Date(at);
  const list = await x509.X509CrlGenerator.create({
    issuer: ca.subjectName.toJSON(),
    // A client with a slow clock would otherwise treat a current list as not yet valid.
    thisUpdate: new Date(at - skew),
    nextUpdate: ca.notAfter,
    entries: serials.map((serialNumber) => ({ serialNumber, revocationDate })),
    extensions: [
      await x509.AuthorityKeyIdentifierExtension.create(await ca.publicKey.export()),
      new x509.Extension('2.5.29.20', false, crlNumber(at)),
    ],
    signingKey: await importSigningKey(issuer.key),
    signingAlgorithm: ecdsa,
  });
  // The library uses the label CRL, which OpenSSL does not accept; the standard label is X509 CRL (RFC 7468, 7).
  const lines =
    Buffer.from(list.rawData)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return ['-----BEGIN X509 CRL-----', ...lines, '-----END X509 CRL-----', ''].join('\n');
}

/** The CRL number, which must increase (RFC 5280, 5.2.3): seconds since 1970 as a positive DER integer. */
function crlNumber(at: number): Buffer<ArrayBuffer> {
  const der = Buffer.from([0x02, 5, 0, 0, 0, 0, 0]);
  der.writeUInt32BE(Math.floor(at / 1000), 3);
  return der;
}

async function common(issuer: Issuer, now: number, days: number) {
  const x509 = await loadX509();
  return {
    issuer: new x509.X509Certificate(issuer.certificate).subjectName.toJSON(),
    serialNumber: serialNumber(),
    notBefore: new Date(now - skew),
    notAfter: new Date(now + days * day),
    signingKey: await importSigningKey(issuer.key),
    signingAlgorithm: ecdsa,
  };
}

type PublicKey = Awaited<ReturnType<typeof keyOfRequest>>;

async function leaf(issuer: Issuer, publicKey: PublicKey, usage: string) {
  const x509 = await loadX509();
  const ca = new x509.X509Certificate(issuer.certificate);
  return [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension([usage]),
    await x509.SubjectKeyIdentifierExtension.create(publicKey),
    await x509.AuthorityKeyIdentifierExtension.create(await ca.publicKey.export()),
  ];
}

/** A serial number with 126 random bits, as the positive DER integer that RFC 5280, 4.1.2.2 requires. */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}

/** A PKCS#10 certificate request (PEM), signed with its own key. `privatePem`: PKCS#8, ECDSA P-256. */
export async function certificateRequest(privatePem: string, name: string): Promise<string> {
  const x509 = await loadX509();
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: [{ CN: [name] }],
    keys: await importKeyPair(privatePem),
    signingAlgorithm: ecdsa,
  });
  return `${request.toString('pem')}\n`;
}

type X509 = typeof import('@peculiar/x509');

/** ECDSA on P-256 with SHA-256: supported by mbedTLS on the chip, OpenSSL and all browsers. */
const ecdsa = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/**
 * Loads @peculiar/x509, which takes 0.2 s and uses node:crypto's webcrypto automatically. Its container requires that the reflect
 * polyfill is loaded first.
 */
async function loadX509(): Promise<X509> {
  await import('reflect-metadata');
  return import('@peculiar/x509');
}

async function importSigningKey(privatePem: string): Promise<webcrypto.CryptoKey> {
  const der = Buffer.from(privatePem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
  return webcrypto.subtle.importKey('pkcs8', der, ecdsa, true, ['sign']);
}

async function importKeyPair(privatePem: string): Promise<CryptoKeyPair> {
  const privateKey = await importSigningKey(privatePem);
  const { d: _, key_ops: __, ...jwk } = await webcrypto.subtle.exportKey('jwk', privateKey);
  const publicKey = await webcrypto.subtle.importKey('jwk', jwk, ecdsa, true, ['verify']);
  return { privateKey, publicKey };
}

type CryptoKeyPair = { privateKey: webcrypto.CryptoKey; publicKey: webcrypto.CryptoKey };
