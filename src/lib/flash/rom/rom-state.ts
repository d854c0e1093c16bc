import type { LoaderHost } from './host.js';
import { blockHeaderBytes, checksumOf, headerBytes, romError, wordAt } from './protocol.js';
import type { Writing } from './writing.js';

/** Requests are cut at so many bytes, as a receive buffer does. */
const bufferBytes = 0x8000;

/** Bytes of data before the status; the error that it failed with; what is done after the answer. */
export interface RomOutcome {
  data?: number;
  error?: number;
  /** The second status byte keeps its old value, as most of the ROM's commands leave it. */
  keepsError?: boolean;
  silent?: boolean;
  after?: () => Promise<void> | void;
}

export type RomCommand = (rom: RomState, size: number) => Promise<RomOutcome> | RomOutcome;

export const kept: RomOutcome = { keepsError: true };
export const failed = (error: number, data = 0): RomOutcome => ({ error, data });

/** What the ROM's loader remembers from one request to the next; more than it should, and hosts have to live with it. */
export class RomState {
  /** Every request lands here, and a short one leaves what was behind it. */
  readonly request = new Uint8Array(bufferBytes);
  /** Every answer is sent from here: reserved bytes are those of an earlier one. */
  readonly answer = new Uint8Array(headerBytes + 256);
  /** Of the last READ_REG or SYNC. */
  value = 0;
  lastOp = 0;
  /** Number of the block that is due. */
  sequence = 0;
  /** An upload to RAM has begun. */
  memory = false;
  writing: Writing | null = null;

  /** @param joint whether it waits on all ports at once, which shows in what it keeps of SYNC */
  constructor(
    readonly host: LoaderHost,
    readonly joint: boolean,
  ) {}

  word(index: number): number {
    return wordAt(this.request, headerBytes + 4 * index);
  }

  /** Puts data of an answer where it is sent from. */
  put(data: Uint8Array): void {
    this.answer.set(data, headerBytes);
  }

  /** The payload of a data command, or why it is refused. A block with a wrong checksum counts all the same. */
  block(size: number): { payload: Uint8Array } | RomOutcome {
    const payload = this.request.subarray(headerBytes + blockHeaderBytes, headerBytes + size);
    const due = this.word(0) === size - blockHeaderBytes && this.word(1) === this.sequence;
    if (!due) return failed(romError.message);
    this.sequence++;
    if (checksumOf(payload) !== wordAt(this.request, 4)) return failed(romError.checksum);
    const fault = this.host.faults.strike('block-error', this.lastOp);
    return fault ? failed(fault.error) : { payload };
  }

  endWriting(): void {
    this.writing?.end();
    this.writing = null;
  }
}
