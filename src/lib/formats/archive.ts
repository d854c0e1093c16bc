import { createTar } from 'nanotar';
import { errorMaker } from '../core/errors.js';

const malformed = errorMaker('AIOT_BUNDLE_MALFORMED');

/** A file in an archive. */
export interface Member {
  name: string;
  data: Uint8Array;
}

const block = 512;

/** Record size of ustar; archives are padded with zeros to a multiple of this size. */
const record = 20 * block;

/** The header field with the member's size, in octal digits. */
const sizeField = { at: 124, digits: 11 };

/** Writes a ustar archive without times, owners or random values, so that equal members in the same order yield equal bytes. */
export function writeArchive(members: readonly Member[]): Uint8Array<ArrayBuffer> {
  const tar = createTar(
    // nanotar writes the whole underlying buffer of a view, which for a Buffer may be a shared pool.
    members.map(({ name, data }) => ({ name, data: Uint8Array.from(data) })),
    { attrs: { mode: '644', uid: 0, gid: 0, mtime: 0 } },
  );
  const used = members.reduce((at, { data }) => at + block + padded(data.length), 0);
  // nanotar 0.3 omits the two final blocks of zeros if the members fill the last record.
  const whole = new Uint8Array(Math.ceil((used + 2 * block) / record) * record);
  whole.set(tar.subarray(0, used));
  return whole;
}

/**
 * Reads an archive that `writeArchive` made from files with these names, in this order. Every byte is checked: headers, padding and end
 * must be identical to those that `writeArchive` writes.
 * @param what the archive's name, for errors
 * @throws AIOT_BUNDLE_MALFORMED with the member and the byte
 */
export function readArchive(bytes: Uint8Array, names: readonly string[], what = 'the archive'): Member[] {
  const members: Member[] = [];
  let at = 0;
  for (const name of names) {
    const header = bytes.subarray(at, at + block);
    const size = sizeOf(header);
    if (size === null || at + block + padded(size) > bytes.length) {
      throw malformed(`${what}: ${name}: the header at byte ${at} is invalid or truncated`);
    }
    const own = createTar([{ name, data: new Uint8Array(size) }], {
      attrs: { mode: '644', uid: 0, gid: 0, mtime: 0 },
    });
    const wrong = firstDifference(header, own.subarray(0, block));
    if (wrong >= 0) throw malformed(`${what}: ${name}: the header was modified at byte ${at + wrong}`);
    const start = at + block;
    const end = start + padded(size);
    const filled = bytes.subarray(start + size, end).findIndex((byte) => byte !== 0);
    if (filled >= 0) {
      throw malformed(
        `${what}: ${name}: the padding after the file was modified at byte ${start + size + filled}`,
      );
    }
    members.push({ name, data: Uint8Array.from(bytes.subarray(start, start + size)) });
    at = end;
  }
  const length = Math.ceil((at + 2 * block) / record) * record;
  const trailing = bytes.subarray(at).findIndex((byte) => byte !== 0);
  if (trailing >= 0)
    throw malformed(`${what}: unexpected data after the last file, at byte ${at + trailing}`);
  if (bytes.length !== length) throw malformed(`${what}: expected ${length} bytes, got ${bytes.length}`);
  return members;
}

/** Name of the first file in an archive. Not verified, so use it only to recognize the archive's kind. */
export function firstName(bytes: Uint8Array): string {
  const end = bytes.subarray(0, 100).indexOf(0);
  return new TextDecoder('latin1').decode(bytes.subarray(0, end < 0 ? 100 : end));
}

/** Contents of the first file in an archive whose start, at least, is present; null if the contents are incomplete. Nothing is verified. */
export function firstContents(bytes: Uint8Array): Uint8Array | null {
  const size = sizeOf(bytes.subarray(0, block));
  return size === null || block + size > bytes.length ? null : bytes.subarray(block, block + size);
}

function sizeOf(header: Uint8Array): number | null {
  if (header.length < block) return null;
  const digits = new TextDecoder('latin1').decode(
    header.subarray(sizeField.at, sizeField.at + sizeField.digits),
  );
  return /^[0-7]{11}$/.test(digits) ? Number.parseInt(digits, 8) : null;
}

function padded(size: number): number {
  return Math.ceil(size / block) * block;
}

function firstDifference(a: Uint8Array, b: Uint8Array): number {
  return a.findIndex((byte, i) => byte !== b[i]);
}
