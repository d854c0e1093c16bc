import { constants } from 'node:fs';
import { access, open, readFile, realpath, stat } from 'node:fs/promises';
import { isatty } from 'node:tty';
import type { SerialPort } from 'serialport';
import { AiotError, systemCode } from '../../core/errors.js';
import { nativePart } from '../../core/process.js';
import {
  type ControlLines,
  type LineListener,
  LineListeners,
  lineLost,
  type SerialLine,
  type UsbIdentity,
} from './line.js';
import { holdersOf, listPorts, usbIdentity } from './list.js';
import { opened, pathOfReturned, returningLine } from './returning-line.js';
import { openSocketLine } from './socket.js';

export interface OpenLineOptions {
  /** Initial speed in bits per second. */
  baud: number;
  /**
   * Maximum time to wait for a port of this machine that this process has opened before, ms (default 0). A board that was reset may be
   * absent for a moment, or return under another name.
   */
  returnMs?: number;
  signal?: AbortSignal;
}

/**
 * Opens a serial line by its address: a port of this machine (`/dev/ttyUSB0`, `COM3`, a pty), `socket://host:port`,
 * `rfc2217://host:port`, or a chip simulated in this process (`simulated:esp32s3`). The port is locked for others until it is closed.
 *
 * @throws AIOT_SERIAL_NOT_FOUND, AIOT_SERIAL_BUSY, AIOT_SERIAL_DENIED, AIOT_SERIAL_BAUD, AIOT_USAGE
 */
export async function openLine(address: string, options: OpenLineOptions): Promise<SerialLine> {
  options.signal?.throwIfAborted();
  if (!Number.isInteger(options.baud) || options.baud < 1) {
    throw new AiotError(
      'AIOT_SERIAL_BAUD',
      `${options.baud} is not a baud rate: expected a whole number of at least 1`,
    );
  }
  if (address.startsWith('simulated:')) {
    const { openChipLine } = await import('../rom/simulate.js');
    return openChipLine(address, options.baud);
  }
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(address)?.[1]?.toLowerCase();
  switch (scheme) {
    case undefined: {
      return openSerialLine(address, options);
    }
    case 'socket': {
      return openSocketLine(address, options);
    }
    case 'rfc2217': {
      const { openRfc2217Line } = await import('./rfc2217-client.js');
      return openRfc2217Line(address, options);
    }
    default:
      throw new AiotError('AIOT_USAGE', `${scheme}:// is not a serial port scheme`, {
        next: 'Use a port of this machine, socket://HOST:PORT, rfc2217://HOST:PORT or simulated:CHIP.',
      });
  }
}

/** The USB devices of the ports that this process has opened, by path. */
const boards = new Map<string, UsbIdentity>();

/**
 * Opens a serial port of this machine, or a pty. If it belongs to a USB device, the line survives resets of the board.
 * @throws AIOT_SERIAL_NOT_FOUND, AIOT_SERIAL_DENIED, AIOT_SERIAL_BUSY (with the holder), AIOT_SERIAL_BAUD
 */
async function openSerialLine(path: string, options: OpenLineOptions): Promise<SerialLine> {
  const { signal } = options;
  const reopen = (baud: number) => openReturned(path, { baud, ...(signal && { signal }) });
  const isBack = !boards.has(path) || (await stat(path).catch(() => null)) !== null;
  const line = isBack
    ? await openNow(path, options)
    : await opened(() => reopen(options.baud), { withinMs: options.returnMs ?? 0, signal });
  if (line.usb === null) return line;
  boards.set(path, line.usb);
  return returningLine(line, { reopen, signal });
}

/** Opens the port of a board that was opened as `path` before, even if it has another name now. */
async function openReturned(path: string, options: OpenLineOptions): Promise<SerialLine> {
  const board = boards.get(path);
  const found = board ? pathOfReturned(path, board, await listPorts()) : path;
  if (found === null) throw notFound(path, 'the board has not returned to');
  return openNow(found, options, path);
}

/**
 * Opens a port through `serialport`, and locks it against programs that respect locks.
 * @param address name of the line, if it differs from the port's path
 */
async function openNow(path: string, options: OpenLineOptions, address = path): Promise<SerialLine> {
  await requireSerialPort(path);
  const port = await openPort(path, options.baud);
  try {
    options.signal?.throwIfAborted();
    const real = await realpath(path).catch(() => path);
    // A pty has no control lines, so TIOCMGET fails with ENOTTY.
    const hasControlLines = await new Promise<boolean>((resolve) => port.get((error) => resolve(!error)));
    const pty = /^\/dev\/(pts\/\d+|ttys\d+|ttyp\w+)$/.test(real);
    const usb = pty ? null : await usbIdentity(real);
    return new LocalLine(address, port, { kind: pty ? 'pty' : 'serial', hasControlLines, usb });
  } catch (error) {
    await closed(port);
    throw error;
  }
}

async function openPort(path: string, baud: number): Promise<SerialPort> {
  const { SerialPort } = await nativePart('serialport', () => import('serialport'));
  const open = (baudRate: number) =>
    new Promise<SerialPort>((resolve, reject) => {
      const port = new SerialPort({ path, baudRate, autoOpen: false, lock: true });
      port.open((error) => (error ? reject(error) : resolve(port)));
    });
  try {
    return await open(baud);
  } catch (cause) {
    // The library gives reasons only in prose. Opening the port at another speed shows whether the speed was the cause.
    const usual = await open(115_200).catch(() => null);
    if (usual) await closed(usual);
    throw await whyNotOpened(path, { baud, baudRefused: usual !== null, cause });
  }
}

const repollMs = 20;

/** libuv's UV_READABLE | UV_WRITABLE. */
const readableAndWritable = 3;

function closed(port: SerialPort): Promise<void> {
  return new Promise((resolve) => {
    if (port.isOpen) port.close(() => resolve());
    else resolve();
  });
}

/** How long the line may be silent before its existence is checked, ms. */
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
   * Checks whether the line still exists. After a hangup, reads return 0 bytes and the binding keeps polling (bindings-cpp 13, unixRead:
   * 0 bytes are not an end), unless its poller was waiting at that moment. Any request then fails; with a live pty, the error is ENOTTY.
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
    this.listeners.closed(lineLost(this.address, 'the port disappeared', cause));
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
   * Keeps the poller waiting for both directions. When asked to wait for reading, the binding's poller stops waiting for writing (in
   * bindings-cpp 13, Poller::poll passes only the new event to uv_poll_start). A block larger than the system's buffer would then wait
   * for the chip, and the chip for the block.
   */
  private pollBoth(): void {
    const { port: binding, isOpen } = this.port;
    // There is no poller on Windows.
    if (isOpen && binding && 'poller' in binding) binding.poller.poll(readableAndWritable);
  }

  /** First waits until all bytes are sent, because the system discards unsent bytes when the speed changes. */
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
 * Checks a port of this machine before it is opened, because the system's error codes are more specific than the library's. Ports on
 * Windows are not files, so they can be tested only by opening.
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

/** Explains why an existing port could not be opened or configured. */
async function whyNotOpened(
  path: string,
  facts: { baud: number; baudRefused: boolean; cause: unknown },
): Promise<AiotError> {
  const { baud, baudRefused, cause } = facts;
  const at = { endpoint: path, cause };
  if (baudRefused) return new AiotError('AIOT_SERIAL_BAUD', `${path} does not support ${baud} baud`, at);
  const code = await codeOfOpening(path);
  if (code === 'EACCES' || code === 'EPERM') return denied(path, null, cause);
  if (code === 'ENOTTY') return notFound(path, 'not a serial port:', cause);
  if (code !== null && code !== 'EBUSY') return notFound(path, 'no device behind', cause);
  if (process.platform === 'win32' && !(await isListed(path))) return notFound(path, 'no serial port', cause);
  const holders = await holdersOf(path);
  const by = holders.length > 0 ? holders.map(({ name, pid }) => `${name}, pid ${pid}`).join('; ') : null;
  return new AiotError('AIOT_SERIAL_BUSY', `${path} is in use by ${by ?? 'another program'}`, {
    ...(by && { next: `Close that program (${by}, often a serial monitor), then repeat the command.` }),
    ...at,
    retryable: true,
  });
}

/** Opens the port directly. Returns null on success, otherwise the error code, such as ENOTTY. */
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
  const who = name ? ` (it belongs to group ${name})` : '';
  return new AiotError('AIOT_SERIAL_DENIED', `you do not have permission to open ${path}${who}`, {
    ...(name &&
      name !== 'root' && {
        next: `Run \`sudo usermod -aG ${name} $USER\` and log in again, or add a udev rule: SUBSYSTEM=="tty", ATTRS{idVendor}=="303a", TAG+="uaccess"`,
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
