import type { FaultBox } from './faults.js';
import type { ChipIdentity, ChipSecurity, ResetCause } from './identity.js';
import type { NorFlash } from './nor.js';
import type { Registers } from './registers.js';

export type StubKind = 'v2' | 'legacy';

/** What the programs that answer on the serial line (ROM loader, stub) have of the chip they run on. */
export interface LoaderHost {
  readonly identity: ChipIdentity;
  readonly security: ChipSecurity;
  readonly flash: NorFlash;
  readonly registers: Registers;
  readonly faults: FaultBox;
  /** Bytes of flash that commands may reach, as SPI_SET_PARAMS said. */
  flashLimit: number;
  /** Sends one frame. */
  send(frame: Uint8Array): void;
  /** Sends bytes as they are. */
  sendRaw(bytes: Uint8Array): void;
  /** Forgets the requests that have arrived and are not looked at yet. */
  dropInput(): void;
  /** The chip is at work for so long; at once without a time model. */
  busy(ms: number): Promise<void>;
  /** Changes the UART's speed as soon as what was sent is out. */
  changeBaud(baud: number): Promise<void>;
  /** Resets the chip when what was sent is out. */
  restart(cause: ResetCause): Promise<void>;
  startStub(kind: StubKind): void;
  /** Stops for good, with this text. */
  crash(text: string): void;
  /** Leaves the loader and boots what is in flash. */
  startProgram(): Promise<void>;
}

/** A program that answers frames. */
export interface FrameProgram {
  handle(frame: Uint8Array): Promise<void>;
  /** Lets go of what it holds. */
  end(): void;
}
