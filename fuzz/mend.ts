import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { entryCrc, headerCrc } from '../src/lib/formats/nvs/types.js';

/** Corrects an image's checksum and hash, which follow its segments. */
export function mendedImage(bytes: Buffer): Buffer {
  let [at, sum] = [24, 0xef];
  for (let left = bytes[1] ?? 0; left > 0 && at + 8 <= bytes.length; left--) {
    const length = bytes.readUInt32LE(at + 4);
    for (const byte of bytes.subarray(at + 8, at + 8 + length)) sum ^= byte;
    at += 8 + length;
  }
  const place = at + 15 - (at % 16);
  if (place >= bytes.length) return bytes;
  bytes[place] = sum;
  if (bytes[23] === 1 && place + 33 <= bytes.length)
    createHash('sha256')
      .update(bytes.subarray(0, place + 1))
      .digest()
      .copy(bytes, place + 1);
  return bytes;
}

/** Corrects the MD5 of a partition table's rows. */
export function mendedTable(bytes: Buffer): Buffer {
  for (let at = 0; at + 32 <= bytes.length; at += 32) {
    if (bytes.readUInt16LE(at) !== 0xebeb) continue;
    createHash('md5')
      .update(bytes.subarray(0, at))
      .digest()
      .copy(bytes, at + 16);
    break;
  }
  return bytes;
}

/** Corrects the CRCs of pages, and of anything in them that looks like an entry. */
export function mendedNvs(bytes: Buffer): Buffer {
  for (let page = 0; page + 4096 <= bytes.length; page += 4096) {
    const whole = bytes.subarray(page, page + 4096);
    whole.writeUInt32LE(headerCrc(whole), 28);
    for (let at = 64; at + 32 <= 4096; at += 32) {
      const entry = whole.subarray(at, at + 32);
      const [span, length] = [entry[2]!, entry.readUInt16LE(24)];
      if (entry[0] === 0xff || span === 0 || at + span * 32 > 4096) continue;
      if (span > 1)
        entry.writeUInt32LE(crc32(whole.subarray(at + 32, at + 32 + length), 0xffffffff) >>> 0, 28);
      entry.writeUInt32LE(entryCrc(entry), 4);
      at += (span - 1) * 32;
    }
  }
  return bytes;
}

/** Corrects the CRCs of both sequences. */
export function mendedOtadata(bytes: Buffer): Buffer {
  for (const at of [0, 0x1000])
    if (at + 32 <= bytes.length)
      bytes.writeUInt32LE(crc32(bytes.subarray(at, at + 4), 0xffffffff) >>> 0, at + 28);
  return bytes;
}

/** Corrects the checksum of each line of Intel HEX, its last byte. */
export function mendedHex(bytes: Buffer): Buffer {
  const lines = bytes
    .toString('latin1')
    .split('\n')
    .map((line) => {
      const found = /^:([0-9A-Fa-f]{8,})[0-9A-Fa-f]{2}(\s*)$/.exec(line);
      if (!found?.[1] || found[1].length % 2 === 1) return line;
      const sum = Buffer.from(found[1], 'hex').reduce((total, byte) => total + byte, 0);
      return `:${found[1]}${(-sum & 0xff).toString(16).padStart(2, '0').toUpperCase()}${found[2]}`;
    });
  return Buffer.from(lines.join('\n'), 'latin1');
}
