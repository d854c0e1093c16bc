import { AiotError } from '../../core/errors.js';

/** USB identity of a port, as far as the system tells it. */
export interface UsbIdentity {
  vendorId: number;
  productId: number;
  serialNumber: string | null;
}

/** DTR and RTS as a program sets them: true = asserted, which pulls the line low. */
export interface ControlLines {
  dtr: boolean;
  rts: boolean;
}

export interface LineListener {
  data(bytes: Uint8Array): void;
  /** Once, when nothing more will come: null after `close()`, else why (AIOT_SERIAL_LOST). */
  closed(error: Error | null): void;
}

/**
 * An opened serial line, 8N1: to a port of this machine, over a socket, over RFC 2217, or to a simulated chip. The one
 * thing that flashing, monitoring and sharing a port speak to.
 */
export interface SerialLine {
  /** As the user names it: `/dev/ttyUSB0`, `COM3`, `socket://host:port`, `rfc2217://host:port`. */
  readonly address: string;
  readonly kind: 'serial' | 'pty' | 'socket' | 'rfc2217' | 'simulated';
  readonly usb: UsbIdentity | null;
  /** Bits per second now. */
  readonly baud: number;
  /** Whether DTR and RTS reach the board. A pty and a plain socket have none; setting them is then a silent no-op. */
  readonly hasControlLines: boolean;
  /** What arrives goes to every listener; before the first one it is kept. Returns what ends the listening. */
  listen(listener: LineListener): () => void;
  /** Resolves when the system or the peer has taken all of it. @throws AIOT_SERIAL_LOST */
  write(bytes: Uint8Array): Promise<void>;
  /** Takes effect for what is sent after it resolves. @throws AIOT_SERIAL_LOST, AIOT_SERIAL_BAUD */
  setBaud(baud: number): Promise<void>;
  setControlLines(lines: ControlLines): Promise<void>;
  /** Ends it and lets the port go; again is harmless. */
  close(): Promise<void>;
}

/** Kept before anyone listens; a board that talks without end must not fill the memory. */
const keptBytes = 1 << 20;

/** The listeners of one line: what arrives goes to each of them, and before the first one it is kept. */
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

  /** Once; whoever listens afterwards is told at once. */
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

  /** Throws once the line has ended: AIOT_SERIAL_LOST, or what ended it. */
  get ended(): { error: Error | null } | null {
    return this.end;
  }
}

/** The error of a line that went away while it was used. */
export function lineLost(address: string, what: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_SERIAL_LOST', `${address}: ${what}`, {
    endpoint: address,
    retryable: true,
    cause,
  });
}
