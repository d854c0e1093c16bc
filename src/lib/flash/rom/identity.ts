import { securityFuses } from '../../formats/efuse.js';
import type { ChipName } from '../../formats/esp-image/chips.js';
import type { FuseArray } from './fuse-array.js';
import { putWord } from './protocol.js';

/** Registers of the SPI controller that drives the flash; offsets from `base`. */
export interface SpiLayout {
  base: number;
  user: number;
  user1: number;
  user2: number;
  mosiLength: number;
  misoLength: number;
  data: number;
  /** Whether ADDR has the 24 address bits at the top of the word (ESP32) or at the bottom. */
  addressAtTop: boolean;
  userAtRest: number;
}

/** Output and registers of one chip type's ROM, as far as a host can observe them. */
export interface ChipIdentity {
  name: SimulatedChipName;
  /** Word at 40001000, which identifies an ESP32 to hosts. Other chips identify themselves in their security information. */
  magic: number;
  /** Chip id in GET_SECURITY_INFO; null if the ROM does not support that command. */
  securityId: number | null;
  /** Number of words of the ROM's FLASH_BEGIN. The fifth word determines whether to encrypt. */
  beginWords: 4 | 5;
  spi: SpiLayout;
  efuseBase: number;
  /** Register that holds the strapping pins' levels at reset. */
  strapRegister: number;
  bootloaderOffset: number;
  /** Text after a reset, before the line with cause and straps. */
  banner: string;
  bootNames: Record<'download' | 'uart' | 'run', { strap: number; text: string; waits: string | null }>;
  resetNames: Record<ResetCause, string>;
  /** Interval at which a ROM reports that there is no image, ms. On the ESP32, the watchdog resets the chip each time. */
  emptyFlashEveryMs: number;
}

export const simulatedChipNames = ['esp32', 'esp32c3', 'esp32s3'] as const satisfies readonly ChipName[];

export type SimulatedChipName = (typeof simulatedChipNames)[number];

export type ResetCause = 'power' | 'software' | 'brownout' | 'watchdog';

const newerSpi: SpiLayout = {
  base: 0x60002000,
  user: 0x18,
  user1: 0x1c,
  user2: 0x20,
  mosiLength: 0x24,
  misoLength: 0x28,
  data: 0x58,
  addressAtTop: false,
  userAtRest: 0x800000c0,
};

const newerResets = {
  power: '0x1 (POWERON)',
  software: '0x3 (RTC_SW_SYS_RST)',
  brownout: '0xf (BROWNOUT_RST)',
  watchdog: '0x7 (TG0WDT_SYS_RST)',
};

/**
 * The three chips. Source: boot texts and register values of the mask ROMs of ESP32 and ESP32-C3 (golden
 * traces in test/golden/rom), ESP-IDF's register headers for the ESP32-S3.
 */
export const identities: Record<SimulatedChipName, ChipIdentity> = {
  esp32: {
    name: 'esp32',
    magic: 0x00f01d83,
    securityId: null,
    beginWords: 4,
    spi: {
      base: 0x3ff42000,
      user: 0x1c,
      user1: 0x20,
      user2: 0x24,
      mosiLength: 0x28,
      misoLength: 0x2c,
      data: 0x80,
      addressAtTop: true,
      userAtRest: 0,
    },
    efuseBase: 0x3ff5a000,
    strapRegister: 0x3ff44038,
    bootloaderOffset: 0x1000,
    banner: 'ets Jul 29 2019 12:21:46\r\n\r\n',
    bootNames: {
      download: {
        strap: 0x3,
        text: 'DOWNLOAD_BOOT(UART0/UART1/SDIO_REI_REO_V2)',
        waits: 'waiting for download\r\n',
      },
      uart: { strap: 0xf, text: 'UART_BOOT(UART0)', waits: null },
      run: { strap: 0x13, text: 'SPI_FAST_FLASH_BOOT', waits: null },
    },
    resetNames: {
      power: '0x1 (POWERON_RESET)',
      software: '0xc (SW_CPU_RESET)',
      brownout: '0xf (RTCWDT_BROWN_OUT_RESET)',
      watchdog: '0x10 (RTCWDT_RTC_RESET)',
    },
    emptyFlashEveryMs: 1500,
  },
  esp32c3: {
    name: 'esp32c3',
    magic: 0x1b31506f,
    securityId: 5,
    beginWords: 5,
    spi: newerSpi,
    efuseBase: 0x60008800,
    strapRegister: 0x60004038,
    bootloaderOffset: 0,
    banner: 'ESP-ROM:esp32c3-api1-20210207\r\nBuild:Feb  7 2021\r\n',
    bootNames: {
      download: { strap: 0x4, text: 'DOWNLOAD(USB/UART0/1)', waits: 'waiting for download\r\n' },
      uart: { strap: 0x2, text: 'UART0_BOOT', waits: 'wait uart0 download\r\n' },
      run: { strap: 0x8, text: 'SPI_FAST_FLASH_BOOT', waits: null },
    },
    resetNames: newerResets,
    emptyFlashEveryMs: 20,
  },
  esp32s3: {
    name: 'esp32s3',
    magic: 0x00000009,
    securityId: 9,
    beginWords: 5,
    spi: newerSpi,
    efuseBase: 0x60007000,
    strapRegister: 0x60004038,
    bootloaderOffset: 0,
    banner: 'ESP-ROM:esp32s3-20210327\r\nBuild:Mar 27 2021\r\n',
    bootNames: {
      download: { strap: 0x0, text: 'DOWNLOAD(USB/UART0)', waits: 'waiting for download\r\n' },
      uart: { strap: 0x2, text: 'UART0_BOOT', waits: 'wait uart0 download\r\n' },
      run: { strap: 0x8, text: 'SPI_FAST_FLASH_BOOT', waits: null },
    },
    resetNames: newerResets,
    emptyFlashEveryMs: 20,
  },
};

/** Security fuses of a simulated chip. */
export interface ChipSecurity {
  secureBoot: boolean;
  flashEncryption: boolean;
  /**
   * Whether download mode accepts only commands that write flash, and therefore allows no register access, no stub and no
   * reading.
   */
  secureDownload: boolean;
  /** Whether download mode is disabled. */
  downloadDisabled: boolean;
}

export const openChip: ChipSecurity = {
  secureBoot: false,
  flashEncryption: false,
  secureDownload: false,
  downloadDisabled: false,
};

/** Values of the non-zero eFuse words, by address. Sources: ESP-IDF's soc/efuse_reg.h of each chip. */
export type EfuseWords = Map<number, number>;

/**
 * The words for a chip with this MAC and these security fuses, of revision v3.1 (ESP32), v0.4 (C3) or v0.2 (S3).
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

interface Burned {
  high: number;
  low: number;
  security: ChipSecurity;
}

type Put = (offset: number, value: number) => void;

function esp32Words(put: Put, { high, low, security }: Burned): void {
  put(0x00, security.flashEncryption ? 1 << 20 : 0);
  put(0x04, low);
  put(0x08, high | (macCrc(high, low) << 16));
  // Package 1 (D0WD), 240 MHz, revision bits 0, 1 and 2: major 3.
  put(0x0c, (1 << 9) | (1 << 15));
  // The measured frequency of the 8 MHz clock. Together with the RTC's calibration word, it yields a crystal frequency of
  // exactly 40 MHz.
  put(0x10, 0x50);
  put(0x14, (1 << 20) | (1 << 24));
  put(0x18, (security.secureBoot ? 1 << 5 : 0) | (security.secureDownload ? 1 << 2 : 0));
  put(0x3ff6607c - 0x3ff5a000, 0x96042000);
  put(0x3ff5f06c - 0x3ff5a000, 0x28000);
}

function newerWords(put: Put, { high, low, security, name }: Burned & { name: ChipIdentity['name'] }): void {
  put(0x34, security.flashEncryption ? 1 << 18 : 0);
  put(0x38, security.secureBoot ? 1 << 20 : 0);
  put(0x44, low);
  put(0x48, high);
  put(0x50, (name === 'esp32c3' ? 4 : 2) << 18);
}

/** CRC-8 of the address, which the ESP32 stores next to it: polynomial x^8 + x^5 + x^4 + 1, reflected, starting from 0. */
function macCrc(high: number, low: number): number {
  const bytes = [high >>> 8, high & 0xff, low >>> 24, (low >>> 16) & 0xff, (low >>> 8) & 0xff, low & 0xff];
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x8c : crc >>> 1;
  }
  return crc;
}

const apiVersion = 3;

const keyPurpose = (words: readonly number[], key: number) =>
  ((words[key < 2 ? 2 : 3] ?? 0) >>> (key < 2 ? 24 + 4 * key : 4 * (key - 2))) & 0xf;

/**
 * The answer to GET_SECURITY_INFO: flags, the encryption counter, seven key purposes, chip id, API version; 20 bytes.
 * Source: esptool's protocol documentation, "Get Security Info"; the last purpose is that of an unburned C3.
 */
export function securityInfo(
  identity: ChipIdentity,
  security: ChipSecurity,
  fuses: FuseArray | null,
): Uint8Array {
  const info = new Uint8Array(20);
  putWord(info, 0, (security.secureBoot ? 1 : 0) | (security.secureDownload ? 4 : 0));
  info[4] = security.flashEncryption ? 1 : 0;
  info[11] = 0x0c;
  if (fuses?.burned) {
    const { words } = fuses;
    const { revoked, padJtag, aggressiveRevoke } = securityFuses(identity.name, words);
    const flags = [security.secureBoot, aggressiveRevoke, security.secureDownload, ...revoked];
    flags.push(padJtag === 'soft', padJtag === 'disabled');
    putWord(
      info,
      0,
      flags.reduce((sum, on, bit) => sum | (on ? 1 << bit : 0), 0),
    );
    info[4] = ((words[2] ?? 0) >>> 18) & 7;
    for (let key = 0; key < 6; key++) info[5 + key] = keyPurpose(words, key);
  }
  putWord(info, 12, identity.securityId ?? 0);
  putWord(info, 16, apiVersion);
  return info;
}
