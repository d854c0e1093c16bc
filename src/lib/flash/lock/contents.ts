import { AiotError } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import { type ChipName, espChips } from '../../formats/esp-image/chips.js';
import { signedImage } from '../../formats/esp-image/secure-boot.js';
import { cryptFlash } from '../../formats/flash-encryption.js';
import { decryptNvs, readNvsKeys } from '../../formats/nvs/crypt.js';
import { readNvs } from '../../formats/nvs/read.js';
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
const nvs = partitionSubtypes[partitionTypes.data]?.nvs;

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
 * encrypted with the chip's key. If the flash is encrypted, also checks that no secret stays readable.
 * @param digests digests of the keys of secure boot, hex digits; empty = signatures are not needed
 * @param secret the key of flash encryption; null = the flash is not encrypted
 * @param derived keys of the NVS from the HMAC key in the fuses; null = there is none
 * @throws AIOT_LOCK_REFUSED, AIOT_FLASH_READ, AIOT_SERIAL_…
 */
export async function requireBootable(
  loader: Pick<Loader, 'chip' | 'read'>,
  digests: readonly string[],
  { secret, derived }: { secret: Uint8Array | null; derived: Uint8Array | null },
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
    if (reason === null) {
      const stored = (from: number, length: number) => loader.read(from, length);
      if (secret !== null) await requireSecretsEncrypted(partitions, stored);
      await requireNvsReadable(partitions, { stored, plain }, derived);
      return;
    }
    reasons.push(`${label} ${reason}`);
  }
  throw unbootable(`no app can start${how}: ${reasons.join(', ') || 'the table has no app partition'}`);
}

/**
 * Checks that the flash of a locked board contains no readable secret. Flash encryption covers neither NVS, which is encrypted with its
 * own keys, nor partitions that were written before it was enabled.
 * @param stored reads bytes as they are in the flash, not decrypted
 * @throws AIOT_LOCK_REFUSED
 */
export async function requireSecretsEncrypted(
  partitions: readonly Partition[],
  stored: (offset: number, length: number) => Promise<Uint8Array>,
): Promise<void> {
  for (const { type, subtype, label, offset, size } of partitions) {
    if (type !== partitionTypes.data || (subtype !== nvs && subtype !== nvsKeys)) continue;
    const bytes = await stored(offset, size);
    const secret = subtype === nvs ? secretIn(bytes) : keysIn(bytes);
    if (secret === null) continue;
    throw new AiotError(
      'AIOT_LOCK_REFUSED',
      `anyone could read ${secret} from the flash: ${label} at ${hex(offset)} is not encrypted`,
      {
        next: `Run \`aiot board erase ${label}\` and \`aiot device provision NAME --encrypt-nvs --out DIR\`, then flash with --device DIR.`,
      },
    );
  }
}

/**
 * Checks that the firmware will be able to read each encrypted NVS: with the keys from the HMAC key or, without one, with those in
 * nvs_keys. An NVS that is not encrypted needs no key.
 * @param read bytes as they are in the flash, and as the chip sees those that its flash encryption covers
 * @throws AIOT_LOCK_REFUSED
 */
export async function requireNvsReadable(
  partitions: readonly Partition[],
  read: { stored: Plain<Promise<Uint8Array>>; plain: Plain<Promise<Uint8Array>> },
  derived: Uint8Array | null,
): Promise<void> {
  const ofType = (kind: number | undefined) =>
    partitions.filter(({ type, subtype }) => type === partitionTypes.data && subtype === kind);
  for (const { label, offset, size } of ofType(nvs)) {
    const bytes = await read.stored(offset, size);
    const { pages } = readNvs(bytes, { salvage: true });
    if (pages.every(({ version, written }) => version === null || written === 0)) continue;
    // Firmware that uses an HMAC key erases entries that are not encrypted with it.
    if (derived === null && isReadable(bytes)) continue;
    if (derived !== null) {
      if (opens(bytes, derived)) continue;
      throw new AiotError(
        'AIOT_LOCK_REFUSED',
        `the HMAC key does not decrypt ${label} at ${hex(offset)}, so the board could not read its identity`,
        {
          next: 'Pass the file with which the identity was created: `aiot device provision --nvs-key FILE`.',
        },
      );
    }
    let found = false;
    for (const keys of ofType(nvsKeys)) {
      const page = await read.plain(keys.offset, keys.size);
      found ||= keysIn(page) !== null && opens(bytes, readNvsKeys(page));
    }
    if (found) continue;
    throw new AiotError(
      'AIOT_LOCK_REFUSED',
      `${label} at ${hex(offset)} is encrypted, but its keys are missing, so the board could not read its identity`,
      { next: 'If the identity was created with --nvs-key, pass the same file here: --nvs-key FILE.' },
    );
  }
}

const opens = (bytes: Uint8Array, keys: Uint8Array) => isReadable(decryptNvs(bytes, keys));

/** Whether an NVS has valid entries. If all values were deleted, the names of their namespaces remain. */
function isReadable(bytes: Uint8Array): boolean {
  const { entries, namespaces } = readNvs(bytes, { salvage: true });
  return entries.length > 0 || namespaces.length > 0;
}

/** A secret that can be read from an NVS without its keys. Entries that were deleted remain in the flash, so PEM text is searched for. */
function secretIn(bytes: Uint8Array): string | null {
  if (Buffer.from(bytes).includes('PRIVATE KEY-----')) return 'the private key';
  const { entries } = readNvs(bytes, { salvage: true });
  const wifi = entries.some(
    ({ namespace, key, value }) =>
      namespace === 'wifi' &&
      (key === 'networks' || key === 'eap_password' || (key === 'password' && value !== '')),
  );
  return wifi ? 'a Wi-Fi password' : null;
}

function keysIn(bytes: Uint8Array): string | null {
  try {
    readNvsKeys(bytes);
    return 'the keys of the NVS';
  } catch (error) {
    if (error instanceof AiotError) return null;
    throw error;
  }
}

/** The partitions of a board's own table; none if it is empty, damaged or encrypted. */
export function partitionsIn(table: Uint8Array): readonly Partition[] {
  try {
    return readPartitionTable(table).partitions;
  } catch (error) {
    if (error instanceof AiotError) return [];
    throw error;
  }
}

const unbootable = (why: string) =>
  new AiotError('AIOT_LOCK_REFUSED', `the board would no longer start: ${why}`, {
    next: 'Write signed images first: `aiot flash --profile production --help` shows how.',
  });
