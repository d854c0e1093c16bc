import type { Clock } from '../../core/time.js';
import type { ChipName } from '../../formats/esp-image/chips.js';

/** What the chip at the other end of a line is, read from its ROM, eFuses and flash. */
export interface ChipInfo {
  chip: ChipName;
  /** As the maker names it with package and revision: `ESP32-D0WD-V3 (revision v3.1)`. */
  description: string;
  features: string[];
  crystalMHz: number;
  /** Lower case with colons; the factory base address. */
  mac: string;
  flash: {
    /** JEDEC: manufacturer byte, then two device bytes, 6 hex digits. */
    id: string;
    /** Bytes; null when the id does not tell. */
    bytes: number | null;
  };
  security: {
    secureBoot: boolean;
    flashEncryption: boolean;
    /** Secure download mode: no registers, no stub, no reading. */
    secureDownload: boolean;
  };
}

export type BeforeMode = 'default-reset' | 'usb-reset' | 'no-reset' | 'no-reset-no-sync';
export type AfterMode = 'hard-reset' | 'soft-reset' | 'no-reset' | 'no-reset-stub' | 'watchdog-reset';

/** Bytes for a place in flash. */
export interface Region {
  offset: number;
  data: Uint8Array;
  /** What people call it: a file's or a partition's name. */
  name: string;
}

export interface RegionResult {
  offset: number;
  bytes: number;
  /** True when the flash had these bytes already and nothing was written. */
  skipped: boolean;
  /** MD5 of the region as the chip computes it after the write, 32 hex digits. */
  md5: string;
}

export type Stage = 'connect' | 'stub' | 'check' | 'erase' | 'write' | 'read' | 'verify' | 'reset';
export interface LoaderProgress {
  stage: Stage;
  region: string | null;
  done: number;
  /** Bytes. */
  total: number;
  /** What tells of life in a stage that does not tell how far it is: `attempt 2 of 7`, `6 s`. */
  note?: string;
}

/** A chip in download mode, ready for work. Made by `openLoader`; `end` resets it and lets the line go. */
export interface Loader {
  readonly chip: ChipInfo;
  readonly stub: boolean;
  /** Bits per second now: the ROM's until there is much to send or to read, or where chip and adapter only understand each other at that. */
  readonly baud: number;
  /** Whether `end` can start the program: not where the line has no DTR and RTS. Then the user presses RESET. */
  readonly canReset: boolean;
  /** Goes to the speed that was asked for, as reading and writing much do by themselves. @throws AIOT_SERIAL_BAUD */
  raiseSpeed(): Promise<void>;
  /** Whether the flash has these bytes, by the chip's own MD5. */
  matches(region: Region): Promise<boolean>;
  /** MD5 of a part of the flash, computed by the chip: 32 hex digits. */
  md5(offset: number, length: number): Promise<string>;
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Each region compressed where that is shorter, then compared by MD5. @throws AIOT_FLASH_… */
  write(regions: readonly Region[], options?: WriteOptions): Promise<RegionResult[]>;
  /** Whole sectors of 4096 bytes. */
  eraseRegion(offset: number, length: number): Promise<void>;
  eraseAll(): Promise<void>;
  /** Resets as asked and closes the line; safe to call after a failure. */
  end(): Promise<void>;
}

export interface WriteOptions {
  /** Leave out what is there already (default true). */
  skipEqual?: boolean;
  compress?: boolean;
}

export interface LoaderOptions {
  /** Expected chip; `auto` takes what answers. @throws AIOT_CHIP_MISMATCH otherwise */
  chip: ChipName | 'auto';
  /** Speed after the connection at 115200. */
  baud: number;
  stub: boolean;
  before: BeforeMode;
  after: AfterMode;
  progress?: (progress: LoaderProgress) => void;
  /** Time of the pauses and time limits (default: the machine's). */
  clock?: Clock;
  signal?: AbortSignal;
}
