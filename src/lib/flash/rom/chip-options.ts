import type { Clock } from '../../core/index.js';
import type { BootMode } from './boot-text.js';
import type { ChipSecurity } from './efuse.js';
import type { Fault } from './faults.js';
import type { SimulatedChipName } from './identity.js';
import type { ChipProgram } from './program.js';
import type { Bridge } from './reset-circuit.js';
import type { ChipTiming } from './wire.js';

/** Loader of the ROM or the stub, the program in flash, held in reset (or without power), or lost until the next reset. */
export type ChipState = 'rom' | 'stub' | 'program' | 'held' | 'crashed';

export interface SimulatedChipOptions {
  chip: SimulatedChipName;
  /** Factory address, lower case with colons. */
  mac?: string;
  flashBytes?: number;
  /** What is in the flash at first (default: erased). */
  flash?: Uint8Array;
  faults?: readonly Fault[];
  /** Of the chance in faults. */
  seed?: number;
  security?: Partial<ChipSecurity>;
  /**
   * Default `download`: somebody holds the BOOT button, until DTR or RTS are used for the first time. `uart` is a chip
   * strapped for the UART alone, as emulators are.
   */
  boot?: BootMode;
  timing?: ChipTiming;
  clock?: Clock;
  bridge?: Bridge;
  /** What the image in flash does once it runs (default: a second-stage bootloader's words, and those of the app). */
  program?: ChipProgram;
  /** Whether the flash chip has a parameter table (SFDP). */
  sfdp?: boolean;
  /** Frequency that the UART's divider is made for. */
  uartClockHz?: number;
  /** Strapping pins as the boot text gives them (default: the usual ones of the mode). */
  strap?: number;
  /** Address → value of words that shall read otherwise than an ordinary board's: fuses, calibration. */
  words?: Readonly<Record<number, number>>;
}
