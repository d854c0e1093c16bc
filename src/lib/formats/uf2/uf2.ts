import { AiotError } from '../../core/index.js';
import { type ChipName, chipNames, espChips } from '../esp-image/chips.js';
import { hex, malformed } from '../esp-image/errors.js';
import { type ByteRegion, firstOverlap, joinRegions } from '../esp-image/regions.js';
import { blockBytes, dataBytes, md5Bytes, readBlock, type Uf2Block, writeBlock } from './block.js';

export interface Uf2Options {
  chip: ChipName;
  /** Payload bytes of a block; default: as many as fit (452, without MD5 476). */
  payloadBytes?: number;
  /** An MD5 in every block (default true). */
  md5?: boolean;
}

/**
 * UF2 → the chip it is for (null when it names none) and its bytes, touching ones joined. MD5s in it are checked; a file
 * for a chip of another maker is refused.
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
      throw refused(at + 24, `says that there are ${block.count} blocks${own}`, at, what);
    }
    if (before !== undefined && block.family !== before.family) {
      throw refused(at + 28, 'is for another family of chips than those before it', at, what);
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
    throw refused(at + 12, `${hex(second.offset)} is also in block ${first.index}`, at, what);
  }
  return { chip: chipOfFamily(blocks[0]?.family ?? null, what), regions: joinRegions(regions) };
}

/** Each region numbered for itself, as esptool does it. @throws AIOT_USAGE (payloadBytes out of range) */
export function writeUf2(regions: readonly ByteRegion[], options: Uf2Options): Uint8Array {
  const md5 = options.md5 !== false;
  const room = dataBytes - (md5 ? md5Bytes : 0);
  const step = options.payloadBytes ?? room;
  if (!Number.isInteger(step) || step < 1 || step > room) {
    throw new AiotError(
      'AIOT_USAGE',
      `a UF2 block has 1 to ${room} payload bytes${md5 ? ' beside its MD5' : ''}, not ${step}`,
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
  if (chip === undefined) throw malformed(what, 28, `family ${hex(family, 8)} is no chip that is known here`);
  return chip;
}
