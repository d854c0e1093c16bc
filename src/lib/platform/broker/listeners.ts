import { constants } from 'node:crypto';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import { createServer as createPlainServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import type { WebSocketServer } from 'ws';
import type { PlatformUrls } from '../../api/api.js';
import { shownUrl } from '../../stream/url.js';
import type { TlsOptions } from '../certificates.js';
import type { Connections } from '../connections.js';
import { closeServer, listenOn, reachableHost } from '../listen.js';
import type { PlatformOptions } from '../options.js';
import type { Broker } from './broker.js';
import type { BoardDoor } from './identity.js';

export interface Doors {
  urls: Partial<PlatformUrls>;
  listening(): boolean;
  close(): Promise<void>;
}

type DoorOptions = Pick<PlatformOptions, 'mqttPort' | 'names' | 'plain' | 'boards' | 'wsPort'> &
  Pick<ListenerOptions, 'host' | 'tls' | 'connections'> & {
    /** Address of the external broker; undefined = devices connect to the embedded one. */
    external: string | undefined;
  };

/**
 * Opens the configured listeners and returns their addresses. Opens no listeners if devices connect to an external
 * broker.
 */
export async function openDoors(broker: Broker, options: DoorOptions): Promise<Doors> {
  const { external, host, names = [], mqttPort, plain, boards, wsPort, tls, connections } = options;
  if (external !== undefined) {
    // If the platform has a configured name, devices use that name to reach the broker, not the platform's own
    // address for it.
    const mqtts = names.length > 0 ? `mqtts://${reachableHost(host, names)}:${mqttPort}` : shownUrl(external);
    return { urls: { mqtts }, listening: () => true, close: async () => {} };
  }
  const webSocket = wsPort === undefined ? undefined : { port: wsPort };
  const at = { host, port: mqttPort };
  const listeners = await startListeners(broker, { ...at, tls, connections, plain, boards, webSocket });
  const shown = reachableHost(host, names);
  const urls: Partial<PlatformUrls> = { mqtts: `mqtts://${shown}:${listeners.port}` };
  if (listeners.plainPort !== undefined) urls.mqtt = `mqtt://127.0.0.1:${listeners.plainPort}`;
  if (webSocket) urls.wss = `wss://${shown}:${listeners.webSocketPort}`;
  if (boards) urls.boards = `mqtt://${reachableHost(boards.host)}:${listeners.boardPort}`;
  return { urls, listening: () => listeners.listening(), close: () => listeners.close() };
}

interface ListenerOptions {
  host: string;
  port: number;
  tls: TlsOptions;
  connections: Connections;
  /** Without TLS, and only on loopback, because the token would be readable on any other network. */
  plain?: { port: number } | undefined;
  /** Without TLS and without a password, for boards that support neither. */
  boards?: BoardListener | undefined;
  /** MQTT over WebSocket, with TLS. */
  webSocket?: { port: number } | undefined;
}

/** The board listener, and the permissions of its clients. */
export interface BoardListener extends BoardDoor {
  host: string;
  port: number;
}

interface Listeners {
  port: number;
  plainPort?: number;
  boardPort?: number;
  webSocketPort?: number;
  listening(): boolean;
  close(): Promise<void>;
}

/** Opens the broker's sockets. @throws AIOT_PORT_IN_USE */
async function startListeners(broker: Broker, options: ListenerOptions): Promise<Listeners> {
  const sockets = new Set<Socket>();
  const opened: Server[] = [];
  const close = async () => {
    await broker.endConnections();
    for (const server of opened) await closeServer(server, sockets);
  };
  const { connections } = options;
  const known = (socket: Socket) => ({ known: () => connections.known(socket) });
  const open = (server: Server, host: string, port: number, flag: string, isPlain = false) => {
    // Runs before the server's own listener, which would start TLS.
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
    // The handshake accepts foreign certificates, so that the broker can reject them with a reason instead of a bare TLS alert.
    const tls = createTlsServer(
      {
        ...{ ...options.tls, requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.2' },
        handshakeTimeout: broker.limits.connectMs,
        // Device connections are long-lived. TLS session tickets contain the client's certificate, and would take 11 kB of buffers per
        // connection that are never freed.
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

/** According to MQTT 3.1.1, section 6, the subprotocol is `mqtt`; clients of 3.1 request `mqttv3.1`. */
const subprotocols = ['mqtt', 'mqttv3.1'];

/** Twice the largest chunk of a TLS socket, for data in flight when reading pauses. */
const chunkBytes = 128 * 1024;

/** Creates a listener for MQTT in binary WebSocket frames, with the TLS options of the MQTT listener. The caller starts it. */
async function webSocketServer(
  broker: Broker,
  tls: { key: string; cert: string; ca: string },
  connections: Connections,
): Promise<HttpsServer> {
  const { limits } = broker;
  const { createWebSocketStream, WebSocketServer } = await import('ws');
  const server = createHttpsServer(
    {
      ...{ ...tls, requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.2' },
      // Silent clients are disconnected as on the other listeners.
      ...{ handshakeTimeout: limits.connectMs, headersTimeout: limits.connectMs },
      ...{ requestTimeout: limits.connectMs, connectionsCheckingInterval: 1000, maxHeaderSize: 16 * 1024 },
    },
    (_request, answer) => {
      answer.writeHead(426, { connection: 'close', upgrade: 'websocket' }).end();
    },
  );
  // Headers are limited by their total size. With a limit on their number, Node would silently drop the rest.
  server.maxHeadersCount = 0;
  // Compressed frames could be decompression bombs, and compression would hardly shrink telemetry.
  const sockets: WebSocketServer = new WebSocketServer({
    server,
    perMessageDeflate: false,
    maxPayload: 2 * limits.payloadBytes,
    handleProtocols: (offered) => subprotocols.find((name) => offered.has(name)) ?? false,
  });
  sockets.on('connection', (socket, request) => {
    // An invalid frame causes a socket error, even while the socket is being closed; unhandled, it would end the process.
    socket.on('error', () => socket.terminate());
    if (!subprotocols.includes(socket.protocol)) {
      socket.close(1002, 'expected the subprotocol mqtt');
      return;
    }
    socket.on('message', (_data, isBinary) => {
      if (!isBinary) socket.terminate();
    });
    const below: Socket = request.socket;
    // Frames are delivered only when complete, so unidentified clients must not send long ones.
    let left = limits.strangerBytes + chunkBytes;
    const count = ({ length }: Buffer) => {
      left -= length;
      if (left < 0) socket.terminate();
    };
    below.on('data', count);
    const known = () => {
      below.off('data', count);
      connections.known(below);
    };
    const stream = createWebSocketStream(socket);
    // The stream's other half stays open after the client disconnects, so the broker would not notice it.
    stream.on('end', () => stream.destroy());
    broker.handle(stream, undefined, { below, known });
  });
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  sockets.on('error', () => {});
  return server;
}
