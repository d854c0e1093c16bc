import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { AiotError, systemCode } from '../../core/index.js';
import type { SerialLine } from '../port/types.js';
import type { ServeEvent } from './events.js';
import { runSession, type SessionTotals } from './session.js';

export interface ServeLineOptions {
  /** Where it listens; 127.0.0.1 unless told. */
  host?: string;
  /** 0 takes a free one. */
  port: number;
  /** Bytes alone, for `socket://` clients: no speed, no DTR and RTS. */
  raw?: boolean;
  onEvent?: (event: ServeEvent) => void;
}

export interface ServedLine {
  /** What clients open: `rfc2217://127.0.0.1:4000` or `socket://…`. */
  address: string;
  port: number;
  /** Stops listening, ends the client and closes the line; again is harmless. */
  close(): Promise<void>;
}

/**
 * Shares a serial line over TCP by RFC 2217, or raw: one client at a time, a second one is told so and sent away. The line
 * is opened at once, so that what is wrong with it is said now, and stays open between clients (opening a port can reset a
 * board); where it was lost, the next client opens it again. Who may connect may do everything with the board: there is no
 * password in this protocol.
 *
 * @throws what `open` throws, AIOT_PORT_IN_USE
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
      throw new AiotError('AIOT_PORT_IN_USE', `${host}:${port} is taken by another program`, { cause });
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

  /** The line, opened where it is not. What a board says while no client is there is for nobody. */
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
    // Without it a client that goes without a word would end the process.
    socket.on('error', () => undefined);
    const peer = `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? '?'}`;
    if (this.client || this.closed) {
      this.refuse(socket, peer, 'another client has this serial port');
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
    // It need not take leave itself.
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
