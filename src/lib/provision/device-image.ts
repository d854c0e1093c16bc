import { randomBytes } from 'node:crypto';
import { AiotError, hasCode } from '../core/errors.js';
import type { ChipName } from '../formats/esp-image/chips.js';
import type { Envelope, TrustRoot } from '../formats/manifest/envelope.js';
import { encryptNvs, nvsKeyBytes, writeNvsKeys } from '../formats/nvs/crypt.js';
import type { NvsEntry } from '../formats/nvs/types.js';
import { writeNvs } from '../formats/nvs/write.js';
import {
  checkPartitions,
  type Partition,
  type PartitionTable,
  parsePartitionsCsv,
  partitionTableOffset,
  readPartitionTable,
  writePartitionTable,
} from '../formats/partitions.js';
import type { Wifi, WifiLogin } from './chip-options.js';

/** Identity of a device on a chip, including its secrets. Keys and certificates are PEM text. */
export interface ImageIdentity {
  name: string;
  /** `dev_…`, assigned by the platform. */
  id: string;
  /** Device type; models and firmware are released for types. */
  type: string;
  chip: ChipName;
  /** The guide's decimal chip id: the lower three octets of the factory MAC as one number; null = not known yet. */
  chipId: string | null;
  /** PKCS#8, ECDSA P-256. Stored only in the image. */
  key: string;
  certificate: string;
}

/** Contents of an image, apart from the identity. */
export interface ImageOptions {
  /** Wi-Fi network; null = configured later, on the board. */
  wifi: Wifi | null;
  /** `https://…` and `mqtts://…` URLs at which the device reaches the platform; PEM of the CA. */
  platform: { http: string; mqtts: string; ca: string };
  trust: TrustRoot | null;
  /** The root from which this trust is derived, on platforms with separate keys per role. */
  root?: Envelope | null | undefined;
  /** The device rejects releases with a sequence number below `floor`, or not above `sequence`. */
  release: { sequence: number; floor: number };
  /** Format of the NVS pages. */
  version: 1 | 2;
  /** The partition table as CSV, or the bytes read from a board; null = the default table (4 MiB, two app slots, two model slots). */
  table: string | Uint8Array | null;
  /** Size of the board's flash, bytes; a table that exceeds it is rejected. */
  flashBytes: number;
  /** Whether NVS is encrypted, with newly generated keys. */
  encrypt: boolean;
  /** Keys that the chip derives from an HMAC key in its fuses, 64 bytes; absent = none. */
  derivedKeys?: Uint8Array | undefined;
}

/** One part of an image and its offset in flash. */
export interface ImagePart {
  offset: number;
  data: Uint8Array;
}

/** The data that gives a chip with firmware the identity of a device. */
export interface DeviceImage {
  nvs: ImagePart;
  partitions: ImagePart;
  /** The nvs_keys partition, if NVS is encrypted. It must be kept as secret as the private key. */
  keys?: ImagePart;
}

/**
 * Builds the data that gives a chip with firmware the identity of a device: NVS partition, partition table and, if encrypted, the
 * nvs_keys partition.
 * @param random source of the keys that encrypt NVS
 * @throws AIOT_NVS_UNFIT, AIOT_FILE_MALFORMED
 */
export function deviceImage(
  identity: ImageIdentity,
  options: ImageOptions,
  random: (bytes: number) => Uint8Array = randomBytes,
): DeviceImage {
  return imageOf(deviceEntries(identity, options), options, random);
}

/** The key of a batch, for boards that create their identity themselves. */
export interface ImageBatch {
  key: string;
  /** `https://…` URL of the platform, and PEM of its CA. */
  http: string;
  ca: string;
}

/**
 * Builds the data that makes a chip with firmware enroll with the key of a batch. It is the same for all boards of the batch.
 * @throws AIOT_NVS_UNFIT, AIOT_FILE_MALFORMED
 */
export function batchImage(
  batch: ImageBatch,
  options: LayoutOptions & Pick<ImageOptions, 'wifi'>,
): DeviceImage {
  return imageOf(
    [...batchEntries(batch), ...(options.wifi ? wifiEntries(options.wifi) : [])],
    options,
    randomBytes,
  );
}

type LayoutOptions = Pick<ImageOptions, 'version' | 'table' | 'flashBytes' | 'encrypt' | 'derivedKeys'>;

function imageOf(
  entries: readonly NvsEntry[],
  options: LayoutOptions,
  random: (bytes: number) => Uint8Array,
): DeviceImage {
  const table = imageTable(options);
  const place = partitionOf(table, 'nvs', 2);
  const plain = nvsOf(entries, options, place.size);
  const bytes = options.table instanceof Uint8Array ? options.table : writePartitionTable(table);
  const partitions = { offset: partitionTableOffset, data: bytes };
  if (options.derivedKeys)
    return { nvs: { offset: place.offset, data: encryptNvs(plain, options.derivedKeys) }, partitions };
  if (!options.encrypt) return { nvs: { offset: place.offset, data: plain }, partitions };
  const keysPlace = partitionOf(table, 'nvs_keys', 4);
  const keys = random(nvsKeyBytes);
  return {
    nvs: { offset: place.offset, data: encryptNvs(plain, keys) },
    partitions,
    keys: { offset: keysPlace.offset, data: writeNvsKeys(keys) },
  };
}

function nvsOf(entries: readonly NvsEntry[], { version }: LayoutOptions, size: number): Uint8Array {
  try {
    return writeNvs(entries, { size, version });
  } catch (error) {
    if (!hasCode(error, 'AIOT_NVS_UNFIT')) throw error;
    const next = 'Shorten the values, or use a table with a larger nvs partition: --partitions FILE.csv';
    throw error.reworded(error.message, { next, cause: error });
  }
}

/** The partition table for a board: the given one, or the default. @throws AIOT_FILE_MALFORMED */
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

/** The partition with this name and subtype or, if there is none, the first partition of the subtype. */
function partitionOf({ partitions }: PartitionTable, name: string, subtype: number): Partition {
  const of = partitions.filter((row) => row.type === 1 && row.subtype === subtype);
  const found = of.find(({ label }) => label === name) ?? of[0];
  if (found) return found;
  throw new AiotError('AIOT_FILE_MALFORMED', `the partition table has no data partition named ${name}`, {
    subject: 'partitions',
    next: `Add a row to it: ${name},data,${name},,${name === 'nvs' ? '0x5000' : '0x1000'}`,
  });
}

/** Version of the layout below. Firmware that finds a newer version than it supports asks to be updated. */
const layout = 1;

/** The NVS entries that the firmware reads; documented for firmware authors in docs/reference/nvs.md. */
function deviceEntries(identity: ImageIdentity, options: ImageOptions): NvsEntry[] {
  const { platform, wifi, trust, root, release } = options;
  const aiot = 'aiot';
  return [
    number(aiot, 'layout', 'u8', layout),
    text(aiot, 'name', identity.name),
    text(aiot, 'id', identity.id),
    text(aiot, 'type', identity.type),
    text(aiot, 'chip', identity.chip),
    ...(identity.chipId === null ? [] : [text(aiot, 'chip_id', identity.chipId)]),
    number(aiot, 'model_slot', 'u8', 0),
    text(aiot, 'http', platform.http),
    text(aiot, 'mqtts', platform.mqtts),
    text(aiot, 'ca', platform.ca),
    text(aiot, 'certificate', identity.certificate),
    text(aiot, 'key', identity.key),
    ...(trust ? trustEntries(trust) : []),
    ...(root ? rootEntries(root) : []),
    { namespace: 'aiot_update', key: 'sequence', type: 'u64', value: BigInt(release.sequence) },
    { namespace: 'aiot_update', key: 'floor', type: 'u64', value: BigInt(release.floor) },
    ...(wifi ? wifiEntries(wifi) : []),
  ];
}

/** The entries with which a board enrolls. Its firmware deletes them once it has its identity. */
function batchEntries({ key, http, ca }: ImageBatch): NvsEntry[] {
  return Object.entries({ key, http, ca }).map(([name, value]) => text('aiot_batch', name, value));
}

function wifiEntries({ ssid, password, login, fixed }: Wifi): NvsEntry[] {
  const addresses = Object.entries(fixed ?? {}).map(([key, value]) => text('wifi', key, value));
  return [
    ...[text('wifi', 'ssid', ssid), text('wifi', 'password', password)],
    ...(login ? loginEntries(login) : []),
    ...addresses,
  ];
}

/** The login of an enterprise network, which firmware/hal/esp32/main/enterprise.c reads. */
function loginEntries({ method, identity, ca, user, client }: WifiLogin): NvsEntry[] {
  return [
    ...[text('wifi', 'eap', method), text('wifi', 'eap_identity', identity), text('wifi', 'eap_ca', ca)],
    ...(user ? [text('wifi', 'eap_username', user.name), text('wifi', 'eap_password', user.password)] : []),
    ...(client
      ? [text('wifi', 'eap_certificate', client.certificate), text('wifi', 'eap_key', client.key)]
      : []),
  ];
}

/** The keys that may sign a release, numbered. Keys without that role are omitted. */
function trustEntries(trust: TrustRoot): NvsEntry[] {
  const { keyids, threshold } = trust.roles.release;
  const keys = keyids.flatMap((id) => (trust.keys[id] ? [{ id, key: trust.keys[id].publicKey }] : []));
  return [
    number('aiot_trust', 'version', 'u32', trust.version),
    number('aiot_trust', 'threshold', 'u8', threshold),
    number('aiot_trust', 'keys', 'u8', keys.length),
    ...keys.flatMap(({ id, key }, i): NvsEntry[] => [
      text('aiot_trust', `id${i}`, id),
      { namespace: 'aiot_trust', key: `key${i}`, type: 'blob', value: Buffer.from(key, 'base64') },
    ]),
  ];
}

/** In version 1 of NVS a blob cannot span pages, so the root is split into chunks that fit. */
const pieceBytes = 1500;

/** The root's envelope. The firmware needs it to update to newer roots. */
function rootEntries(root: Envelope): NvsEntry[] {
  const bytes = Buffer.from(JSON.stringify(root));
  return Array.from({ length: Math.ceil(bytes.length / pieceBytes) }, (_, i) => ({
    namespace: 'aiot_trust',
    key: `root${i}`,
    type: 'blob',
    value: bytes.subarray(i * pieceBytes, (i + 1) * pieceBytes),
  }));
}

function text(namespace: string, key: string, value: string): NvsEntry {
  return { namespace, key, type: 'string', value };
}

function number(namespace: string, key: string, type: 'u8' | 'u32', value: number): NvsEntry {
  return { namespace, key, type, value };
}

/**
 * The partition table of a new board: 4 MiB, two app slots, two model slots with their records.
 *
 * - otadata and the first app are where Arduino and PlatformIO upload to (0xe000, 0x10000).
 * - 0x9000 to 0xe000 stays free: tables of earlier versions have an NVS of 20 KiB there, and an upload for such a board must find that
 * range free.
 * - Every other partition of earlier tables keeps its place.
 * - Model slots have a type of our own: the numbers of `data` belong to ESP-IDF. See docs/reference/nvs.md.
 */
export const defaultTable = `# name, type, subtype, offset, size, flags
otadata,  data, ota,      0xe000,   0x2000,
ota_0,    app,  ota_0,    0x10000,  0x180000,
ota_1,    app,  ota_1,    0x190000, 0x180000,
model_0,  0x40, 0x00,     0x310000, 0x60000,
model_1,  0x40, 0x01,     0x370000, 0x60000,
nvs_keys, data, nvs_keys, 0x3d0000, 0x1000, encrypted
phy_init, data, phy,      0x3d1000, 0x1000,
records,  0x40, 0x10,     0x3d2000, 0x4000,
config,   0x40, 0x11,     0x3d6000, 0x4000,
trust,    0x40, 0x12,     0x3da000, 0x2000,
nvs,      data, nvs,      0x3dc000, 0xc000,
coredump, data, coredump, 0x3e8000, 0x18000,
`;
