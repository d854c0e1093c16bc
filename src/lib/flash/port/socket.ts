import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { AiotError, systemCode } from '../../core/errors.js';
import { type LineListener, LineListeners, lineLost, type SerialLine } from './line.js';

const connectTimeoutMs = 5000;

/**
 * Opens a raw TCP socket as a serial line (`socket://host:port`, as in pyserial). It transfers only bytes: the peer controls the speed, and
 * there are no DTR and RTS.
 * @throws AIOT_SERIAL_NOT_FOUND if nothing listens there
 */
export async function openSocketLine(
  address: string,
  options: { baud: number; signal?: AbortSignal },
): Promise<SerialLine> {
  const { host, port } = parseHostPort(address);
  const socket = connect({ host, port, noDelay: true });
  await connected(socket, address, options.signal);
  return new SocketLine(address, socket, options.baud);
}

/** Resolves once there is a connection. @throws AIOT_SERIAL_NOT_FOUND */
export async function connected(socket: Socket, address: string, signal?: AbortSignal): Promise<void> {
  const timeout = AbortSignal.timeout(connectTimeoutMs);
  try {
    await once(socket, 'connect', { signal: signal ? AbortSignal.any([signal, timeout]) : timeout });
  } catch (cause) {
    socket.destroy();
    // An aborted connection attempt may emit an error after the `once` handler has been removed.
    socket.on('error', () => {});
    signal?.throwIfAborted();
    const why = timeout.aborted ? 'no response within 5 s' : (systemCode(cause) ?? 'no connection');
    throw new AiotError('AIOT_SERIAL_NOT_FOUND', `no serial port is served at ${address} (${why})`, {
      next: 'Start the server on that machine with `aiot board share --port PORT`, and check the host, port and firewall.',
      endpoint: address,
      retryable: true,
      cause,
    });
  }
}

class SocketLine implements SerialLine {
  readonly kind = 'socket';
  readonly usb = null;
  readonly hasControlLines = false;
  private readonly listeners = new LineListeners();
  private failure: Error | undefined;

  constructor(
    readonly address: string,
    private readonly socket: Socket,
    public baud: number,
  ) {
    socket.on('data', (bytes) => this.listeners.data(bytes));
    socket.on('error', (error) => {
      this.failure = error;
    });
    socket.on('end', () => socket.destroy());
    socket.on('close', () =>
      this.listeners.closed(lineLost(address, 'the peer closed the connection', this.failure)),
    );
  }

  listen(listener: LineListener): () => void {
    return this.listeners.listen(listener);
  }

  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.listeners.ended) return reject(lineLost(this.address, 'the connection is closed'));
      this.socket.write(bytes, (error) =>
        error ? reject(lineLost(this.address, 'the peer closed the connection', error)) : resolve(),
      );
    });
  }

  async setBaud(baud: number): Promise<void> {
    if (this.listeners.ended) throw lineLost(this.address, 'the connection is closed');
    this.baud = baud;
  }

  async setControlLines(): Promise<void> {}

  async close(): Promise<void> {
    this.listeners.closed(null);
    if (this.socket.closed) return;
    // Queued bytes are sent first, but a peer that accepts none must not delay closing.
    this.socket.end();
    const timer = setTimeout(() => this.socket.destroy(), 500);
    await once(this.socket, 'close').catch(() => {});
    clearTimeout(timer);
  }
}

/** Host and port of `socket://host:port`, `rfc2217://host:port?…` or `rfc2217://[::1]:2217`. @throws AIOT_USAGE */
export function parseHostPort(address: string): { host: string; port: number } {
  const found = /^[a-z0-9]+:\/\/(?:\[([0-9a-f:.]+)\]|([^:/?#\s[\]]+)):(\d{1,5})(?:[/?].*)?$/i.exec(address);
  const host = found?.[1] ?? found?.[2];
  const port = Number(found?.[3]);
  if (host === undefined || port < 1 || port > 65_535) {
    throw new AiotError(
      'AIOT_USAGE',
      `expected SCHEME://HOST:PORT with a port of 1 to 65535, got ${address}`,
      {
        next: 'Use a URL such as socket://127.0.0.1:5555 or rfc2217://pi.local:2217',
      },
    );
  }
  return { host, port };
}
