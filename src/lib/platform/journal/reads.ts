import { type FileHandle, open } from 'node:fs/promises';
import { systemCode } from '../../core/index.js';
import type { Entry } from './entry.js';
import type { Spot } from './index/chunk.js';
import { isEntry, parseLine } from './line.js';

/** Bytes that one read takes at most, and what may lie between two lines that are read at once. */
const blockBytes = 256 * 1024;
const gapBytes = 16 * 1024;

/**
 * The entries at these spots of one segment, in the order given; neighbours are read together. Lines that are damaged are
 * told of and passed over.
 */
export async function* entriesAt(
  path: string,
  spots: readonly Spot[],
  checked: boolean,
  damaged: (spot: Spot) => void,
): AsyncGenerator<Entry> {
  const file = await open(path, 'r').catch((error: unknown) => {
    if (systemCode(error) !== 'ENOENT') throw error;
    return null;
  });
  if (!file) {
    for (const spot of spots) damaged(spot);
    return;
  }
  try {
    for (const { from, to, some } of blocksOf(spots)) {
      const bytes = await readBlock(file, from, to - from);
      for (const spot of some) {
        const { offset, length } = spot;
        const record = parseLine(bytes.subarray(offset - from, offset - from + length), checked);
        if (record && isEntry(record)) yield record;
        else damaged(spot);
      }
    }
  } finally {
    await file.close();
  }
}

function* blocksOf(spots: readonly Spot[]) {
  let block: { from: number; to: number; some: Spot[] } | undefined;
  for (const spot of spots) {
    const to = spot.offset + spot.length;
    const near = block && spot.offset >= block.to && spot.offset - block.to <= gapBytes;
    if (block && near && to - block.from <= blockBytes) {
      block.to = to;
      block.some.push(spot);
    } else {
      if (block) yield block;
      block = { from: spot.offset, to, some: [spot] };
    }
  }
  if (block) yield block;
}

async function readBlock(file: FileHandle, from: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(bytes, done, length - done, from + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes;
}
