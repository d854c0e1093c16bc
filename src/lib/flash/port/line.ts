import { AiotError } from '../../core/errors.js';

/** USB identity of a port, if the system reports it. */
export interface UsbIdentity {
  vendorId: number;
  productId: number;
  serialNumber: string | null;
}

/** DTR and RTS as set by a program; true = asserted, which pulls the line low. */
export interface ControlLines {
  dtr: boolean;
  rts: boolean;
}

export interface LineListener {
  data(bytes: Uint8Array): void;
  /** Called once, when no more bytes will arrive: with null after `close()`, otherwise with the reason (AIOT_SERIAL_LOST). */
  closed(error: Error | null): void;
}

/**
 * An open serial line (8N1) to a port of this machine, a socket, an RFC 2217 server, or a simulated chip. Flashing, monitoring and port
 * sharing all use this interface.
 */
export interface SerialLine {
  /** Address as entered by the user: `/dev/ttyUSB0`, `COM3`, `socket://host:port`, `rfc2217://host:port` or `simulated:esp32`. */
  readonly address: string;
  readonly kind: 'serial' | 'pty' | 'socket' | 'rfc2217' | 'simulated';
  readonly usb: UsbIdentity | null;
  /** Current speed, bits per second. */
  readonly baud: number;
  /** Whether DTR and RTS reach the board. A pty and a plain socket have none, so that setting them has no effect. */
  readonly hasControlLines: boolean;
  /**
   * Adds a listener and returns a function that removes it. Incoming bytes are passed to every listener, and are buffered while there is
   * none.
   */
  listen(listener: LineListener): () => void;
  /** Resolves when the system or the peer has accepted all bytes. @throws AIOT_SERIAL_LOST */
  write(bytes: Uint8Array): Promise<void>;
  /** Changes the speed for bytes that are sent after the promise resolves. @throws AIOT_SERIAL_LOST, AIOT_SERIAL_BAUD */
  setBaud(baud: number): Promise<void>;
  setControlLines(lines: ControlLines): Promise<void>;
  /**
   * Called with true before the board is reset, and with false once it answers. In between, a port that disappears is reopened. Absent if
   * the port cannot disappear.
   */
  resetting?(on: boolean): void;
  /** Closes the line and releases the port. May be called repeatedly. */
  close(): Promise<void>;
}

/**
 * Size of the buffer while there is no listener, bytes. Limited, because a board that sends continuously must not exhaust the memory.
 */
const keptBytes = 1 << 20;

/** The listeners of one line. Incoming bytes are passed to each of them, and are buffered while there is none. */
export class LineListeners {
  private readonly listeners = new Set<LineListener>();
  private kept: Uint8Array[] = [];
  private keptLength = 0;
  private end: { error: Error | null } | null = null;

  data(bytes: Uint8Array): void {
    if (bytes.length === 0 || this.end) return;
    if (this.listeners.size > 0) {
      for (const listener of [...this.listeners]) listener.data(bytes);
      return;
    }
    this.kept.push(bytes.slice());
    this.keptLength += bytes.length;
    while (this.keptLength > keptBytes) this.keptLength -= this.kept.shift()?.length ?? 0;
  }

  /** Notifies all listeners that the line has ended. Called once; listeners that are added later are notified immediately. */
  closed(error: Error | null): void {
    if (this.end) return;
    this.end = { error };
    for (const listener of [...this.listeners]) listener.closed(error);
  }

  listen(listener: LineListener): () => void {
    const { kept, end } = this;
    this.kept = [];
    this.keptLength = 0;
    this.listeners.add(listener);
    for (const bytes of kept) listener.data(bytes);
    if (end) listener.closed(end.error);
    return () => this.listeners.delete(listener);
  }

  /** The end of the line with its error (AIOT_SERIAL_LOST or the cause), or null while it is open. */
  get ended(): { error: Error | null } | null {
    return this.end;
  }
}

/** The error for a line that was lost during use. */
export function lineLost(address: string, what: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_SERIAL_LOST', `${address}: ${what}`, {
    endpoint: address,
    retryable: true,
    cause,
  });
}
