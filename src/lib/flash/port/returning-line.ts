import { AiotError, hasCode } from '../../core/errors.js';
import { type Clock, systemClock } from '../../core/time.js';
import {
  type ControlLines,
  type LineListener,
  LineListeners,
  lineLost,
  type SerialLine,
  type UsbIdentity,
} from './line.js';
import type { PortInfo } from './list.js';

/** Maximum time for a board's port to return after a reset, ms. */
export const returnMs = 5000;

/** How long after the start of a reset a lost port counts as a consequence of the reset, ms. */
const vanishMs = 3000;

const pollMs = 50;

/** Settings of a line that survives resets. */
export interface ReturningOptions {
  /** Opens the board's port at this speed, under its current name. @throws AIOT_SERIAL_* while it is absent */
  reopen: (baud: number) => Promise<SerialLine>;
  clock?: Clock;
  signal?: AbortSignal | undefined;
}

/**
 * A line to a board whose USB port may disappear when the board is reset, because the chip itself is the USB device. A port that is lost
 * during a reset is reopened; its listeners notice nothing. At any other time, a lost port ends the line.
 */
export function returningLine(first: SerialLine, options: ReturningOptions): SerialLine {
  return new ReturningLine(first, options);
}

class ReturningLine implements SerialLine {
  readonly kind: SerialLine['kind'];
  readonly address: string;
  readonly hasControlLines: boolean;
  private readonly listeners = new LineListeners();
  private readonly clock: Clock;
  private leave: () => void;
  /** Time until which a lost port is expected; 0 = never. */
  private vanishesUntil = 0;
  private returning: Promise<void> | null = null;
  private isClosed = false;

  constructor(
    private line: SerialLine,
    private readonly options: ReturningOptions,
  ) {
    this.kind = line.kind;
    this.address = line.address;
    this.hasControlLines = line.hasControlLines;
    this.clock = options.clock ?? systemClock;
    this.leave = this.attach();
  }

  get usb(): UsbIdentity | null {
    return this.line.usb;
  }

  get baud(): number {
    return this.line.baud;
  }

  listen(listener: LineListener): () => void {
    return this.listeners.listen(listener);
  }

  resetting(on: boolean): void {
    this.vanishesUntil = on ? this.now() + vanishMs : 0;
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.call(() => this.line.write(bytes));
  }

  async setBaud(baud: number): Promise<void> {
    await this.call(() => this.line.setBaud(baud));
  }

  async setControlLines(lines: ControlLines): Promise<void> {
    // The reset that the lines cause may be what interrupts the call. Repeating it would reset the board again, without the boot pin.
    await this.call(() => this.line.setControlLines(lines), !lines.rts);
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.listeners.closed(null);
    this.leave();
    await this.line.close();
  }

  private async call(work: () => Promise<void>, repeats = true): Promise<void> {
    if (this.returning !== null) await this.returning;
    else {
      try {
        return await work();
      } catch (error) {
        if (!hasCode(error, 'AIOT_SERIAL_LOST') || !this.isExpected()) throw error;
        await this.comeBack(error);
        if (!repeats) return;
      }
    }
    const { ended } = this.listeners;
    if (ended) throw ended.error ?? lineLost(this.address, 'the port is closed');
    await work();
  }

  private attach(): () => void {
    const { line } = this;
    return line.listen({
      data: (bytes) => this.listeners.data(bytes),
      closed: (error) => {
        if (line !== this.line || this.returning !== null) return;
        if (error && this.isExpected()) void this.comeBack(error);
        else this.listeners.closed(error);
      },
    });
  }

  private isExpected(): boolean {
    return !this.isClosed && this.now() < this.vanishesUntil;
  }

  /** Resolves once the port is open again, or the line has ended because it did not return in time. */
  private comeBack(cause: unknown): Promise<void> {
    this.returning ??= this.reopen(cause).finally(() => {
      this.returning = null;
    });
    return this.returning;
  }

  private async reopen(cause: unknown): Promise<void> {
    const { baud } = this.line;
    this.leave();
    await this.line.close().catch(() => {});
    const line = await opened(() => this.options.reopen(baud), {
      ...{ clock: this.clock, withinMs: returnMs, signal: this.options.signal },
    }).catch(() => null);
    if (line === null) {
      const text = `the port disappeared at the board's reset, and did not return within ${returnMs / 1000} s`;
      this.listeners.closed(lineLost(this.address, text, cause));
      return;
    }
    if (this.isClosed) return await line.close();
    this.line = line;
    this.leave = this.attach();
    // Systems assert both lines when they open a port.
    await line.setControlLines({ dtr: false, rts: false }).catch(() => {});
  }

  private now(): number {
    return this.clock.monotonic?.() ?? this.clock.now();
  }
}

/** Errors of opening a port that has just returned: it is still absent, has no permissions yet, or a system service probes it. */
const passing = ['AIOT_SERIAL_NOT_FOUND', 'AIOT_SERIAL_LOST', 'AIOT_SERIAL_DENIED', 'AIOT_SERIAL_BUSY'];

/** Opens a port that may be absent for a moment. @throws the last error after `withinMs`, errors that time does not fix */
export async function opened(
  open: () => Promise<SerialLine>,
  {
    withinMs,
    clock = systemClock,
    signal,
  }: { withinMs: number; clock?: Clock; signal?: AbortSignal | undefined },
): Promise<SerialLine> {
  const now = () => clock.monotonic?.() ?? clock.now();
  const deadline = now() + withinMs;
  for (;;) {
    signal?.throwIfAborted();
    try {
      return await open();
    } catch (error) {
      if (!(error instanceof AiotError) || !passing.includes(error.code) || now() >= deadline) throw error;
    }
    await clock.sleep(pollMs, signal);
  }
}

/**
 * The path under which a board has returned: that of the port with its USB serial number, else its former path; null while neither exists.
 * A board that changes its USB device when it enters or leaves the loader has another product ID, and may have another serial number.
 */
export function pathOfReturned(
  path: string,
  board: UsbIdentity,
  ports: readonly Pick<PortInfo, 'path' | 'usb'>[],
): string | null {
  const number = (id: string) => Number.parseInt(id, 16);
  const isVendor = ({ usb }: Pick<PortInfo, 'usb'>) =>
    usb !== null && number(usb.vendorId) === board.vendorId;
  const { serialNumber } = board;
  const same =
    serialNumber === null
      ? []
      : ports.filter((port) => isVendor(port) && port.usb?.serialNumber === serialNumber);
  const found = same.find((port) => port.path === path) ?? same[0];
  if (found) return found.path;
  const there = ports.find((port) => port.path === path);
  if (!there?.usb) return there?.path ?? null;
  const isOther =
    isVendor(there) &&
    number(there.usb.productId) === board.productId &&
    serialNumber !== null &&
    there.usb.serialNumber !== null;
  return isOther ? null : path;
}
