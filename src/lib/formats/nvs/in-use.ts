import { readNvsKeys } from './crypt.js';
import { readNvs } from './read.js';

/**
 * The keys that an NVS is encrypted with; null where it is a plain one. A plain NVS may stand beside keys of an earlier,
 * encrypted one: what can be read as it is decides.
 * @param keys the nvs_keys partition, or its first page; null = there is none
 * @throws AIOT_NVS_MALFORMED for keys that are damaged, of an NVS that cannot be read without
 */
export function nvsKeysInUse(nvs: Uint8Array, keys: Uint8Array | null): Uint8Array | null {
  if (keys === null || keys.every((byte) => byte === 0xff)) return null;
  return readNvs(nvs, { salvage: true }).entries.length > 0 ? null : readNvsKeys(keys);
}
