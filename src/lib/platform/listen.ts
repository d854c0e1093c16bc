import type { ServerResponse } from 'node:http';
import type { AddressInfo, Server } from 'node:net';
import { hostname, networkInterfaces } from 'node:os';
import { AiotError, systemCode } from '../core/errors.js';

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

function listenError(error: unknown, host: string, port: number, flag: string): AiotError {
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

const everywhere = new Set(['0.0.0.0', '::']);

/** Names and addresses that the server's certificate is for, given the one that it binds and those that it is reached by besides. */
export function certifiedHosts(host: string, names: readonly string[] = []): string[] {
  const local = ['localhost', '127.0.0.1', '::1'];
  const own = everywhere.has(host) ? [hostname(), ...addresses()] : [host];
  return [...new Set([...local, ...own, ...names])];
}

/** Host to put into URLs: the first name it has; other machines cannot reach "everywhere", so that becomes this machine's first address. */
export function reachableHost(host: string, [first]: readonly string[] = []): string {
  const name = first ?? (everywhere.has(host) ? (addresses()[0] ?? '127.0.0.1') : host);
  return name.includes(':') ? `[${name}]` : name;
}

/** Addresses of this machine that others can use: no loopback, no link-local. */
function addresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter(({ internal, address }) => !internal && !address.startsWith('fe80:'))
    .sort((a, b) => a.family.localeCompare(b.family))
    .map(({ address }) => address);
}

/** How long answers that are on their way may take to end when the platform stops, ms: twice that is less than `aiot down` waits. */
const usualDrainMs = 6000;

/** The answers that a server has on their way, to wait for when it stops. */
export class Drain {
  private readonly open = new Set<ServerResponse>();
  private drained = () => {};

  begin(response: ServerResponse): void {
    this.open.add(response);
    whenClosed(response, () => {
      this.open.delete(response);
      if (this.open.size === 0) this.drained();
    });
  }

  /** Resolves when all have ended, or after `patienceMs`. */
  async end(patienceMs = usualDrainMs): Promise<void> {
    if (this.open.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, patienceMs);
      this.drained = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

const tasks = new WeakMap<ServerResponse, Set<() => void>>();

/**
 * Calls `task` once when the response is closed, whether it was sent whole or not. All tasks of a response share one listener:
 * Fastify and Node add up to seven of their own to an answer whose stream fails, and Node warns of a leak at eleven.
 */
export function whenClosed(response: ServerResponse, task: () => void): void {
  const known = tasks.get(response);
  if (known) {
    known.add(task);
    return;
  }
  const own = new Set([task]);
  tasks.set(response, own);
  response.once('close', () => {
    tasks.delete(response);
    for (const each of own) each();
  });
}
