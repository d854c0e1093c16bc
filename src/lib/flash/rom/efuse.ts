import type { ChipIdentity } from './identity.js';

/** What is burnt into a simulated chip. */
export interface ChipSecurity {
  secureBoot: boolean;
  flashEncryption: boolean;
  /** Download mode answers only to what writes flash: no registers, no stub, no reading. */
  secureDownload: boolean;
  /** Download mode does not exist any more. */
  downloadDisabled: boolean;
}

export const openChip: ChipSecurity = {
  secureBoot: false,
  flashEncryption: false,
  secureDownload: false,
  downloadDisabled: false,
};

/** Address → value of the eFuse words that are not zero. Sources: ESP-IDF's soc/efuse_reg.h of each chip. */
export type EfuseWords = Map<number, number>;

/**
 * The words for a chip of revision v3.1 (ESP32), v0.4 (C3) or v0.2 (S3) with this address and security.
 * @param mac six bytes, the factory base address
 */
export function efuseWords(identity: ChipIdentity, mac: Uint8Array, security: ChipSecurity): EfuseWords {
  const words = new Map<number, number>();
  const high = ((mac[0] as number) << 8) | (mac[1] as number);
  const low = new DataView(mac.buffer, mac.byteOffset).getUint32(2);
  const put = (offset: number, value: number) => words.set((identity.efuseBase + offset) >>> 0, value >>> 0);
  if (identity.name === 'esp32') esp32Words(put, { high, low, security });
  else newerWords(put, { high, low, security, name: identity.name });
  return words;
}

interface Burnt {
  high: number;
  low: number;
  security: ChipSecurity;
}
type Put = (offset: number, value: number) => void;

function esp32Words(put: Put, { high, low, security }: Burnt): void {
  put(0x00, security.flashEncryption ? 1 << 20 : 0);
  put(0x04, low);
  put(0x08, high | (macCrc(high, low) << 16));
  // Package 1 (D0WD), 240 MHz, revision bits 0, 1 and 2: major 3.
  put(0x0c, (1 << 9) | (1 << 15));
  // The 8 MHz clock's measured frequency: with the RTC's calibration word it gives a crystal of exactly 40 MHz.
  put(0x10, 0x50);
  put(0x14, (1 << 20) | (1 << 24));
  put(0x18, (security.secureBoot ? 1 << 5 : 0) | (security.secureDownload ? 1 << 2 : 0));
  put(0x3ff6607c - 0x3ff5a000, 0x96042000);
  put(0x3ff5f06c - 0x3ff5a000, 0x28000);
}

function newerWords(put: Put, { high, low, security, name }: Burnt & { name: ChipIdentity['name'] }): void {
  put(0x34, security.flashEncryption ? 1 << 18 : 0);
  put(0x38, security.secureBoot ? 1 << 20 : 0);
  put(0x44, low);
  put(0x48, high);
  put(0x50, (name === 'esp32c3' ? 4 : 2) << 18);
}

/** CRC-8 of the address as the ESP32 keeps it beside it: polynomial x^8 + x^5 + x^4 + 1, reflected, from 0. */
function macCrc(high: number, low: number): number {
  const bytes = [high >>> 8, high & 0xff, low >>> 24, (low >>> 16) & 0xff, (low >>> 8) & 0xff, low & 0xff];
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x8c : crc >>> 1;
  }
  return crc;
}
