import {
  decryptNvs,
  encryptNvs,
  type NvsEntry,
  readNvs,
  readNvsKeys,
  writeNvs,
} from '../../formats/index.js';
import type { DeviceImage } from '../image/types.js';

/** An NVS partition as it is in flash, and the nvs_keys partition where it is encrypted. */
export interface OldNvs {
  nvs: Uint8Array;
  keys: Uint8Array | null;
}

/** What the device itself has written since it was made: never set back by a new certificate. */
const itsOwn = new Set(['aiot_update/sequence', 'aiot_update/floor', 'aiot/model_slot']);

/**
 * The image with all that an earlier NVS has and the new one does not say: Wi-Fi, the firmware's own settings, what the
 * device has committed. Encrypted again with the same keys, where it was.
 * @param image a plain one @throws AIOT_NVS_MALFORMED, AIOT_NVS_UNFIT
 */
export function keepOld(image: DeviceImage, old: OldNvs, version: 1 | 2): DeviceImage {
  const keys = old.keys === null ? null : readNvsKeys(old.keys);
  const before = readNvs(keys ? decryptNvs(old.nvs, keys) : old.nvs).entries;
  const made = readNvs(image.nvs.data).entries;
  // Whom to trust is told as a whole: a key or a piece of a root that was left over would be another's.
  const told = made.some(isTrust);
  const kept = before.filter((entry) => !told || !isTrust(entry));
  const merged = new Map<string, NvsEntry>(kept.map((entry) => [placeOf(entry), entry]));
  for (const entry of made) {
    const place = placeOf(entry);
    if (!itsOwn.has(place) || !merged.has(place)) merged.set(place, entry);
  }
  const { offset, data } = image.nvs;
  const plain = writeNvs([...merged.values()], { size: data.length, version });
  return { ...image, nvs: { offset, data: keys ? encryptNvs(plain, keys) : plain } };
}

const isTrust = ({ namespace }: NvsEntry) => namespace === 'aiot_trust';

function placeOf({ namespace, key }: NvsEntry): string {
  return `${namespace}/${key}`;
}
