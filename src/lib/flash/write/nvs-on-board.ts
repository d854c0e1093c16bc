import { AiotError, hasCode } from '../../core/index.js';
import {
  decryptNvs,
  encryptNvs,
  type NvsEntry,
  nvsFirstEntry,
  nvsKeysInUse,
  nvsPageBytes,
  type Partition,
  type PartitionTable,
  partitionSubtypes,
  partitionTypes,
  readNvs,
} from '../../formats/index.js';
import type { Loader, Region } from '../loader/types.js';
import { type NumberChange, withNumber } from './nvs-number.js';

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
export interface ChangedPage {
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
