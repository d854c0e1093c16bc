import * as z from 'zod';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import { readBytes } from '../../core/files.js';
import { elfUsage } from '../../formats/elf/usage.js';
import { isMapped } from '../../formats/esp-image/memory.js';
import { type EspImage, readEspImage } from '../../formats/esp-image/read.js';
import type { ByteRegion } from '../../formats/esp-image/regions.js';
import { bootSignatures } from '../../formats/esp-image/secure-boot.js';
import { isMcuboot, mcubootSignatures, readMcuboot } from '../../formats/mcuboot.js';
import { readNvs } from '../../formats/nvs/read.js';
import { otadataBytes, readOtadata } from '../../formats/otadata.js';
import { partitionTableBytes, partitionTableOffset } from '../../formats/partitions.js';
import { isUf2, parseUf2, uf2Family } from '../../formats/uf2.js';
import { contentsOf, type FileFormat, looksLike, looksLikeTable } from '../plan/pieces.js';
import { describe, imageInfoSchema } from './image-info.js';
import { mcubootInfo, mcubootInfoSchema } from './mcuboot.js';
import { type Partitions, partitionsSchema, tableOf } from './partitions.js';

/** Kinds of files that `firmware inspect` recognizes. */
const firmwareKinds = ['elf', 'image', 'flash', 'partition-table', 'bundle', 'mcuboot', 'uf2'] as const;

const usageSchema = z.object({
  bits: z.union([z.literal(32), z.literal(64)]),
  machine: z.string(),
  type: z.enum(['object', 'executable', 'position-independent']),
  entry: z.number(),
  /** Whether the file has function names, which `aiot board monitor --elf` needs. */
  symbols: z.boolean(),
  sections: z.array(
    z.object({
      name: z.string(),
      address: z.number(),
      bytes: z.int(),
      part: z.enum(['text', 'data', 'bss']),
    }),
  ),
  /** Bytes of read-only sections, as counted by binutils' `size`. */
  text: z.int(),
  /** Bytes of initialized data. */
  data: z.int(),
  /** Bytes of zero-initialized data. */
  bss: z.int(),
});

const uf2Schema = z.object({
  programs: z.array(
    z.object({
      /** Name of the family; null = unknown, or not specified in the file. */
      family: z.string().nullable(),
      title: z.string(),
      /** Family id, 0x and 8 hex digits; null = none. */
      id: z.string().nullable(),
      blocks: z.int(),
      regions: z.array(z.object({ address: z.int(), bytes: z.int() })),
    }),
  ),
  /** Number of blocks that are marked for the bootloader to ignore. */
  ignoredBlocks: z.int(),
});

/** Contents of a flash range. */
const partSchema = z.object({
  offset: z.int(),
  /** The partition's label. If the table has no such partition, a description. */
  name: z.string(),
  what: z.string(),
  /** Size of the contents without padding, bytes. */
  bytes: z.int(),
  problem: z.string().nullable(),
});

export const inspectedSchema = z.object({
  file: z.string(),
  kind: z.enum(firmwareKinds),
  bytes: z.int(),
  /** SHA-256 of the whole file, 64 hex digits. */
  sha256: z.string(),
  /** Memory use: occupied flash, and RAM as far as the file reveals it (for an image, without zero-initialized data). */
  use: z.object({ flash: z.int(), ram: z.int() }).nullable(),
  /** Signatures of the file; null = the file is not signed. */
  signed: z
    .object({
      scheme: z.enum(['secure-boot-v1', 'secure-boot-v2', 'release', 'mcuboot']),
      /** Whether the signatures match the signed data; null = this cannot be checked without the key. */
      valid: z.boolean().nullable(),
      /** The signing keys: key ids of a release, or digests of the keys for secure boot version 2 or MCUboot. */
      keyids: z.array(z.string()),
    })
    .nullable(),
  elf: usageSchema.nullable(),
  image: imageInfoSchema.nullable(),
  mcuboot: mcubootInfoSchema.nullable(),
  /** A UF2 file for a chip that is not Espressif's, or for several. */
  uf2: uf2Schema.nullable(),
  partitions: partitionsSchema.nullable(),
  /** For a flash: all recognized contents, by offset. */
  parts: z.array(partSchema),
  bundle: z
    .object({
      name: z.string(),
      kind: z.enum(['model', 'network']),
      classes: z.array(z.string()),
      networkBytes: z.int(),
    })
    .nullable(),
});

export type Inspected = z.output<typeof inspectedSchema>;

type FlashPart = z.output<typeof partSchema>;

type Told = Partial<Inspected> & Pick<Inspected, 'kind'>;

/**
 * Identifies a firmware file by its contents, not by its name, and checks it.
 * @throws AIOT_IMAGE_MALFORMED (damaged or unknown), AIOT_FILE_MALFORMED, AIOT_BUNDLE_MALFORMED, AIOT_FILE_NOT_FOUND
 */
export async function inspectFirmware(file: string): Promise<Inspected> {
  const bytes = await readBytes(file);
  const nothing = {
    use: null,
    signed: null,
    elf: null,
    image: null,
    mcuboot: null,
    uf2: null,
    partitions: null,
    parts: [],
    bundle: null,
  };
  return { ...nothing, file, bytes: bytes.length, sha256: sha256Hex(bytes), ...(await tell(bytes, file)) };
}

async function tell(bytes: Uint8Array, file: string): Promise<Told> {
  const uf2 = isUf2(bytes) ? tellUf2(bytes, file) : null;
  if (uf2 !== null) return uf2;
  const { format, regions } = contentsOf(bytes, file);
  if (format === 'elf') return tellElf(bytes, file);
  if (isMcuboot(bytes)) return tellMcuboot(bytes, file);
  if (regions !== null) return tellRegions(regions, format, file);
  if (looksLikeTable(bytes)) return tellTable(bytes, file);
  if (isFlash(bytes)) return tellFlash([{ offset: 0, data: bytes }], file);
  if (format === 'image') return tellImage({ offset: 0, data: bytes }, format, file);
  if (latin1(bytes, 257, 262) === 'ustar') return await tellBundle(bytes);
  const otadata = otadataPart(bytes);
  if (otadata !== null) return { kind: 'flash', parts: [otadata] };
  throw new AiotError('AIOT_IMAGE_MALFORMED', `${file}: ${strange(bytes)}`, {
    next: /TFL3/.test(latin1(bytes, 4, 8))
      ? `The file is a model. Run \`aiot model inspect ${file}\`.`
      : 'Use an ELF file, an ESP32 image (.bin, .hex, .uf2), an MCUboot image, a merged or read-out flash image, a partition table, or a bundle (.aiot).',
  });
}

function tellElf(bytes: Uint8Array, file: string): Told {
  const { memory, ...elf } = elfUsage(bytes, file);
  return { kind: 'elf', elf, use: memory };
}

/** Describes a UF2 file, unless it is for one of Espressif's chips, whose images are described. */
function tellUf2(bytes: Uint8Array, file: string): Told | null {
  const { programs, ignoredBlocks } = parseUf2(bytes, file);
  const [first] = programs;
  const espressif = first?.family == null || (uf2Family(first.family)?.name ?? '').startsWith('esp');
  if (programs.length === 1 && espressif) return null;
  const described = programs.map(({ family: id, blocks, regions }) => {
    const known = id === null ? null : uf2Family(id);
    return {
      family: known?.name ?? null,
      title: known?.title ?? (id === null ? 'any' : 'unknown'),
      id: id === null ? null : hex(id, 8),
      blocks,
      regions: regions.map(({ offset, data }) => ({ address: offset, bytes: data.length })),
    };
  });
  const flash = described.flatMap(({ regions }) => regions).reduce((sum, { bytes: own }) => sum + own, 0);
  return { kind: 'uf2', uf2: { programs: described, ignoredBlocks }, use: { flash, ram: 0 } };
}

function tellMcuboot(bytes: Uint8Array, file: string): Told {
  const image = readMcuboot(bytes, file);
  const mcuboot = mcubootInfo(image, file);
  const signatures = mcubootSignatures(image, []);
  const keyids = signatures.flatMap(({ keyDigest }) => keyDigest ?? []);
  const signed = signatures.length > 0 ? { scheme: 'mcuboot' as const, valid: null, keyids } : null;
  return { kind: 'mcuboot', mcuboot, signed };
}

function tellTable(bytes: Uint8Array, file: string): Told {
  return { kind: 'partition-table', partitions: tableOf(bytes.subarray(0, partitionTableBytes), file) };
}

function tellImage(region: ByteRegion, format: FileFormat, file: string): Told {
  const read = readEspImage(region.data, file);
  const signature = imageSignature(region.data, read);
  const ram = read.segments
    .filter(({ address }) => address !== 0 && !isMapped(read.chip, address))
    .reduce((sum, { length }) => sum + length, 0);
  return {
    kind: 'image',
    image: describe(file, format, region),
    use: { flash: read.length, ram },
    signed: signature,
  };
}

/** Identifies the contents of a HEX or UF2 file, which includes addresses: a single image or a whole flash. */
function tellRegions(regions: readonly ByteRegion[], format: FileFormat, file: string): Told {
  const [only, ...more] = regions;
  if (only !== undefined && more.length === 0 && only.data[0] === 0xe9 && !isFlash(only.data))
    return tellImage(only, format, file);
  return tellFlash(regions, file);
}

function tellFlash(regions: readonly ByteRegion[], file: string): Told {
  const { table, parts } = flashParts(regions, file);
  if (parts.length > 0) return { kind: 'flash', partitions: table, parts };
  throw new AiotError(
    'AIOT_IMAGE_MALFORMED',
    `${file}: the file contains neither an image nor a partition table`,
  );
}

async function tellBundle(bytes: Uint8Array): Promise<Told> {
  // The module is loaded on demand, because it is large and only bundles need it.
  const { describeBundle } = await import('../../model/bundle/pack.js');
  const { keyids, ...bundle } = describeBundle(bytes);
  const signed = keyids.length > 0 ? { scheme: 'release' as const, valid: null, keyids } : null;
  return { kind: 'bundle', bundle, signed };
}

/**
 * Whether this is a whole flash, recognized by a partition table at the usual offset. Without a table, there must be no image at
 * the start, but one at a usual offset for a bootloader or an app.
 */
function isFlash(bytes: Uint8Array): boolean {
  if (looksLikeTable(bytes.subarray(partitionTableOffset))) return true;
  if (bytes[0] === 0xe9) return false;
  return [0x1000, 0x2000, 0x10000].some((offset) => looksLike(bytes.subarray(offset)) !== null);
}

function strange(bytes: Uint8Array): string {
  if (bytes.length === 0) return 'the file is empty';
  const start = Buffer.from(bytes.subarray(0, 4))
    .toString('hex')
    .replace(/(..)(?=.)/g, '$1 ');
  return `not a firmware file: it starts with ${start}`;
}

function latin1(bytes: Uint8Array, from: number, to: number): string {
  return Buffer.from(bytes.subarray(from, to)).toString('latin1');
}

/** Offsets at which a chip's ROM or a default table expects images, with their names. */
const places: readonly [offset: number, name: string][] = [
  [0x0, 'bootloader'],
  [0x1000, 'bootloader'],
  [0x2000, 'bootloader'],
  [0x10000, 'app'],
];

/** All recognized contents of a flash: table, images, settings. Damaged parts are listed with a description of the problem. */
function flashParts(
  regions: readonly ByteRegion[],
  file: string,
): { table: Partitions | null; parts: FlashPart[] } {
  const parts: FlashPart[] = [];
  const at = (offset: number, length?: number) => bytesAt(regions, offset, length);
  let table: Partitions | null = null;
  const raw = at(partitionTableOffset, partitionTableBytes);
  if (looksLikeTable(raw)) {
    parts.push(
      tried({ offset: partitionTableOffset, name: 'partition-table' }, 'partition table', () => {
        table = tableOf(padded(raw), file);
        return { what: `${table.partitions.length} partitions`, bytes: partitionTableBytes };
      }),
    );
  }
  const named = (table as Partitions | null)?.partitions ?? [];
  const apps = named.filter(({ type }) => type === 'app');
  const known = places.filter(([offset]) => !apps.some((app) => app.offset === offset));
  for (const { offset, name, size } of [
    ...known.map(([offset, name]) => ({ offset, name, size: undefined })),
    ...apps,
  ]) {
    const data = at(offset, size);
    if (looksLike(data) !== null) parts.push(tried({ offset, name }, 'image', () => imageIn(data, file)));
  }
  for (const { offset, name, size, type, subtype } of named) {
    const data = at(offset, size);
    if (type !== 'data' || data.length < size || data.every((byte) => byte === 0xff)) continue;
    if (subtype === 'nvs') parts.push(tried({ offset, name }, 'NVS', () => nvsIn(data)));
    if (subtype === 'ota') parts.push(tried({ offset, name }, 'otadata', () => otadataIn(data, apps.length)));
  }
  return { table, parts: parts.sort((a, b) => a.offset - b.offset) };
}

function imageIn(data: Uint8Array, file: string) {
  const { chip, kind, app, length } = readEspImage(data, file);
  const program = app === null ? '' : `: ${app.project} ${app.version}`.trimEnd();
  return { what: `${kind === 'app' ? 'app' : 'bootloader'} for ${chip}${program}`, bytes: length };
}

function nvsIn(data: Uint8Array) {
  const { entries } = readNvs(data);
  const spaces = new Set(entries.map(({ namespace }) => namespace));
  return { what: `NVS: ${entries.length} entries in ${[...spaces].join(', ')}`, bytes: data.length };
}

/**
 * The part for a file that contains only otadata, such as the erased `ota_data_initial.bin` from an ESP-IDF build. Null for any other
 * file. Such a file does not reveal the number of slots.
 */
function otadataPart(data: Uint8Array): FlashPart | null {
  if (data.length !== otadataBytes) return null;
  const part = tried({ offset: 0, name: 'otadata' }, 'otadata', () => {
    const { entries } = readOtadata(data);
    if (entries.every((entry) => entry === null))
      return { what: 'otadata: erased, names no slot', bytes: data.length };
    const newest = Math.max(...entries.map((entry) => (entry?.usable ? entry.sequence : 0)));
    return {
      what: newest === 0 ? 'otadata: names no slot' : `otadata: sequence ${newest}`,
      bytes: data.length,
    };
  });
  return part.problem === null ? part : null;
}

function otadataIn(data: Uint8Array, slots: number) {
  const active = readOtadata(data).active(slots);
  return {
    what: active === null ? 'otadata: names no slot' : `otadata: boots slot ${active}`,
    bytes: data.length,
  };
}

function tried(
  place: Pick<FlashPart, 'offset' | 'name'>,
  what: string,
  read: () => Pick<FlashPart, 'what' | 'bytes'>,
): FlashPart {
  try {
    return { ...place, ...read(), problem: null };
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
    return { ...place, what, bytes: 0, problem: error.message };
  }
}

/** The contents, from this offset on, of the region that covers it; empty if no region does. */
function bytesAt(regions: readonly ByteRegion[], offset: number, length?: number): Uint8Array {
  const holder = regions.find(({ offset: start, data }) => start <= offset && offset < start + data.length);
  if (holder === undefined) return new Uint8Array(0);
  const from = offset - holder.offset;
  return holder.data.subarray(from, length === undefined ? undefined : from + length);
}

/** Pads a table to its full length, because a file may end after the last row. */
function padded(bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(partitionTableBytes).fill(0xff);
  whole.set(bytes);
  return whole;
}

/** A signature after an image: its kind, and whether it matches the image. Whether a chip trusts the key depends on its fuses. */
interface ImageSignature {
  scheme: 'secure-boot-v1' | 'secure-boot-v2';
  /** A version 2 signature contains its public key. A version 1 signature cannot be checked without the key. */
  valid: boolean | null;
  /** Digests of the keys of a version 2 signature. */
  keyids: string[];
}

const sector = 0x1000;

/** Format of version 1: a version field of 0 and 64 bytes of ECDSA directly after the image. */
const first = { bytes: 68, signatureBytes: 64 };

/** The signature after the image at the start of these bytes; null = none. */
function imageSignature(bytes: Uint8Array, image: Pick<EspImage, 'length'>): ImageSignature | null {
  const padded = Math.ceil(image.length / sector) * sector;
  const signatures = bootSignatures(bytes.subarray(0, padded + sector));
  if (signatures.length > 0) {
    const valid = signatures.every((signature) => signature.valid);
    return { scheme: 'secure-boot-v2', valid, keyids: signatures.map(({ keyDigest }) => keyDigest) };
  }
  const behind = bytes.subarray(image.length, image.length + first.bytes);
  const version = behind.subarray(0, first.bytes - first.signatureBytes);
  const rest = behind.subarray(version.length);
  const signed = behind.length === first.bytes && version.every((byte) => byte === 0) && mixed(rest);
  return signed ? { scheme: 'secure-boot-v1', valid: null, keyids: [] } : null;
}

/** Whether the bytes are neither padding nor erased flash. A signature has many different bytes. */
function mixed(bytes: Uint8Array): boolean {
  return new Set(bytes).size > 16;
}
