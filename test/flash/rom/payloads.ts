import { createHash } from 'node:crypto';
import { constants, deflateRawSync, deflateSync } from 'node:zlib';

/** Creates a zlib stream of exactly `length` bytes that inflates to `size` bytes; null if there is none. */
export function zlibOfLength(size: number, length: number): { stream: Buffer; data: Buffer } | null {
  for (let random = Math.min(size, length); random >= 0; random--) {
    const data = Buffer.alloc(size, 0x20);
    for (let at = 0; at < random; at++) data[at] = (Math.imul(at + 1, 0x9e3779b1) >>> 24) & 0xff;
    const body = deflateRawSync(data, { level: 9, finishFlush: constants.Z_SYNC_FLUSH });
    const rest = length - (2 + body.length + 5 + 4);
    if (rest < 0 || rest % 5 !== 0) continue;
    const empty = (final: number) => Buffer.from([final, 0, 0, 0xff, 0xff]);
    const blocks = Array.from({ length: rest / 5 }, () => empty(0));
    const adler = deflateSync(data).subarray(-4);
    return { stream: Buffer.concat([Buffer.from([0x78, 0xda]), body, ...blocks, empty(1), adler]), data };
  }
  return null;
}

/** Returns the bytes for a digest, if they are one of the simple fillings of the handmade requests. */
export function knownPayload({ len, sha256 }: { len: number; sha256: string }): Buffer | null {
  const candidates = [0x00, 0x11, 0x5a, 0xff].map((byte) => Buffer.alloc(len, byte));
  candidates.push(deflateSync(Buffer.alloc(2048, 0x41), { level: 9 }));
  return candidates.find((bytes) => createHash('sha256').update(bytes).digest('hex') === sha256) ?? null;
}

/** Varied bytes of this length, for data that a trace does not contain. */
export function filling(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, at) => (at * 7 + (at >> 8)) & 0xff));
}
