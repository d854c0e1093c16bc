import { crc32, inflateRawSync } from 'node:zlib';
import { AiotError } from '../core/errors.js';
import type { Member } from './archive.js';

const [endSignature, entrySignature, localSignature] = [0x06054b50, 0x02014b50, 0x04034b50];
const [endBytes, entryBytes, localBytes] = [22, 46, 30];

/** Maximum total of unpacked bytes: more than any microcontroller model needs, and small enough for memory. */
const largestTotal = 1 << 29;

/** A file in the archive, according to the directory. */
interface Entry {
  name: string;
  /** Offset of the file's directory entry from the start of the archive. */
  at: number;
  method: number;
  size: number;
  encrypted: boolean;
  /** Offset of the file's own header. */
  begin: number;
  /** Offset of the file's packed bytes. */
  from: number;
  to: number;
}

/**
 * Reads files from a zip archive by name. The files may be stored or deflated (PKWARE's APPNOTE 6.3, sections 4.3 to 4.4). Only requested
 * files are unpacked. Zip64, encryption and other methods are rejected. Entries that share bytes are also rejected, because a small archive
 * with such entries could unpack to any size.
 * @param wanted names of the files to read; names that the archive does not contain are omitted from the result
 * @throws AIOT_FILE_MALFORMED with the offset
 */
export function readZip(bytes: Uint8Array, wanted: readonly string[]): Map<string, Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries = entriesOf(bytes, view);
  requireApart(entries);
  const files = new Map<string, Uint8Array>();
  let total = 0;
  for (const entry of entries) {
    if (!wanted.includes(entry.name)) continue;
    if (files.has(entry.name)) throw malformed(entry.at, `${entry.name} is contained twice`);
    total += entry.size;
    if (total > largestTotal)
      throw malformed(
        entry.at,
        `the size of ${entry.name} is stated as ${entry.size} bytes, which is too large`,
      );
    files.set(entry.name, contentOf(bytes, entry));
  }
  return files;
}

function entriesOf(bytes: Uint8Array, view: DataView): Entry[] {
  const end = findEnd(view);
  const count = view.getUint16(end + 10, true);
  let at = view.getUint32(end + 16, true);
  const entries: Entry[] = [];
  for (let n = 0; n < count; n++) {
    if (at + entryBytes > bytes.length || view.getUint32(at, true) !== entrySignature)
      throw malformed(at, 'expected a directory entry');
    const [nameLength, extra, comment] = [28, 30, 32].map((place) => view.getUint16(at + place, true)) as [
      number,
      number,
      number,
    ];
    const name = new TextDecoder().decode(bytes.subarray(at + entryBytes, at + entryBytes + nameLength));
    entries.push(entryAt(view, at, name));
    at += entryBytes + nameLength + extra + comment;
  }
  return entries;
}

function entryAt(view: DataView, at: number, name: string): Entry {
  const begin = view.getUint32(at + 42, true);
  if (begin + localBytes > view.byteLength || view.getUint32(begin, true) !== localSignature)
    throw malformed(begin, `expected the header of ${name}`);
  const from = begin + localBytes + view.getUint16(begin + 26, true) + view.getUint16(begin + 28, true);
  const to = from + view.getUint32(at + 20, true);
  if (to > view.byteLength) throw malformed(from, `${name} is truncated`);
  return {
    name,
    at,
    encrypted: (view.getUint16(at + 8, true) & 1) !== 0,
    method: view.getUint16(at + 10, true),
    size: view.getUint32(at + 24, true),
    ...{ begin, from, to },
  };
}

function requireApart(entries: readonly Entry[]): void {
  const inOrder = [...entries].sort((a, b) => a.begin - b.begin);
  inOrder.forEach((entry, k) => {
    const next = inOrder[k + 1];
    if (next && next.begin < entry.to) throw malformed(next.begin, `${next.name} overlaps ${entry.name}`);
  });
}

/** Finds the end record. Only a comment of up to 64 KB may follow this record. */
function findEnd(view: DataView): number {
  const first = Math.max(0, view.byteLength - endBytes - 0xffff);
  for (let at = view.byteLength - endBytes; at >= first; at--) {
    if (view.getUint32(at, true) === endSignature) return at;
  }
  throw malformed(
    view.byteLength,
    'the end record is missing: the file is not a zip archive, or it is truncated',
  );
}

function contentOf(bytes: Uint8Array, { name, at, encrypted, method, size, from, to }: Entry): Uint8Array {
  if (encrypted) throw malformed(at, `${name} is encrypted`);
  const data = bytes.subarray(from, to);
  if (method === 0) return data;
  if (method !== 8) throw malformed(at, `${name} is compressed with method ${method}; supported: 0 and 8`);
  try {
    const content = inflateRawSync(data, { maxOutputLength: size });
    if (content.length === size) return content;
  } catch (cause) {
    throw malformed(from, `${name} cannot be decompressed`, cause);
  }
  throw malformed(from, `the size of ${name} is not ${size} bytes as stated`);
}

function malformed(offset: number, what: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_FILE_MALFORMED', `byte ${offset} of the archive: ${what}`, { cause });
}

/** Flag for names in UTF-8 (APPNOTE 4.4.4, bit 11). */
const utf8Names = 1 << 11;

/** Version needed to extract: 2.0 introduced folders, and no newer features are used. */
const version = 20;

/**
 * Writes a zip archive with uncompressed files (PKWARE's APPNOTE 6.3, sections 4.3 to 4.4). Equal files and an equal time yield equal
 * bytes. There must be fewer than 65,536 files, with less than 4 GiB in total.
 * @param modified ms since 1970, for all files; zip represents even seconds from 1980 on
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

/** Converts a time to MS-DOS format in UTC: the time in the lower half, the date in the upper half. */
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
