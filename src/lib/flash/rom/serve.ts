import { once } from 'node:events';
import { mkdtemp, readlink, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AiotError, systemCode } from '../../core/errors.js';
import { type ChildProcess, startProgram, stopProgram } from '../../core/process.js';
import {
  type ControlLines,
  type LineListener,
  LineListeners,
  lineLost,
  type SerialLine,
} from '../port/line.js';
import type { SimulatedChip } from './chip.js';

/** A chip that other programs can connect to. */
export interface ServedChip {
  /** Value for --port: `/dev/pts/4`, `socket://127.0.0.1:5555`, `rfc2217://127.0.0.1:2217`. */
  readonly address: string;
  /** Closes the port. May be called repeatedly. */
  close(): Promise<void>;
}

/** Where a chip is served: a pty (with a fixed name at `link`), a TCP port, or an RFC 2217 port. */
export type ServeChipHow =
  | { pty: true; link?: string }
  | { port: number; host?: string }
  | { rfc2217: number; host?: string };

/**
 * Makes a simulated chip available to other programs as a serial port. Port 0 chooses a free one. DTR, RTS and the speed reach the chip
 * only over RFC 2217.
 * @throws AIOT_SERIAL_NOT_FOUND (no socat), AIOT_PORT_IN_USE
 */
export async function serveChip(chip: SimulatedChip, how: ServeChipHow): Promise<ServedChip> {
  if ('pty' in how) return servePty(chip, how.link);
  if ('port' in how) return serveTcp(chip, how.port, how.host);
  const { serveLine } = await import('../port/rfc2217-server.js');
  return serveLine(async () => simulatedLine(chip), {
    port: how.rfc2217,
    ...(how.host ? { host: how.host } : {}),
  });
}

/** Parses `pty`, `socket://HOST:PORT` or `rfc2217://HOST:PORT`. @throws AIOT_USAGE */
export function parseListen(text: string): ServeChipHow {
  if (text === 'pty') return { pty: true };
  const found = /^(socket|rfc2217):\/\/([^:/\s]+):(\d{1,5})$/.exec(text);
  const port = Number(found?.[3]);
  if (!found || port > 65_535) {
    throw new AiotError('AIOT_USAGE', `expected pty, socket://HOST:PORT or rfc2217://HOST:PORT, got ${text}`);
  }
  const host = found[2] as string;
  return found[1] === 'socket' ? { port, host } : { rfc2217: port, host };
}

/**
 * A line to a simulated chip in this process, with DTR and RTS. Both ends have a speed; if the speeds differ, only garbage arrives.
 * `baud` is the host's initial speed.
 */
export function simulatedLine(
  chip: SimulatedChip,
  options: { address?: string; baud?: number } = {},
): SerialLine {
  return new SimulatedLine(chip, options.address ?? 'simulated://chip', options.baud ?? 115_200);
}

class SimulatedLine implements SerialLine {
  readonly kind = 'simulated';
  readonly usb = null;
  readonly hasControlLines = true;
  private readonly listeners = new LineListeners();
  private readonly leave: (() => void)[];
  private open = true;

  constructor(
    private readonly chip: SimulatedChip,
    readonly address: string,
    public baud: number,
  ) {
    if (chip.unplugged) chip.plug();
    this.leave = [
      chip.onOutput((bytes) => this.arrive(bytes)),
      chip.onUnplugged(() => this.end(lineLost(address, 'the cable was unplugged'))),
    ];
  }

  listen(listener: LineListener): () => void {
    return this.listeners.listen(listener);
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.requireOpen();
    const copy = bytes.slice();
    // A real line never answers before the write has returned.
    setImmediate(() => {
      if (this.open) this.chip.receive(copy, this.baud);
    });
  }

  async setBaud(baud: number): Promise<void> {
    this.requireOpen();
    if (baud < 1)
      throw new AiotError('AIOT_SERIAL_BAUD', `${this.address}: ${baud} is not a valid baud rate`);
    this.baud = baud;
  }

  async setControlLines(lines: ControlLines): Promise<void> {
    this.requireOpen();
    this.chip.setControlLines(lines);
  }

  async close(): Promise<void> {
    this.end(null);
  }

  private arrive(bytes: Uint8Array): void {
    const readable = Math.abs(this.baud / this.chip.uart.baud - 1) < 0.03;
    this.listeners.data(readable ? bytes : this.chip.faults.garble(bytes));
  }

  private end(error: Error | null): void {
    this.open = false;
    for (const leave of this.leave.splice(0)) leave();
    this.listeners.closed(error);
  }

  private requireOpen(): void {
    if (!this.open) throw lineLost(this.address, 'the line is closed');
  }
}

/** Maximum number of unread bytes. Output of the chip beyond that is lost, as on a line without a reader. */
const backlogBytes = 1 << 20;

/**
 * Serves a chip at `socket://HOST:PORT`. Only bytes are transferred: both ends are assumed to have the same speed, and DTR and RTS do not
 * reach the chip. Only the newest client remains connected.
 * @throws AIOT_PORT_IN_USE
 */
async function serveTcp(chip: SimulatedChip, port: number, host = '127.0.0.1'): Promise<ServedChip> {
  const clients = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    // A new connection counts as plugging the cable in again.
    if (chip.unplugged) chip.plug();
    for (const other of clients) other.destroy();
    clients.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => clients.delete(socket));
    socket.on('data', (bytes) => chip.receive(bytes));
  });
  const leave = [
    chip.onOutput((bytes) => {
      for (const client of clients) if (client.writableLength < backlogBytes) client.write(bytes);
    }),
    chip.onUnplugged(() => {
      for (const client of clients) client.destroy();
    }),
  ];
  server.listen({ host, port });
  try {
    await once(server, 'listening');
  } catch (cause) {
    for (const end of leave) end();
    if (systemCode(cause) !== 'EADDRINUSE') throw cause;
    throw new AiotError('AIOT_PORT_IN_USE', `${host}:${port} is in use by another program`, { cause });
  }
  const bound = server.address();
  const taken = typeof bound === 'object' && bound ? bound.port : port;
  return {
    address: `socket://${host}:${taken}`,
    close: async () => {
      for (const end of leave) end();
      for (const client of clients) client.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const startTimeoutMs = 5000;
const pollMs = 10;

/**
 * Serves a chip behind a pty that `socat` creates. Any program can open it as a serial port. A pty has no DTR and RTS, and the speed of
 * the other end is unknown. When the cable is unplugged, the pty disappears; when it is plugged in again, a new pty is created (at the
 * same `link`).
 * @throws AIOT_SERIAL_NOT_FOUND without socat
 */
async function servePty(chip: SimulatedChip, link?: string): Promise<ServedChip> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-chip-'));
  const path = link ?? join(folder, 'port');
  const pty = new Pty(chip, path);
  try {
    await pty.start();
    const leave = chip.onPlugged(() => void pty.start().catch(() => undefined));
    return {
      get address() {
        return pty.address;
      },
      close: async () => {
        leave();
        await pty.stop();
        await rm(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await pty.stop();
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

class Pty {
  private child: ChildProcess | null = null;
  private failure: Error | null = null;
  private leave: (() => void)[] = [];
  address = '';

  constructor(
    private readonly chip: SimulatedChip,
    private readonly link: string,
  ) {}

  /** Creates the pty, unless there is one. */
  async start(): Promise<void> {
    if (this.child) return;
    const child = startProgram('socat', [`PTY,raw,echo=0,link=${this.link}`, 'STDIO'], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    this.child = child;
    child.on('error', (error) => {
      this.failure = error;
    });
    child.stdin?.on('error', () => undefined);
    child.stdout?.on('data', (bytes: Buffer) => this.chip.receive(bytes));
    this.leave = [
      this.chip.onOutput((bytes) => this.send(bytes)),
      this.chip.onUnplugged(() => void this.stop()),
    ];
    this.address = await this.made(child);
  }

  async stop(): Promise<void> {
    for (const leave of this.leave.splice(0)) leave();
    const { child } = this;
    this.child = null;
    if (child) await stopProgram(child);
  }

  private send(bytes: Uint8Array): void {
    // socat buffers unread output. More than it can buffer is lost, as on a real line.
    const { stdin } = this.child ?? {};
    if (stdin && stdin.writableLength < 1 << 20) stdin.write(bytes);
  }

  private async made(child: ChildProcess): Promise<string> {
    const end = Date.now() + startTimeoutMs;
    while (Date.now() < end && !this.failure && child.exitCode === null) {
      const target = await readlink(this.link).catch(() => null);
      if (target) return target;
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
    throw new AiotError('AIOT_SERIAL_NOT_FOUND', 'no pseudo-terminal could be created: socat did not start', {
      next: 'Install socat (apt install socat), or use a socket: --port socket://127.0.0.1:PORT',
      ...(this.failure ? { cause: this.failure } : {}),
    });
  }
}
