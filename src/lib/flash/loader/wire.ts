import { AiotError } from '../../core/errors.js';
import { onAbort } from '../../core/tasks.js';
import { type Clock, systemClock } from '../../core/time.js';
import type { SerialLine } from '../port/line.js';
import { op } from './commands.js';

/** No packet came in time. Whether anything else did tells a silent chip from a disturbed line. */
export class NoAnswer extends Error {
  constructor(
    readonly waitedMs: number,
    /** Bytes that arrived meanwhile, none of them a whole answer. */
    readonly bytes: number,
  ) {
    super(`no answer in ${waitedMs} ms (${bytes} bytes arrived)`);
    this.name = 'NoAnswer';
  }
}

/** Enough to hold the boot text of several starts. */
const rememberedBytes = 16_384;

/** Of them the first are kept: a chip says once why it was reset, and then for ever that there is no program. */
const firstBytes = 4096;

/** Longer than a system needs to take a block, beyond the time on the wire. */
const writeGraceMs = 10_000;

/** An answer to SYNC that is no error: a ROM's (four bytes of status) or a stub's (two). */
export function isGreetingAnswer(packet: Uint8Array): boolean {
  const [direction, code] = packet;
  return (
    (packet.length === 10 || packet.length === 12) && direction === 1 && code === op.sync && packet[8] === 0
  );
}

/**
 * Packets over a serial line: SLIP frames out and in, waited for without polling. Remembers what came besides frames,
 * as that is what a chip says when something is wrong.
 */
export class Wire {
  private frames: Uint8Array[] = [];
  private waiting: (() => void) | null = null;
  private ended: { error: Error } | null = null;
  private strays: Uint8Array[] = [];
  private strayLength = 0;
  /** So many of `strays` are the first ones. */
  private firstStrays = 0;
  private readonly reader = new SlipReader({
    frame: (packet) => {
      if (isGreetingAnswer(packet)) this.greetingsOwed = Math.max(0, this.greetingsOwed - 1);
      this.frames.push(packet);
    },
    stray: (bytes) => this.remember(bytes),
  });
  private readonly leave: () => void;
  /** All bytes that ever arrived. */
  received = 0;
  /** So many answers to greetings may still come: each SYNC has up to eight. */
  greetingsOwed = 0;
  /** Our own packets came back: TX and RX are joined, or a terminal echoes. */
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

  /** Milliseconds of the wire's clock, which only measure how long something takes. */
  now(): number {
    return this.clock.monotonic?.() ?? this.clock.now();
  }

  /** Milliseconds that so many bytes need on the wire, 10 bits each. */
  timeOf(bytes: number): number {
    return (bytes * 10_000) / this.line.baud;
  }

  async write(packet: Uint8Array): Promise<void> {
    this.throwIfEnded();
    const frame = slipFrame(packet);
    const limitMs = this.timeOf(frame.length) + writeGraceMs;
    const written = new AbortController();
    const stuck = this.clock.sleep(limitMs, written.signal).then(() => {
      throw new AiotError('AIOT_SERIAL_LOST', `${this.line.address}: the port takes no more bytes`, {
        endpoint: this.line.address,
        retryable: true,
      });
    });
    // Ended by the abort below when the block was taken in time.
    stuck.catch(() => {});
    try {
      await Promise.race([this.line.write(frame), stuck]);
    } finally {
      written.abort();
    }
  }

  /** The next packet. @throws NoAnswer, what ended the line, the signal's reason */
  async read(timeoutMs: number): Promise<Uint8Array> {
    const before = this.received;
    await this.until(() => this.frames.length > 0, timeoutMs);
    this.throwIfEnded();
    const frame = this.frames.shift();
    if (!frame) throw new NoAnswer(timeoutMs, this.received - before);
    return frame;
  }

  /** Forgets packets that nobody asked for. */
  flush(): void {
    this.frames = [];
    const { partial } = this.reader;
    if (partial.length > 0) this.remember(partial);
    this.reader.reset();
  }

  /** Lets pass what is still on its way, until nothing comes for `quietMs`. */
  async drain(quietMs: number, maxMs = 10 * quietMs): Promise<void> {
    const deadline = this.now() + maxMs;
    for (let before = -1; before !== this.received && this.now() < deadline; ) {
      before = this.received;
      await this.until(() => false, quietMs);
      this.throwIfEnded();
    }
    this.flush();
  }

  /** A pause that ends early, by throwing, when the line or the user ends it. */
  async pause(ms: number): Promise<void> {
    await this.until(() => false, ms);
    this.throwIfEnded();
  }

  /** What stood outside of packets since `forget`, the newest 16 KiB, an unfinished packet included. */
  get stray(): Uint8Array {
    return Buffer.concat([...this.strays, this.reader.partial]);
  }

  forget(): void {
    this.strays = [];
    this.strayLength = 0;
    this.firstStrays = 0;
  }

  /** Stops listening; the line stays open. */
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

/** More than the largest frame of any loader; what is longer is text without an end. */
const longestFrame = 0x1_0000;

/** One packet as it goes over the wire: SLIP (RFC 1055), with a delimiter before and after. */
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
 * Takes bytes as they arrive and tells frames from what stands between them (boot text, noise). Comes into step again
 * after lost bytes, as an empty frame is none: two delimiters in a row begin one.
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

  /** What has arrived of a frame without its end; empty when none has begun. */
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

/** Null for an escape that is none: bytes were lost or changed. */
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
