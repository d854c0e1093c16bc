import { crc32 } from 'node:zlib';

/** As ESP-IDF's esp_rom_crc32_le(0xffffffff, …): over headers, entries and data. */
export function nvsCrc(...parts: Uint8Array[]): number {
  return crc32(Buffer.concat(parts), 0xffffffff) >>> 0;
}

/** Of an entry: all but the CRC itself. */
export function entryCrc(entry: Uint8Array): number {
  return nvsCrc(entry.subarray(0, 4), entry.subarray(8, 32));
}

/** Of a page's header: sequence, version and what is reserved; its state changes without it. */
export function headerCrc(page: Uint8Array): number {
  return nvsCrc(page.subarray(4, 28));
}
