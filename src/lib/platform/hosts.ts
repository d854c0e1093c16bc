import { hostname, networkInterfaces } from 'node:os';

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
