import { inflateRawSync } from 'node:zlib';
import { AiotError } from '../../core/index.js';

const [endSignature, entrySignature, localSignature] = [0x06054b50, 0x02014b50, 0x04034b50];
const [endBytes, entryBytes, localBytes] = [22, 46, 30];
/** More than any model that fits a microcontroller, and little enough to be held in memory. */
const largestEntry = 1 << 30;

/**
 * The files of a zip archive by name, stored or deflated (PKWARE's APPNOTE 6.3, sections 4.3 to 4.4). Zip64, encryption and other
 * methods are refused.
 * @throws AIOT_FILE_MALFORMED with the offset
 */
export function readZip(bytes: Uint8Array): Map<string, Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = findEnd(view);
  const count = view.getUint16(end + 10, true);
  let at = view.getUint32(end + 16, true);
  const files = new Map<string, Uint8Array>();
  for (let n = 0; n < count; n++) {
    if (at + entryBytes > bytes.length || view.getUint32(at, true) !== entrySignature)
      throw malformed(at, 'expected an entry of the directory');
    const [nameLength, extra, comment] = [28, 30, 32].map((place) => view.getUint16(at + place, true)) as [
      number,
      number,
      number,
    ];
    const name = new TextDecoder().decode(bytes.subarray(at + entryBytes, at + entryBytes + nameLength));
    if (!name.endsWith('/')) files.set(name, contentOf(bytes, view, at, name));
    at += entryBytes + nameLength + extra + comment;
  }
  return files;
}

/** The end record lies at the end, before a comment of up to 64 KB. */
function findEnd(view: DataView): number {
  const first = Math.max(0, view.byteLength - endBytes - 0xffff);
  for (let at = view.byteLength - endBytes; at >= first; at--) {
    if (view.getUint32(at, true) === endSignature) return at;
  }
  throw malformed(view.byteLength, 'it has no end record, so it is no zip archive, or it is cut off');
}

function contentOf(bytes: Uint8Array, view: DataView, entry: number, name: string): Uint8Array {
  const flags = view.getUint16(entry + 8, true);
  const method = view.getUint16(entry + 10, true);
  const packed = view.getUint32(entry + 20, true);
  const size = view.getUint32(entry + 24, true);
  const local = view.getUint32(entry + 42, true);
  if (flags & 1) throw malformed(entry, `${name} is encrypted`);
  if (size > largestEntry) throw malformed(entry, `${name} claims ${size} bytes`);
  if (local + localBytes > bytes.length || view.getUint32(local, true) !== localSignature)
    throw malformed(local, `expected the beginning of ${name}`);
  const from = local + localBytes + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
  const data = bytes.subarray(from, from + packed);
  if (data.length !== packed) throw malformed(from, `${name} is cut off`);
  if (method === 0) return data;
  if (method !== 8) throw malformed(entry, `${name} is packed with method ${method}; known: 0 and 8`);
  try {
    const content = inflateRawSync(data, { maxOutputLength: size });
    if (content.length === size) return content;
  } catch (cause) {
    throw malformed(from, `${name} cannot be unpacked`, cause);
  }
  throw malformed(from, `${name} has other than ${size} bytes`);
}

function malformed(offset: number, what: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_FILE_MALFORMED', `byte ${offset} of the archive: ${what}`, { cause });
}
