import { AiotError } from '../../core/index.js';
import type { ChipInfo, Loader } from '../../flash/index.js';
import {
  type BirthChip,
  nvsKeysInUse,
  type Partition,
  type PartitionTable,
  partitionTableBytes,
  partitionTableOffset,
  readPartitionTable,
} from '../../formats/index.js';

/** A chip as its birth certificate tells of it. */
export function birthChipOf(info: ChipInfo): BirthChip {
  const { chip, description, features, crystalMHz, mac, flash, security } = info;
  return {
    name: chip,
    ...{ description, features, crystalMHz, mac },
    flash: { id: flash.id, bytes: flash.bytes },
    security: {
      secureBoot: security.secureBoot,
      flashEncryption: security.flashEncryption,
      secureDownload: security.secureDownload,
    },
  };
}

/** What would leave a board that does not start, or a certificate that nobody can use. @throws AIOT_CHIP_LOCKED, AIOT_FLASH_REFUSED */
export function requireOpen({ security }: ChipInfo): void {
  if (security.secureDownload) {
    throw new AiotError(
      'AIOT_CHIP_LOCKED',
      'the chip is in secure download mode: its flash cannot be verified',
    );
  }
  if (!security.flashEncryption) return;
  throw new AiotError(
    'AIOT_FLASH_REFUSED',
    'the chip encrypts its flash: a partition table that is written over the cable would be unreadable to it',
    { next: 'Let it claim its certificate itself: aiot device claim NAME --type TYPE --out claim.json' },
  );
}

const emptyByte = 0xff;

/** The board's own partition table, and its bytes as they are there; null where there is none, or none that is whole. */
export async function tableOf(
  loader: Pick<Loader, 'read'>,
): Promise<{ bytes: Uint8Array; table: PartitionTable } | null> {
  const bytes = await loader.read(partitionTableOffset, partitionTableBytes);
  if (bytes.every((byte) => byte === emptyByte)) return null;
  try {
    return { bytes, table: readPartitionTable(bytes) };
  } catch (error) {
    if (error instanceof AiotError) return null;
    throw error;
  }
}

const data = 1;
const subtypes = { nvs: 0x02, nvs_keys: 0x04 } as const;

/** The partition that is called as its subtype is, or the first of that subtype. */
export function partitionOf(table: PartitionTable, kind: keyof typeof subtypes): Partition | null {
  const of = table.partitions.filter(({ type, subtype }) => type === data && subtype === subtypes[kind]);
  return of.find(({ label }) => label === kind) ?? of[0] ?? null;
}

/** What a device has in NVS on its board, and the keys where it is encrypted; null where nothing was ever written. */
export async function nvsOf(loader: Pick<Loader, 'read'>, table: PartitionTable) {
  const [place, keysPlace] = [partitionOf(table, 'nvs'), partitionOf(table, 'nvs_keys')];
  if (!place) return null;
  const nvs = await loader.read(place.offset, place.size);
  if (nvs.every((byte) => byte === emptyByte)) return null;
  const keys = keysPlace ? await loader.read(keysPlace.offset, keysPlace.size) : null;
  return { nvs, keys: nvsKeysInUse(nvs, keys) ? keys : null };
}

/**
 * Keys of an earlier, encrypted NVS, as a region that erases them: firmware that finds keys reads no plain NVS. null where
 * the board has none.
 */
export async function staleKeys(
  loader: Pick<Loader, 'read'>,
  table: PartitionTable,
): Promise<{ name: string; offset: number; data: Uint8Array } | null> {
  const place = partitionOf(table, 'nvs_keys');
  if (!place) return null;
  const there = await loader.read(place.offset, place.size);
  if (there.every((byte) => byte === emptyByte)) return null;
  return { name: place.label, offset: place.offset, data: new Uint8Array(place.size).fill(emptyByte) };
}

/**
 * The NVS of the table that a board had, as a region that erases it: where the new table has no partition, a private key
 * and the Wi-Fi's password would stay readable for ever. null where there is none, or it is written over anyway.
 */
export async function staleNvs(
  loader: Pick<Loader, 'read'>,
  { old, next }: { old: PartitionTable; next: PartitionTable },
): Promise<{ name: string; offset: number; data: Uint8Array } | null> {
  const place = partitionOf(old, 'nvs');
  if (!place) return null;
  const { offset, size, label } = place;
  const taken = next.partitions.some((p) => p.offset < offset + size && offset < p.offset + p.size);
  if (taken || (await loader.read(offset, size)).every((byte) => byte === emptyByte)) return null;
  return { name: `${label} of the old table`, offset, data: new Uint8Array(size).fill(emptyByte) };
}
