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
