import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { crc16 } from '../core/crypto.js';

/**
 * NATS's keys ("nkeys": Ed25519 keys in base32, with a prefix for their kind and a CRC-16) and the JWTs signed with them
 * (github.com/nats-io/nkeys; NATS ADR-14). Node signs, because the JavaScript implementation takes a hundred times as long.
 */
const prefixes = { account: 0, server: 13 << 3, user: 20 << 3, curve: 23 << 3 } as const;

export type NkeyKind = keyof typeof prefixes;

const seedPrefix = 18 << 3;

const keyBytes = 32;

/** Characters of a public key: prefix, key and CRC in base32. */
const publicLength = 56;

export interface SigningNkey {
  /** The public key, such as `AB…` for an account. */
  publicKey: string;
  /** Encodes claims as a JWT with this key as its issuer. */
  signClaims(claims: object): string;
}

/** DER of a key up to the key itself (RFC 8410, section 7): Ed25519 private, public, and X25519 private. */
const [privateDer, publicDer] = ['302e020100300506032b657004220420', '302a300506032b6570032100'];
const curveDer = '302e020100300506032b656e04220420';

/** @param seed the 32 bytes of the private key (RFC 8032) */
export function signingNkey(kind: Exclude<NkeyKind, 'curve'>, seed: Uint8Array): SigningNkey {
  const der = Buffer.concat([Buffer.from(privateDer, 'hex'), seed]);
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  const publicKey = encode([prefixes[kind]], spki.subarray(-keyBytes));
  return {
    publicKey,
    signClaims(claims) {
      const text = `${jwtHeader}.${base64url(JSON.stringify({ ...claims, iss: publicKey }))}`;
      return `${text}.${sign(null, Buffer.from(text), key).toString('base64url')}`;
    },
  };
}

/** The public key (`X…`) of a key that encrypts with X25519. @param seed the 32 bytes of the private key */
export function curveNkey(seed: Uint8Array): string {
  const der = Buffer.concat([Buffer.from(curveDer, 'hex'), seed]);
  const key = createPublicKey(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }));
  return encode([prefixes.curve], key.export({ format: 'der', type: 'spki' }).subarray(-keyBytes));
}

/** The seed of a key as text: `S`, the kind's letter, and the private key. */
export function nkeySeed(kind: NkeyKind, seed: Uint8Array): string {
  const prefix = prefixes[kind];
  return encode([seedPrefix | (prefix >> 5), (prefix & 31) << 3], seed);
}

/** Whether a text is a public key of this kind, with a correct checksum. */
export function isNkey(text: string, kind: NkeyKind): boolean {
  return publicBytes(text, kind) !== null;
}

/**
 * The claims of a JWT that the key named in them has signed; null if the JWT is malformed or the signature is wrong. Which
 * keys are trusted is for the caller to decide.
 * @param kind expected kind of the signing key
 */
export function readSignedClaims(jwt: string, kind: Exclude<NkeyKind, 'curve'>): { iss: string } | null {
  const [header = '', body = '', signature = '', ...rest] = jwt.split('.');
  if (rest.length > 0) return null;
  const { alg } = (objectIn(header) ?? {}) as { alg?: unknown };
  const claims = objectIn(body) as { iss?: unknown } | null;
  if (alg !== algorithm || claims === null || typeof claims.iss !== 'string') return null;
  const raw = publicBytes(claims.iss, kind);
  if (raw === null) return null;
  const text = Buffer.from(`${header}.${body}`);
  const signed = verify(null, text, publicKeyFrom(raw), Buffer.from(signature, 'base64url'));
  return signed ? (claims as { iss: string }) : null;
}

const algorithm = 'ed25519-nkey';
const jwtHeader = base64url(JSON.stringify({ typ: 'JWT', alg: algorithm }));

function publicKeyFrom(raw: Uint8Array): KeyObject {
  const der = Buffer.concat([Buffer.from(publicDer, 'hex'), raw]);
  return createPublicKey({ key: der, format: 'der', type: 'spki' });
}

function publicBytes(text: string, kind: NkeyKind): Uint8Array | null {
  const bytes = text.length === publicLength ? decodeBase32(text) : null;
  if (bytes?.length !== keyBytes + 3 || bytes[0] !== prefixes[kind]) return null;
  const sum = (bytes.at(-2) ?? 0) | ((bytes.at(-1) ?? 0) << 8);
  return sum === crc16(bytes.subarray(0, -2)) ? bytes.subarray(1, -2) : null;
}

function encode(prefix: readonly number[], key: Uint8Array): string {
  if (key.length !== keyBytes) throw new RangeError(`a key has ${keyBytes} bytes, not ${key.length}`);
  const bytes = Buffer.concat([Buffer.from(prefix), key]);
  const sum = crc16(bytes);
  return encodeBase32(Buffer.concat([bytes, Buffer.of(sum & 0xff, sum >> 8)]));
}

function objectIn(part: string): object | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    return typeof value === 'object' ? value : null;
  } catch {
    return null;
  }
}

function base64url(text: string): string {
  return Buffer.from(text).toString('base64url');
}

/** RFC 4648, section 6, without padding. */
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

function encodeBase32(bytes: Uint8Array): string {
  let [text, held, bits] = ['', 0, 0];
  for (const byte of bytes) {
    held = ((held << 8) | byte) & 0xfff;
    bits += 8;
    for (; bits >= 5; bits -= 5) text += alphabet[(held >> (bits - 5)) & 31];
  }
  return bits > 0 ? text + alphabet[(held << (5 - bits)) & 31] : text;
}

function decodeBase32(text: string): Uint8Array | null {
  const bytes: number[] = [];
  let [held, bits] = [0, 0];
  for (const letter of text) {
    const value = alphabet.indexOf(letter);
    if (value < 0) return null;
    held = ((held << 5) | value) & 0xfff;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push((held >> bits) & 0xff);
  }
  return Buffer.from(bytes);
}
