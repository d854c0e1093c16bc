import { AiotError } from '../../core/index.js';
import { type ChipName, chipNames } from '../../formats/index.js';
import type { OldNvs } from './keep.js';

/** What goes into a chip's image besides its identity. */
export interface ChipOptions {
  chip: ChipName;
  /** null = it is set later, on the board. */
  wifi: Wifi | null;
  /** Format of the NVS pages. */
  nvsVersion: 1 | 2;
  /** The partition table as CSV, or as the bytes that a board has; null = the default one. */
  table: string | Uint8Array | null;
  /** Bytes of the board's flash. */
  flashBytes: number;
  encrypt: boolean;
  /** What the device has in NVS already: kept where the new image does not say otherwise. Encrypted as it is. */
  old?: OldNvs | null;
}

export interface Wifi {
  ssid: string;
  password: string;
}

/** Flash of the usual boards, bytes. */
export const usualFlashBytes = 4 * 1024 ** 2;

/** The chip of a type of device that is called as a chip is; null for a type that says nothing of a chip. */
export function chipOfType(type: string): ChipName | null {
  return chipNames.find((name) => name === type) ?? null;
}

/**
 * A network's name and password as 802.11 has them: a name of 1 to 32 bytes; no password, 8 to 63 printable characters
 * (WPA passphrase), or 64 hex digits (the key itself).
 * @throws AIOT_USAGE, without the password
 */
export function checkWifi(ssid: string, password: string): Wifi {
  const bytes = Buffer.byteLength(ssid);
  if (bytes < 1 || bytes > 32 || ssid.includes('\0')) {
    throw new AiotError('AIOT_USAGE', `expected a Wi-Fi name of 1 to 32 bytes, got ${bytes}`);
  }
  if (password === '' || /^[\x20-\x7e]{8,63}$/.test(password) || /^[0-9a-f]{64}$/i.test(password)) {
    return { ssid, password };
  }
  throw new AiotError(
    'AIOT_USAGE',
    `expected a Wi-Fi password of 8 to 63 printable characters (or 64 hex digits), got ${password.length}`,
  );
}
