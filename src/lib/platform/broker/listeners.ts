import { constants } from 'node:crypto';
import { createServer as createPlainServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import type { Connections } from '../connections.js';
import { closeServer, listenOn } from '../listen.js';
import type { TlsOptions } from '../tls.js';
import type { Broker } from './broker.js';
import type { BoardDoor } from './identity.js';
import { webSocketServer } from './websocket.js';

export interface ListenerOptions {
  host: string;
  port: number;
  tls: TlsOptions;
  connections: Connections;
  /** Without TLS, on loopback: the token would be readable on any other wire. */
  plain?: { port: number } | undefined;
  /** Without TLS and without a password, for boards that know neither. */
  boards?: BoardListener | undefined;
  /** MQTT over WebSocket, with TLS. */
  webSocket?: { port: number } | undefined;
}

/** A listener for boards, and what those may who come by it. */
export interface BoardListener extends BoardDoor {
  host: string;
  port: number;
}

export interface Listeners {
  port: number;
  plainPort?: number;
  boardPort?: number;
  webSocketPort?: number;
  /** Whether all of them are listened on. */
  listening(): boolean;
  close(): Promise<void>;
}

/** Opens the broker's sockets. @throws AIOT_PORT_IN_USE */
export async function startListeners(broker: Broker, options: ListenerOptions): Promise<Listeners> {
  const sockets = new Set<Socket>();
  const opened: Server[] = [];
  const close = async () => {
    for (const server of opened) await closeServer(server, sockets);
  };
  const { connections } = options;
  const known = (socket: Socket) => ({ known: () => connections.known(socket) });
  const open = (server: Server, host: string, port: number, flag: string, isPlain = false) => {
    // Before the server's own listener, which would begin with TLS.
    server.prependListener('connection', (socket) => {
      if (isPlain && !connections.admit(socket)) return;
      if (!broker.enter(socket)) return;
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
    });
    opened.push(server);
    return listenOn(server, host, port, flag);
  };
  try {
    // A certificate that is not ours is refused by the broker with a reason, not by a bare TLS alert.
    const tls = createTlsServer(
      {
        ...{ ...options.tls, requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.2' },
        handshakeTimeout: broker.limits.connectMs,
        // Devices stay connected for long. The tickets with which a session is resumed hold the client's certificate, and cost
        // each connection 11 kB of buffers that stay.
        secureOptions: constants.SSL_OP_NO_TICKET,
      },
      (socket) => broker.handle(socket, undefined, known(socket)),
    );
    options.tls.follow(tls);
    tls.on('tlsClientError', (_error, socket) => socket.destroy());
    connections.guard(tls, broker.limits.connectMs);
    const port = await open(tls, options.host, options.port, '--mqtt-port');
    const listening = () => opened.every((server) => server.listening);
    const listeners: Listeners = { port, close, listening };
    if (options.plain) {
      const plain = createPlainServer((socket) => broker.handle(socket, undefined, known(socket)));
      listeners.plainPort = await open(plain, '127.0.0.1', options.plain.port, '--plain-port', true);
    }
    if (options.boards) {
      const { host, port, ...door } = options.boards;
      const boards = createPlainServer((socket) => broker.handle(socket, door, known(socket)));
      listeners.boardPort = await open(boards, host, port, '--board-port', true);
    }
    if (options.webSocket) {
      const server = await webSocketServer(broker, options.tls, connections);
      connections.guard(server, broker.limits.connectMs);
      options.tls.follow(server as TlsServer);
      listeners.webSocketPort = await open(server, options.host, options.webSocket.port, '--ws-port');
    }
    return listeners;
  } catch (error) {
    await Promise.all(
      opened.filter((server) => server.listening).map((server) => closeServer(server, sockets)),
    );
    throw error;
  }
}
