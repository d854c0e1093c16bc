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

/**
 * Parses a UF2 file. Returns its chip (null if the file specifies none) and its regions of bytes, with adjacent regions joined. Checks the
 * MD5s. Rejects a file for another manufacturer's chip.
 * @throws AIOT_IMAGE_MALFORMED with the offset and the reason
 */
export function readUf2(
  bytes: Uint8Array,
  what = 'UF2 file',
): { chip: ChipName | null; regions: ByteRegion[] } {
  if (bytes.length === 0) throw malformed(what, 0, 'the file is empty');
  const blocks: Uf2Block[] = [];
  for (let at = 0; at < bytes.length; at += blockBytes) {
    const block = readBlock(bytes, at, what);
    const before = blocks.at(-1);
    const continues = before !== undefined && before.number + 1 < before.count;
    const expected = continues ? before.number + 1 : 0;
    if (block.number !== expected)
      throw refused(at + 20, `is number ${block.number}, expected ${expected}`, at, what);
    if (block.count <= block.number || (continues && block.count !== before.count)) {
      const own = continues ? `, those before it ${before.count}` : '';
      throw refused(at + 24, `states that there are ${block.count} blocks${own}`, at, what);
    }
    if (before !== undefined && block.family !== before.family) {
      throw refused(at + 28, 'is for a different chip family than the blocks before it', at, what);
    }
    blocks.push(block);
  }
  const last = blocks.at(-1);
  if (last !== undefined && last.number + 1 !== last.count) {
    throw malformed(what, bytes.length, `the file ends after block ${last.number + 1} of ${last.count}`);
  }
  const regions = blocks.map(({ address, payload }, index) => ({ offset: address, data: payload, index }));
  const overlap = firstOverlap(regions);
  if (overlap !== null) {
    const [first, second] = overlap;
    const at = second.index * blockBytes;
    throw refused(at + 12, `${hex(second.offset)} was already written by block ${first.index}`, at, what);
  }
  return { chip: chipOfFamily(blocks[0]?.family ?? null, what), regions: joinRegions(regions) };
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

function chipOfFamily(family: number | null, what: string): ChipName | null {
  if (family === null) return null;
  const chip = chipNames.find((name) => espChips[name].uf2Family === family);
  if (chip === undefined) throw malformed(what, 28, `family ${hex(family, 8)} is not a known chip`);
  return chip;
}

/** Block size, bytes. Source: the UF2 file format specification (microsoft/uf2, README). */
const blockBytes = 512;

const magics = { first: 0x0a324655, second: 0x9e5d5157, last: 0x0ab16f30 } as const;
const flags = { family: 0x2000, md5: 0x4000 } as const;
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

/** @throws AIOT_IMAGE_MALFORMED with the offset and the reason */
function readBlock(bytes: Uint8Array, at: number, what: string): Uf2Block {
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
  const unknown = set & ~(flags.family | flags.md5);
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
  const stray = padding.findIndex((byte) => byte !== 0);
  if (stray !== -1) throw refuse(dataAt + length, 'the data after the payload is not zero');
  const last = view.getUint32(28, true);
  if ((set & flags.family) === 0 && last !== 0) throw refuse(28, 'has a family number but no family flag');
  return {
    address,
    payload,
    number: view.getUint32(20, true),
    count: view.getUint32(24, true),
    family: set & flags.family ? last : null,
  };
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
