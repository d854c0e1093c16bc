import { crc32 } from 'node:zlib';
import {
  entryStates,
  nvsEntries,
  nvsEntryBytes,
  nvsFirstEntry,
  nvsNumbers,
  nvsPageBytes,
  nvsPageStates,
} from '../../formats/index.js';

/** A page's offset of the map of states; two bits an entry. */
const mapOffset = 32;
/** An entry's offset of a number. */
const valueOffset = 24;

/** A number in NVS, and what it is to be. */
export interface NumberChange {
  type: 'u8' | 'u64';
  namespace: string;
  key: string;
  value: bigint;
}

/**
 * A copy of a plain NVS partition with another value of a number, in the very place where it is: nothing moves, no page is
 * used up. null when there is no such number. Source: ESP-IDF, "Non-Volatile Storage Library", Structure of entry.
 * @returns also the entry's offset in the partition
 */
export function withNumber(
  bytes: Uint8Array,
  { type, namespace, key, value }: NumberChange,
): { bytes: Uint8Array; at: number } | null {
  const entries = [...numbersIn(bytes)];
  const index = entries.find(({ ns, name }) => ns === 0 && name === namespace)?.first;
  const { code, bytes: width } = nvsNumbers[type];
  const found = entries.find((entry) => entry.ns === index && entry.name === key && entry.code === code);
  if (index === undefined || !found) return null;
  const changed = Buffer.from(bytes);
  const entry = changed.subarray(found.at, found.at + nvsEntryBytes);
  for (let i = 0; i < width; i++) entry[valueOffset + i] = Number((value >> BigInt(8 * i)) & 0xffn);
  const crc = crc32(Buffer.concat([entry.subarray(0, 4), entry.subarray(8)]), 0xffffffff);
  entry.writeUInt32LE(crc >>> 0, 4);
  return { bytes: changed, at: found.at };
}

interface Found {
  /** Offset in the partition. */
  at: number;
  ns: number;
  name: string;
  /** Of its type, as `nvsNumbers` has them. */
  code: number;
  /** The lowest byte of its value: all of a namespace's number. */
  first: number;
}

const numberCodes = new Set<number>(Object.values(nvsNumbers).map(({ code }) => code));

/** All numbers that are in use, names of namespaces (in namespace 0) among them. */
function* numbersIn(bytes: Uint8Array): Generator<Found> {
  const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let page = 0; page + nvsPageBytes <= data.length; page += nvsPageBytes) {
    const state = data.readUInt32LE(page);
    if (state !== nvsPageStates.active && state !== nvsPageStates.full) continue;
    for (let i = 0; i < nvsEntries; ) {
      const at = page + nvsFirstEntry + i * nvsEntryBytes;
      const written = ((data[page + mapOffset + (i >> 2)]! >> ((i & 3) * 2)) & 3) === entryStates.written;
      const entry = data.subarray(at, at + nvsEntryBytes);
      if (written && numberCodes.has(entry[1]!)) {
        const name = entry.subarray(8, valueOffset);
        const end = name.indexOf(0);
        yield {
          at,
          ns: entry[0]!,
          name: name.subarray(0, end < 0 ? 16 : end).toString('latin1'),
          code: entry[1]!,
          first: entry[valueOffset]!,
        };
      }
      // What follows a string's or a blob's first entry is its data, and may look like anything.
      i += written ? Math.max(1, entry[2]!) : 1;
    }
  }
}
