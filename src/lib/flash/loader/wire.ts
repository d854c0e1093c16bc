import { AiotError } from '../../core/errors.js';
import { onAbort } from '../../core/tasks.js';
import { type Clock, systemClock } from '../../core/time.js';
import type { SerialLine } from '../port/line.js';

/** Thrown if no packet arrived in time. The number of other received bytes distinguishes a disturbed line from a silent chip. */
export class NoAnswer extends Error {
  constructor(
    readonly waitedMs: number,
    /** Number of bytes that were received without a complete answer. */
    readonly bytes: number,
  ) {
    super(`no response in ${waitedMs} ms (${bytes} bytes arrived)`);
    this.name = 'NoAnswer';
  }
}

/** Number of bytes outside of packets that are retained; enough for the boot text of several starts. */
const rememberedBytes = 16_384;

/**
 * Number of bytes, counted from the first one, that are never dropped. A chip prints the cause of its reset only once, and then repeats
 * that it has no program.
 */
const firstBytes = 4096;

/** Time that the system may take to accept a block, in addition to its transmission time, ms. */
const writeGraceMs = 10_000;

/** The request that greets a loader. */
export const syncRequest = 0x08;

/** Whether this is a successful answer to SYNC: a ROM's (four bytes of status) or a stub's (two). */
export function isGreetingAnswer(packet: Uint8Array): boolean {
  const [direction, code] = packet;
  return (
    (packet.length === 10 || packet.length === 12) &&
    direction === 1 &&
    code === syncRequest &&
    packet[8] === 0
  );
}

/**
 * Sends and receives packets as SLIP frames over a serial line, without polling. Retains the bytes outside of frames, because a chip that
 * has a problem prints text there.
 */
export class Wire {
  private frames: Uint8Array[] = [];
  private waiting: (() => void) | null = null;
  private ended: { error: Error } | null = null;
  private strays: Uint8Array[] = [];
  private strayLength = 0;
  /** Number of chunks at the start of `strays` that are never dropped. */
  private firstStrays = 0;
  private readonly reader = new SlipReader({
    frame: (packet) => {
      if (isGreetingAnswer(packet)) this.greetingsOwed = Math.max(0, this.greetingsOwed - 1);
      this.frames.push(packet);
    },
    stray: (bytes) => this.remember(bytes),
  });
  private readonly leave: () => void;
  /** Total number of bytes received. */
  received = 0;
  /** Number of answers to greetings that may still arrive. Each SYNC has up to eight. */
  greetingsOwed = 0;
  /** Whether our own packets were received, because TX and RX are connected or a terminal echoes. */
  echoed = false;

  constructor(
    readonly line: SerialLine,
    private readonly signal?: AbortSignal,
    readonly clock: Clock = systemClock,
  ) {
    const aborted = () => this.end(signal?.reason);
    this.leave = line.listen({
      data: (bytes) => {
        this.received += bytes.length;
        this.reader.push(bytes);
        this.wake();
      },
      closed: (error) =>
        this.end(error ?? new AiotError('AIOT_SERIAL_LOST', `${line.address}: the port was closed`)),
    });
    onAbort(signal, aborted);
  }

  /** Time on the wire's clock in ms, for measuring durations only. */
  now(): number {
    return this.clock.monotonic?.() ?? this.clock.now();
  }

  /** Transmission time of this many bytes, ms. Each takes 10 bits. */
  timeOf(bytes: number): number {
    return (bytes * 10_000) / this.line.baud;
  }

  async write(packet: Uint8Array): Promise<void> {
    this.throwIfEnded();
    const frame = slipFrame(packet);
    const limitMs = this.timeOf(frame.length) + writeGraceMs;
    const written = new AbortController();
    const stuck = this.clock.sleep(limitMs, written.signal).then(() => {
      throw new AiotError('AIOT_SERIAL_LOST', `${this.line.address}: the port accepts no more data`, {
        endpoint: this.line.address,
        retryable: true,
      });
    });
    // Prevents an unhandled rejection: the abort below also rejects this promise if the block was accepted.
    stuck.catch(() => {});
    try {
      await Promise.race([this.line.write(frame), stuck]);
    } finally {
      written.abort();
    }
  }

  /** Returns the next packet. @throws NoAnswer, the error that ended the line, the signal's reason */
  async read(timeoutMs: number): Promise<Uint8Array> {
    const before = this.received;
    await this.until(() => this.frames.length > 0, timeoutMs);
    this.throwIfEnded();
    const frame = this.frames.shift();
    if (!frame) throw new NoAnswer(timeoutMs, this.received - before);
    return frame;
  }

  /** Discards unexpected packets. */
  flush(): void {
    this.frames = [];
    const { partial } = this.reader;
    if (partial.length > 0) this.remember(partial);
    this.reader.reset();
  }

  /** Discards incoming bytes until the line is silent for `quietMs`. */
  async drain(quietMs: number, maxMs = 10 * quietMs): Promise<void> {
    const deadline = this.now() + maxMs;
    for (let before = -1; before !== this.received && this.now() < deadline; ) {
      before = this.received;
      await this.until(() => false, quietMs);
      this.throwIfEnded();
    }
    this.flush();
  }

  /** Pauses. Throws early if the line ends or the user cancels. */
  async pause(ms: number): Promise<void> {
    await this.until(() => false, ms);
    this.throwIfEnded();
  }

  /**
   * Bytes outside of packets since `forget`: the first 4 KiB and the newest ones, together about 16 KiB, and the bytes of an unfinished
   * packet.
   */
  get stray(): Uint8Array {
    return Buffer.concat([...this.strays, this.reader.partial]);
  }

  forget(): void {
    this.strays = [];
    this.strayLength = 0;
    this.firstStrays = 0;
  }

  /** Stops listening; the line remains open. */
  release(): void {
    this.leave();
    this.end(new AiotError('AIOT_SERIAL_LOST', `${this.line.address}: released`));
  }

  throwIfEnded(): void {
    this.signal?.throwIfAborted();
    if (this.ended) throw this.ended.error;
  }

  private until(ready: () => boolean, timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const stop = new AbortController();
      const done = () => {
        if (stop.signal.aborted) return;
        stop.abort();
        this.waiting = null;
        resolve();
      };
      this.waiting = () => {
        if (ready() || this.ended) done();
      };
      this.waiting();
      if (!stop.signal.aborted) this.clock.sleep(timeoutMs, stop.signal).then(done, () => {});
    });
  }

  private remember(bytes: Uint8Array): void {
    if (this.strayLength < firstBytes) this.firstStrays++;
    this.strays.push(bytes.slice());
    this.strayLength += bytes.length;
    while (this.strayLength > rememberedBytes && this.strays.length > this.firstStrays + 1) {
      this.strayLength -= this.strays.splice(this.firstStrays, 1)[0]?.length ?? 0;
    }
  }

  private wake(): void {
    this.waiting?.();
  }

  private end(error: Error): void {
    this.ended ??= { error };
    this.wake();
  }
}

const END = 0xc0;
const ESC = 0xdb;
const ESC_END = 0xdc;
const ESC_ESC = 0xdd;

/** Maximum length of a frame, bytes. No loader sends longer frames; anything longer is text without a frame's end. */
const longestFrame = 0x1_0000;

/** Encodes a packet for the wire: SLIP (RFC 1055), with a delimiter before and after. */
export function slipFrame(packet: Uint8Array): Uint8Array {
  let special = 0;
  for (const byte of packet) if (byte === END || byte === ESC) special++;
  const frame = new Uint8Array(packet.length + special + 2);
  frame[0] = END;
  let at = 1;
  for (const byte of packet) {
    if (byte === END || byte === ESC) {
      frame[at++] = ESC;
      frame[at++] = byte === END ? ESC_END : ESC_ESC;
    } else frame[at++] = byte;
  }
  frame[at] = END;
  return frame;
}

/**
 * Splits incoming bytes into frames and other bytes (boot text, noise). Frames are never empty: two delimiters in a row start a frame, so
 * that the reader resynchronizes after lost bytes.
 */
export class SlipReader {
  private parts: Uint8Array[] | null = null;
  private length = 0;

  constructor(private readonly to: { frame(packet: Uint8Array): void; stray(bytes: Uint8Array): void }) {}

  push(bytes: Uint8Array): void {
    let from = 0;
    while (from < bytes.length) {
      const delimiter = bytes.indexOf(END, from);
      const piece = bytes.subarray(from, delimiter < 0 ? bytes.length : delimiter);
      if (this.parts === null) {
        if (piece.length > 0) this.to.stray(piece);
      } else if (piece.length > 0) this.collect(piece);
      if (delimiter < 0) return;
      if (this.parts === null) this.parts = [];
      else if (this.length > 0) this.finish();
      from = delimiter + 1;
    }
  }

  /** The received part of an unfinished frame; empty if none has begun. */
  get partial(): Uint8Array {
    return Buffer.concat(this.parts ?? []);
  }

  reset(): void {
    this.parts = null;
    this.length = 0;
  }

  private collect(piece: Uint8Array): void {
    this.parts?.push(piece.slice());
    this.length += piece.length;
    if (this.length <= longestFrame) return;
    this.to.stray(this.partial);
    this.reset();
  }

  private finish(): void {
    const raw = this.partial;
    this.reset();
    const packet = unescaped(raw);
    if (packet) this.to.frame(packet);
    else this.to.stray(raw);
  }
}

/** Removes the escapes of a SLIP frame; null if one is invalid, because bytes were lost or changed. */
function unescaped(raw: Uint8Array): Uint8Array | null {
  if (!raw.includes(ESC)) return raw;
  const packet = new Uint8Array(raw.length);
  let length = 0;
  for (let i = 0; i < raw.length; i++) {
    let byte = raw[i] as number;
    if (byte === ESC) {
      const next = raw[++i];
      if (next === ESC_END) byte = END;
      else if (next === ESC_ESC) byte = ESC;
      else return null;
    }
    packet[length++] = byte;
  }
  return packet.subarray(0, length);
}
