import type { AddressInfo, Server } from 'node:net';
import { AiotError, systemCode } from '../core/index.js';

/** Binds a listener; 0 = any free port. Returns the port. @throws AIOT_PORT_IN_USE naming port and flag */
export async function listenOn(server: Server, host: string, port: number, flag: string): Promise<number> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port }, () => {
        server.off('error', reject);
        resolve();
      });
    });
  } catch (error) {
    throw listenError(error, host, port, flag);
  }
  return (server.address() as AddressInfo).port;
}

export function listenError(error: unknown, host: string, port: number, flag: string): AiotError {
  const code = systemCode(error) ?? 'unknown error';
  if (code === 'EADDRINUSE') {
    return new AiotError('AIOT_PORT_IN_USE', `port ${port} on ${host} is in use by another program`, {
      cause: error,
      endpoint: `${host}:${port}`,
      next: `Choose another port: ${flag} ${port + 1}, or ${flag} 0 for any free one.`,
    });
  }
  return new AiotError('AIOT_PLATFORM_FAILED', `cannot listen on ${host}:${port} (${code})`, {
    cause: error,
    endpoint: `${host}:${port}`,
    next:
      code === 'EACCES'
        ? `Ports below 1024 want rights of their own: choose another with ${flag}.`
        : 'Choose an address of this machine with --host.',
  });
}

/** Stops listening and cuts what is connected. */
export async function closeServer(server: Server, sockets: Iterable<{ destroy(): void }>): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  for (const socket of sockets) socket.destroy();
  await closed;
}
