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

/** First page's offset of the map of states; two bits an entry. */
const mapOffset = 32;
const numberType = nvsNumbers.u8.code;

/**
 * A copy of a plain NVS partition with another value of a u8, in the very place where it is: nothing moves, no page is
 * used up. null when there is no such number. Source: ESP-IDF, "Non-Volatile Storage Library", Structure of entry.
 * @returns also the entry's offset in the partition
 */
export function withNumber(
  bytes: Uint8Array,
  { namespace, key, value }: { namespace: string; key: string; value: number },
): { bytes: Uint8Array; at: number } | null {
  const entries = [...numbersIn(bytes)];
  const index = entries.find(({ ns, name }) => ns === 0 && name === namespace)?.value;
  const found = entries.find(({ ns, name }) => ns === index && name === key);
  if (index === undefined || !found) return null;
  const changed = Buffer.from(bytes);
  const entry = changed.subarray(found.at, found.at + nvsEntryBytes);
  entry[24] = value;
  const crc = crc32(Buffer.concat([entry.subarray(0, 4), entry.subarray(8)]), 0xffffffff);
  entry.writeUInt32LE(crc >>> 0, 4);
  return { bytes: changed, at: found.at };
}

interface Found {
  /** Offset in the partition. */
  at: number;
  ns: number;
  name: string;
  value: number;
}

/** All u8 that are in use, names of namespaces (in namespace 0) among them. */
function* numbersIn(bytes: Uint8Array): Generator<Found> {
  const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let page = 0; page + nvsPageBytes <= data.length; page += nvsPageBytes) {
    const state = data.readUInt32LE(page);
    if (state !== nvsPageStates.active && state !== nvsPageStates.full) continue;
    for (let i = 0; i < nvsEntries; ) {
      const at = page + nvsFirstEntry + i * nvsEntryBytes;
      const written = ((data[page + mapOffset + (i >> 2)]! >> ((i & 3) * 2)) & 3) === entryStates.written;
      const entry = data.subarray(at, at + nvsEntryBytes);
      if (written && entry[1] === numberType) {
        const name = entry.subarray(8, 24);
        const end = name.indexOf(0);
        yield {
          at,
          ns: entry[0]!,
          name: name.subarray(0, end < 0 ? 16 : end).toString('latin1'),
          value: entry[24]!,
        };
      }
      // What follows a string's or a blob's first entry is its data, and may look like anything.
      i += written ? Math.max(1, entry[2]!) : 1;
    }
  }
}
