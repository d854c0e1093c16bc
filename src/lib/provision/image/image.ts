import { randomBytes } from 'node:crypto';
import { AiotError, hasCode } from '../../core/index.js';
import {
  checkPartitions,
  encryptNvs,
  nvsKeyBytes,
  type Partition,
  type PartitionTable,
  parsePartitionsCsv,
  partitionTableOffset,
  readPartitionTable,
  writeNvs,
  writeNvsKeys,
  writePartitionTable,
} from '../../formats/index.js';
import { defaultTable } from './default-table.js';
import { deviceEntries } from './entries.js';
import type { DeviceImage, ImageIdentity, ImageOptions } from './types.js';

/**
 * What makes a chip with firmware the device: its NVS partition, its partition table and, encrypted, the nvs_keys partition.
 * @param random source of the keys that NVS is encrypted with
 * @throws AIOT_NVS_UNFIT, AIOT_PARTITIONS_MALFORMED, AIOT_CSV_MALFORMED
 */
export function deviceImage(
  identity: ImageIdentity,
  options: ImageOptions,
  random: (bytes: number) => Uint8Array = randomBytes,
): DeviceImage {
  const table = imageTable(options);
  const place = partitionOf(table, 'nvs', 2);
  const plain = nvsOf(identity, options, place.size);
  const bytes = options.table instanceof Uint8Array ? options.table : writePartitionTable(table);
  const partitions = { offset: partitionTableOffset, data: bytes };
  if (!options.encrypt) return { nvs: { offset: place.offset, data: plain }, partitions };
  const keysPlace = partitionOf(table, 'nvs_keys', 4);
  const keys = random(nvsKeyBytes);
  return {
    nvs: { offset: place.offset, data: encryptNvs(plain, keys) },
    partitions,
    keys: { offset: keysPlace.offset, data: writeNvsKeys(keys) },
  };
}

function nvsOf(identity: ImageIdentity, options: ImageOptions, size: number): Uint8Array {
  try {
    return writeNvs(deviceEntries(identity, options), { size, version: options.version });
  } catch (error) {
    if (!hasCode(error, 'AIOT_NVS_UNFIT')) throw error;
    const next = 'Shorten the values, or give a table with a larger nvs partition: --partitions FILE.csv';
    throw new AiotError(error.code, error.message, { next, cause: error });
  }
}

/** The table that a board gets: the one given, or the default one. @throws AIOT_PARTITIONS_MALFORMED, AIOT_CSV_MALFORMED */
export function imageTable({
  table,
  flashBytes,
}: Pick<ImageOptions, 'table' | 'flashBytes'>): PartitionTable {
  if (table instanceof Uint8Array) {
    const own = readPartitionTable(table);
    checkPartitions(own, flashBytes);
    return own;
  }
  const file = table === null ? 'the default partition table' : 'the partition table';
  return parsePartitionsCsv(table ?? defaultTable, { flashBytes, file });
}

/** The partition that is called as its subtype is, or the first of that subtype. */
function partitionOf({ partitions }: PartitionTable, name: string, subtype: number): Partition {
  const of = partitions.filter((row) => row.type === 1 && row.subtype === subtype);
  const found = of.find(({ label }) => label === name) ?? of[0];
  if (found) return found;
  throw new AiotError(
    'AIOT_PARTITIONS_MALFORMED',
    `the partition table has no partition of type data, ${name}`,
    {
      next: `Add a row to it: ${name},data,${name},,${name === 'nvs' ? '0x5000' : '0x1000'}`,
    },
  );
}
