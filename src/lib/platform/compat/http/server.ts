import type { RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer, type Server, type Socket } from 'node:net';
import type { Connections } from '../../connections.js';
import { Drain } from '../../drain.js';
import { closeServer } from '../../listen.js';
import type { TlsOptions } from '../../tls.js';

/** How long a connection may take to say the first word, ms. */
const greetingMs = 10_000;
/** What Go takes for a client that speaks HTTP without TLS: the first five bytes of a request. */
const plainRequests = new Set(['GET /', 'HEAD ', 'POST ', 'PUT /', 'OPTIO']);
const plainAnswer = 'HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n';

export interface GuideServer {
  /** To listen on. */
  server: Server;
  /** Takes no further connection, answers what is on its way within so many ms, and cuts the rest. */
  close(patienceMs?: number): Promise<void>;
}

/**
 * HTTPS with HTTP/1.1 alone, for microcontrollers know no other; who comes without TLS is told so in plain words, as by
 * Go's server. Slow clients are cut off.
 */
export function createGuideServer(
  tls: Pick<TlsOptions, 'key' | 'cert' | 'follow'>,
  connections: Connections,
  listener: RequestListener,
): GuideServer {
  const sockets = new Set<Socket>();
  const https = createHttpsServer(
    {
      ...{ key: tls.key, cert: tls.cert },
      ALPNProtocols: ['http/1.1'],
      minVersion: 'TLSv1.2',
      handshakeTimeout: greetingMs,
      headersTimeout: 10_000,
      requestTimeout: 300_000,
      connectionsCheckingInterval: 5000,
      maxHeaderSize: 16 * 1024,
    },
    listener,
  );
  // The head's size bounds them; beyond a count, Node drops headers in silence.
  https.maxHeadersCount = 0;
  tls.follow(https);
  const drain = new Drain();
  https.on('request', (_request, response) => drain.begin(response));
  https.on('tlsClientError', (_error, socket) => socket.destroy());
  // Answering is over, or stuck, when nothing has moved for so long.
  https.setTimeout(60_000, (socket) => socket.destroy());
  // It takes its connections from the server below; the watch over slow requests begins with this event alone.
  https.emit('listening');
  const server = createServer((socket) => {
    if (!connections.admit(socket)) return;
    // Nobody says who they are here, and the door has a bound of its own.
    connections.known(socket);
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.setTimeout(greetingMs, () => socket.destroy());
    socket.once('data', (first) => {
      socket.setTimeout(0);
      socket.removeAllListeners('timeout');
      if (plainRequests.has(first.toString('latin1', 0, 5))) {
        socket.setTimeout(1000, () => socket.destroy());
        socket.end(plainAnswer);
        return;
      }
      socket.pause();
      socket.unshift(first);
      https.emit('connection', socket);
      process.nextTick(() => socket.resume());
    });
  });
  server.maxConnections = 1000;
  return {
    server,
    async close(patienceMs) {
      server.close();
      await drain.end(patienceMs);
      https.close(() => {});
      await closeServer(server, sockets);
    },
  };
}
