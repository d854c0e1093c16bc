import { AiotError } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import { type ChipName, espChips } from '../../formats/esp-image/chips.js';
import { signedImage } from '../../formats/esp-image/secure-boot.js';
import { cryptFlash } from '../../formats/flash-encryption.js';
import {
  type Partition,
  partitionSubtypes,
  partitionTableBytes,
  partitionTableOffset,
  partitionTableSector,
  partitionTypes,
  readPartitionTable,
} from '../../formats/partitions.js';
import type { Loader } from '../loader/types.js';

/** A range of the flash, bytes. */
export interface Range {
  offset: number;
  length: number;
}

/** Reads a range, decrypted. */
type Plain<T> = (offset: number, length: number) => T;

const otadata = partitionSubtypes[partitionTypes.data]?.ota;
const nvsKeys = partitionSubtypes[partitionTypes.data]?.nvs_keys;

/**
 * Whether the hardware decrypts a partition: apps, otadata and NVS keys always, and others if their flag is set. Source: ESP-IDF, "Flash
 * Encryption".
 */
export const isEncrypted = ({ type, subtype, encrypted }: Partition): boolean =>
  encrypted ||
  type === partitionTypes.app ||
  (type === partitionTypes.data && (subtype === otadata || subtype === nvsKeys));

/** Bootloader and partition table, which are always encrypted. */
export const alwaysEncrypted = (bootloaderOffset: number): Range[] => [
  { offset: bootloaderOffset, length: partitionTableOffset - bootloaderOffset },
  { offset: partitionTableOffset, length: partitionTableSector },
];

/** The ranges that flash encryption covers. Without a readable table, only bootloader and table. */
export function encryptedRanges(
  bootloaderOffset: number,
  flashBytes: number,
  plain: Plain<Uint8Array>,
): Range[] {
  const ranges = alwaysEncrypted(bootloaderOffset);
  let partitions: Partition[] = [];
  try {
    partitions = readPartitionTable(plain(partitionTableOffset, partitionTableBytes)).partitions;
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
  }
  for (const { offset, size, ...rest } of partitions)
    if (isEncrypted({ offset, size, ...rest }) && offset + size <= flashBytes)
      ranges.push({ offset, length: size });
  return ranges;
}

/**
 * Checks that the chip will still start after it is locked. It needs a bootloader and an app that are signed with one of the keys and
 * encrypted with the chip's key.
 * @param digests digests of the keys of secure boot, hex digits; empty = signatures are not needed
 * @param secret the key of flash encryption; null = the flash is not encrypted
 * @throws AIOT_LOCK_REFUSED, AIOT_FLASH_READ, AIOT_SERIAL_…
 */
export async function requireBootable(
  loader: Pick<Loader, 'chip' | 'read'>,
  digests: readonly string[],
  secret: Uint8Array | null,
): Promise<void> {
  const plain: Plain<Promise<Uint8Array>> = async (offset, length) => {
    const bytes = await loader.read(offset, length);
    return secret === null ? bytes : cryptFlash(bytes, { secret, address: offset, decrypt: true });
  };
  const how = secret === null ? '' : ', decrypted with the key for this board,';
  const accepted = (bytes: Uint8Array, what: string, chip: ChipName) => {
    try {
      const { image, signatures } = signedImage(bytes, what);
      if (image.chip !== chip) return `is for an ${espChips[image.chip].title}`;
      if (digests.length === 0) return null;
      const ours = signatures.some(({ valid, keyDigest }) => valid && digests.includes(keyDigest));
      return ours ? null : signatures.length === 0 ? 'is not signed' : 'is not signed with the given key';
    } catch (error) {
      if (error instanceof AiotError) return 'is not a valid image';
      throw error;
    }
  };
  const { chip } = loader.chip;
  const { bootloaderOffset } = espChips[chip];
  const bootloader = await plain(bootloaderOffset, partitionTableOffset - bootloaderOffset);
  const wrong = accepted(bootloader, 'bootloader', chip);
  if (wrong !== null) throw unbootable(`the bootloader at ${hex(bootloaderOffset)}${how} ${wrong}`);
  let partitions: Partition[];
  try {
    partitions = readPartitionTable(await plain(partitionTableOffset, partitionTableBytes)).partitions;
  } catch (cause) {
    if (!(cause instanceof AiotError) || cause.code !== 'AIOT_FILE_MALFORMED') throw cause;
    throw unbootable(`the partition table${how} cannot be read`);
  }
  const apps = partitions.filter(({ type }) => type === partitionTypes.app);
  const reasons: string[] = [];
  for (const { label, offset, size } of apps) {
    const reason = accepted(await plain(offset, size), label, chip);
    if (reason === null) return;
    reasons.push(`${label} ${reason}`);
  }
  throw unbootable(`no app can start${how}: ${reasons.join(', ') || 'the table has no app partition'}`);
}

const unbootable = (why: string) =>
  new AiotError('AIOT_LOCK_REFUSED', `the board would no longer start: ${why}`, {
    next: 'Write signed images first: `aiot flash --profile production --help` shows how.',
  });
