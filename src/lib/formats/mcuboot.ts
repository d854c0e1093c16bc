import {
  constants,
  createCipheriv,
  createHash,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  randomBytes,
  sign,
  timingSafeEqual,
  verify,
} from 'node:crypto';
import { AiotError } from '../core/errors.js';
import { hex, size } from '../core/figures.js';
import { malformed } from './image-errors.js';

/**
 * Images of the bootloader MCUboot, as used by Zephyr and other systems on nRF, STM32 and RP2350: a header, the program, and records
 * (TLVs) with its hash, signature and conditions. Source of the format: MCUboot's documentation, "Bootloader design", and imgtool.
 */
export const mcubootKeyKinds = ['rsa-2048', 'rsa-3072', 'ecdsa-p256', 'ecdsa-p384', 'ed25519'] as const;

export type McubootKeyKind = (typeof mcubootKeyKinds)[number];

export interface McubootVersion {
  major: number;
  minor: number;
  revision: number;
  build: number;
}

/** A condition of an image: another image of the same board must have at least this version. */
export interface McubootDependency {
  image: number;
  version: McubootVersion;
}

export interface McubootTlv {
  type: number;
  /** Name of the type; its number in hex for a type that MCUboot does not define. */
  name: string;
  value: Uint8Array;
  /** Whether the hash, and with it the signature, covers this record. */
  protected: boolean;
}

export interface McubootImage {
  version: McubootVersion;
  headerBytes: number;
  /** Size of the program without header and records, bytes. */
  programBytes: number;
  /** Size of header, program and records, bytes. Padding and a trailer may follow. */
  bytes: number;
  loadAddress: number;
  flags: string[];
  tlvs: McubootTlv[];
  /** Name of the hash, and its value. */
  hash: { algorithm: 'sha256' | 'sha384' | 'sha512'; value: Uint8Array };
  /** Whether the hash matches; null = the program is encrypted, so this cannot be checked without its key. */
  intact: boolean | null;
  securityCounter: number | null;
  dependencies: McubootDependency[];
  /** How the key of an encrypted program is wrapped; null = not encrypted. */
  encryption: 'ec256' | 'x25519' | 'rsa-2048' | 'aes-kw' | null;
  /** State in the trailer of a padded image; null = no trailer. */
  trailer: 'pending' | 'confirmed' | null;
  /** Bytes that the hash and the signature cover: header, program, protected records. */
  covered: Uint8Array;
}

const magic = 0x96f3b83d;
const shortestHeader = 32;
const tlvMagics = { plain: 0x6907, protected: 0x6908 } as const;
const tlvHeadBytes = 4;

const tlvTypes = {
  KEYHASH: 0x01,
  PUBKEY: 0x02,
  SHA256: 0x10,
  SHA384: 0x11,
  SHA512: 0x12,
  RSA2048: 0x20,
  ECDSASIG: 0x22,
  RSA3072: 0x23,
  ED25519: 0x24,
  SIG_PURE: 0x25,
  ENCRSA2048: 0x30,
  ENCKW: 0x31,
  ENCEC256: 0x32,
  ENCX25519: 0x33,
  ENCX25519_SHA512: 0x34,
  DEPENDENCY: 0x40,
  SEC_CNT: 0x50,
  BOOT_RECORD: 0x60,
  DECOMP_SIZE: 0x70,
  DECOMP_SHA: 0x71,
  DECOMP_SIGNATURE: 0x72,
  COMP_DEC_SIZE: 0x73,
  UUID_VID: 0x74,
  UUID_CID: 0x75,
} as const;

type TlvName = keyof typeof tlvTypes;

const tlvNames = new Map<number, TlvName>(
  Object.entries(tlvTypes).map(([name, type]) => [type, name as TlvName]),
);

const flagBits = {
  pic: 0x1,
  'encrypted-aes128': 0x4,
  'encrypted-aes256': 0x8,
  'non-bootable': 0x10,
  'ram-load': 0x20,
  'rom-fixed': 0x100,
  lzma1: 0x200,
  lzma2: 0x400,
  'arm-thumb': 0x800,
} as const;

/** The hash, record and length of each kind's signature. */
const kinds = {
  'rsa-2048': { hash: 'sha256', tlv: 'RSA2048' },
  'rsa-3072': { hash: 'sha256', tlv: 'RSA3072' },
  'ecdsa-p256': { hash: 'sha256', tlv: 'ECDSASIG' },
  'ecdsa-p384': { hash: 'sha384', tlv: 'ECDSASIG' },
  ed25519: { hash: 'sha256', tlv: 'ED25519' },
} as const satisfies Record<McubootKeyKind, { hash: string; tlv: TlvName }>;

/** Salt length of RSA signatures, bytes. MCUboot does not accept any other. */
const saltBytes = 32;

/** Parses a version such as 1.2.3+4; later parts may be missing. @throws AIOT_USAGE */
export function parseMcubootVersion(text: string): McubootVersion {
  const found = /^(\d{1,3})(?:\.(\d{1,3})(?:\.(\d{1,5})(?:\+(\d{1,10}))?)?)?$/.exec(text);
  const [major, minor, revision, build] = (found ?? []).slice(1).map((part) => Number(part ?? 0));
  if (major === undefined || minor === undefined || revision === undefined || build === undefined)
    throw notAVersion(text);
  if (major > 0xff || minor > 0xff || revision > 0xffff || build > 0xffffffff) throw notAVersion(text);
  return { major, minor, revision, build };
}

function notAVersion(text: string): AiotError {
  return new AiotError(
    'AIOT_USAGE',
    `${text} is not an MCUboot version: expected MAJOR.MINOR.REVISION+BUILD, such as 1.2.3+4`,
    { next: 'Major and minor are at most 255, the revision is at most 65535.' },
  );
}

/** A version as Zephyr prints it: without the build number if that is 0. */
export function mcubootVersionText({ major, minor, revision, build }: McubootVersion): string {
  return `${major}.${minor}.${revision}${build === 0 ? '' : `+${build}`}`;
}

/** Whether a file begins with MCUboot's header. */
export function isMcuboot(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && viewOf(bytes).getUint32(0, true) === magic;
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/**
 * Parses an image. A wrong hash is reported in `intact`, so that callers decide how to handle a damaged image.
 * @throws AIOT_IMAGE_MALFORMED with the offset and the reason
 */
export function readMcuboot(bytes: Uint8Array, what = 'image'): McubootImage {
  if (!isMcuboot(bytes)) throw malformed(what, 0, `expected MCUboot's magic number ${hex(magic, 8)}`);
  if (bytes.length < shortestHeader) throw malformed(what, bytes.length, 'the file ends within the header');
  const view = viewOf(bytes);
  const headerBytes = view.getUint16(8, true);
  const protectedBytes = view.getUint16(10, true);
  const programBytes = view.getUint32(12, true);
  const flags = view.getUint32(16, true);
  if (headerBytes < shortestHeader)
    throw malformed(
      what,
      8,
      `a header has at least ${shortestHeader} bytes, but this one states ${headerBytes}`,
    );
  const end = headerBytes + programBytes;
  if (end > bytes.length)
    throw malformed(what, bytes.length, `the file ends before the ${end} bytes of its header and program`);
  const kept = protectedBytes === 0 ? [] : readTlvs(bytes, end, 'protected', what);
  if (protectedBytes !== 0 && view.getUint16(end + 2, true) !== protectedBytes)
    throw malformed(what, end + 2, 'the protected records do not have the size that the header states');
  const plainAt = end + protectedBytes;
  const tlvs = [...kept, ...readTlvs(bytes, plainAt, 'plain', what)];
  const total = plainAt + view.getUint16(plainAt + 2, true);
  const covered = bytes.subarray(0, plainAt);
  const encrypted = (flags & (flagBits['encrypted-aes128'] | flagBits['encrypted-aes256'])) !== 0;
  const hash = hashOf(tlvs, plainAt, what);
  return {
    version: versionAt(view, 20),
    headerBytes,
    programBytes,
    bytes: total,
    loadAddress: view.getUint32(4, true),
    flags: Object.entries(flagBits).flatMap(([name, bit]) => (flags & bit ? [name] : [])),
    tlvs,
    hash,
    intact: encrypted ? null : same(digestOf(hash.algorithm, covered), hash.value),
    securityCounter: counterOf(tlvs),
    dependencies: tlvs.filter(({ name }) => name === 'DEPENDENCY').map((tlv) => dependencyOf(tlv, what)),
    encryption: encrypted ? encryptionOf(tlvs) : null,
    trailer: trailerOf(bytes, total),
    covered,
  };
}

function readTlvs(bytes: Uint8Array, at: number, kind: keyof typeof tlvMagics, what: string): McubootTlv[] {
  const view = viewOf(bytes);
  if (at + tlvHeadBytes > bytes.length)
    throw malformed(what, bytes.length, 'the file ends before its records');
  const found = view.getUint16(at, true);
  if (found !== tlvMagics[kind])
    throw malformed(what, at, `expected ${kind} records (${hex(tlvMagics[kind])}), got ${hex(found)}`);
  const end = at + view.getUint16(at + 2, true);
  if (end > bytes.length)
    throw malformed(what, bytes.length, `the file ends before its last record, which ends at ${end}`);
  const tlvs: McubootTlv[] = [];
  for (let next = at + tlvHeadBytes; next < end; ) {
    if (next + tlvHeadBytes > end) throw malformed(what, next, 'a record is cut off');
    const type = view.getUint16(next, true);
    const length = view.getUint16(next + 2, true);
    const from = next + tlvHeadBytes;
    if (from + length > end)
      throw malformed(what, next, `a record of ${length} bytes extends past the end of the records`);
    tlvs.push({
      type,
      name: tlvNames.get(type) ?? hex(type, 4),
      value: bytes.subarray(from, from + length),
      protected: kind === 'protected',
    });
    next = from + length;
  }
  return tlvs;
}

function versionAt(view: DataView, at: number): McubootVersion {
  return {
    major: view.getUint8(at),
    minor: view.getUint8(at + 1),
    revision: view.getUint16(at + 2, true),
    build: view.getUint32(at + 4, true),
  };
}

function hashOf(tlvs: readonly McubootTlv[], at: number, what: string): McubootImage['hash'] {
  const sizes = { SHA256: 32, SHA384: 48, SHA512: 64 } as const;
  const found = tlvs.find((tlv) => !tlv.protected && tlv.name in sizes);
  if (found === undefined) throw malformed(what, at, 'the records contain no hash of the image');
  const name = found.name as keyof typeof sizes;
  if (found.value.length !== sizes[name])
    throw malformed(what, at, `a ${name} has ${sizes[name]} bytes, but this one has ${found.value.length}`);
  return { algorithm: name.toLowerCase() as 'sha256' | 'sha384' | 'sha512', value: found.value };
}

function counterOf(tlvs: readonly McubootTlv[]): number | null {
  const found = tlvs.find((tlv) => tlv.protected && tlv.name === 'SEC_CNT' && tlv.value.length === 4);
  return found === undefined ? null : viewOf(found.value).getUint32(0, true);
}

function dependencyOf({ value }: McubootTlv, what: string): McubootDependency {
  if (value.length !== 12)
    throw new AiotError(
      'AIOT_IMAGE_MALFORMED',
      `${what}: a dependency has 12 bytes, but this one has ${value.length}`,
    );
  return { image: value[0] ?? 0, version: versionAt(viewOf(value), 4) };
}

function encryptionOf(tlvs: readonly McubootTlv[]): McubootImage['encryption'] {
  const names = { ENCEC256: 'ec256', ENCX25519: 'x25519', ENCRSA2048: 'rsa-2048', ENCKW: 'aes-kw' } as const;
  const found = tlvs.find(({ name }) => name in names);
  return found === undefined ? null : names[found.name as keyof typeof names];
}

const digestOf = (algorithm: string, bytes: Uint8Array) => createHash(algorithm).update(bytes).digest();

const same = (a: Uint8Array, b: Uint8Array) => a.length === b.length && timingSafeEqual(a, b);

/** The last 16 bytes of a slot whose image the bootloader must install. Slots that are aligned to more than 8 bytes have another mark. */
function trailerMagic(maxAlign: number): Buffer {
  if (maxAlign === 8) return Buffer.from('77c295f360d2ef7f3552500f2cb67980', 'hex');
  const rest = Buffer.from('2de15d29410b8d77679c110f1f8a', 'hex');
  return Buffer.concat([Buffer.of(maxAlign & 0xff, maxAlign >> 8), rest]);
}

function trailerOf(bytes: Uint8Array, total: number): McubootImage['trailer'] {
  const last = bytes.subarray(Math.max(total, bytes.length - 16));
  const align = [8, 16, 32].find((maxAlign) => same(last, trailerMagic(maxAlign)));
  if (align === undefined) return null;
  return bytes[bytes.length - roundUp(16, align) - align] === 1 ? 'confirmed' : 'pending';
}

const roundUp = (value: number, step: number) => Math.ceil(value / step) * step;

/** @throws AIOT_USAGE for a key that MCUboot does not support */
export function mcubootKeyKind(key: KeyObject, name: string): McubootKeyKind {
  const { modulusLength, namedCurve } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === 'rsa' && modulusLength === 2048) return 'rsa-2048';
  if (key.asymmetricKeyType === 'rsa' && modulusLength === 3072) return 'rsa-3072';
  if (namedCurve === 'prime256v1') return 'ecdsa-p256';
  if (namedCurve === 'secp384r1') return 'ecdsa-p384';
  if (key.asymmetricKeyType === 'ed25519') return 'ed25519';
  const found = modulusLength ? `RSA ${modulusLength}` : (namedCurve ?? key.asymmetricKeyType ?? 'unknown');
  throw new AiotError(
    'AIOT_USAGE',
    `${name}: MCUboot requires an ECDSA P-256 or P-384, Ed25519, RSA 2048 or RSA 3072 key, got ${found}`,
    { next: 'Create a key with `openssl ecparam -genkey -name prime256v1 -noout -out key.pem`.' },
  );
}

const publicOf = (key: KeyObject) => (key.type === 'public' ? key : createPublicKey(key));

/** The public key as MCUboot compiles it in: PKCS #1 for RSA, otherwise SubjectPublicKeyInfo. */
function publicBytes(key: KeyObject): Buffer {
  const known = publicOf(key);
  return known.asymmetricKeyType === 'rsa'
    ? known.export({ type: 'pkcs1', format: 'der' })
    : known.export({ type: 'spki', format: 'der' });
}

export interface McubootOptions {
  version: McubootVersion;
  /** Size of the header, bytes. Zephyr's builds reserve 0x200. */
  headerBytes: number;
  /** Whether to prepend a header. Otherwise, the program must already begin with zeros in place of the header. */
  padHeader: boolean;
  /** Size of the slot, into which the image and its trailer must fit, bytes. */
  slotBytes: number;
  /** Size of one write to flash, bytes. Default 8. */
  align?: number;
  /** Number of sectors whose swap the trailer records. Default 128. */
  maxSectors?: number;
  /** Whether the bootloader overwrites instead of swapping, which needs a shorter trailer. */
  overwriteOnly?: boolean;
  /** Number that MCUboot compares with the stored one to prevent downgrades. */
  securityCounter?: number;
  dependencies?: readonly McubootDependency[];
  /** Address for an image that runs in RAM. */
  loadAddress?: number;
  key?: KeyObject;
  keyName?: string;
  /** Public key (P-256 or X25519) for which the program is encrypted. */
  encryptFor?: KeyObject;
  /** Pads the image to the slot's size and adds a trailer. `pending`: the image is on trial; `confirmed`: it needs no confirmation. */
  pad?: 'pending' | 'confirmed';
}

/**
 * Builds an image: header, program, records with hash and signature. The result is identical to imgtool's, except for signatures that
 * contain random values.
 * @throws AIOT_USAGE (unsupported key, reserved header is not empty), AIOT_IMAGE_TOO_LARGE
 */
export function writeMcuboot(program: Uint8Array, options: McubootOptions): Uint8Array {
  const { headerBytes, key, keyName = 'key' } = options;
  // The header stores its size in 16 bits.
  if (!Number.isInteger(headerBytes) || headerBytes < shortestHeader || headerBytes > 0xffff)
    throw new AiotError(
      'AIOT_USAGE',
      `--header-size: expected ${shortestHeader} to 65535 bytes, got ${headerBytes}`,
      { next: 'Use the size that the build reserves (CONFIG_ROM_START_OFFSET), usually 0x200.' },
    );
  if (!options.padHeader) requireRoom(program, headerBytes);
  const content = options.padHeader
    ? Buffer.concat([Buffer.alloc(headerBytes, 0xff), program])
    : Buffer.from(program);
  const wrapped = options.encryptFor === undefined ? null : wrapKey(options.encryptFor);
  const body = wrapped === null ? content : Buffer.concat([content, Buffer.alloc(-content.length & 15)]);
  const guarded = protectedTlvs(options);
  headerOf(options, body.length - headerBytes, guarded.length, wrapped !== null).copy(body);
  const covered = Buffer.concat([body, guarded]);
  const kind = key === undefined ? null : mcubootKeyKind(key, keyName);
  const algorithm = kind === null ? 'sha256' : kinds[kind].hash;
  const hash = digestOf(algorithm, covered);
  const records = [tlv(algorithm === 'sha384' ? 'SHA384' : 'SHA256', hash)];
  if (key !== undefined && kind !== null) {
    records.push(tlv('KEYHASH', digestOf(algorithm, publicBytes(key))));
    records.push(tlv(kinds[kind].tlv, signed(covered, hash, key, kind)));
  }
  if (wrapped !== null) {
    records.push(tlv(wrapped.tlv, wrapped.value));
    const cipher = createCipheriv('aes-128-ctr', wrapped.plain, Buffer.alloc(16));
    cipher.update(body.subarray(headerBytes)).copy(body, headerBytes);
  }
  const image = Buffer.concat([body, guarded, tlvBlock('plain', records)]);
  return padded(image, options, wrapped !== null);
}

function requireRoom(program: Uint8Array, headerBytes: number): void {
  if (program.length < headerBytes || program.subarray(0, headerBytes).some((byte) => byte !== 0)) {
    throw new AiotError(
      'AIOT_USAGE',
      `the program does not begin with ${headerBytes} zeros, which the build reserves for the header`,
      {
        next: 'Set --header-size to the size that the build reserves (CONFIG_ROM_START_OFFSET), or add --pad-header.',
      },
    );
  }
}

function tlv(name: TlvName, value: Uint8Array): Buffer {
  const head = Buffer.alloc(tlvHeadBytes);
  head.writeUInt16LE(tlvTypes[name], 0);
  head.writeUInt16LE(value.length, 2);
  return Buffer.concat([head, value]);
}

function tlvBlock(kind: keyof typeof tlvMagics, records: readonly Buffer[]): Buffer {
  const head = Buffer.alloc(tlvHeadBytes);
  head.writeUInt16LE(tlvMagics[kind], 0);
  head.writeUInt16LE(tlvHeadBytes + records.reduce((sum, { length }) => sum + length, 0), 2);
  return Buffer.concat([head, ...records]);
}

function protectedTlvs({ securityCounter, dependencies = [] }: McubootOptions): Buffer {
  const records: Buffer[] = [];
  if (securityCounter !== undefined) {
    const value = Buffer.alloc(4);
    value.writeUInt32LE(securityCounter);
    records.push(tlv('SEC_CNT', value));
  }
  for (const { image, version } of dependencies)
    records.push(tlv('DEPENDENCY', Buffer.concat([Buffer.of(image, 0, 0, 0), versionBytes(version)])));
  return records.length === 0 ? Buffer.alloc(0) : tlvBlock('protected', records);
}

function versionBytes({ major, minor, revision, build }: McubootVersion): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt8(major, 0);
  bytes.writeUInt8(minor, 1);
  bytes.writeUInt16LE(revision, 2);
  bytes.writeUInt32LE(build, 4);
  return bytes;
}

function headerOf(
  options: McubootOptions,
  programBytes: number,
  protectedBytes: number,
  encrypted: boolean,
): Buffer {
  const loadAddress = options.loadAddress ?? 0;
  const header = Buffer.alloc(shortestHeader);
  header.writeUInt32LE(magic, 0);
  header.writeUInt32LE(loadAddress, 4);
  header.writeUInt16LE(options.headerBytes, 8);
  header.writeUInt16LE(protectedBytes, 10);
  header.writeUInt32LE(programBytes, 12);
  const ramLoad = loadAddress === 0 ? 0 : flagBits['ram-load'];
  header.writeUInt32LE(ramLoad | (encrypted ? flagBits['encrypted-aes128'] : 0), 16);
  versionBytes(options.version).copy(header, 20);
  return header;
}

function signed(covered: Uint8Array, hash: Uint8Array, key: KeyObject, kind: McubootKeyKind): Buffer {
  // For Ed25519, the hash is the signed message. The other algorithms hash the image themselves.
  if (kind === 'ed25519') return sign(null, hash, key);
  if (kind === 'ecdsa-p256' || kind === 'ecdsa-p384') return sign(kinds[kind].hash, covered, key);
  return sign('sha256', covered, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: saltBytes });
}

/** The trailer's size, bytes: the status of each sector's swap, keys of an encrypted image, four flags and the mark. */
function trailerBytes(options: McubootOptions, encrypted: boolean): number {
  const { align = 8, maxSectors = 128, overwriteOnly = false } = options;
  const maxAlign = Math.max(8, align);
  const mark = roundUp(16, maxAlign);
  if (overwriteOnly) return 2 * maxAlign + mark;
  return 3 * maxSectors * align + (encrypted ? 2 * roundUp(16, maxAlign) : 0) + 4 * maxAlign + mark;
}

function padded(image: Buffer, options: McubootOptions, encrypted: boolean): Buffer {
  const maxAlign = Math.max(8, options.align ?? 8);
  const needed = image.length + trailerBytes(options, encrypted);
  if (needed > options.slotBytes) {
    throw new AiotError(
      'AIOT_IMAGE_TOO_LARGE',
      `the image and its trailer need ${size(needed)} (${needed} bytes), but the slot has only ${options.slotBytes} bytes`,
    );
  }
  if (options.pad === undefined) return image;
  const slot = Buffer.alloc(options.slotBytes, 0xff);
  image.copy(slot);
  trailerMagic(maxAlign).copy(slot, slot.length - 16);
  if (options.pad === 'confirmed' && options.overwriteOnly !== true)
    slot[slot.length - roundUp(16, maxAlign) - maxAlign] = 1;
  return slot;
}

const eciesInfo = 'MCUBoot_ECIES_v1';

/** Wraps a new AES key for a public key, by ECIES: an ephemeral key, HKDF-SHA256, AES-CTR and HMAC-SHA256. */
function wrapKey(to: KeyObject): { tlv: TlvName; value: Buffer; plain: Buffer } {
  const curve = encryptionKind(to);
  const pair =
    curve === 'x25519' ? generateKeyPairSync('x25519') : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const shared = diffieHellman({ privateKey: pair.privateKey, publicKey: publicOf(to) });
  const plain = randomBytes(16);
  const { cipherKey, mac } = sealKey(shared, plain);
  const value = Buffer.concat([rawPublic(pair.publicKey), mac, cipherKey]);
  return { tlv: curve === 'x25519' ? 'ENCX25519' : 'ENCEC256', value, plain };
}

function encryptionKind(key: KeyObject): 'ec256' | 'x25519' {
  if (key.asymmetricKeyType === 'x25519') return 'x25519';
  if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return 'ec256';
  throw new AiotError('AIOT_USAGE', 'encryption requires an ECDSA P-256 or X25519 key', {
    next: 'Create a key with `openssl genpkey -algorithm X25519 -out key.pem`.',
  });
}

function derived(shared: Uint8Array): { aes: Buffer; hmac: Buffer } {
  const bytes = Buffer.from(hkdfSync('sha256', shared, Buffer.alloc(0), eciesInfo, 48));
  return { aes: bytes.subarray(0, 16), hmac: bytes.subarray(16) };
}

function sealKey(shared: Uint8Array, plain: Uint8Array): { cipherKey: Buffer; mac: Buffer } {
  const { aes, hmac } = derived(shared);
  const cipherKey = createCipheriv('aes-128-ctr', aes, Buffer.alloc(16)).update(plain);
  return { cipherKey, mac: createHmac('sha256', hmac).update(cipherKey).digest() };
}

/** The point or coordinate that ends the key's SubjectPublicKeyInfo: 65 bytes for P-256, 32 for X25519. */
function rawPublic(key: KeyObject): Buffer {
  const der = key.export({ type: 'spki', format: 'der' });
  return der.subarray(der.length - (key.asymmetricKeyType === 'x25519' ? 32 : 65));
}

function publicFromRaw(raw: Uint8Array, curve: 'ec256' | 'x25519'): KeyObject {
  const x = Buffer.from(curve === 'x25519' ? raw : raw.subarray(1, 33)).toString('base64url');
  const y = Buffer.from(raw.subarray(33)).toString('base64url');
  const key = curve === 'x25519' ? { kty: 'OKP', crv: 'X25519', x } : { kty: 'EC', crv: 'P-256', x, y };
  return createPublicKey({ key, format: 'jwk' });
}

/**
 * Decrypts the program of an encrypted image, and checks its hash.
 * @returns the bytes that the hash covers, in plain text
 * @throws AIOT_USAGE (not encrypted in a supported way, or for another key), AIOT_IMAGE_MALFORMED
 */
export function decryptMcuboot(image: McubootImage, privateKey: KeyObject, what = 'image'): Uint8Array {
  const curve = encryptionKind(privateKey);
  const found = image.tlvs.find(({ name }) => name === (curve === 'x25519' ? 'ENCX25519' : 'ENCEC256'));
  if (found === undefined)
    throw new AiotError('AIOT_USAGE', `${what}: the image is not encrypted for a key of this kind`);
  const publicEnd = curve === 'x25519' ? 32 : 65;
  const [raw, mac] = [found.value.subarray(0, publicEnd), found.value.subarray(publicEnd, publicEnd + 32)];
  const cipherKey = found.value.subarray(publicEnd + 32);
  const shared = diffieHellman({ privateKey, publicKey: publicFromRaw(raw, curve) });
  const { aes, hmac } = derived(shared);
  if (cipherKey.length !== 16 || !same(createHmac('sha256', hmac).update(cipherKey).digest(), mac))
    throw new AiotError('AIOT_USAGE', `${what}: the image is encrypted for another key`);
  const plainKey = createCipheriv('aes-128-ctr', aes, Buffer.alloc(16)).update(cipherKey);
  const plain = Buffer.from(image.covered);
  const program = plain.subarray(image.headerBytes, image.headerBytes + image.programBytes);
  createCipheriv('aes-128-ctr', plainKey, Buffer.alloc(16)).update(Buffer.from(program)).copy(program);
  if (!same(digestOf(image.hash.algorithm, plain), image.hash.value))
    throw malformed(what, image.headerBytes, 'the decrypted program does not match its hash');
  return plain;
}

/** One signature of an image. */
export interface McubootSignature {
  key: McubootKeyKind;
  /** Hash of the signing public key, hex; null = the image does not contain it. */
  keyDigest: string | null;
  /** Whether it matches the image; null = none of the given keys is the signing key. */
  valid: boolean | null;
}

/**
 * Verifies an image's signatures. An image contains only the hash of the key, so each signature needs its public key.
 * @param image an image whose hash is intact @param keys public or private keys
 */
export function mcubootSignatures(image: McubootImage, keys: readonly KeyObject[]): McubootSignature[] {
  const found: McubootSignature[] = [];
  let named: string | null = null;
  for (const record of image.tlvs) {
    if (record.protected) continue;
    if (record.name === 'KEYHASH') named = Buffer.from(record.value).toString('hex');
    if (record.name === 'PUBKEY') named = digestOf(image.hash.algorithm, record.value).toString('hex');
    const kind = kindOf(record, image);
    if (kind === null) continue;
    const fitting = keys.filter((key) => mcubootKeyKind(key, 'key') === kind && isNamed(key, named, image));
    const valid = fitting.length === 0 ? null : fitting.some((key) => matches(image, record, key, kind));
    found.push({ key: kind, keyDigest: named, valid });
    named = null;
  }
  return found;
}

const isNamed = (key: KeyObject, digest: string | null, { hash }: McubootImage) =>
  digest === null || digestOf(hash.algorithm, publicBytes(key)).toString('hex') === digest;

function kindOf({ name }: McubootTlv, image: McubootImage): McubootKeyKind | null {
  if (name === 'RSA2048') return 'rsa-2048';
  if (name === 'RSA3072') return 'rsa-3072';
  if (name === 'ED25519') return 'ed25519';
  if (name === 'ECDSASIG') return image.hash.algorithm === 'sha384' ? 'ecdsa-p384' : 'ecdsa-p256';
  return null;
}

function matches(image: McubootImage, { value }: McubootTlv, key: KeyObject, kind: McubootKeyKind): boolean {
  const known = publicOf(key);
  const pure = image.tlvs.some(({ name }) => name === 'SIG_PURE');
  if (kind === 'ed25519') return verify(null, pure ? image.covered : image.hash.value, known, value);
  // MCUboot before version 1.5 required zeros after shorter signatures; the length in the signature excludes them.
  if (kind === 'ecdsa-p256' || kind === 'ecdsa-p384')
    return verify(kinds[kind].hash, image.covered, known, value.subarray(0, (value[1] ?? 0) + 2));
  const padding = constants.RSA_PKCS1_PSS_PADDING;
  return verify('sha256', image.covered, { key: known, padding, saltLength: saltBytes }, value);
}
