import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { listenError } from '../listen.js';

/** Binds the API; 0 = any free port. Returns the port. @throws AIOT_PORT_IN_USE */
export async function listenHttp(app: FastifyInstance, host: string, port: number): Promise<number> {
  try {
    await app.listen({ host, port });
  } catch (error) {
    throw listenError(error, host, port, '--http-port');
  }
  return (app.server.address() as AddressInfo).port;
}
