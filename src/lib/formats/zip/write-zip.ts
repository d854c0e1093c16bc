import { crc32 } from 'node:zlib';
import type { Member } from '../archive/archive.js';

const [endSignature, entrySignature, localSignature] = [0x06054b50, 0x02014b50, 0x04034b50];
/** Names are UTF-8 (APPNOTE 4.4.4, bit 11). */
const utf8Names = 1 << 11;
/** 2.0: folders, and nothing newer. */
const version = 20;

/**
 * A zip archive of files as they are, stored (PKWARE's APPNOTE 6.3, sections 4.3 to 4.4): equal files and time give equal
 * bytes. Less than 4 GiB in all and fewer than 65,536 files.
 * @param modified ms since 1970, of all files; zip knows even seconds from 1980 on
 */
export function writeZip(members: readonly Member[], modified: number): Uint8Array {
  const bodies: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, data } of members) {
    const bytes = Buffer.from(name);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(version, 0);
    common.writeUInt16LE(utf8Names, 2);
    common.writeUInt32LE(dosTime(modified), 6);
    common.writeUInt32LE(crc32(data), 10);
    common.writeUInt32LE(data.length, 14);
    common.writeUInt32LE(data.length, 18);
    common.writeUInt16LE(bytes.length, 22);
    bodies.push(word(localSignature), common, bytes, Buffer.from(data));
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(offset, 10);
    directory.push(word(entrySignature), Buffer.from([version, 0]), common, rest, bytes);
    offset += 4 + common.length + bytes.length + data.length;
  }
  const entries = Buffer.concat(directory);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(members.length, 4);
  end.writeUInt16LE(members.length, 6);
  end.writeUInt32LE(entries.length, 8);
  end.writeUInt32LE(offset, 12);
  return new Uint8Array(Buffer.concat([...bodies, entries, word(endSignature), end]));
}

/** Time in the lower half, date in the upper one (MS-DOS), in UTC. */
function dosTime(at: number): number {
  const date = new Date(Math.max(at, Date.UTC(1980, 0)));
  const time = (date.getUTCHours() << 11) | (date.getUTCMinutes() << 5) | (date.getUTCSeconds() >> 1);
  const day = ((date.getUTCFullYear() - 1980) << 9) | ((date.getUTCMonth() + 1) << 5) | date.getUTCDate();
  return ((day << 16) | time) >>> 0;
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
