import { seededRandom } from '../../src/lib/core/numbers.js';

/** An image that compresses to about half, like most programs: runs of varied bytes between repeated ones. */
export function programImage(length: number): Uint8Array {
  const random = seededRandom(5);
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at++) {
    bytes[at] = at % 64 < 32 ? Math.floor(random() * 256) : (at >> 10) & 0xff;
  }
  return bytes;
}
