import { isUtf8 } from 'node:buffer';
import { nvsCrc } from './crc.js';
import type { RawEntry } from './read-page.js';
import { type NvsEntry, type NvsNumberType, nvsEntryBytes, nvsNumbers, typeCodes } from './types.js';

/** Tells what is wrong at a byte of an entry. */
export type Say = (entry: RawEntry, reason: string, at?: number) => void;

const numberTypes = Object.entries(nvsNumbers) as [NvsNumberType, (typeof nvsNumbers)[NvsNumberType]][];

/**
 * The value that an entry begins; null where it is damaged. `parts`: the chunks of a blob that are there, of so many from this
 * number on; what it takes of them goes into `used`.
 */
export function entryValue(
  entry: RawEntry,
  namespace: string,
  parts: (count: number, start: number) => RawEntry[],
  used: Set<RawEntry>,
  say: Say,
): NvsEntry | null {
  const place = { namespace, key: entry.key };
  const number = numberTypes.find(([, { code }]) => code === entry.type);
  if (number) return numberOf(place, number[0], entry);
  switch (entry.type) {
    case typeCodes.string: {
      const data = dataOf(entry, say);
      if (data === null) return null;
      if (data.at(-1) !== 0) {
        say(
          entry,
          `expected the string ${namespace}.${entry.key} to end with a NUL`,
          nvsEntryBytes + data.length - 1,
        );
        return null;
      }
      const text = data.subarray(0, -1);
      const raw = isUtf8(text) ? {} : { raw: text };
      return { ...place, type: 'string', value: text.toString('utf8'), ...raw };
    }
    case typeCodes.blob: {
      const data = dataOf(entry, say);
      return data && { ...place, type: 'blob', value: data };
    }
    case typeCodes.blobIndex: {
      const [bytes, count, start] = [entry.data.readUInt32LE(0), entry.data[4]!, entry.data[5]!];
      const found = parts(count, start);
      for (const part of found) used.add(part);
      const data = found.map((part) => dataOf(part, say));
      const whole = Buffer.concat(data.filter((part) => part !== null));
      if (found.length === count && whole.length === bytes) return { ...place, type: 'blob', value: whole };
      if (!data.includes(null)) {
        say(
          entry,
          `expected the blob ${namespace}.${entry.key} to have ${bytes} bytes in ${count} chunks, got ${whole.length} in ${found.length}`,
          24,
        );
      }
      return null;
    }
    default:
      say(
        entry,
        `expected a type that is known for ${namespace}.${entry.key}, got 0x${entry.type.toString(16)}`,
        1,
      );
      return null;
  }
}

function numberOf(
  place: { namespace: string; key: string },
  type: NvsNumberType,
  { data }: RawEntry,
): NvsEntry {
  const { bytes } = nvsNumbers[type];
  if (type === 'u64') return { ...place, type, value: data.readBigUInt64LE() };
  if (type === 'i64') return { ...place, type, value: data.readBigInt64LE() };
  const value = type.startsWith('u') ? data.readUIntLE(0, bytes) : data.readIntLE(0, bytes);
  return { ...place, type, value };
}

/** What is behind an entry, its length and CRC checked. */
function dataOf(entry: RawEntry, say: Say): Buffer | null {
  const size = entry.data.readUInt16LE(0);
  const room = entry.tail.length;
  if (Math.ceil(size / nvsEntryBytes) * nvsEntryBytes !== room) {
    say(
      entry,
      `${entry.key}: expected ${size} bytes to span ${1 + Math.ceil(size / nvsEntryBytes)} entries, got ${1 + room / nvsEntryBytes}`,
      24,
    );
    return null;
  }
  const data = entry.tail.subarray(0, size);
  const crc = nvsCrc(data);
  const said = entry.data.readUInt32LE(4);
  if (crc !== said) {
    say(
      entry,
      `the CRC of the data of ${entry.key} is ${hex(crc)}, and its entry says ${hex(said)}`,
      nvsEntryBytes,
    );
    return null;
  }
  const odd = entry.tail.subarray(size).findIndex((byte) => byte !== 0xff);
  if (odd >= 0) say(entry, `expected 0xff behind the data of ${entry.key}`, nvsEntryBytes + size + odd);
  return data;
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}
