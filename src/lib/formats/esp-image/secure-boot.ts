import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { AiotError } from '../../core/errors.js';
import { malformed } from '../image-errors.js';
import { type EspImage, readEspImage } from './read.js';

/** Kinds of keys that secure boot V2 accepts. Each chip supports only some of them. */
export const bootKeyKinds = ['rsa-3072', 'ecdsa-p256', 'ecdsa-p384'] as const;

export type BootKeyKind = (typeof bootKeyKinds)[number];

/** The image is padded to sectors; the signature blocks are in the sector after it. */
const sectorBytes = 4096;

const blockBytes = 1216;

/** Maximum number of signature blocks in an image, and of keys in a chip. */
export const mostBlocks = 3;

const magic = 0xe7;

/** Number of bytes before a block's CRC. After the CRC come 16 zeros. */
const crcAt = blockBytes - 20;

/** A block's version byte, curve number, hash, and coordinate length in bytes. */
const kinds = {
  'rsa-3072': { version: 2, curve: null, hash: 'sha256', width: 384 },
  'ecdsa-p256': { version: 3, curve: 2, hash: 'sha256', width: 32 },
  'ecdsa-p384': { version: 3, curve: 3, hash: 'sha384', width: 48 },
} as const satisfies Record<BootKeyKind, object>;

/** The salt is as long as the hash. */
const pssSaltBytes = 32;

/** One signature on an image. */
export interface BootSignature {
  key: BootKeyKind;
  /** SHA-256 of the public key as stored in the chip's fuses, 64 hex digits. */
  keyDigest: string;
  /** Whether the block is intact and its signature matches the image. */
  valid: boolean;
}

/** @throws AIOT_USAGE for a key that secure boot V2 does not support */
export function bootKeyKind(key: KeyObject, name: string): BootKeyKind {
  const { modulusLength, namedCurve } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === 'rsa' && modulusLength === 3072) return 'rsa-3072';
  if (namedCurve === 'prime256v1') return 'ecdsa-p256';
  if (namedCurve === 'secp384r1') return 'ecdsa-p384';
  const found = modulusLength ? `RSA ${modulusLength}` : (namedCurve ?? key.asymmetricKeyType ?? 'unknown');
  throw new AiotError(
    'AIOT_USAGE',
    `${name}: secure boot V2 requires an RSA 3072, ECDSA P-256 or P-384 key, got ${found}`,
    { next: 'Create a key with `openssl genrsa -out key.pem 3072`.' },
  );
}

/** The digest of a key as burned into a chip's fuses: 32 bytes. @throws AIOT_USAGE for an unsupported key */
export function bootKeyDigest(key: KeyObject, name: string): Buffer {
  return digestOf(publicPart(createPublicKey(publicPem(key)), bootKeyKind(key, name)));
}

const publicPem = (key: KeyObject) =>
  key.type === 'public' ? key.export({ type: 'spki', format: 'pem' }) : privatePem(key);

const privatePem = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' });

const digestOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest();

const littleEndian = (bytes: Uint8Array) => Buffer.from(bytes).reverse();

/** Converts a big-endian base64url number, as in a JWK, to little endian, padded to `width` bytes. */
function coordinate(text: string | undefined, width: number): Buffer {
  const number = Buffer.alloc(width);
  const bytes = Buffer.from(text ?? '', 'base64url');
  bytes.copy(number, width - bytes.length);
  return littleEndian(number);
}

function numberBytes(number: bigint, width: number): Buffer {
  return littleEndian(Buffer.from(number.toString(16).padStart(2 * width, '0'), 'hex'));
}

const word = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
};

/**
 * The public key in a block's format. An RSA key includes two constants that the chip's accelerator would otherwise have to compute: R² mod
 * n with R = 2^3072, and -1/n mod 2^32. Source: ESP-IDF, "Secure Boot v2", signature block format.
 */
function publicPart(key: KeyObject, kind: BootKeyKind): Buffer {
  const { n, e, x, y } = key.export({ format: 'jwk' });
  const { curve, width } = kinds[kind];
  if (curve !== null) return Buffer.concat([Buffer.of(curve), coordinate(x, width), coordinate(y, width)]);
  const modulus = BigInt(`0x${Buffer.from(n ?? '', 'base64url').toString('hex')}`);
  const exponent = Number(BigInt(`0x${Buffer.from(e ?? '', 'base64url').toString('hex')}`));
  const squared = (1n << BigInt(16 * width)) % modulus;
  return Buffer.concat([
    coordinate(n, width),
    word(exponent),
    numberBytes(squared, width),
    word(Number(BigInt.asUintN(32, -inverse(modulus)))),
  ]);
}

/** 1/n mod 2^32 for an odd n. Each of Newton's iterations doubles the number of correct bits. */
function inverse(n: bigint): bigint {
  let found = n;
  for (let bits = 3; bits < 32; bits *= 2) found = BigInt.asUintN(32, found * (2n - n * found));
  return found;
}

/** The data to be signed, padded with 0xFF to whole sectors. */
function inSectors(data: Uint8Array): Uint8Array {
  const whole = new Uint8Array(Math.ceil(data.length / sectorBytes) * sectorBytes).fill(0xff);
  whole.set(data);
  return whole;
}

/** A key that signs, in a file or in a hardware security module. */
export interface BootSigner {
  /** Name of the key, for errors. */
  name: string;
  publicKey: KeyObject;
  /** Signs data with the kind's hash: RSA-PSS as a big-endian number, ECDSA as r and s. */
  sign(data: Uint8Array, kind: BootKeyKind): Promise<Uint8Array>;
}

/** A signer with a key in memory. */
export function keySigner(key: KeyObject, name: string): BootSigner {
  return {
    name,
    publicKey: createPublicKey(privatePem(key)),
    sign: async (data, kind) =>
      kind === 'rsa-3072'
        ? sign('sha256', data, { key, padding: rsaPss, saltLength: pssSaltBytes })
        : sign(bootHash(kind), data, { key, dsaEncoding: 'ieee-p1363' }),
  };
}

/** The hash that is signed. */
export const bootHash = (kind: BootKeyKind): 'sha256' | 'sha384' => kinds[kind].hash;

/**
 * Signs an image for secure boot V2. The result consists of the image in whole sectors, and a sector with one block per signature.
 * @param image an image without signatures, or a signed image, whose signature blocks are preserved
 * @throws AIOT_USAGE (unsupported key, too many signatures, or a key that already signed), and the errors of the signers
 */
export async function signForBoot(image: Uint8Array, signers: readonly BootSigner[]): Promise<Uint8Array> {
  const present = signedPart(image);
  const data = present === null ? inSectors(image) : present.data;
  const blocks = present === null ? [] : present.blocks;
  const digests = new Set(blocks.map((block) => signatureOf(block, data)?.keyDigest));
  // All checks are made before the first signature, because a module may prompt its user for each signature.
  const checked = signers.map((signer) => {
    const { name, publicKey } = signer;
    const kind = bootKeyKind(publicKey, name);
    const digest = bootKeyDigest(publicKey, name).toString('hex');
    if (digests.has(digest)) throw new AiotError('AIOT_USAGE', `the image is already signed by ${name}`);
    digests.add(digest);
    return { signer, kind };
  });
  const count = blocks.length + signers.length;
  if (count > mostBlocks) {
    throw new AiotError(
      'AIOT_USAGE',
      `an image has at most ${mostBlocks} signatures; this one would have ${count}`,
    );
  }
  for (const { signer, kind } of checked) blocks.push(await signedBlock(data, signer, kind));
  const sector = Buffer.alloc(sectorBytes, 0xff);
  blocks.forEach((block, index) => void sector.set(block, index * blockBytes));
  return Buffer.concat([data, sector]);
}

async function signedBlock(data: Uint8Array, signer: BootSigner, kind: BootKeyKind): Promise<Buffer> {
  const { version, curve, hash, width } = kinds[kind];
  const digest = createHash(hash).update(data).digest();
  const known = publicPart(signer.publicKey, kind);
  const made = Buffer.from(await signer.sign(data, kind));
  const signature =
    curve === null
      ? littleEndian(made)
      : Buffer.concat([littleEndian(made.subarray(0, width)), littleEndian(made.subarray(width))]);
  const block = Buffer.alloc(blockBytes);
  Buffer.concat([Buffer.of(magic, version, curve === 3 ? 1 : 0, 0), digest, known, signature]).copy(block);
  block.writeUInt32LE(crc32(block.subarray(0, crcAt)), crcAt);
  return block;
}

/** OpenSSL's RSA_PKCS1_PSS_PADDING. */
const rsaPss = 6;

/** Splits a signed image; null if its last sector has no signature block. */
function signedPart(image: Uint8Array): { data: Uint8Array; blocks: Buffer[] } | null {
  if (image.length < 2 * sectorBytes || image.length % sectorBytes !== 0) return null;
  const sector = Buffer.from(image.subarray(-sectorBytes));
  const blocks: Buffer[] = [];
  for (let index = 0; index < mostBlocks; index++) {
    const block = sector.subarray(index * blockBytes, (index + 1) * blockBytes);
    if (block[0] !== magic) break;
    blocks.push(block);
  }
  return blocks.length === 0 ? null : { data: image.subarray(0, -sectorBytes), blocks };
}

/**
 * Verifies an image's signatures, each with the public key in the signature's block. Whether a chip trusts that key depends on the chip's
 * fuses.
 * @param image the bytes from the start of the image to the end of the sector with the signatures
 * @returns an empty list for an image without signatures
 * @throws AIOT_IMAGE_MALFORMED for a block of an unknown version
 */
export function bootSignatures(image: Uint8Array, what = 'image'): BootSignature[] {
  const present = signedPart(image);
  if (present === null) return [];
  const { data, blocks } = present;
  return blocks.map((block, index) => {
    const found = signatureOf(block, data);
    if (found !== null) return found;
    const at = data.length + index * blockBytes;
    throw malformed(what, at, `signature block with unknown version ${block[1]} or curve`);
  });
}

/** Contents and validity of a block; null for an unknown version or curve. */
function signatureOf(block: Buffer, data: Uint8Array): BootSignature | null {
  const kind = kindOf(block);
  if (kind === null) return null;
  const { curve, hash, width } = kinds[kind];
  const digest = createHash(hash).update(data).digest();
  const keyAt = 4 + digest.length;
  const keyBytes = curve === null ? 2 * width + 8 : 1 + 2 * width;
  const known = block.subarray(keyAt, keyAt + keyBytes);
  const signature = block.subarray(keyAt + keyBytes, keyAt + keyBytes + (curve === null ? width : 2 * width));
  const intact = block.readUInt32LE(crcAt) === crc32(block.subarray(0, crcAt));
  const valid =
    intact && digest.equals(block.subarray(4, keyAt)) && verified(data, { kind, known, signature });
  return { key: kind, keyDigest: digestOf(known).toString('hex'), valid };
}

function kindOf(block: Buffer): BootKeyKind | null {
  if (block[1] === 2) return 'rsa-3072';
  if (block[1] !== 3) return null;
  // The hash's length determines the position of the curve number.
  const curve = block[2] === 1 ? block[4 + 48] : block[4 + 32];
  return bootKeyKinds.find((kind) => kinds[kind].curve === curve && curve !== undefined) ?? null;
}

interface Parts {
  kind: BootKeyKind;
  known: Buffer;
  signature: Buffer;
}

function verified(data: Uint8Array, { kind, known, signature }: Parts): boolean {
  const { curve, hash, width } = kinds[kind];
  const big = (from: number, bytes: number) =>
    littleEndian(known.subarray(from, from + bytes)).toString('base64url');
  try {
    if (curve === null) {
      const key = createPublicKey({ key: { kty: 'RSA', n: big(0, width), e: big(width, 4) }, format: 'jwk' });
      if (!publicPart(key, kind).equals(known)) return false;
      return verify(hash, data, { key, padding: rsaPss, saltLength: pssSaltBytes }, littleEndian(signature));
    }
    const crv = kind === 'ecdsa-p256' ? 'P-256' : 'P-384';
    const key = createPublicKey({
      key: { kty: 'EC', crv, x: big(1, width), y: big(1 + width, width) },
      format: 'jwk',
    });
    const bytes = Buffer.concat([
      littleEndian(signature.subarray(0, width)),
      littleEndian(signature.subarray(width)),
    ]);
    return verify(hash, data, { key, dsaEncoding: 'ieee-p1363' }, bytes);
  } catch {
    // The bytes are not a key.
    return false;
  }
}

/**
 * Signs an ESP32 app or bootloader for secure boot V1: a version word of 0 and an ECDSA P-256 signature directly after the image.
 * @throws AIOT_USAGE for another key
 */
export async function signForBootV1(image: Uint8Array, signer: BootSigner): Promise<Uint8Array> {
  const { name, publicKey } = signer;
  if (publicKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    throw new AiotError('AIOT_USAGE', `${name}: secure boot V1 requires an ECDSA P-256 key`, {
      next: 'Create a key with `openssl ecparam -name prime256v1 -genkey -noout -out key.pem`.',
    });
  }
  return Buffer.concat([image, word(0), await signer.sign(image, 'ecdsa-p256')]);
}

/**
 * Reads an image and its signatures from the start of a partition, which contains further bytes after them.
 * @throws AIOT_IMAGE_MALFORMED
 */
export function signedImage(
  bytes: Uint8Array,
  what: string,
): { image: EspImage; signatures: BootSignature[] } {
  const image = readEspImage(bytes, what);
  const end = Math.ceil(image.length / sectorBytes) * sectorBytes + sectorBytes;
  return { image, signatures: end > bytes.length ? [] : bootSignatures(bytes.subarray(0, end), what) };
}
