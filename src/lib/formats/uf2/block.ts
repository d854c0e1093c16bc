import { createHash } from 'node:crypto';
import { hex, malformed } from '../esp-image/errors.js';

/** Source: the UF2 file format specification (microsoft/uf2, README). */
export const blockBytes = 512;
export const magics = { first: 0x0a324655, second: 0x9e5d5157, last: 0x0ab16f30 } as const;
export const flags = { family: 0x2000, md5: 0x4000 } as const;
const dataAt = 32;
/** Room for payload, and what is behind it. */
export const dataBytes = 476;
/** Address and length of the region, and its MD5. */
export const md5Bytes = 24;

export interface Uf2Block {
  address: number;
  payload: Uint8Array;
  number: number;
  /** Of its file; several files may follow one another. */
  count: number;
  /** null when the block names none. */
  family: number | null;
}

/** @throws AIOT_IMAGE_MALFORMED with the offset and the reason */
export function readBlock(bytes: Uint8Array, at: number, what: string): Uf2Block {
  const block = bytes.subarray(at, at + blockBytes);
  const index = at / blockBytes;
  const refuse = (offset: number, reason: string) =>
    malformed(what, at + offset, `block ${index}: ${reason}`);
  if (block.length < blockBytes)
    throw refuse(block.length, `a block has ${blockBytes} bytes, the file ends before`);
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
    throw refuse(8, `flags ${hex(unknown >>> 0)} mark what is not for flash, or are not known`);
  const length = view.getUint32(16, true);
  const room = dataBytes - (set & flags.md5 ? md5Bytes : 0);
  if (length === 0 || length > room) throw refuse(16, `a payload has 1 to ${room} bytes, this ${length}`);
  const address = view.getUint32(12, true);
  if (address + length > 0x100000000)
    throw refuse(12, `${hex(address)} and ${length} bytes pass the end of 32 bits`);
  const payload = block.subarray(dataAt, dataAt + length);
  const rest = block.subarray(dataAt + length, dataAt + dataBytes);
  const padding = set & flags.md5 ? withoutMd5(rest, address, payload) : rest;
  if (padding === null) throw refuse(dataAt, 'its MD5 is not that of its address, length and payload');
  const stray = padding.findIndex((byte) => byte !== 0);
  if (stray !== -1) throw refuse(dataAt + length, 'what follows the payload is not zero');
  const last = view.getUint32(28, true);
  if ((set & flags.family) === 0 && last !== 0) throw refuse(28, 'says no family and yet has a number there');
  return {
    address,
    payload,
    number: view.getUint32(20, true),
    count: view.getUint32(24, true),
    family: set & flags.family ? last : null,
  };
}

/** Flags are `flags.family`, and `flags.md5` where `md5`. */
export function writeBlock(block: Uf2Block, md5: boolean): Uint8Array {
  const bytes = new Uint8Array(blockBytes);
  const view = new DataView(bytes.buffer);
  const set = (block.family === null ? 0 : flags.family) | (md5 ? flags.md5 : 0);
  const { address, payload, number, count } = block;
  const words = [magics.first, magics.second, set, address, payload.length, number, count, block.family ?? 0];
  for (const [index, word] of words.entries()) view.setUint32(index * 4, word, true);
  bytes.set(payload, dataAt);
  // Behind the payload and not at the end of the block: so the makers' tools write it, and it is the same in a full block.
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

/** What remains of `rest` beside a right MD5, which stands at its beginning or (as specified) at its end; null without one. */
function withoutMd5(rest: Uint8Array, address: number, payload: Uint8Array): Uint8Array | null {
  const expected = md5Part(address, payload);
  const same = (part: Uint8Array) => Buffer.compare(part, expected) === 0;
  if (same(rest.subarray(0, md5Bytes))) return rest.subarray(md5Bytes);
  return same(rest.subarray(-md5Bytes)) ? rest.subarray(0, -md5Bytes) : null;
}
