import type { ChipName } from '../../src/lib/formats/index.js';

/** A chip in download mode at a serial line that has no DTR and RTS: a simulated one, or a mask ROM in an emulator. */
export interface Board {
  readonly chip: ChipName;
  /** Path of its pty. */
  readonly port: string;
  /** What is in its flash now, all of it. */
  flash(): Promise<Uint8Array>;
  close(): Promise<void>;
}
