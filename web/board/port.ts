import { noPort, notOpened, unplugged, unsupported } from './faults.js';

/** The parts of the Web Serial API that are used here. Source: https://wicg.github.io/serial/. */
export interface WebSerialPort extends EventTarget {
  readonly readable: ReadableStream<Uint8Array> | null;
  readonly writable: WritableStream<Uint8Array> | null;
  open(options: { baudRate: number }): Promise<void>;
  close(): Promise<void>;
  setSignals(signals: { dataTerminalReady?: boolean; requestToSend?: boolean }): Promise<void>;
  getInfo(): { usbVendorId?: number; usbProductId?: number };
}

interface WebSerial extends EventTarget {
  requestPort(): Promise<WebSerialPort>;
}

interface Listener {
  data(bytes: Uint8Array): void;
  closed(error: Error | null): void;
}

/** Speed of a program's log and of Improv, as ESP-IDF and Arduino set it. */
export const consoleBaud = 115_200;

/** How long after a reset a lost port counts as its consequence, and how long it is then awaited; ms. */
const vanishMs = 3000;
const returnMs = 5000;

/** Maximum time between a failed request and the browser's message that the board is gone, ms. */
export const settleMs = 300;

/**
 * A board's port, which the user has chosen in the browser's list. It is open while the board's program runs, and closed while flashing.
 * If the chip itself is the USB device, the port may disappear when the board is reset. It then counts as lost only if it does not return.
 */
export class BoardPort {
  private readonly listeners = new Set<Listener>();
  private readonly gone = new AbortController();
  private reading: Promise<void> | null = null;
  private reader: ReadableStreamDefaultReader<Uint8Array> | null = null;
  /** Time until which a lost port is expected to return; 0 = never. */
  private vanishesUntil = 0;
  private returning: Promise<boolean> | null = null;
  private current: WebSerialPort;

  constructor(port: WebSerialPort) {
    this.current = port;
    this.watch();
  }

  /** The browser's port. After a reset, the browser may have replaced it. */
  get port(): WebSerialPort {
    return this.current;
  }

  /** Called with true before the board is reset, and with false once it answers. */
  resetting(on: boolean): void {
    this.vanishesUntil = on ? performance.now() + vanishMs : 0;
  }

  /** Whether the port disappeared during the last reset, and has returned. Resolves once that is certain. */
  async hasReturned(): Promise<boolean> {
    await pause(settleMs);
    return (await this.returning) ?? false;
  }

  private watch(): void {
    const { current } = this;
    const gone = () => {
      if (current === this.current) this.vanish();
    };
    current.addEventListener('disconnect', gone, { once: true });
  }

  private vanish(): void {
    if (performance.now() < this.vanishesUntil) this.returning ??= this.comeBack();
    else this.lose();
  }

  private async comeBack(): Promise<boolean> {
    const wasOpen = this.isOpen;
    // The port may return while its streams are still being closed.
    const returned = returnedPort(this.usb);
    await this.close();
    const port = await returned;
    if (port === null) {
      this.lose();
      return false;
    }
    this.current = port;
    this.watch();
    if (wasOpen)
      await this.open().catch(() => {
        this.lose();
      });
    return !this.lost.aborted;
  }

  /** Aborted when the board is unplugged. */
  get lost(): AbortSignal {
    return this.gone.signal;
  }

  get isOpen(): boolean {
    return this.reading !== null;
  }

  /** The USB IDs of the port, such as `303a:1001`; empty if it has none. */
  get usb(): string {
    return usbOf(this.port);
  }

  /** Whether the port is the USB port inside the chip, which an ESP32-S3, C3, C6, H2 and others have, instead of a UART. */
  get isChipUsb(): boolean {
    return this.usb === '303a:1001';
  }

  /** Opens the port for the output of the board's program. @throws BoardFault */
  async open(): Promise<void> {
    if (this.isOpen) return;
    if (this.lost.aborted) throw unplugged();
    await this.port.open({ baudRate: consoleBaud }).catch((error: unknown) => {
      throw notOpened(error);
    });
    this.reading = this.read();
  }

  private async read(): Promise<void> {
    // After a framing error or a break, the port has a new stream. After the board is unplugged, it has none.
    while (this.port.readable && !this.lost.aborted) {
      const reader = this.port.readable.getReader();
      this.reader = reader;
      try {
        for (;;) {
          const { value, done } = await reader.read();
          if (done) return;
          for (const listener of [...this.listeners]) listener.data(value);
        }
      } catch (error) {
        if (error instanceof DOMException && error.name === 'NetworkError') return this.vanish();
      } finally {
        reader.releaseLock();
      }
    }
  }

  listen(listener: Listener): () => void {
    this.listeners.add(listener);
    if (this.lost.aborted) listener.closed(unplugged());
    return () => this.listeners.delete(listener);
  }

  /** @throws BoardFault */
  async write(bytes: Uint8Array): Promise<void> {
    await this.returning;
    if (await this.send(bytes)) return;
    if (!(await this.hasReturned()) || !(await this.send(bytes))) throw unplugged();
  }

  private async send(bytes: Uint8Array): Promise<boolean> {
    const writer = this.port.writable?.getWriter();
    if (!writer) return false;
    try {
      await writer.write(bytes);
      return true;
    } catch {
      return false;
    } finally {
      writer.releaseLock();
    }
  }

  /** Starts the board's program: RTS pulls EN low, and GPIO0 stays high. @throws BoardFault */
  async restart(): Promise<void> {
    this.returning = null;
    this.resetting(true);
    try {
      await this.port.setSignals({ dataTerminalReady: false, requestToSend: true });
      await pause(100);
      await this.port.setSignals({ dataTerminalReady: false, requestToSend: false });
    } catch {
      if (!(await this.hasReturned())) throw unplugged();
    }
  }

  /** Closes the port. May be called repeatedly. */
  async close(): Promise<void> {
    const { reading } = this;
    if (!reading) return;
    this.reading = null;
    await this.reader?.cancel().catch(() => undefined);
    await reading.catch(() => undefined);
    await this.port.close().catch(() => undefined);
  }

  private lose(): void {
    if (this.lost.aborted) return;
    this.gone.abort();
    void this.close();
    for (const listener of [...this.listeners]) listener.closed(unplugged());
  }
}

/** The port with these USB IDs, once it is connected again; null if that takes too long. */
function returnedPort(usb: string): Promise<WebSerialPort | null> {
  const { serial } = navigator as unknown as { serial: WebSerial };
  const over = new AbortController();
  return new Promise((resolve) => {
    const end = (port: WebSerialPort | null) => {
      over.abort();
      resolve(port);
    };
    const connected = ({ target }: Event) => {
      const port = target as unknown as WebSerialPort;
      if (usbOf(port) === usb) end(port);
    };
    serial.addEventListener('connect', connected, { signal: over.signal });
    pause(returnMs, over.signal).then(
      () => end(null),
      () => undefined,
    );
  });
}

/** The USB IDs of a port, such as `303a:1001`; empty if it has none. */
function usbOf(port: WebSerialPort): string {
  const { usbVendorId, usbProductId } = port.getInfo();
  const four = (id: number) => id.toString(16).padStart(4, '0');
  return usbVendorId === undefined || usbProductId === undefined
    ? ''
    : `${four(usbVendorId)}:${four(usbProductId)}`;
}

/** Lets the user choose a board's port. Browsers allow this only in reaction to a click or key. @throws BoardFault */
export async function choosePort(): Promise<BoardPort> {
  const fault = unsupported();
  if (fault) throw fault;
  const { serial } = navigator as unknown as { serial: WebSerial };
  const port = await serial.requestPort().catch(() => {
    throw noPort();
  });
  return new BoardPort(port);
}

/** Resolves after `ms`, or rejects with the signal's reason if it is aborted first. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener(
      'abort',
      () => {
        clearTimeout(timer);
        reject(signal.reason);
      },
      { once: true },
    );
  });
}
