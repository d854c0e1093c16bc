import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { Aedes } from 'aedes';

export interface TestBroker {
  port: number;
  aedes: Aedes;
  /** Closes all connections without DISCONNECT, as in a network failure. */
  drop(): void;
  close(): Promise<void>;
}

/** Starts an in-process MQTT broker on a free loopback port. It uses TLS if TLS options are given. */
export async function startBroker(
  options: { port?: number; tls?: TlsOptions; prepare?: (aedes: Aedes) => void } = {},
): Promise<TestBroker> {
  const aedes = await Aedes.createBroker();
  options.prepare?.(aedes);
  const sockets = new Set<Socket>();
  const onSocket = (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => {});
    aedes.handle(socket);
  };
  const server: Server = options.tls ? createTlsServer(options.tls, onSocket) : createServer(onSocket);
  const drop = () => {
    for (const socket of sockets) socket.destroy();
  };
  await listening(server, options.port ?? 0);
  const address = server.address();
  return {
    port: typeof address === 'object' && address ? address.port : 0,
    aedes,
    drop,
    async close() {
      drop();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      await new Promise<void>((resolve) => aedes.close(() => resolve()));
    },
  };
}

/** Retries, because a port that was free may have become the local end of a connection in the meantime. */
async function listening(server: Server, port: number): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    server.listen(port, '127.0.0.1');
    try {
      await once(server, 'listening');
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || attempt === 100) throw error;
      await delay(50);
    }
  }
}
