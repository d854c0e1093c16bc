import type { Clock } from '../../core/time.js';
import type { ChipName } from '../../formats/esp-image/chips.js';

/** The connected chip, as read from its ROM, eFuses and flash. */
export interface ChipInfo {
  chip: ChipName;
  /** Manufacturer's name with package and revision: `ESP32-D0WD-V3 (revision v3.1)`. */
  description: string;
  features: string[];
  crystalMHz: number;
  /** MAC: the factory base address, in lower case with colons. */
  mac: string;
  flash: {
    /** JEDEC id in 6 hex digits: a manufacturer byte, then two device bytes. */
    id: string;
    /** Flash size in bytes; null if it cannot be derived from the id. */
    bytes: number | null;
  };
  security: {
    secureBoot: boolean;
    flashEncryption: boolean;
    /** Whether the chip is in secure download mode, which allows no register access, no stub and no reading. */
    secureDownload: boolean;
  };
}

/** Result of GET_SECURITY_INFO. Source: esptool, "get-security-info". */
export interface SecurityInfo {
  /**
   * Bit 0 secure boot, 1 aggressive revocation, 2 secure download mode, 3 to 5 revoked keys, 6 JTAG disabled until a key enables it, 7 JTAG
   * disabled, 8 USB disabled.
   */
  flags: number;
  /** Counter of flash encryption. Flash is encrypted if the number of set bits is odd. */
  cryptCount: number;
  /** Purposes of the key blocks, by number. */
  keyPurposes: number[];
  /** Number of the chip; null for an ESP32-S2. */
  chipId: number | null;
}

export type BeforeMode = 'default-reset' | 'usb-reset' | 'no-reset' | 'no-reset-no-sync';
export type AfterMode = 'hard-reset' | 'soft-reset' | 'no-reset' | 'no-reset-stub' | 'watchdog-reset';

/** Bytes with their offset in flash. */
export interface Region {
  offset: number;
  data: Uint8Array;
  /** Display name: a file's or a partition's name. */
  name: string;
}

export interface RegionResult {
  offset: number;
  bytes: number;
  /** Whether nothing was written because the flash already had these bytes. */
  skipped: boolean;
  /** MD5 of the region's data, 32 hex digits. */
  md5: string;
}

export type Stage = 'connect' | 'stub' | 'check' | 'erase' | 'write' | 'read' | 'verify' | 'reset';
export interface LoaderProgress {
  stage: Stage;
  region: string | null;
  done: number;
  /** Number of bytes to process in this stage. `done` of them are finished. */
  total: number;
  /** Text that shows progress in a stage without a byte count, such as `attempt 2 of 7` or `6 s`. */
  note?: string;
}

/** A chip in download mode, ready for work. Created by `openLoader`; `end` resets it and closes the line. */
export interface Loader {
  readonly chip: ChipInfo;
  readonly stub: boolean;
  /**
   * Current speed, bits per second: the ROM's speed until there is much to send or to read, or always if the chip and the adapter support
   * no other.
   */
  readonly baud: number;
  /** Whether `end` can start the program. If the line has no DTR and RTS, it cannot, and the user must press RESET. */
  readonly canReset: boolean;
  /** Switches to the requested speed, as large reads and writes do automatically. @throws AIOT_SERIAL_BAUD */
  raiseSpeed(): Promise<void>;
  /** Whether the flash has these bytes, according to the chip's own MD5. */
  matches(region: Region): Promise<boolean>;
  /** MD5 of a part of the flash, 32 hex digits. The chip computes it if the part consists of whole words. */
  md5(offset: number, length: number): Promise<string>;
  read(offset: number, length: number): Promise<Uint8Array>;
  /** The words of eFuse block 0; null in secure download mode, which allows no register access. */
  fuseWords(): Promise<number[] | null>;
  /** Access to the chip's registers; null in secure download mode. */
  readonly registers: RegisterAccess | null;
  /** The ROM's own report of its security; null for an ESP32, which does not support the request. */
  readonly securityInfo: SecurityInfo | null;
  /**
   * Writes regions and verifies each by MD5 (except in secure download mode). With the stub, a region is compressed if that makes
   * it shorter.
   * @throws AIOT_FLASH_…
   */
  write(regions: readonly Region[], options?: WriteOptions): Promise<RegionResult[]>;
  /** Erases whole sectors of 4096 bytes. */
  eraseRegion(offset: number, length: number): Promise<void>;
  eraseAll(): Promise<void>;
  /**
   * Loads segments into RAM and starts the program at `entry`, which ends the session with the loader. The ROM loader must be in use, because
   * the stub occupies RAM itself.
   */
  runInRam(segments: readonly { address: number; data: Uint8Array }[], entry: number): Promise<void>;
  /** Resets the chip as requested and closes the line. May also be called after a failure. */
  end(): Promise<void>;
}

/** The chip's registers, as the loader accesses them. Values are unsigned 32-bit numbers. */
export interface RegisterAccess {
  read(address: number): Promise<number>;
  write(address: number, value: number): Promise<void>;
  /** Reads the ROM's report again, after fuses were burned; null = the chip does not answer. */
  security(): Promise<SecurityInfo | null>;
}

export interface WriteOptions {
  /** Whether to skip regions that are already in flash (default true). */
  skipEqual?: boolean;
  compress?: boolean;
}

export interface LoaderOptions {
  /** Expected chip; `auto` accepts any. The loader throws AIOT_CHIP_MISMATCH for another one. */
  chip: ChipName | 'auto';
  /** Speed to which the loader switches after connecting at 115200. */
  baud: number;
  stub: boolean;
  before: BeforeMode;
  after: AfterMode;
  progress?: (progress: LoaderProgress) => void;
  /** Receives a description of the exchange with the chip, line by line. */
  trace?: (text: string) => void;
  /** Clock for pauses and timeouts (default: the system clock). */
  clock?: Clock;
  signal?: AbortSignal;
}
