import type { ChipName } from '../../formats/index.js';

/** Where the registers of the SPI controller that drives the flash lie; offsets from `base`. */
export interface SpiLayout {
  base: number;
  user: number;
  user1: number;
  user2: number;
  mosiLength: number;
  misoLength: number;
  data: number;
  /** ADDR holds the 24 address bits at the top of the word (ESP32) or at the bottom. */
  addressAtTop: boolean;
  userAtRest: number;
}

/** What one chip's ROM says and has, as far as a host can see. */
export interface ChipIdentity {
  name: SimulatedChipName;
  /** Word at 40001000, by which hosts tell an ESP32; other chips say who they are in their security information. */
  magic: number;
  /** In GET_SECURITY_INFO; null where the ROM does not know that command. */
  securityId: number | null;
  /** FLASH_BEGIN of the ROM takes a fifth word: whether to encrypt. */
  beginWords: 4 | 5;
  spi: SpiLayout;
  efuseBase: number;
  /** Where the strapping pins can be read after a reset. */
  strapRegister: number;
  bootloaderOffset: number;
  /** Text after a reset, before the line of cause and straps. */
  banner: string;
  bootNames: Record<'download' | 'uart' | 'run', { strap: number; text: string; waits: string | null }>;
  resetNames: Record<ResetCause, string>;
  /** How often a ROM says that no image begins where it should; the ESP32's watchdog gives it time in between. */
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
 * The three chips. Source: the boot texts and register values that the mask ROMs of ESP32 and ESP32-C3 gave (golden
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
