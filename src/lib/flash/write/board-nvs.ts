import { crc32 } from 'node:zlib';
import { AiotError, hasCode } from '../../core/errors.js';
import { systemClock } from '../../core/time.js';
import type { Envelope, TrustRoot } from '../../formats/manifest/envelope.js';
import { type Manifest, peekManifest, verifyManifest } from '../../formats/manifest/manifest.js';
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
import type { Objection } from '../plan/types.js';

/** The NVS with the identity, as read from a board. */
interface BoardNvs {
  partition: Partition;
  /** Raw bytes from flash. */
  bytes: Uint8Array;
  /** Keys of an encrypted NVS; null = it is not encrypted. */
  keys: Uint8Array | null;
  entries: NvsEntry[];
}

/**
 * Reads a board's NVS. An encrypted NVS is decrypted with the keys in the nvs_keys partition.
 * @throws AIOT_FLASH_NO_SLOT (no nvs partition), AIOT_FILE_MALFORMED
 */
export async function readBoardNvs(loader: Pick<Loader, 'read'>, table: PartitionTable): Promise<BoardNvs> {
  const partition = dataPartition(table, 'nvs');
  if (!partition) {
    throw new AiotError('AIOT_FLASH_NO_SLOT', "the board's partition table has no nvs partition", {
      next: 'Provision the board with a table that has one: `aiot device provision NAME --port PORT --partitions FILE.csv`.',
    });
  }
  const bytes = await loader.read(partition.offset, partition.size);
  const keys = nvsKeysInUse(bytes, await keysOf(loader, dataPartition(table, 'nvs_keys')));
  const { entries } = readNvs(keys ? decryptNvs(bytes, keys) : bytes);
  return { partition, bytes, keys, entries };
}

/**
 * Like `readBoardNvs`, but returns null if the board has no NVS, or one that cannot be read over the cable (encrypted flash, foreign
 * data).
 */
export async function readIdentityNvs(
  loader: Pick<Loader, 'read'>,
  table: PartitionTable,
): Promise<BoardNvs | null> {
  try {
    return await readBoardNvs(loader, table);
  } catch (error) {
    if (hasCode(error, 'AIOT_FLASH_NO_SLOT') || hasCode(error, 'AIOT_FILE_MALFORMED', 'nvs')) return null;
    throw error;
  }
}

async function keysOf(
  loader: Pick<Loader, 'read'>,
  partition: Partition | undefined,
): Promise<Uint8Array | null> {
  return partition ? await loader.read(partition.offset, nvsPageBytes) : null;
}

/**
 * The partition whose name is that of its subtype or, if there is none, the first partition of the subtype. Provisioning chooses the
 * partition in the same way.
 */
export function dataPartition(table: PartitionTable, kind: 'nvs' | 'nvs_keys'): Partition | undefined {
  const subtype = partitionSubtypes[partitionTypes.data]?.[kind];
  const found = table.partitions.filter((p) => p.type === partitionTypes.data && p.subtype === subtype);
  return found.find(({ label }) => label === kind) ?? found[0];
}

/** The NVS types that are used here, and their JavaScript types. */
interface Values {
  u8: number;
  u32: number;
  u64: bigint;
  string: string;
  blob: Uint8Array;
}

/** The value with this key and type; null if the board has none. */
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

/** A page of NVS, before (`now`) and after the change (`wanted`). */
interface ChangedPage {
  wanted: Region;
  now: Region;
}

/**
 * The pages of NVS that these changes affect, in the order of the changes. All other bytes stay unchanged.
 * @throws AIOT_FLASH_NO_SLOT if the board's NVS does not contain one of the numbers
 */
export function changedPages(nvs: BoardNvs, changes: readonly NumberChange[]): ChangedPage[] {
  let plain = nvs.keys ? decryptNvs(nvs.bytes, nvs.keys) : nvs.bytes;
  const pages = new Set<number>();
  for (const change of changes) {
    const changed = withNumber(plain, change);
    if (!changed) {
      const { namespace, key } = change;
      throw new AiotError('AIOT_FLASH_NO_SLOT', `the board's NVS has no entry ${namespace}/${key}`, {
        next: 'Provision the board first with `aiot device provision NAME --port PORT`.',
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

/** Offset in a page of the state map, which has two bits per entry. */
const mapOffset = 32;

/** Offset of the number in an entry. */
const valueOffset = 24;

/** A number in NVS, and its new value. */
interface NumberChange {
  type: 'u8' | 'u64';
  namespace: string;
  key: string;
  value: bigint;
}

/**
 * A copy of an unencrypted NVS partition in which a number is changed in place; no entry is moved, and no other page is used. Null if the
 * partition does not contain the number. Source: ESP-IDF, "Non-Volatile Storage Library", Structure of entry.
 * @returns the copy, and the entry's offset in the partition
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
  /** Code of the number's type, as in `nvsNumbers`. */
  code: number;
  /** Lowest byte of the value; for the index of a namespace, the whole value. */
  first: number;
}

const numberCodes = new Set<number>(Object.values(nvsNumbers).map(({ code }) => code));

/** All numbers in use, including the entries of namespaces' names (in namespace 0). */
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
      // The entries that follow the first entry of a string or a blob are its data, and may look like anything.
      i += written ? Math.max(1, entry[2]!) : 1;
    }
  }
}

const update = 'aiot_update';

interface Accepted {
  manifest: Manifest;
  /** Objections overridden by `force`. */
  overridden: Objection[];
}

/**
 * Checks a bundle as the board itself would. It must be signed by a key in the board's trust root, made for the board's type, for a known
 * interface, and not expired. Its sequence number must not be below the board's floor, and (unless `force`) must be higher than that of the board's last
 * committed release.
 * @throws AIOT_TRUST_MISSING, AIOT_SIGNATURE_INVALID, AIOT_BUNDLE_…, AIOT_MODEL_UNFIT, AIOT_UPDATE_…
 */
export async function requireModelAccepted(
  image: { name: string; data: Uint8Array },
  nvs: BoardNvs,
  force: boolean,
): Promise<Accepted> {
  const trust = boardTrust(nvs);
  if (!trust) {
    const told = 'the board has no trust root, so it cannot verify who signed the model';
    throw new AiotError('AIOT_TRUST_MISSING', told, {
      next: 'Provision the board first with `aiot device provision NAME --port PORT`.',
    });
  }
  const { verifySigned } = await import('../../model/bundle/signed-bundle.js');
  const { manifest } = verifySigned(image.data, trust, image.name);
  // The registry also stores networks without a project, which no board can run.
  const { unpackBundle } = await import('../../model/bundle/pack.js');
  unpackBundle(image.data);
  requireType(image.name, manifest, [nvsValue(nvs, 'string', 'aiot', 'type')]);
  const floor = nvsValue(nvs, 'u64', update, 'floor') ?? 0n;
  if (manifest.sequence < floor) {
    const below = `${image.name} has sequence number ${manifest.sequence}, but the board accepts none below ${floor}`;
    throw new AiotError('AIOT_UPDATE_FLOOR', below);
  }
  if (manifest.expires !== null && manifest.expires <= systemClock.now()) {
    throw new AiotError(
      'AIOT_UPDATE_EXPIRED',
      `${image.name} expired at ${new Date(manifest.expires).toISOString()}`,
    );
  }
  const committed = nvsValue(nvs, 'u64', update, 'sequence') ?? 0n;
  if (manifest.sequence > committed) return { manifest, overridden: [] };
  const old = `${image.name} has sequence number ${manifest.sequence}, but the board has committed ${committed} and accepts only a higher one`;
  if (force) return { manifest, overridden: [{ rule: 'sequence', region: image.name, message: old }] };
  throw new AiotError('AIOT_UPDATE_SEQUENCE', old, {
    next: 'Push the model again with `aiot model push` and write that version, or write this one anyway with --force.',
  });
}

/** The numbers in NVS that the device itself would raise on a commit. Numbers that its NVS does not contain are omitted. */
export function committedNumbers(nvs: BoardNvs, manifest: Manifest): NumberChange[] {
  return (['sequence', 'floor'] as const).flatMap((key) => {
    const before = nvsValue(nvs, 'u64', update, key);
    const value = BigInt(manifest[key]);
    return before === null || value <= before
      ? []
      : [{ type: 'u64' as const, namespace: update, key, value }];
  });
}

/**
 * Checks a registry version against the trust root and the type in the board's identity, if the board has one. Firmware may also
 * be released for a chip instead of a type.
 * @param nvs null = no identity on the board @returns the objections that `force` overrides
 * @throws AIOT_SIGNATURE_INVALID, AIOT_UPDATE_DEVICE_TYPE
 */
export function requireFirmwareAccepted(
  { name, envelope }: { name: string; envelope: Envelope },
  { nvs, chip, force }: { nvs: BoardNvs | null; chip: string; force: boolean },
): Objection[] {
  const type = nvs && nvsValue(nvs, 'string', 'aiot', 'type');
  if (!nvs || type === null) return [];
  const trust = boardTrust(nvs);
  try {
    // The signature was checked against the platform's trust root when the version was fetched.
    const manifest = trust ? verifyManifest(envelope, trust) : peekManifest(envelope);
    requireType(name, manifest, [type, chip]);
    return [];
  } catch (error) {
    if (!force || !(error instanceof AiotError)) throw error;
    const { message } = error;
    const told = message.startsWith(name) ? message : `${name}: ${message}`;
    return [{ rule: 'release', region: name, message: told }];
  }
}

function requireType(name: string, { deviceTypes, kind }: Manifest, [type, chip]: (string | null)[]): void {
  if (type == null || deviceTypes.includes(type) || (chip != null && deviceTypes.includes(chip))) return;
  const told = `${name} is for ${deviceTypes.join(', ')}, but the board has type ${type}`;
  throw new AiotError('AIOT_UPDATE_DEVICE_TYPE', told, {
    next: `Release it for this type, too: \`aiot ${kind} push --types ${[...deviceTypes, type].join(',')}\`.`,
  });
}

/** The keys that a board trusts according to its own NVS (docs/reference/nvs.md); null = it has no trust root. */
function boardTrust(nvs: Pick<BoardNvs, 'entries'>): TrustRoot | null {
  const namespace = 'aiot_trust';
  const threshold = nvsValue(nvs, 'u8', namespace, 'threshold');
  const count = nvsValue(nvs, 'u8', namespace, 'keys');
  if (threshold === null || count === null) return null;
  const keys: TrustRoot['keys'] = {};
  for (let i = 0; i < count; i++) {
    const id = nvsValue(nvs, 'string', namespace, `id${i}`);
    const key = nvsValue(nvs, 'blob', namespace, `key${i}`);
    if (id === null || key === null) continue;
    keys[id] = { algorithm: 'ecdsa-p256-sha256', publicKey: Buffer.from(key).toString('base64') };
  }
  const version = nvsValue(nvs, 'u32', namespace, 'version') ?? 1;
  return {
    spec: 'aiot-trust/1',
    version,
    keys,
    roles: { release: { keyids: Object.keys(keys), threshold } },
  };
}
