import type { FaultBox } from './faults.js';
import type { NorFlash } from './flash-memory.js';
import type { ChipIdentity, ChipSecurity, ResetCause } from './identity.js';
import type { Registers } from './registers.js';

export type StubKind = 'v2' | 'legacy';

/** Functions of the chip that ROM loader and stub, which answer on the serial line, use. */
export interface LoaderHost {
  readonly identity: ChipIdentity;
  readonly security: ChipSecurity;
  readonly flash: NorFlash;
  readonly registers: Registers;
  readonly faults: FaultBox;
  /** Size of flash that commands may access, as set by SPI_SET_PARAMS. */
  flashLimit: number;
  /** Sends one frame. */
  send(frame: Uint8Array): void;
  /** Sends raw bytes. */
  sendRaw(bytes: Uint8Array): void;
  /** Discards received requests that are not processed yet. */
  dropInput(): void;
  /** The chip is busy for this time; returns at once without a time model. */
  busy(ms: number): Promise<void>;
  /** Changes the UART's speed once all bytes are sent. */
  changeBaud(baud: number): Promise<void>;
  /** Resets the chip once all bytes are sent. */
  restart(cause: ResetCause): Promise<void>;
  startStub(kind: StubKind): void;
  /** Stops permanently with this text. */
  crash(text: string): void;
  /** Leaves the loader and boots the image in flash. */
  startProgram(): Promise<void>;
}

/** A program that answers frames. */
export interface FrameProgram {
  handle(frame: Uint8Array): Promise<void>;
  /** Releases its resources. */
  end(): void;
}
