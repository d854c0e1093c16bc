import { AiotError } from '../../core/index.js';
import {
  decryptNvs,
  encryptNvs,
  type NvsEntry,
  nvsFirstEntry,
  nvsPageBytes,
  type Partition,
  type PartitionTable,
  partitionSubtypes,
  partitionTypes,
  readNvs,
  readNvsKeys,
} from '../../formats/index.js';
import type { Loader, Region } from '../loader/types.js';
import { withNumber } from './nvs-number.js';

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
  const keys = await keysOf(loader, dataPartition(table, 'nvs_keys'));
  const { entries } = readNvs(keys ? decryptNvs(bytes, keys) : bytes);
  return { partition, bytes, keys, entries };
}

async function keysOf(
  loader: Pick<Loader, 'read'>,
  partition: Partition | undefined,
): Promise<Uint8Array | null> {
  if (!partition) return null;
  const bytes = await loader.read(partition.offset, nvsPageBytes);
  return bytes.every((byte) => byte === 0xff) ? null : readNvsKeys(bytes);
}

function dataPartition(table: PartitionTable, kind: string): Partition | undefined {
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

/**
 * The one page of NVS that changes when a number does: as it is to be written, and as it is now. All other bytes stay.
 * @throws AIOT_FLASH_NO_SLOT when the board has no such number
 */
export function changedPage(
  nvs: BoardNvs,
  change: { namespace: string; key: string; value: number },
): { wanted: Region; now: Region } {
  const plain = nvs.keys ? decryptNvs(nvs.bytes, nvs.keys) : nvs.bytes;
  const changed = withNumber(plain, change);
  if (!changed) {
    const { namespace, key } = change;
    throw new AiotError('AIOT_FLASH_NO_SLOT', `the board’s NVS has no ${namespace}/${key}`, {
      next: 'Provision it first: aiot device provision NAME --port PORT',
    });
  }
  const page = Math.floor((changed.at - nvsFirstEntry) / nvsPageBytes) * nvsPageBytes;
  const whole = nvs.keys ? encryptNvs(changed.bytes, nvs.keys) : changed.bytes;
  const region = (bytes: Uint8Array): Region => ({
    name: nvs.partition.label,
    offset: nvs.partition.offset + page,
    data: bytes.slice(page, page + nvsPageBytes),
  });
  return { wanted: region(whole), now: region(nvs.bytes) };
}
