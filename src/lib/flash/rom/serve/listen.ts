import { AiotError } from '../../../core/index.js';
import type { ServeChipHow } from './index.js';

/** `pty`, `socket://HOST:PORT`, `rfc2217://HOST:PORT` → where a chip is served. @throws AIOT_USAGE */
export function parseListen(text: string): ServeChipHow {
  if (text === 'pty') return { pty: true };
  const found = /^(socket|rfc2217):\/\/([^:/\s]+):(\d{1,5})$/.exec(text);
  const port = Number(found?.[3]);
  if (!found || port > 65_535) {
    throw new AiotError('AIOT_USAGE', `expected pty, socket://HOST:PORT or rfc2217://HOST:PORT, got ${text}`);
  }
  const host = found[2] as string;
  return found[1] === 'socket' ? { port, host } : { rfc2217: port, host };
}
