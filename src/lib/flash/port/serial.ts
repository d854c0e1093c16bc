import { realpath } from 'node:fs/promises';
import type { SerialPort } from 'serialport';
import { nativePart } from '../../core/index.js';
import { LineListeners } from './listeners.js';
import { lineLost } from './lost.js';
import { requireSerialPort, whyNotOpened } from './not-opened.js';
import type { ControlLines, LineListener, SerialLine, UsbIdentity } from './types.js';
import { usbIdentity } from './usb-identity.js';

/**
 * A serial port of this machine, or a pty, through `serialport`, locked for other programs that ask for a lock.
 *
 * @throws AIOT_SERIAL_NOT_FOUND, AIOT_SERIAL_DENIED, AIOT_SERIAL_BUSY (with who has it), AIOT_SERIAL_BAUD
 */
export async function openSerialLine(
  path: string,
  options: { baud: number; signal?: AbortSignal },
): Promise<SerialLine> {
  await requireSerialPort(path);
  const port = await opened(path, options.baud);
  try {
    options.signal?.throwIfAborted();
    const real = await realpath(path).catch(() => path);
    // TIOCMGET: a pty answers ENOTTY, as it has no such lines.
    const hasControlLines = await new Promise<boolean>((resolve) => port.get((error) => resolve(!error)));
    const pty = /^\/dev\/(pts\/\d+|ttys\d+|ttyp\w+)$/.test(real);
    const usb = pty ? null : await usbIdentity(real);
    return new LocalLine(path, port, { kind: pty ? 'pty' : 'serial', hasControlLines, usb });
  } catch (error) {
    await closed(port);
    throw error;
  }
}

async function opened(path: string, baud: number): Promise<SerialPort> {
  const { SerialPort } = await nativePart('serialport', () => import('serialport'));
  const open = (baudRate: number) =>
    new Promise<SerialPort>((resolve, reject) => {
      const port = new SerialPort({ path, baudRate, autoOpen: false, lock: true });
      port.open((error) => (error ? reject(error) : resolve(port)));
    });
  try {
    return await open(baud);
  } catch (cause) {
    // The library tells its reasons as sentences alone; whether the speed was it, another speed shows.
    const usual = await open(115_200).catch(() => null);
    if (usual) await closed(usual);
    throw await whyNotOpened(path, { baud, baudRefused: usual !== null, cause });
  }
}

const repollMs = 20;
/** UV_READABLE | UV_WRITABLE */
const readableAndWritable = 3;

function closed(port: SerialPort): Promise<void> {
  return new Promise((resolve) => {
    if (port.isOpen) port.close(() => resolve());
    else resolve();
  });
}

/** How long a line is silent before it is asked whether it is there, ms. */
const lookMs = 1000;

class LocalLine implements SerialLine {
  readonly kind: 'serial' | 'pty';
  readonly usb: UsbIdentity | null;
  readonly hasControlLines: boolean;
  private readonly listeners = new LineListeners();
  private readonly looking: NodeJS.Timeout;
  private silent = true;

  constructor(
    readonly address: string,
    private readonly port: SerialPort,
    facts: Pick<LocalLine, 'kind' | 'usb' | 'hasControlLines'>,
  ) {
    this.kind = facts.kind;
    this.usb = facts.usb;
    this.hasControlLines = facts.hasControlLines;
    port.on('data', (bytes: Uint8Array) => {
      this.silent = false;
      this.listeners.data(bytes);
    });
    port.on('error', () => {});
    port.on('close', (error: Error | null) => this.wentAway(error ?? undefined));
    this.looking = setInterval(() => this.look(), lookMs).unref();
  }

  /**
   * A line that was hung up reads as empty, and the binding reads on and on (bindings-cpp 13, unixRead: 0 bytes are no end to it) unless
   * its poller was waiting just then. Any question is answered with an error by then; a pty answers ENOTTY as long as it lives.
   */
  private look(): void {
    const quiet = this.silent;
    this.silent = true;
    if (!quiet || !this.port.isOpen || process.platform === 'win32') return;
    this.port.get((error) => {
      if (!error || /Inappropriate ioctl/.test(error.message) || this.listeners.ended) return;
      this.wentAway(error);
      void closed(this.port);
    });
  }

  private wentAway(cause: Error | undefined): void {
    clearInterval(this.looking);
    this.listeners.closed(lineLost(this.address, 'the port went away', cause));
  }

  get baud(): number {
    return this.port.baudRate;
  }

  listen(listener: LineListener): () => void {
    return this.listeners.listen(listener);
  }

  async write(bytes: Uint8Array): Promise<void> {
    const waiting = setInterval(() => this.pollBoth(), repollMs);
    try {
      await this.call((done) => this.port.write(bytes, done));
    } finally {
      clearInterval(waiting);
    }
  }

  /**
   * The binding's poller forgets that it waits to write when it is told to wait to read (bindings-cpp 13, Poller::poll
   * hands uv_poll_start the new event alone): a block larger than the system's buffer would then wait for the chip, and
   * the chip for the block. So it is told again to wait for both.
   */
  private pollBoth(): void {
    const { port: binding, isOpen } = this.port;
    // Windows has no poller.
    if (isOpen && binding && 'poller' in binding) binding.poller.poll(readableAndWritable);
  }

  /** Waits first for what is still to be sent: the system drops it when the speed changes. */
  async setBaud(baud: number): Promise<void> {
    await this.call((done) => this.port.drain(done));
    await new Promise<void>((resolve, reject) => {
      if (this.listeners.ended) return reject(this.lost());
      this.port.update({ baudRate: baud }, async (cause) => {
        if (!cause) return resolve();
        reject(await whyNotOpened(this.address, { baud, baudRefused: true, cause }));
      });
    });
  }

  async setControlLines({ dtr, rts }: ControlLines): Promise<void> {
    if (!this.hasControlLines) return;
    await this.call((done) => this.port.set({ dtr, rts }, done));
  }

  async close(): Promise<void> {
    clearInterval(this.looking);
    this.listeners.closed(null);
    await closed(this.port);
  }

  private call(act: (done: (error: Error | null | undefined) => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.listeners.ended) return reject(this.lost());
      act((error) => (error ? reject(this.lost(error)) : resolve()));
    });
  }

  private lost(cause?: Error): Error {
    return this.listeners.ended?.error ?? lineLost(this.address, 'the port is closed', cause);
  }
}
