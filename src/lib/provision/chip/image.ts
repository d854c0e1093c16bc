import { generateKeyPair, newId, publicKeyOf } from '../../core/index.js';
import { type ChipName, trustRootOf } from '../../formats/index.js';
import { chipIdOf, type ProvisionReply } from '../../registry/index.js';
import { selfSignedCa } from '../certificates.js';
import type { Enrolled } from '../enroll.js';
import { descriptionOf } from '../files/identity.js';
import type { NewFile } from '../files/place.js';
import { deviceImage } from '../image/index.js';
import type { DeviceImage, ImagePart } from '../image/types.js';
import { keepOld } from './keep.js';
import type { ChipOptions } from './options.js';

/** The NVS image and the partition table of one device. @throws AIOT_NVS_UNFIT, AIOT_PARTITIONS_MALFORMED */
export function imageFor({ key, reply }: Enrolled, options: ChipOptions): DeviceImage {
  const { chip, wifi, nvsVersion, table, flashBytes, encrypt, old = null } = options;
  const { device, certificate, urls, ca, trust, root, release } = reply;
  const { name, id, type } = device;
  const image = deviceImage(
    { name, id, type, chip, chipId: chipIdIn(device), key, certificate },
    {
      platform: { ...urls, ca },
      ...{ wifi, trust, root, release, version: nvsVersion, table, flashBytes },
      encrypt: encrypt && old === null,
    },
  );
  return old === null ? image : keepOld(image, old, nvsVersion);
}

/**
 * Refuses what could not be made, before anybody is asked for a certificate: with a key and certificates of the usual size,
 * and with all that the device has already.
 * @throws AIOT_NVS_UNFIT, AIOT_PARTITIONS_MALFORMED
 */
export async function checkImages(
  devices: readonly { name: string; type: string; options: ChipOptions }[],
): Promise<void> {
  if (devices.length === 0) return;
  const key = generateKeyPair();
  const certificate = await selfSignedCa(key.privatePem, 'x'.repeat(64), Date.now());
  const platform = { http: longUrl('https'), mqtts: longUrl('mqtts'), ca: certificate };
  const trust = trustRootOf(publicKeyOf(key.privatePem));
  for (const { name, type, options } of devices) {
    const { chip, wifi, nvsVersion: version, table, flashBytes, old = null } = options;
    const encrypt = options.encrypt && old === null;
    const identity = {
      name,
      id: newId('dev'),
      type,
      chip,
      chipId: '16777215',
      key: key.privatePem,
      certificate,
    };
    const release = { sequence: 0, floor: 0 };
    const image = deviceImage(identity, {
      ...{ platform, wifi, trust, release, version, table, flashBytes, encrypt },
    });
    if (old) keepOld(image, old, version);
  }
}

const longUrl = (scheme: string) => `${scheme}://${'x'.repeat(48)}:65535`;

function chipIdIn({ chipId, mac }: ProvisionReply['device']): string | null {
  return chipId ?? (mac === null ? null : chipIdOf(mac));
}

/** Files of the parts, in their order. */
export const imageNames = { nvs: 'nvs.bin', partitions: 'partitions.bin', keys: 'nvs_keys.bin' } as const;

/** All files of a chip's folder. The private key is in the NVS image and in no other of them. */
export const chipFiles = [...Object.values(imageNames), 'device.crt', 'device.json'] as const;

/** A part of an image with its name. */
export interface NamedPart extends ImagePart {
  name: keyof typeof imageNames;
}

export function partsOf({ nvs, partitions, keys }: DeviceImage): NamedPart[] {
  return [
    { name: 'nvs', ...nvs },
    { name: 'partitions', ...partitions },
    ...(keys ? [{ name: 'keys' as const, ...keys }] : []),
  ];
}

/** device.json is the last to be moved in: a folder is whole when it is there. */
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
