import { createServer as createHttpsServer, type Server } from 'node:https';
import type { Socket } from 'node:net';
import type { WebSocketServer } from 'ws';
import type { Connections } from '../connections.js';
import type { Broker } from './broker.js';

/** By MQTT 3.1.1, section 6, the subprotocol is `mqtt`; clients of 3.1 say `mqttv3.1`. */
const subprotocols = ['mqtt', 'mqttv3.1'];

/** Most that a TLS socket hands over at once, twice: what was on its way when it was paused. */
const chunkBytes = 128 * 1024;

/** A listener for MQTT in binary WebSocket frames, with the TLS options of the other one. Not listening yet. */
export async function webSocketServer(
  broker: Broker,
  tls: { key: string; cert: string; ca: string },
  connections: Connections,
): Promise<Server> {
  const { limits } = broker;
  const { createWebSocketStream, WebSocketServer } = await import('ws');
  const server = createHttpsServer(
    {
      ...{ ...tls, requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.2' },
      // Who says nothing is cut as on the other listeners.
      ...{ handshakeTimeout: limits.connectMs, headersTimeout: limits.connectMs },
      ...{ requestTimeout: limits.connectMs, connectionsCheckingInterval: 1000, maxHeaderSize: 16 * 1024 },
    },
    (_request, answer) => {
      answer.writeHead(426, { connection: 'close', upgrade: 'websocket' }).end();
    },
  );
  // The head's size bounds them; beyond a count, Node drops headers in silence.
  server.maxHeadersCount = 0;
  // Compressed frames could be bombs, and telemetry gains little.
  const sockets: WebSocketServer = new WebSocketServer({
    server,
    perMessageDeflate: false,
    maxPayload: 2 * limits.payloadBytes,
    handleProtocols: (offered) => subprotocols.find((name) => offered.has(name)) ?? false,
  });
  sockets.on('connection', (socket, request) => {
    // A frame that is none is an error of the socket's, also while it is being closed; unheard it would end the process.
    socket.on('error', () => socket.terminate());
    if (!subprotocols.includes(socket.protocol)) {
      socket.close(1002, 'expected the subprotocol mqtt');
      return;
    }
    socket.on('message', (_data, isBinary) => {
      if (!isBinary) socket.terminate();
    });
    const below: Socket = request.socket;
    // A frame is handed over when it is whole: who is not known yet must not make it long.
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
    // Its other half stays open by itself when the client is gone, and nobody would notice.
    stream.on('end', () => stream.destroy());
    broker.handle(stream, undefined, { below, known });
  });
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  sockets.on('error', () => {});
  return server;
}
