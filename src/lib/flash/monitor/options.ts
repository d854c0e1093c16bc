import type { SerialLine } from '../port/types.js';
import type { MonitorEvent } from './events.js';
import type { Level } from './level.js';
import type { MonitorControl } from './monitor-run.js';

export interface MonitorOptions {
  /** Port or address; undefined = the only board, once there is one. */
  port?: string | undefined;
  baud: number;
  /** Reset the board once it is there; never otherwise. */
  reset?: boolean;
  /** Ends well when a line matches. */
  until?: RegExp | undefined;
  /** Ends badly when a line matches. */
  fail?: RegExp | undefined;
  /** Fails after this time, ms. */
  timeoutMs?: number | undefined;
  /** Ends well after this time, ms. */
  forMs?: number | undefined;
  /** Neither wait for the port nor for it to come back. */
  once?: boolean;
  /** What is shown: lines that match this, and not that, and are at least as grave. */
  filter?: RegExp | undefined;
  exclude?: RegExp | undefined;
  level?: Level | undefined;
  /** ELF file of the program, for crashes. */
  elf?: string | undefined;
  /** Tell numbers of lines as values. */
  values?: boolean;
  /** File that gets everything: bytes, or with `.jsonl` events. */
  record?: string | undefined;
  /** Texts sent once the board is there, each as a line. */
  send?: readonly string[] | undefined;
  /** What is sent on; ends when it likes. */
  input?: AsyncIterable<Uint8Array> | undefined;
  /** What ends a sent line. */
  eol?: 'lf' | 'cr' | 'crlf';
  /** Gets every byte as it comes. */
  onBytes?: ((bytes: Uint8Array) => void) | undefined;
  onEvent: (event: MonitorEvent) => void;
  /** Once, before the port is opened: what may be done meanwhile. */
  onStart?: ((control: MonitorControl) => void) | undefined;
  signal: AbortSignal;
  /** For tests: instead of a port of this machine. */
  open?: (address: string, options: { baud: number; signal: AbortSignal }) => Promise<SerialLine>;
}

export const lineEnds = { lf: '\n', cr: '\r', crlf: '\r\n' } as const;
