import { createServer } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { AiotError } from '../../core/index.js';
import type { Connections } from '../connections.js';
import { accessOf } from '../http/auth.js';
import { answerBadHead } from '../http/errors.js';
import { largestHead, limitServer } from '../http/limits.js';
import { listenOn } from '../listen.js';

/** Open connections at once. */
const mostConnections = 10_000;

/** What comes without TLS is let in to the device API, and to nothing else: no other token is looked at there. */
export function refuseOthersInPlain(app: FastifyInstance): void {
  app.addHook('onRequest', async ({ protocol, method, routeOptions }) => {
    if (protocol === 'https' || accessOf(routeOptions.config, method, routeOptions.url) === 'controllers')
      return;
    throw new AiotError('AIOT_NOT_FOUND', 'without TLS there is hawkBit’s device API alone');
  });
}

export interface PlainDdi {
  port: number;
  /** No more connections. */
  stop(): void;
  /** Cuts what is open. */
  cut(): void;
}

/**
 * The device API for clients that know no TLS: the same routes by another door. `stop` takes no more connections; what is on its way is
 * drained with the app's, which then cuts the rest. @throws AIOT_PORT_IN_USE
 */
export async function openPlainDdi(
  app: FastifyInstance,
  connections: Connections,
  { host, port }: { host: string; port: number },
): Promise<PlainDdi> {
  const options = { maxHeaderSize: largestHead, connectionsCheckingInterval: 5000 };
  const server = createServer(options, (request, reply) => app.routing(request, reply));
  server.on('clientError', answerBadHead);
  limitServer(server, mostConnections);
  // Before the server's own listener.
  server.prependListener(
    'connection',
    (socket) => connections.admit(socket) && connections.admitHttp(socket),
  );
  return {
    port: await listenOn(server, host, port, '--ddi-port'),
    stop: () => void server.close(),
    cut: () => server.closeAllConnections(),
  };
}
