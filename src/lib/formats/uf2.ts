import { createHash } from 'node:crypto';
import { AiotError } from '../core/errors.js';
import { hex } from '../core/figures.js';
import { type ChipName, chipNames, espChips } from './esp-image/chips.js';
import { type ByteRegion, firstOverlap, joinRegions } from './esp-image/regions.js';
import { malformed } from './image-errors.js';

export interface Uf2Options {
  chip: ChipName;
  /** Payload bytes per block. Default: the maximum, which is 452 with MD5 and 476 without it. */
  payloadBytes?: number;
  /** Whether to include an MD5 in every block (default true). */
  md5?: boolean;
}

/** A family of chips for which UF2 files exist. */
export interface Uf2Family {
  /** Value for `--family`. */
  name: string;
  id: number;
  title: string;
  /** Matches the Board-ID of bootloaders that accept the family. */
  boards: RegExp;
}

const family = (name: string, id: number, title: string, boards: RegExp): Uf2Family => ({
  name,
  id,
  title,
  boards,
});

/**
 * Families that are not Espressif's. Sources: microsoft/uf2, utils/uf2families.json; for RP2350, Raspberry Pi's "RP2350 Datasheet",
 * UF2 family IDs. Board-IDs: RP2040's and RP2350's mask ROMs, the UF2 bootloaders of Adafruit and Microsoft, and TinyUF2.
 */
export const uf2Families: readonly Uf2Family[] = [
  family('rp2040', 0xe48bff56, 'RP2040', /^RPI-RP2/),
  family('rp2350-arm-s', 0xe48bff59, 'RP2350, Arm', /^RP2350/),
  family('rp2350-riscv', 0xe48bff5a, 'RP2350, RISC-V', /^RP2350/),
  family('rp2350-arm-ns', 0xe48bff5b, 'RP2350, Arm non-secure', /^RP2350/),
  family('rp2-absolute', 0xe48bff57, 'RP2350, absolute addresses', /^RP2350/),
  family('rp2-data', 0xe48bff58, 'RP2350, data partition', /^RP2350/),
  family('nrf52', 0x1b57745f, 'nRF52', /^NRF52(832|_)/i),
  family('nrf52833', 0x621e937a, 'nRF52833', /^NRF52833/i),
  family('nrf52840', 0xada52840, 'nRF52840', /^NRF52840/i),
  family('samd21', 0x68ed2b88, 'SAMD21', /^SAMD21/),
  family('samd51', 0x55114460, 'SAMD51 or SAME5x', /^SAM[DE]5[1-4]/),
  family('saml21', 0x1851780a, 'SAML21', /^SAML21/),
  family('stm32f0', 0x647824b6, 'STM32F0', /^STM32F0/),
  family('stm32f1', 0x5ee21072, 'STM32F1', /^STM32F1/),
  family('stm32f2', 0x5d1a0a2e, 'STM32F2', /^STM32F2/),
  family('stm32f3', 0x6b846188, 'STM32F3', /^STM32F3/),
  family('stm32f4', 0x57755a57, 'STM32F4', /^STM32F4/),
  family('stm32f407', 0x6d0922fa, 'STM32F407', /^STM32F407/),
  family('stm32f407vg', 0x8fb060fe, 'STM32F407VG', /^STM32F407VG/),
  family('stm32f7', 0x53b80f00, 'STM32F7', /^STM32F7/),
  family('stm32g0', 0x300f5633, 'STM32G0', /^STM32G0/),
  family('stm32g4', 0x4c71240a, 'STM32G4', /^STM32G4/),
  family('stm32h7', 0x6db66082, 'STM32H7', /^STM32H7/),
  family('stm32l0', 0x202e3a91, 'STM32L0', /^STM32L0/),
  family('stm32l1', 0x1e1f432d, 'STM32L1', /^STM32L1/),
  family('stm32l4', 0x00ff6919, 'STM32L4', /^STM32L4/),
  family('stm32l5', 0x04240bdf, 'STM32L5', /^STM32L5/),
  family('stm32wb', 0x70d16653, 'STM32WB', /^STM32WB/),
  family('stm32wl', 0x21460ff0, 'STM32WL', /^STM32WL/),
  family('mimxrt10xx', 0x4fb2d5bd, 'i.MX RT10xx', /^MIMXRT10/),
  family('lpc55', 0x2abc77ec, 'LPC55xx', /^LPC55/),
  family('kl32l2', 0x7f83e793, 'KL32L2x', /^KL32L2/),
];

const absoluteFamily = 0xe48bff57;

/** A family by its name or number; for numbers without an entry in the table, null. */
export function uf2Family(wanted: string | number): Uf2Family | null {
  const found = uf2Families.find(({ name, id }) => name === wanted || id === wanted);
  if (found !== undefined) return found;
  const chip = chipNames.find((name) => name === wanted || espChips[name].uf2Family === wanted);
  if (chip === undefined) return null;
  // TinyUF2, for chips with USB, reports ESP32S2 or ESP32-S2 before the name of the board.
  const boards = new RegExp(`^${chip.replace('esp32', 'ESP32-?')}(?!\\d)`, 'i');
  return family(chip, espChips[chip].uf2Family, espChips[chip].title, boards);
}

/** Espressif's chips whose UF2 bootloader provides a drive. */
const espressifWithDrive = ['esp32s2', 'esp32s3', 'esp32p4'] as const;

/** Names of the families that a bootloader with this Board-ID accepts; empty = unknown board. */
export function uf2FamiliesOfBoard(board: string): string[] {
  const espressif = espressifWithDrive.flatMap((name) => uf2Family(name) ?? []);
  return [...uf2Families, ...espressif].filter(({ boards }) => boards.test(board)).map(({ name }) => name);
}

/** The blocks of a UF2 file for one family. */
export interface Uf2Program {
  /** The chip's family id; null if the blocks contain none. */
  family: number | null;
  blocks: number;
  /** Regions of bytes by address, with adjacent regions joined. */
  regions: ByteRegion[];
}

/** Whether these bytes start like a UF2 file. */
export function isUf2(bytes: Uint8Array): boolean {
  return (
    bytes.length >= 8 &&
    new DataView(bytes.buffer, bytes.byteOffset, 8).getUint32(0, true) === magics.first &&
    new DataView(bytes.buffer, bytes.byteOffset, 8).getUint32(4, true) === magics.second
  );
}

/**
 * Parses a UF2 file for one or several families. Blocks that are marked for the bootloader to ignore are only counted. Checks the MD5s.
 * @throws AIOT_IMAGE_MALFORMED with the offset and the reason
 */
export function parseUf2(
  bytes: Uint8Array,
  what = 'UF2 file',
): { programs: Uf2Program[]; ignoredBlocks: number } {
  const blocks = readBlocks(bytes, what);
  const byFamily = new Map<number | null, (ReadUf2Block & { index: number })[]>();
  for (const [index, block] of blocks.entries()) {
    if (block.ignored) continue;
    const own = byFamily.get(block.family) ?? [];
    own.push({ ...block, index });
    byFamily.set(block.family, own);
  }
  const programs = [...byFamily].map(([id, own]) => {
    const regions = own.map(({ address, payload, index }) => ({ offset: address, data: payload, index }));
    const overlap = firstOverlap(regions);
    if (overlap !== null) {
      const [first, second] = overlap;
      const at = second.index * blockBytes;
      throw refused(at + 12, `${hex(second.offset)} was already written by block ${first.index}`, at, what);
    }
    return { family: id, blocks: own.length, regions: joinRegions(regions) };
  });
  const ignoredBlocks = blocks.filter(({ ignored }) => ignored).length;
  return { programs, ignoredBlocks };
}

/** Reads all blocks, and checks that none is missing. */
function readBlocks(bytes: Uint8Array, what: string): ReadUf2Block[] {
  if (bytes.length === 0) throw malformed(what, 0, 'the file is empty');
  const blocks: ReadUf2Block[] = [];
  for (let at = 0; at < bytes.length; at += blockBytes) {
    const block = readBlock(bytes, at, what);
    const before = blocks.at(-1);
    const continues = before !== undefined && before.number + 1 < before.count && !isWorkaround(before);
    const expected = continues ? before.number + 1 : 0;
    if (block.number !== expected)
      throw refused(at + 20, `is number ${block.number}, expected ${expected}`, at, what);
    if (block.count <= block.number || (continues && block.count !== before.count)) {
      const own = continues ? `, those before it ${before.count}` : '';
      throw refused(at + 24, `states that there are ${block.count} blocks${own}`, at, what);
    }
    if (continues && block.family !== before.family) {
      throw refused(at + 28, 'is for a different chip family than the blocks before it', at, what);
    }
    blocks.push(block);
  }
  const last = blocks.at(-1);
  if (last !== undefined && last.number + 1 !== last.count) {
    throw malformed(what, bytes.length, `the file ends after block ${last.number + 1} of ${last.count}`);
  }
  return blocks;
}

/**
 * Whether this is the first of two blocks, and the second one is missing. Raspberry Pi's tools begin a file with such a block as a
 * workaround for erratum RP2350-E10.
 */
function isWorkaround(block: Uf2Block): boolean {
  const { family: id, number, count, payload } = block;
  return id === absoluteFamily && number === 0 && count === 2 && payload.every((byte) => byte === 0xef);
}

/**
 * Parses a UF2 file for one chip. Returns the chip (null if the file specifies none, or another manufacturer's), the id of its family,
 * and its regions of bytes, with adjacent regions joined.
 * @throws AIOT_IMAGE_MALFORMED with the offset and the reason
 */
export function readUf2(
  bytes: Uint8Array,
  what = 'UF2 file',
): { chip: ChipName | null; family: Uf2Family | null; regions: ByteRegion[] } {
  const { programs } = parseUf2(bytes, what);
  const [only, ...more] = programs.filter((program) => !isOnlyWorkaround(program));
  if (only === undefined) throw malformed(what, 0, 'the file contains no program');
  if (more.length > 0) {
    const names = [only, ...more].map(({ family: id }) => (id === null ? 'none' : hex(id, 8)));
    throw malformed(what, 28, `the file contains programs for several chip families: ${names.join(', ')}`);
  }
  if (only.family === null) return { chip: null, family: null, regions: only.regions };
  const known = uf2Family(only.family);
  if (known === null) throw malformed(what, 28, `family ${hex(only.family, 8)} is not a known chip`);
  const chip = chipNames.find((name) => name === known.name) ?? null;
  return { chip, family: known, regions: only.regions };
}

/** Older tools do not mark the workaround's block as one to ignore. */
const isOnlyWorkaround = ({ family: id, blocks, regions }: Uf2Program) =>
  id === absoluteFamily && blocks === 1 && regions.every(({ data }) => data.every((byte) => byte === 0xef));

/** Payload of a block for boards with UF2 bootloaders, bytes. It is the page size of flash, and RP2040 accepts no other. */
const pageBytes = 256;
const rp2040SectorBytes = 4096;

/** Nominal address of the workaround's block for RP2350-E10: the end of the first 16 MiB of flash. */
const workaroundAddress = 0x10ff_ff00;

/** Extension tag that makes RP2350 ignore a block. Source: pico-sdk, boot/uf2.h. */
const ignoreTag = 0x9957_e304;

/**
 * Writes a UF2 file for a board's UF2 bootloader, in blocks of whole pages. Partly covered pages are filled with 0xFF. For RP2040, so are
 * partly covered sectors, except after the last page (erratum RP2040-E14). For RP2350, the file begins with the block that works around
 * erratum RP2350-E10.
 * @throws AIOT_USAGE if there are no regions
 */
export function writeUf2Program(regions: readonly ByteRegion[], { name, id }: Uf2Family): Uint8Array {
  const pages = pagesOf(regions, name === 'rp2040' ? rp2040SectorBytes : pageBytes);
  if (pages.length === 0) throw new AiotError('AIOT_USAGE', 'there is no data to write to a UF2 file');
  const blocks = pages.map(({ offset, data }, number) =>
    writeBlock({ address: offset, payload: data, number, count: pages.length, family: id }, false),
  );
  return Buffer.concat(/^rp2350-/.test(name) ? [workaroundBlock(), ...blocks] : blocks);
}

/** Whole pages that cover the regions, by address. Partly covered units, except the last one, are filled completely. */
function pagesOf(regions: readonly ByteRegion[], unitBytes: number): ByteRegion[] {
  const pages = new Map<number, Uint8Array>();
  const page = (offset: number) => {
    const found = pages.get(offset) ?? new Uint8Array(pageBytes).fill(0xff);
    pages.set(offset, found);
    return found;
  };
  for (const { offset, data } of regions) {
    for (let at = 0; at < data.length; ) {
      const address = offset + at;
      const inPage = address % pageBytes;
      const part = data.subarray(at, at + pageBytes - inPage);
      page(address - inPage).set(part, inPage);
      at += part.length;
    }
  }
  const last = [...pages.keys()].reduce((highest, address) => Math.max(highest, address), 0);
  for (const address of [...pages.keys()]) {
    const unit = address - (address % unitBytes);
    for (let at = unit; at < unit + unitBytes && at <= last; at += pageBytes) page(at);
  }
  return [...pages].map(([offset, data]) => ({ offset, data })).toSorted((a, b) => a.offset - b.offset);
}

function workaroundBlock(): Uint8Array {
  const payload = new Uint8Array(pageBytes).fill(0xef);
  const block = writeBlock(
    { address: workaroundAddress, payload, number: 0, count: 2, family: absoluteFamily },
    false,
  );
  const view = new DataView(block.buffer, block.byteOffset);
  view.setUint32(8, flags.family | flags.tags, true);
  view.setUint32(dataAt + pageBytes, ignoreTag, true);
  return block;
}

/** Writes a UF2 file. As in esptool, each region's blocks are numbered separately. @throws AIOT_USAGE (payloadBytes out of range) */
export function writeUf2(regions: readonly ByteRegion[], options: Uf2Options): Uint8Array {
  const md5 = options.md5 !== false;
  const room = dataBytes - (md5 ? md5Bytes : 0);
  const step = options.payloadBytes ?? room;
  if (!Number.isInteger(step) || step < 1 || step > room) {
    throw new AiotError(
      'AIOT_USAGE',
      `a UF2 block has 1 to ${room} payload bytes${md5 ? ' in addition to its MD5' : ''}, but this one has ${step}`,
    );
  }
  const family = espChips[options.chip].uf2Family;
  const blocks = regions
    .toSorted((a, b) => a.offset - b.offset)
    .flatMap(({ offset, data }) => {
      const count = Math.ceil(data.length / step);
      return Array.from({ length: count }, (_, number) => {
        const payload = data.subarray(number * step, (number + 1) * step);
        return writeBlock({ address: offset + number * step, payload, number, count, family }, md5);
      });
    });
  return Buffer.concat(blocks);
}

function refused(offset: number, reason: string, at: number, what: string): AiotError {
  return malformed(what, offset, `block ${at / blockBytes}: ${reason}`);
}

/** Block size, bytes. Source: the UF2 file format specification (microsoft/uf2, README). */
const blockBytes = 512;

const magics = { first: 0x0a324655, second: 0x9e5d5157, last: 0x0ab16f30 } as const;
const flags = { family: 0x2000, md5: 0x4000, tags: 0x8000 } as const;
const dataAt = 32;

/** Space for the payload and the data after it, bytes. */
const dataBytes = 476;

/** Size of the MD5 part, bytes: the region's address, length and MD5. */
const md5Bytes = 24;

interface Uf2Block {
  address: number;
  payload: Uint8Array;
  number: number;
  /** Number of blocks in the block's file. A UF2 may consist of several concatenated files. */
  count: number;
  /** The chip's family id; null if the block contains no family id. */
  family: number | null;
}

/** A block as read. */
interface ReadUf2Block extends Uf2Block {
  /** Whether a tag tells the bootloader to ignore the block. */
  ignored: boolean;
}

/** @throws AIOT_IMAGE_MALFORMED with the offset and the reason */
function readBlock(bytes: Uint8Array, at: number, what: string): ReadUf2Block {
  const block = bytes.subarray(at, at + blockBytes);
  const index = at / blockBytes;
  const refuse = (offset: number, reason: string) =>
    malformed(what, at + offset, `block ${index}: ${reason}`);
  if (block.length < blockBytes)
    throw refuse(block.length, `the file ends before the end of a block of ${blockBytes} bytes`);
  const view = new DataView(block.buffer, block.byteOffset, blockBytes);
  for (const [offset, magic] of [
    [0, magics.first],
    [4, magics.second],
    [508, magics.last],
  ] as const) {
    const got = view.getUint32(offset, true);
    if (got !== magic) throw refuse(offset, `expected the magic number ${hex(magic, 8)}, got ${hex(got, 8)}`);
  }
  const set = view.getUint32(8, true);
  const unknown = set & ~(flags.family | flags.md5 | flags.tags);
  if (unknown !== 0)
    throw refuse(8, `flags ${hex(unknown >>> 0)} are unknown or mark data that is not for flash`);
  const length = view.getUint32(16, true);
  const room = dataBytes - (set & flags.md5 ? md5Bytes : 0);
  if (length === 0 || length > room)
    throw refuse(16, `a payload has 1 to ${room} bytes, but this one has ${length}`);
  const address = view.getUint32(12, true);
  if (address + length > 0x100000000)
    throw refuse(12, `${length} bytes at ${hex(address)} extend past the 32-bit address space`);
  const payload = block.subarray(dataAt, dataAt + length);
  const rest = block.subarray(dataAt + length, dataAt + dataBytes);
  const padding = set & flags.md5 ? withoutMd5(rest, address, payload) : rest;
  if (padding === null) throw refuse(dataAt, 'its MD5 does not match its address, length and payload');
  const tags = set & flags.tags ? tagsOf(padding, length) : { bytes: 0, ignored: false };
  if (tags === null) throw refuse(dataAt + length, 'the extension tags are missing or damaged');
  const stray = padding.findIndex((byte, index) => index >= tags.bytes && byte !== 0);
  if (stray !== -1) throw refuse(dataAt + length, 'the data after the payload is not zero');
  const last = view.getUint32(28, true);
  if ((set & flags.family) === 0 && last !== 0) throw refuse(28, 'has a family number but no family flag');
  return {
    address,
    payload,
    number: view.getUint32(20, true),
    count: view.getUint32(24, true),
    family: set & flags.family ? last : null,
    ignored: tags.ignored,
  };
}

/**
 * Reads extension tags, which begin at a multiple of 4 bytes after the payload. The first byte of a tag is its length; a length of 0 ends
 * the list. Returns null if there is none, or if one is damaged.
 */
function tagsOf(rest: Uint8Array, payloadBytes: number): { bytes: number; ignored: boolean } | null {
  const start = -payloadBytes & 3;
  const view = new DataView(rest.buffer, rest.byteOffset, rest.length);
  let [at, ignored] = [start, false];
  while (at + 4 <= rest.length && rest[at] !== 0) {
    const length = rest[at] ?? 0;
    if (length < 4 || at + length > rest.length) return null;
    ignored ||= view.getUint32(at, true) === ignoreTag;
    at = (at + length + 3) & ~3;
  }
  return at === start ? null : { bytes: at, ignored };
}

/** Encodes a block with `flags.family` and, if `md5` is set, `flags.md5`. */
function writeBlock(block: Uf2Block, md5: boolean): Uint8Array {
  const bytes = new Uint8Array(blockBytes);
  const view = new DataView(bytes.buffer);
  const set = (block.family === null ? 0 : flags.family) | (md5 ? flags.md5 : 0);
  const { address, payload, number, count } = block;
  const words = [magics.first, magics.second, set, address, payload.length, number, count, block.family ?? 0];
  for (const [index, word] of words.entries()) view.setUint32(index * 4, word, true);
  bytes.set(payload, dataAt);
  // The MD5 directly follows the payload, as in the manufacturer's tools. In the specification, the MD5 is at the end of the block.
  if (md5) bytes.set(md5Part(address, payload), dataAt + payload.length);
  view.setUint32(508, magics.last, true);
  return bytes;
}

function md5Part(address: number, payload: Uint8Array): Uint8Array {
  const part = new Uint8Array(md5Bytes);
  const view = new DataView(part.buffer);
  view.setUint32(0, address, true);
  view.setUint32(4, payload.length, true);
  part.set(createHash('md5').update(payload).digest(), 8);
  return part;
}

/** Returns `rest` without a valid MD5, which may be at the start of `rest` or, as specified, at the end; null if there is no valid MD5. */
function withoutMd5(rest: Uint8Array, address: number, payload: Uint8Array): Uint8Array | null {
  const expected = md5Part(address, payload);
  const same = (part: Uint8Array) => Buffer.compare(part, expected) === 0;
  if (same(rest.subarray(0, md5Bytes))) return rest.subarray(md5Bytes);
  return same(rest.subarray(-md5Bytes)) ? rest.subarray(0, -md5Bytes) : null;
}
