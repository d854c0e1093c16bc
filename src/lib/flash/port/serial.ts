import { constants } from 'node:fs';
import { access, open, readFile, realpath, stat } from 'node:fs/promises';
import { isatty } from 'node:tty';
import type { SerialPort } from 'serialport';
import { AiotError, systemCode } from '../../core/errors.js';
import { nativePart } from '../../core/process.js';
import { holdersOf } from './holders.js';
import {
  type ControlLines,
  type LineListener,
  LineListeners,
  lineLost,
  type SerialLine,
  type UsbIdentity,
} from './line.js';
import { usbIdentity } from './linux.js';

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

/**
 * Looks at a port of this machine before it is opened, as the system's own error codes say more than the library.
 * Windows has no files for its ports; there only opening tells.
 *
 * @throws AIOT_SERIAL_NOT_FOUND, AIOT_SERIAL_DENIED
 */
async function requireSerialPort(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const about = await stat(path).catch(() => null);
  if (!about) throw notFound(path, 'no serial port at');
  if (!about.isCharacterDevice()) throw notFound(path, 'not a serial port:');
  try {
    await access(path, constants.R_OK | constants.W_OK);
  } catch (cause) {
    throw await denied(path, about.gid, cause);
  }
}

/** Why a port that is there could not be opened or set. */
async function whyNotOpened(
  path: string,
  facts: { baud: number; baudRefused: boolean; cause: unknown },
): Promise<AiotError> {
  const { baud, baudRefused, cause } = facts;
  const at = { endpoint: path, cause };
  if (baudRefused) return new AiotError('AIOT_SERIAL_BAUD', `${path} does not do ${baud} baud`, at);
  const code = await codeOfOpening(path);
  if (code === 'EACCES' || code === 'EPERM') return denied(path, null, cause);
  if (code === 'ENOTTY') return notFound(path, 'not a serial port:', cause);
  if (code !== null && code !== 'EBUSY') return notFound(path, 'no device behind', cause);
  if (process.platform === 'win32' && !(await isListed(path))) return notFound(path, 'no serial port', cause);
  const holders = await holdersOf(path);
  const by = holders.length > 0 ? holders.map(({ name, pid }) => `${name}, pid ${pid}`).join('; ') : null;
  return new AiotError('AIOT_SERIAL_BUSY', `${path} is in use by ${by ?? 'another program'}`, {
    ...(by && { next: `End it (${by}; often a serial monitor), then repeat the command.` }),
    ...at,
    retryable: true,
  });
}

/** What the system says to opening it here and now: an error code, ENOTTY, or null when it opens. */
async function codeOfOpening(path: string): Promise<string | null> {
  if (process.platform === 'win32') return null;
  try {
    const file = await open(path, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
    const terminal = isatty(file.fd);
    await file.close();
    return terminal ? null : 'ENOTTY';
  } catch (error) {
    return systemCode(error) ?? 'EIO';
  }
}

async function isListed(path: string): Promise<boolean> {
  const { SerialPort } = await nativePart('serialport', () => import('serialport'));
  const ports = await SerialPort.list().catch(() => []);
  return ports.some((port) => port.path.toLowerCase() === path.toLowerCase());
}

function notFound(path: string, what: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_SERIAL_NOT_FOUND', `${what} ${path}`, { endpoint: path, cause });
}

async function denied(path: string, group: number | null, cause: unknown): Promise<AiotError> {
  const name = group === null ? null : await groupName(group);
  const who = name ? ` (it belongs to the group ${name})` : '';
  return new AiotError('AIOT_SERIAL_DENIED', `you may not open ${path}${who}`, {
    ...(name &&
      name !== 'root' && {
        next: `sudo usermod -aG ${name} $USER, then log in again; or a udev rule: SUBSYSTEM=="tty", ATTRS{idVendor}=="303a", TAG+="uaccess"`,
      }),
    endpoint: path,
    cause,
  });
}

async function groupName(id: number): Promise<string | null> {
  const groups = await readFile('/etc/group', 'utf8').catch(() => '');
  const line = groups.split('\n').find((row) => Number(row.split(':')[2]) === id && row.includes(':'));
  return line?.split(':')[0] ?? null;
}
