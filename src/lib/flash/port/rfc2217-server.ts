import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import * as z from 'zod';
import { AiotError, hasCode, systemCode } from '../../core/errors.js';
import { aiotVersion } from '../../core/folders.js';
import type { SerialLine } from './line.js';
import { openLine } from './open-line.js';
import {
  answerOffset,
  ControlRelay,
  command,
  control,
  escapeData,
  format,
  fromBigEndian,
  Negotiation,
  option,
  serverOptions,
  subnegotiation,
  type TelnetEvent,
  TelnetReader,
  toBigEndian,
} from './telnet.js';

export interface ServePortOptions extends ServeLineOptions {
  /** The serial port that is shared. */
  path: string;
  /** Speed of the line while no client is connected, and for raw clients; bits per second. */
  baud: number;
  /** Stops the server when aborted. */
  signal: AbortSignal;
}

/**
 * Shares a serial port until the signal is aborted.
 * @throws the errors of `openLine`, AIOT_PORT_IN_USE, AIOT_USAGE
 */
export async function servePort(options: ServePortOptions): Promise<void> {
  const { path, baud, signal, ...how } = options;
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(path))
    throw new AiotError('AIOT_USAGE', `expected a serial port of this machine, got ${path}`, {
      next: 'To list the ports, run `aiot board ports`.',
    });
  signal.throwIfAborted();
  const served = await serveLine(() => openLine(path, { baud }), how);
  try {
    if (!signal.aborted) await once(signal, 'abort');
  } finally {
    await served.close();
  }
}

export interface ServeLineOptions {
  /** Listening address; default 127.0.0.1. */
  host?: string;
  /** Port to listen on; 0 chooses a free one. */
  port: number;
  /** Whether the clients are `socket://` clients, which get only bytes: they cannot set the speed, DTR or RTS. */
  raw?: boolean;
  onEvent?: (event: ServeEvent) => void;
}

export interface ServedLine {
  /** Address for clients: `rfc2217://127.0.0.1:4000` or `socket://…`. */
  address: string;
  port: number;
  /** Stops listening, disconnects the client and closes the line. May be called repeatedly. */
  close(): Promise<void>;
}

/**
 * Shares a serial line over TCP, by RFC 2217 or raw, with one client at a time; a second client is sent a message and disconnected. The
 * line is opened right away, so that errors are reported immediately. It remains open between clients, because opening a port can reset a
 * board. After a loss, the next client reopens it. Clients have full control of the board, because this protocol has no password.
 * @throws the errors of `open`, AIOT_PORT_IN_USE
 */
export async function serveLine(
  open: () => Promise<SerialLine>,
  options: ServeLineOptions,
): Promise<ServedLine> {
  const { host = '127.0.0.1', onEvent = () => undefined } = options;
  const shared = new SharedLine(open, options.raw ?? false, onEvent);
  await shared.take();
  const server = createServer({ noDelay: true }, (socket) => shared.welcome(socket));
  try {
    await listening(server, host, options.port);
  } catch (error) {
    await shared.close();
    throw error;
  }
  const bound = server.address();
  const port = typeof bound === 'object' && bound ? bound.port : options.port;
  const address = `${options.raw ? 'socket' : 'rfc2217'}://${host.includes(':') ? `[${host}]` : host}:${port}`;
  onEvent({ event: 'serving', address });
  return {
    address,
    port,
    close: async () => {
      server.close();
      await shared.close();
    },
  };
}

async function listening(server: Server, host: string, port: number): Promise<void> {
  server.listen({ host, port });
  try {
    await once(server, 'listening');
  } catch (cause) {
    if (systemCode(cause) === 'EADDRINUSE')
      throw new AiotError('AIOT_PORT_IN_USE', `${host}:${port} is in use by another program`, { cause });
    throw new AiotError('AIOT_USAGE', `cannot listen on ${host}:${port} (${systemCode(cause) ?? cause})`, {
      cause,
    });
  }
}

class SharedLine {
  private line: SerialLine | null = null;
  private client: Socket | null = null;
  private session: Promise<unknown> = Promise.resolve();
  private closed = false;

  constructor(
    private readonly open: () => Promise<SerialLine>,
    private readonly raw: boolean,
    private readonly onEvent: (event: ServeEvent) => void,
  ) {}

  /** Returns the line, opening it if necessary. The board's output is discarded while no client is connected. */
  async take(): Promise<SerialLine> {
    if (this.line) return this.line;
    const line = await this.open();
    this.line = line;
    line.listen({
      data: () => undefined,
      closed: (error) => {
        if (this.line === line) this.line = null;
        if (error) this.onEvent({ event: 'lost', why: error.message });
      },
    });
    return line;
  }

  welcome(socket: Socket): void {
    // Without this listener, the process would end if a client disconnects abruptly.
    socket.on('error', () => undefined);
    const peer = `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? '?'}`;
    if (this.client || this.closed) {
      this.refuse(socket, peer, 'another client is using this serial port');
      return;
    }
    this.client = socket;
    this.session = this.serve(socket, peer).finally(() => {
      this.client = null;
    });
  }

  private async serve(socket: Socket, peer: string): Promise<void> {
    let totals: SessionTotals;
    try {
      const line = await this.take();
      this.onEvent({ event: 'connected', peer });
      totals = await runSession(socket, line, this.raw);
    } catch (error) {
      this.refuse(socket, peer, error instanceof Error ? error.message : String(error));
      return;
    }
    const { sent, received } = totals;
    this.onEvent({ event: 'disconnected', peer, sent, received });
  }

  private refuse(socket: Socket, peer: string, why: string): void {
    this.onEvent({ event: 'refused', peer, why });
    socket.end(`${why}\r\n`);
    // Discards further input. Otherwise, the end of the connection would not be noticed.
    socket.resume();
  }

  async close(): Promise<void> {
    this.closed = true;
    this.client?.destroy();
    await this.session;
    const { line } = this;
    this.line = null;
    await line?.close();
  }
}

const peer = z.string().describe('HOST:PORT of the client.');

/** Events on a shared line. */
export const serveEventSchema = z.discriminatedUnion('event', [
  z.object({
    event: z.literal('serving'),
    address: z.string().describe('Value for --port on the other machine.'),
  }),
  z.object({ event: z.literal('connected'), peer }),
  z.object({
    event: z.literal('disconnected'),
    peer,
    sent: z.number().describe('Bytes to the board.'),
    received: z.number().describe('Bytes from the board.'),
  }),
  z.object({ event: z.literal('refused'), peer, why: z.string() }),
  z.object({ event: z.literal('lost'), why: z.string() }),
]);

export type ServeEvent = z.infer<typeof serveEventSchema>;

/** Formats an event as one human-readable sentence. */
export function describeServeEvent(event: ServeEvent): string {
  switch (event.event) {
    case 'serving':
      return `serving at ${event.address}`;
    case 'connected':
      return `${event.peer} is connected`;
    case 'disconnected':
      return `${event.peer} disconnected: ${event.sent} bytes to the board, ${event.received} from the board`;
    case 'refused':
      return `${event.peer} was rejected: ${event.why}`;
    case 'lost':
      return `${event.why}; the next client opens the port again`;
  }
}

/** Maximum number of unread bytes. A client with more is disconnected. */
const unreadLimit = 16 << 20;

interface SessionTotals {
  /** Bytes from the client to the board. */
  sent: number;
  /** Bytes from the board to the client. */
  received: number;
  /** The reason why the line ended, if the client did not end the session. */
  lineError: Error | null;
}

/**
 * Serves one client on one line until either ends: passes bytes both ways and, unless `raw`, handles Telnet options and COM port
 * commands, in order of arrival. At the end, DTR and RTS are released and the speed is restored; the line remains open. Never rejects.
 */
async function runSession(socket: Socket, line: SerialLine, raw: boolean): Promise<SessionTotals> {
  const session = new Session(socket, line, raw);
  const { baud } = line;
  const stop = line.listen({
    data: (bytes) => session.toClient(bytes),
    closed: (error) => {
      session.totals.lineError = error;
      socket.destroy();
    },
  });
  try {
    await session.run();
  } finally {
    stop();
    socket.destroy();
    await session.port.end().catch(() => undefined);
    if (line.baud !== baud) await line.setBaud(baud).catch(() => undefined);
  }
  return session.totals;
}

class Session {
  readonly totals: SessionTotals = { sent: 0, received: 0, lineError: null };
  readonly port: ComPort;
  private readonly negotiation = new Negotiation(serverOptions);
  private readonly reader = new TelnetReader();
  /** Bytes received while the client has suspended output. */
  private waiting: Uint8Array[] = [];
  private waitingBytes = 0;

  constructor(
    private readonly socket: Socket,
    private readonly line: SerialLine,
    private readonly raw: boolean,
  ) {
    this.port = new ComPort(line, `aiot ${aiotVersion()} ${line.address}`);
  }

  async run(): Promise<void> {
    if (!this.raw) this.say(this.negotiation.start({ own: serverOptions.own, theirs: [option.BINARY] }));
    try {
      for await (const chunk of this.socket as AsyncIterable<Uint8Array>) {
        const events: TelnetEvent[] = this.raw ? [{ kind: 'data', bytes: chunk }] : this.reader.read(chunk);
        for (const event of events) await this.take(event);
      }
    } catch (error) {
      // An abrupt disconnection counts as a normal end. Only an error on the line is reported.
      if (!this.socket.destroyed) this.totals.lineError ??= error as Error;
    }
  }

  toClient(bytes: Uint8Array): void {
    const copy = this.raw ? Uint8Array.from(bytes) : escapeData(Uint8Array.from(bytes));
    this.totals.received += bytes.length;
    if (!this.port.suspended) {
      this.say(copy);
      return;
    }
    this.waiting.push(copy);
    this.waitingBytes += copy.length;
    if (this.waitingBytes > unreadLimit) this.socket.destroy();
  }

  private async take(event: TelnetEvent): Promise<void> {
    if (event.kind === 'data') {
      this.totals.sent += event.bytes.length;
      await this.line.write(event.bytes);
    } else if (event.kind === 'negotiate') {
      const before = this.negotiation.has(option.COM_PORT);
      this.say(this.negotiation.take(event.verb, event.option));
      if (!before && this.negotiation.has(option.COM_PORT)) this.say(this.port.modemState);
    } else if (event.option === option.COM_PORT) {
      this.say(await this.port.run(event.bytes));
      if (this.port.suspended) return;
      for (const bytes of this.waiting.splice(0)) this.say(bytes);
      this.waitingBytes = 0;
    }
  }

  private say(bytes: Uint8Array): void {
    if (bytes.length === 0 || this.socket.destroyed) return;
    this.socket.write(bytes);
    if (this.socket.writableLength > unreadLimit) this.socket.destroy();
  }
}

/** The COM port option's commands, executed on a line (RFC 2217, 3). Each is answered with the resulting state. */
class ComPort {
  private readonly relay: ControlRelay;
  /** Whether the client has suspended output. */
  suspended = false;

  constructor(
    private readonly line: SerialLine,
    private readonly signature: string,
  ) {
    this.relay = new ControlRelay((lines) => line.setControlLines(lines));
  }

  /** Executes one command and returns the answer; empty if none is required. @throws AIOT_SERIAL_LOST */
  async run(bytes: Uint8Array): Promise<Uint8Array> {
    const [code = 0, ...values] = bytes;
    const value = values[0] ?? 0;
    switch (code) {
      case command.SIGNATURE:
        return values.length > 0 ? nothing : answer(code, new TextEncoder().encode(this.signature));
      case command.SET_BAUDRATE:
        return answer(code, toBigEndian(await this.baud(values)));
      case command.SET_DATASIZE:
      case command.SET_PARITY:
      case command.SET_STOPSIZE:
        return answer(code, [format[code]]);
      case command.SET_CONTROL:
        return answer(code, [await this.control(value)]);
      case command.NOTIFY_LINESTATE:
      case command.NOTIFY_MODEMSTATE:
        // The answer is always 0, because a board's USB bridge has no modem.
        return answer(code, [0]);
      case command.FLOWCONTROL_SUSPEND:
      case command.FLOWCONTROL_RESUME:
        this.suspended = code === command.FLOWCONTROL_SUSPEND;
        return nothing;
      case command.SET_LINESTATE_MASK:
      case command.SET_MODEMSTATE_MASK:
      case command.PURGE_DATA:
        return answer(code, [value]);
      default:
        return nothing;
    }
  }

  /** The modem state, which is sent without a request once a client uses RFC 2217. pyserial waits for it before it reports CTS and DSR. */
  get modemState(): Uint8Array {
    return answer(command.NOTIFY_MODEMSTATE, [0]);
  }

  /** Releases DTR and RTS, as closing a port does. */
  async end(): Promise<void> {
    this.relay.release();
    if (this.relay.lines.dtr || this.relay.lines.rts) await this.relay.change({ dtr: false, rts: false });
    this.relay.release();
  }

  /** Sets the speed and returns the resulting speed, which is the previous one if the port does not support the requested one. */
  private async baud(values: number[]): Promise<number> {
    const wanted = fromBigEndian(values);
    if (wanted === 0 || wanted === this.line.baud) return this.line.baud;
    await this.line.setBaud(wanted).catch((error: unknown) => {
      if (!hasCode(error, 'AIOT_SERIAL_BAUD')) throw error;
    });
    return this.line.baud;
  }

  private async control(value: number): Promise<number> {
    if (value === control.DTR_ON || value === control.DTR_OFF)
      await this.relay.change({ dtr: value === control.DTR_ON });
    if (value === control.RTS_ON || value === control.RTS_OFF)
      await this.relay.change({ rts: value === control.RTS_ON });
    if (value >= control.ASK_DTR && value <= control.DTR_OFF)
      return this.relay.lines.dtr ? control.DTR_ON : control.DTR_OFF;
    if (value >= control.ASK_RTS && value <= control.RTS_OFF)
      return this.relay.lines.rts ? control.RTS_ON : control.RTS_OFF;
    // The answer is always "off", because these lines support neither break nor flow control.
    if (value >= control.ASK_BREAK && value <= control.BREAK_OFF) return control.BREAK_OFF;
    return value >= control.ASK_FLOW_IN && value <= control.FLOW_IN_HARDWARE
      ? control.FLOW_IN_NONE
      : control.FLOW_NONE;
  }
}

function answer(code: number, values: Iterable<number>): Uint8Array {
  return subnegotiation(option.COM_PORT, Uint8Array.of(code + answerOffset, ...values));
}

const nothing = new Uint8Array(0);
