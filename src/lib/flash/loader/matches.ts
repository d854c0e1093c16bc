import { createHash } from 'node:crypto';
import { flashMd5 } from './md5.js';
import { readFlash } from './read.js';
import type { Session } from './session.js';

/**
 * Whether the flash has these bytes at `offset`: by the chip's MD5 over whole words, which every loader computes, and by
 * reading the up to three bytes beside them.
 */
export async function matches(session: Session, offset: number, data: Uint8Array): Promise<boolean> {
  const from = Math.min(data.length, (4 - (offset % 4)) % 4);
  const to = from + Math.floor((data.length - from) / 4) * 4;
  const middle = data.subarray(from, to);
  if (middle.length > 0) {
    const there = await flashMd5(session, offset + from, middle.length);
    if (there !== createHash('md5').update(middle).digest('hex')) return false;
  }
  return (
    (await has(session, offset, data.subarray(0, from))) &&
    (await has(session, offset + to, data.subarray(to)))
  );
}

async function has(session: Session, offset: number, edge: Uint8Array): Promise<boolean> {
  if (edge.length === 0) return true;
  // The whole word around it: some loaders read nothing smaller.
  const start = offset - (offset % 4);
  const there = await readFlash(session, start, 4);
  return Buffer.from(edge).equals(there.subarray(offset - start, offset - start + edge.length));
}
