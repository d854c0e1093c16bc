import { AiotError } from '../../src/lib/core/errors.js';
import {
  type ControlLines,
  type LineListener,
  LineListeners,
  type SerialLine,
} from '../../src/lib/flash/port/line.js';

/**
 * An in-memory serial line that records all actions on it. `say` sends bytes as if they came from the board.
 */
export class FakeLine implements SerialLine {
  readonly kind = 'simulated';
  readonly usb = null;
  readonly hasControlLines: boolean = true;
  baud = 115_200;
  closed = false;
  /** Whether a listener has ever been attached. */
  listens = false;
  /** The recorded actions, in order: `tx:…`, `baud:…`, `lines:DTR,RTS`. */
  readonly log: string[] = [];
  readonly sent: number[] = [];
  /** Whether received bytes are sent back. */
  echo = false;
  private readonly listeners = new LineListeners();

  constructor(readonly address = 'simulated') {}

  say(bytes: Uint8Array | string): void {
    this.listeners.data(typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes);
  }

  pull(): void {
    this.listeners.closed(new AiotError('AIOT_SERIAL_LOST', 'cable pulled'));
  }

  listen(listener: LineListener): () => void {
    this.listens = true;
    return this.listeners.listen(listener);
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.listeners.ended) throw new AiotError('AIOT_SERIAL_LOST', 'cable pulled');
    this.sent.push(...bytes);
    if (this.echo) this.say(bytes);
  }

  async setBaud(baud: number): Promise<void> {
    if (baud > 2_000_000) throw new AiotError('AIOT_SERIAL_BAUD', `no ${baud}`);
    this.baud = baud;
    this.log.push(`baud:${baud}`);
  }

  async setControlLines({ dtr, rts }: ControlLines): Promise<void> {
    this.log.push(`lines:${Number(dtr)},${Number(rts)}`);
  }

  async close(): Promise<void> {
    this.closed = true;
    this.listeners.closed(null);
  }
}
