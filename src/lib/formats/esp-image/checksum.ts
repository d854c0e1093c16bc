import { createHash } from 'node:crypto';

/** XOR of all bytes, over this start value. Source: ESP_ROM_CHECKSUM_INITIAL of ESP-IDF. */
export const checksumStart = 0xef;

export function xorChecksum(data: Uint8Array, start = checksumStart): number {
  let sum = start;
  for (const byte of data) sum ^= byte;
  return sum;
}

/** Where the checksum's byte is, once everything up to `end` is written: the last of a row of 16. */
export function checksumOffset(end: number): number {
  return end + 15 - (end % 16);
}

export function sha256(data: Uint8Array): Uint8Array {
  return createHash('sha256').update(data).digest();
}
