import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';

/** SHA-256 as 64 hex digits. */
export function sha256Hex(data: Uint8Array | string): string {
  return createHash('sha256').update(data).digest('hex');
}

/** Content address: `sha256:` and 64 hex digits. */
export function digestOf(data: Uint8Array | string): string {
  return `sha256:${sha256Hex(data)}`;
}

export const digestPattern = /^sha256:[0-9a-f]{64}$/;

/** CRC-16/XMODEM: polynomial 0x1021, initial value 0. */
export function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++)
      crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc;
}

/** ECDSA P-256 (secp256r1) key pair: private PKCS#8 PEM, public SPKI PEM. */
export function generateKeyPair(): { privatePem: string; publicPem: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    privatePem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  };
}

/** A public key as base64 of its SPKI DER, the form of keys in trust roots. */
export function publicKeyOf(privatePem: string): string {
  return createPublicKey(createPrivateKey(privatePem))
    .export({ type: 'spki', format: 'der' })
    .toString('base64');
}

/**
 * Like `publicKeyOf`, for a PEM text with a public key (SPKI) or a private one (PKCS#8). @throws TypeError or an error of
 * node:crypto for anything else
 */
export function publicKeyIn(pem: string): string {
  const key = createPublicKey(pem);
  if (!isP256(key)) throw new TypeError('expected an ECDSA P-256 key: other keys cannot sign');
  return key.export({ type: 'spki', format: 'der' }).toString('base64');
}

function isP256(key: KeyObject): boolean {
  return key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
}

/** Key id: SHA-256 over the SPKI DER, 64 hex digits. */
export function keyIdOf(publicKeyBase64: string): string {
  return sha256Hex(Buffer.from(publicKeyBase64, 'base64'));
}

/** Signs bytes with ECDSA P-256 and SHA-256. The signature is DER (as mbedTLS and OpenSSL write it), in base64. */
export function signBytes(privatePem: string, bytes: Uint8Array): string {
  return sign('sha256', bytes, createPrivateKey(privatePem)).toString('base64');
}

/** Checks whether a signature is valid for an ECDSA P-256 key. Malformed keys and signatures yield false, not an error. */
export function verifyBytes(publicKeyBase64: string, bytes: Uint8Array, signatureBase64: string): boolean {
  try {
    const key: KeyObject = createPublicKey({
      key: Buffer.from(publicKeyBase64, 'base64'),
      type: 'spki',
      format: 'der',
    });
    if (!isP256(key)) return false;
    return verify('sha256', bytes, key, Buffer.from(signatureBase64, 'base64'));
  } catch {
    return false;
  }
}

/**
 * JSON with sorted keys and no spaces. Equal values yield equal text, so their digests can be compared. Throws TypeError on numbers that
 * JSON cannot represent (NaN, infinities).
 */
export function canonicalJson(value: unknown): string {
  if (typeof value === 'number' && !Number.isFinite(value))
    throw new TypeError(`${value} cannot be represented in JSON`);
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'null';
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  const entries = Object.entries(value)
    .filter(([, v]) => v !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return `{${entries.map(([k, v]) => `${JSON.stringify(k)}:${canonicalJson(v)}`).join(',')}}`;
}
