import type { LoaderHost, StubKind } from './host.js';
import { headerBytes, stubError, wordAt } from './protocol.js';
import type { ReadStream } from './stub-reading.js';
import type { Writing } from './writing.js';

/** What is answered: status (0 = good), value, data; and what is done after it. */
export interface StubOutcome {
  status?: number;
  value?: number;
  data?: Uint8Array;
  silent?: boolean;
  after?: () => Promise<void> | void;
}
export const failed = (status: number): StubOutcome => ({ status });

/** One request whose length is as it says. */
export class StubRequest {
  readonly code: number;
  /** Bytes of data. */
  readonly size: number;

  constructor(readonly frame: Uint8Array) {
    this.code = frame[1] ?? 0;
    this.size = wordAt(frame, 2) & 0xffff;
  }

  word(index: number): number {
    return wordAt(this.frame, headerBytes + 4 * index);
  }
}

export type StubCommand = (stub: StubState, request: StubRequest) => Promise<StubOutcome> | StubOutcome;

/** What the stub remembers from one request to the next. */
export class StubState {
  writing: Writing | null = null;
  /** Error of the block acknowledged last. */
  pending = 0;
  reading: ReadStream | null = null;
  /** Bytes of an upload to RAM that are still to come. */
  memoryLeft = 0;

  constructor(
    readonly host: LoaderHost,
    readonly kind: StubKind,
  ) {}

  /** The error that waited to be told, which it then is. */
  takePending(): number {
    const { pending } = this;
    this.pending = 0;
    return pending;
  }

  endWriting(): void {
    this.writing?.end();
    this.writing = null;
  }

  /** Refuses what reaches past the flash. */
  outside(offset: number, length: number): StubOutcome | null {
    return offset + length > this.host.flash.size ? failed(stubError.spi) : null;
  }
}
