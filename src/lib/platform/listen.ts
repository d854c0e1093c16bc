import type { IncomingMessage, ServerResponse } from 'node:http';
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
      next: `Choose another port: ${flag} ${port + 1}, or ${flag} 0 for any free port.`,
    });
  }
  return new AiotError('AIOT_PLATFORM_FAILED', `cannot listen on ${host}:${port} (${code})`, {
    cause: error,
    endpoint: `${host}:${port}`,
    next:
      code === 'EACCES'
        ? `Ports below 1024 need special permissions: choose another with ${flag}.`
        : 'Use an address of this machine with --host.',
  });
}

/** Stops listening and closes open connections. */
export async function closeServer(server: Server, sockets: Iterable<{ destroy(): void }>): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  for (const socket of sockets) socket.destroy();
  await closed;
}

const everywhere = new Set(['0.0.0.0', '::']);

/**
 * Names and addresses for the server's certificate: the bound address, and the names by which clients reach the server.
 */
export function certifiedHosts(host: string, names: readonly string[] = []): string[] {
  const local = ['localhost', '127.0.0.1', '::1'];
  const own = everywhere.has(host) ? [hostname(), ...addresses()] : [host];
  return [...new Set([...local, ...own, ...names])];
}

/**
 * Host for URLs: the first configured name, or else the bound address. For a wildcard address, which clients cannot connect to, it is this
 * machine's first address.
 */
export function reachableHost(host: string, [first]: readonly string[] = []): string {
  const name = first ?? (everywhere.has(host) ? (addresses()[0] ?? '127.0.0.1') : host);
  return name.includes(':') ? `[${name}]` : name;
}

/** Addresses of this machine that other machines can use: no loopback, no link-local. */
function addresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter(({ internal, address }) => !internal && !address.startsWith('fe80:'))
    .sort((a, b) => a.family.localeCompare(b.family))
    .map(({ address }) => address);
}

/** Default time that responses in progress may take to end at shutdown, ms. Twice this is less than `aiot down` waits. */
const usualDrainMs = 6000;

/** A server's responses in progress, awaited at shutdown. */
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

  /** Resolves when all responses have ended, or after `patienceMs`. */
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

/**
 * Whether part of a request's body is still to come. If so, a response that does not wait for the body must close the
 * connection. Node marks a request without a body as complete only after passing the request on.
 */
export function bodyIsComing({ complete, headers }: IncomingMessage): boolean {
  const announced = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
  return announced && !complete;
}

const tasks = new WeakMap<ServerResponse, Set<() => void>>();

/**
 * Calls `task` once when the response is closed, whether it was sent completely or not. All tasks of a response share
 * one listener. Fastify and Node add up to seven of their own to a response whose stream fails; at eleven listeners,
 * Node warns of a leak.
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
