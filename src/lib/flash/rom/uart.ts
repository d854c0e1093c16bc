import type { Clock } from '../../core/time.js';

/** `instant`: no time passes. `uart`: bytes take their time at the UART's speed, flash work that of a flash chip. */
export type ChipTiming = 'instant' | 'uart';

/** 8N1: start bit, 8 data bits, stop bit. */
const bitsPerByte = 10;

/** What is sent comes in pieces of so many ms, as a driver hands it on. */
const pieceMs = 8;

/** Milliseconds with fractions: a byte at 921600 bits per second takes 0.011 ms. */
export const preciseClock: Clock = {
  now: () => performance.now(),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};

/** The two directions of a UART in time: nothing arrives, and nothing is out, before its last bit has passed. */
export class Wire {
  private receiveFree = 0;
  private sendFree = 0;
  private readonly queue: { bytes: Uint8Array; at: number }[] = [];
  private sending: Promise<void> | null = null;
  /** So many wait for the clock now. */
  waiting = 0;

  constructor(
    private readonly timing: ChipTiming,
    private readonly clock: Clock,
    private readonly deliver: (bytes: Uint8Array) => void,
  ) {}

  /** When each of these bytes has arrived: index (from 1) → time of the clock. */
  receive(length: number, baud: number): (index: number) => number {
    const start = Math.max(this.clock.now(), this.receiveFree);
    const perByte = this.perByte(baud);
    this.receiveFree = start + length * perByte;
    return (index) => start + index * perByte;
  }

  send(bytes: Uint8Array, baud: number): void {
    if (this.timing === 'instant') {
      this.deliver(bytes);
      return;
    }
    const perByte = this.perByte(baud);
    const piece = Math.max(1, Math.floor(pieceMs / perByte));
    let free = Math.max(this.clock.now(), this.sendFree);
    for (let at = 0; at < bytes.length; at += piece) {
      const part = bytes.subarray(at, at + piece);
      free += part.length * perByte;
      this.queue.push({ bytes: part, at: free });
    }
    this.sendFree = free;
    this.sending ??= this.drain();
  }

  /** Resolves when all that was sent is out. */
  async drained(): Promise<void> {
    await this.sending;
  }

  async until(time: number): Promise<void> {
    if (this.timing === 'instant') return;
    this.waiting++;
    // A timer of Node's may end most of a millisecond early.
    for (let ms = time - this.clock.now(); ms > 0.2; ms = time - this.clock.now()) await this.clock.sleep(ms);
    this.waiting--;
  }

  async pass(ms: number): Promise<void> {
    if (this.timing === 'uart') await this.until(this.clock.now() + ms);
  }

  /** What is not out yet is lost: the chip was reset. */
  reset(): void {
    this.queue.length = 0;
    this.sendFree = this.receiveFree = 0;
  }

  private perByte(baud: number): number {
    return this.timing === 'instant' ? 0 : (bitsPerByte * 1000) / baud;
  }

  private async drain(): Promise<void> {
    for (let next = this.queue.shift(); next; next = this.queue.shift()) {
      await this.until(next.at);
      this.deliver(next.bytes);
    }
    this.sending = null;
  }
}
