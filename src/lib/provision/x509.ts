import { webcrypto } from 'node:crypto';

export type X509 = typeof import('@peculiar/x509');

/** ECDSA on P-256 with SHA-256: what mbedTLS on the chip, OpenSSL and browsers all take. */
export const ecdsa = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/** Loads @peculiar/x509 (0.2 s), which takes node:crypto's webcrypto by itself. Its container wants the reflect polyfill to be there before it. */
export async function loadX509(): Promise<X509> {
  await import('reflect-metadata');
  return import('@peculiar/x509');
}

/** PKCS#8 PEM → a key that signs. */
export async function importSigningKey(privatePem: string): Promise<webcrypto.CryptoKey> {
  const der = Buffer.from(privatePem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
  return webcrypto.subtle.importKey('pkcs8', der, ecdsa, true, ['sign']);
}

/** PKCS#8 PEM → both halves. */
export async function importKeyPair(privatePem: string): Promise<CryptoKeyPair> {
  const privateKey = await importSigningKey(privatePem);
  const { d: _, key_ops: __, ...jwk } = await webcrypto.subtle.exportKey('jwk', privateKey);
  const publicKey = await webcrypto.subtle.importKey('jwk', jwk, ecdsa, true, ['verify']);
  return { privateKey, publicKey };
}

type CryptoKeyPair = { privateKey: webcrypto.CryptoKey; publicKey: webcrypto.CryptoKey };
