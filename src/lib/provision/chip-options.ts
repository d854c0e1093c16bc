import { AiotError } from '../core/errors.js';
import { readText } from '../core/files.js';
import { type ChipName, chipNames } from '../formats/esp-image/chips.js';
import { decryptNvs, readNvsKeys } from '../formats/nvs/crypt.js';
import { readNvs } from '../formats/nvs/read.js';
import type { OldNvs } from './chip-image.js';

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

/** What somebody asked to be put into images, before files were read. */
export interface ImageRequest {
  ssid?: string | undefined;
  /** File with the password as its first line; else the variable. */
  passwordFile?: string | undefined;
  /** The password as the environment has it. */
  password?: string | undefined;
  nvsVersion: 1 | 2;
  /** File of a partition table, CSV. */
  partitions?: string | undefined;
  flashBytes?: number | undefined;
  encrypt: boolean;
}

/** The same for all devices of a run. `table` null = the default one, or the board's own. */
export type CommonImage = Omit<ChipOptions, 'chip'>;

/** Reads the files. @throws AIOT_USAGE, AIOT_FILE_NOT_FOUND */
export async function imageRequest(asked: ImageRequest): Promise<CommonImage> {
  const { nvsVersion, partitions, encrypt, flashBytes = usualFlashBytes } = asked;
  return {
    ...{ nvsVersion, encrypt, flashBytes },
    wifi: await wifiOf(asked),
    table: partitions === undefined ? null : await readText(partitions),
  };
}

async function wifiOf({ ssid, passwordFile, password }: ImageRequest): Promise<Wifi | null> {
  if (ssid === undefined) {
    if (passwordFile === undefined) return null;
    throw new AiotError('AIOT_USAGE', 'expected the name of the network that the password is for', {
      next: 'Give it: --wifi-ssid NAME',
    });
  }
  // Spaces belong to a password; the end of its line does not.
  const told = passwordFile === undefined ? password : (await readText(passwordFile)).replace(/\r?\n$/, '');
  return checkWifi(ssid, told ?? '');
}

/**
 * The type of a device as somebody typed it. Chips' names count without case; what is one slip from such a name is
 * refused, for it would quietly become a computer. Any other name is free. `strict` false: the chip is said elsewhere.
 * @throws AIOT_USAGE
 */
export function deviceType(text: string, strict = true): string {
  const lower = text.toLowerCase();
  const chip = chipNames.find((name) => name === lower);
  if (chip !== undefined) return chip;
  const near = strict ? chipNames.find((name) => isOneSlip(lower, name)) : undefined;
  if (near === undefined) return text;
  throw new AiotError('AIOT_USAGE', `no chip is called "${text}": did you mean ${near}?`, {
    next: `--type ${near}; a type of this very name needs its chip besides: --chip ${near}`,
  });
}

/** Whether one letter too many, too few or another one, or two that changed places, is all that differs. */
function isOneSlip(a: string, b: string): boolean {
  if (a === b || Math.abs(a.length - b.length) > 1) return a === b;
  let from = 0;
  while (from < a.length && a[from] === b[from]) from++;
  const [left, right] = [a.slice(from), b.slice(from)];
  return (
    left.slice(1) === right.slice(1) ||
    left.slice(1) === right ||
    left === right.slice(1) ||
    (left[0] === right[1] && left[1] === right[0] && left.slice(2) === right.slice(2))
  );
}

/** The network that an image has its device join, its password untold; null = none. */
export function wifiTold({ wifi, old }: Pick<ChipOptions, 'wifi' | 'old'>) {
  if (wifi) return { ssid: wifi.ssid, open: wifi.password === '' };
  return old ? wifiIn(old) : null;
}

/** As it stays in the NVS that a new certificate is put into. */
function wifiIn({ nvs, keys }: OldNvs): { ssid: string; open: boolean } | null {
  const { entries } = readNvs(keys === null ? nvs : decryptNvs(nvs, readNvsKeys(keys)));
  const text = (key: string): string => {
    const found = entries.find((entry) => entry.namespace === 'wifi' && entry.key === key);
    return found?.type === 'string' ? found.value : '';
  };
  const ssid = text('ssid');
  return ssid === '' ? null : { ssid, open: text('password') === '' };
}
