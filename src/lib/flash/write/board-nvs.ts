import { crc32 } from 'node:zlib';
import { AiotError, hasCode } from '../../core/errors.js';
import { decryptNvs, encryptNvs, nvsKeysInUse } from '../../formats/nvs/crypt.js';
import { readNvs } from '../../formats/nvs/read.js';
import {
  entryStates,
  type NvsEntry,
  nvsEntries,
  nvsEntryBytes,
  nvsFirstEntry,
  nvsNumbers,
  nvsPageBytes,
  nvsPageStates,
} from '../../formats/nvs/types.js';
import {
  type Partition,
  type PartitionTable,
  partitionSubtypes,
  partitionTypes,
} from '../../formats/partitions.js';
import type { Loader, Region } from '../loader/types.js';

/** The identity's NVS as it is on a board. */
export interface BoardNvs {
  partition: Partition;
  /** As in flash. */
  bytes: Uint8Array;
  /** Where it is encrypted. */
  keys: Uint8Array | null;
  entries: NvsEntry[];
}

/**
 * Reads what a board knows about itself; an encrypted NVS with the keys in its nvs_keys partition.
 * @throws AIOT_FLASH_NO_SLOT (no nvs partition), AIOT_NVS_MALFORMED
 */
export async function readBoardNvs(loader: Pick<Loader, 'read'>, table: PartitionTable): Promise<BoardNvs> {
  const partition = dataPartition(table, 'nvs');
  if (!partition) {
    throw new AiotError('AIOT_FLASH_NO_SLOT', 'the board’s partition table has no nvs partition');
  }
  const bytes = await loader.read(partition.offset, partition.size);
  const keys = nvsKeysInUse(bytes, await keysOf(loader, dataPartition(table, 'nvs_keys')));
  const { entries } = readNvs(keys ? decryptNvs(bytes, keys) : bytes);
  return { partition, bytes, keys, entries };
}

/** The same of a board that may have none, or one that cannot be read from here (encrypted flash, another's bytes): null. */
export async function readIdentityNvs(
  loader: Pick<Loader, 'read'>,
  table: PartitionTable,
): Promise<BoardNvs | null> {
  try {
    return await readBoardNvs(loader, table);
  } catch (error) {
    if (hasCode(error, 'AIOT_FLASH_NO_SLOT') || hasCode(error, 'AIOT_NVS_MALFORMED')) return null;
    throw error;
  }
}

async function keysOf(
  loader: Pick<Loader, 'read'>,
  partition: Partition | undefined,
): Promise<Uint8Array | null> {
  return partition ? await loader.read(partition.offset, nvsPageBytes) : null;
}

/** The partition that is called as its subtype is, or the first of that subtype: as provisioning chooses it. */
export function dataPartition(table: PartitionTable, kind: 'nvs' | 'nvs_keys'): Partition | undefined {
  const subtype = partitionSubtypes[partitionTypes.data]?.[kind];
  const found = table.partitions.filter((p) => p.type === partitionTypes.data && p.subtype === subtype);
  return found.find(({ label }) => label === kind) ?? found[0];
}

/** The types that are asked for here, and what they are in JavaScript. */
interface Values {
  u8: number;
  u32: number;
  u64: bigint;
  string: string;
  blob: Uint8Array;
}

/** A value, where the board has one of this type under this key. */
export function nvsValue<T extends keyof Values>(
  { entries }: Pick<BoardNvs, 'entries'>,
  type: T,
  namespace: string,
  key: string,
): Values[T] | null {
  const found = entries.find(
    (entry) => entry.type === type && entry.namespace === namespace && entry.key === key,
  );
  return (found?.value as Values[T] | undefined) ?? null;
}

/** A page of NVS as it is to be written, and as it is now. */
interface ChangedPage {
  wanted: Region;
  now: Region;
}

/**
 * The pages of NVS that change when numbers do, in the order of the changes. All other bytes stay.
 * @throws AIOT_FLASH_NO_SLOT when the board has no such number
 */
export function changedPages(nvs: BoardNvs, changes: readonly NumberChange[]): ChangedPage[] {
  let plain = nvs.keys ? decryptNvs(nvs.bytes, nvs.keys) : nvs.bytes;
  const pages = new Set<number>();
  for (const change of changes) {
    const changed = withNumber(plain, change);
    if (!changed) {
      const { namespace, key } = change;
      throw new AiotError('AIOT_FLASH_NO_SLOT', `the board’s NVS has no ${namespace}/${key}`, {
        next: 'Provision it first: aiot device provision NAME --port PORT',
      });
    }
    plain = changed.bytes;
    pages.add(Math.floor((changed.at - nvsFirstEntry) / nvsPageBytes) * nvsPageBytes);
  }
  const whole = nvs.keys ? encryptNvs(plain, nvs.keys) : plain;
  const region = (bytes: Uint8Array, page: number): Region => ({
    name: nvs.partition.label,
    offset: nvs.partition.offset + page,
    data: bytes.slice(page, page + nvsPageBytes),
  });
  return [...pages].map((page) => ({ wanted: region(whole, page), now: region(nvs.bytes, page) }));
}

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
function withNumber(
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
