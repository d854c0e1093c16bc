import { AiotError } from '../../core/index.js';

/** `socket://host:port`, `rfc2217://host:port?…` or `rfc2217://[::1]:2217` → host and port. @throws AIOT_USAGE */
export function parseHostPort(address: string): { host: string; port: number } {
  const found = /^[a-z0-9]+:\/\/(?:\[([0-9a-f:.]+)\]|([^:/?#\s[\]]+)):(\d{1,5})(?:[/?].*)?$/i.exec(address);
  const host = found?.[1] ?? found?.[2];
  const port = Number(found?.[3]);
  if (host === undefined || port < 1 || port > 65_535) {
    throw new AiotError(
      'AIOT_USAGE',
      `expected SCHEME://HOST:PORT with a port of 1 to 65535, got ${address}`,
      {
        next: 'Write it like socket://127.0.0.1:5555 or rfc2217://pi.local:2217',
      },
    );
  }
  return { host, port };
}
