import { chipIdOf, type ProvisionReply } from '../api/fields.js';
import { generateKeyPair, publicKeyOf } from '../core/crypto.js';
import { newId } from '../core/names.js';
import type { ChipName } from '../formats/esp-image/chips.js';
import { type Envelope, trustRootOf } from '../formats/manifest/envelope.js';
import { decryptNvs, encryptNvs, readNvsKeys } from '../formats/nvs/crypt.js';
import { readNvs } from '../formats/nvs/read.js';
import type { NvsEntry } from '../formats/nvs/types.js';
import { writeNvs } from '../formats/nvs/write.js';
import { selfSignedCa } from './certificates.js';
import type { ChipOptions } from './chip-options.js';
import {
  batchImage,
  type DeviceImage,
  deviceImage,
  type ImageBatch,
  type ImagePart,
} from './device-image.js';
import type { Enrolled } from './enroll.js';
import { descriptionOf, type NewFile } from './identity-folder.js';

/** Builds the NVS image and the partition table of one device. @throws AIOT_NVS_UNFIT, AIOT_FILE_MALFORMED */
export function imageFor({ key, reply }: Enrolled, options: ChipOptions): DeviceImage {
  const { chip, wifi, nvsVersion, table, flashBytes, encrypt, derivedKeys, old = null } = options;
  const { device, certificate, urls, ca, trust, root, release } = reply;
  const { name, id, type } = device;
  const image = deviceImage(
    { name, id, type, chip, chipId: chipIdIn(device), key, certificate },
    {
      platform: { ...urls, ca },
      ...{ wifi, trust, root, release, version: nvsVersion, table, flashBytes },
      encrypt: encrypt && old === null,
      derivedKeys: old === null ? derivedKeys : undefined,
    },
  );
  return old === null ? image : keepOld(image, old, nvsVersion, derivedKeys);
}

/**
 * Detects images that cannot be built, before a certificate is requested. Builds each image with a key and certificates of typical size,
 * and with everything that is already stored on the device.
 * @throws AIOT_NVS_UNFIT, AIOT_FILE_MALFORMED
 */
export async function checkImages(
  devices: readonly { name: string; type: string; options: ChipOptions }[],
): Promise<void> {
  if (devices.length === 0) return;
  const typical = await typicalParts();
  for (const { name, type, options } of devices) {
    const image = typicalImage({ name, type, options }, typical);
    if (options.old) keepOld(image, options.old, options.nvsVersion);
  }
}

async function typicalParts() {
  const key = generateKeyPair().privatePem;
  const certificate = await selfSignedCa(key, 'x'.repeat(64), Date.now());
  const platform = { http: longUrl('https'), mqtts: longUrl('mqtts'), ca: certificate };
  return { key, certificate, platform, trust: trustRootOf(publicKeyOf(key)) };
}

function typicalImage(
  { name, type, options }: { name: string; type: string; options: ChipOptions },
  { key, certificate, platform, trust }: Awaited<ReturnType<typeof typicalParts>>,
  root: Envelope | null = null,
): DeviceImage {
  const { chip, wifi, nvsVersion: version, table, flashBytes, old = null } = options;
  const encrypt = options.encrypt && old === null;
  const identity = { name, id: newId('dev'), type, chip, chipId: '16777215', key, certificate };
  const release = { sequence: 0, floor: 0 };
  return deviceImage(identity, {
    ...{ platform, wifi, trust, root, release, version, table, flashBytes, encrypt },
  });
}

/** A root that is longer than usual: a board of a batch gets its root later. */
const longRoot: Envelope = { payload: 'x'.repeat(6000), signatures: [] };

/**
 * Builds the image of the boards of a batch. Rejects a table whose NVS has no room for the identity that a board stores beside the batch.
 * @throws AIOT_NVS_UNFIT, AIOT_FILE_MALFORMED
 */
export async function imageForBatch(
  batch: ImageBatch,
  { type, options }: { type: string; options: ChipOptions },
): Promise<DeviceImage> {
  const { wifi, nvsVersion: version, table, flashBytes, encrypt } = options;
  const image = batchImage(batch, { wifi, version, table, flashBytes, encrypt: false });
  const identity = typicalImage(
    { name: 'x'.repeat(64), type, options: { ...options, encrypt: false } },
    await typicalParts(),
    longRoot,
  );
  keepOld(identity, { nvs: image.nvs.data, keys: null }, version);
  return encrypt ? batchImage(batch, { wifi, version, table, flashBytes, encrypt }) : image;
}

const longUrl = (scheme: string) => `${scheme}://${'x'.repeat(48)}:65535`;

function chipIdIn({ chipId, mac }: ProvisionReply['device']): string | null {
  return chipId ?? (mac === null ? null : chipIdOf(mac));
}

/** File names of the parts, in order. */
export const imageNames = { nvs: 'nvs.bin', partitions: 'partitions.bin', keys: 'nvs_keys.bin' } as const;

/** All files in a chip's folder. The NVS image is the only one that contains the private key. */
export const chipFiles = [...Object.values(imageNames), 'device.crt', 'device.json'] as const;

interface NamedPart extends ImagePart {
  name: keyof typeof imageNames;
}

export function partsOf({ nvs, partitions, keys }: DeviceImage): NamedPart[] {
  return [
    { name: 'nvs', ...nvs },
    { name: 'partitions', ...partitions },
    ...(keys ? [{ name: 'keys' as const, ...keys }] : []),
  ];
}

/** The files of a chip's folder. device.json is moved in last, so the folder is complete once that file exists. */
export function filesOfChip(image: DeviceImage, reply: ProvisionReply, chip: ChipName): NewFile[] {
  return [
    ...partsOf(image).map(({ name, data }) => ({
      name: imageNames[name],
      data,
      secret: name !== 'partitions',
    })),
    { name: 'device.crt', data: reply.certificate },
    { name: 'device.json', data: descriptionOf(reply, chip) },
  ];
}

/** An NVS partition as read from flash, with the nvs_keys partition if it is encrypted. */
export interface OldNvs {
  nvs: Uint8Array;
  keys: Uint8Array | null;
}

/** Entries that the device itself has written since it was provisioned. A new certificate must never reset them. */
const itsOwn = new Set(['aiot_update/sequence', 'aiot_update/floor', 'aiot/model_slot']);

const ofNetwork = new Set(
  [
    ...['networks', 'address', 'mask', 'gateway', 'dns', 'eap'],
    ...['identity', 'ca', 'username', 'password', 'certificate', 'key'].map((part) => `eap_${part}`),
  ].map((key) => `wifi/${key}`),
);

/**
 * Adds all entries of an earlier NVS that the new image does not set: Wi-Fi, the firmware's own settings, the device's committed
 * versions. The result is encrypted with the same keys if the earlier NVS was encrypted, or with `derived` keys if they are given.
 * @param image in plain text @throws AIOT_FILE_MALFORMED, AIOT_NVS_UNFIT
 */
export function keepOld(image: DeviceImage, old: OldNvs, version: 1 | 2, derived?: Uint8Array): DeviceImage {
  const keys = old.keys === null ? null : readNvsKeys(old.keys);
  const before = readNvs(keys ? decryptNvs(old.nvs, keys) : old.nvs).entries;
  const made = readNvs(image.nvs.data).entries;
  // Trust entries are replaced as a whole, because a leftover key or root fragment would belong to other trust data.
  const told = made.some(isTrust);
  // Networks that the board learned itself would take precedence over the one that is being written, and fixed addresses belong to the
  // earlier one.
  const network = made.some((entry) => placeOf(entry) === 'wifi/ssid');
  const kept = before.filter(
    (entry) => !(told && isTrust(entry)) && !(network && ofNetwork.has(placeOf(entry))),
  );
  const merged = new Map<string, NvsEntry>(kept.map((entry) => [placeOf(entry), entry]));
  for (const entry of made) {
    const place = placeOf(entry);
    if (!itsOwn.has(place) || !merged.has(place)) merged.set(place, entry);
  }
  const { offset, data } = image.nvs;
  const plain = writeNvs([...merged.values()], { size: data.length, version });
  const used = derived ?? keys;
  return { ...image, nvs: { offset, data: used ? encryptNvs(plain, used) : plain } };
}

const isTrust = ({ namespace }: NvsEntry) => namespace === 'aiot_trust';

function placeOf({ namespace, key }: NvsEntry): string {
  return `${namespace}/${key}`;
}
