import type { FaultBox } from './faults.js';
import type { NorFlash } from './flash-memory.js';
import type { FuseArray } from './fuse-array.js';
import type { ChipIdentity, ChipSecurity, ResetCause } from './identity.js';
import type { Registers } from './registers.js';

export type StubKind = 'v2' | 'legacy';

/** A program that a host has uploaded to RAM. */
export interface RamProgram {
  /** Address of the first instruction. */
  entry: number;
  segments: { address: number; bytes: Uint8Array }[];
}

/** Functions of the chip that the ROM loader and the stub use to communicate on the serial line. */
export interface LoaderHost {
  readonly identity: ChipIdentity;
  /** The current settings of the fuses. */
  security(): ChipSecurity;
  /** Null for a chip whose fuses cannot be burned. */
  readonly fuses: FuseArray | null;
  readonly flash: NorFlash;
  readonly registers: Registers;
  readonly faults: FaultBox;
  /** Number of bytes of flash that commands may access, as set by SPI_SET_PARAMS. */
  flashLimit: number;
  /** Sends one frame. */
  send(frame: Uint8Array): void;
  /** Sends raw bytes. */
  sendRaw(bytes: Uint8Array): void;
  /** Discards received requests that have not been processed yet. */
  dropInput(): void;
  /** Keeps the chip busy for this time, ms. Returns at once if no time is simulated. */
  busy(ms: number): Promise<void>;
  /** Changes the UART's speed once all bytes are sent. */
  changeBaud(baud: number): Promise<void>;
  /** Resets the chip once all bytes are sent. */
  restart(cause: ResetCause): Promise<void>;
  startStub(kind: StubKind): void;
  /** Leaves the loader for a program in RAM. The program is not simulated, except that it counts as running. */
  startRamProgram(program: RamProgram): void;
  /** Prints this text and stops until the next reset. */
  crash(text: string): void;
  /** Leaves the loader and boots the image in flash. */
  startProgram(): Promise<void>;
}

/** A program that answers frames. */
export interface FrameProgram {
  handle(frame: Uint8Array): Promise<void>;
  /** Releases the program's resources. */
  end(): void;
}
