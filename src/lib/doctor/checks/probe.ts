import { request } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { AiotError, isUntrusted, systemCode, timeLimit } from '../../core/index.js';

export interface Probe {
  /** End of the server's certificate, ms since 1970. */
  expires: number;
  /** The server's time by its Date header, to the second; this machine's where it sends none. */
  time: number;
}

/**
 * One HTTPS request to /healthz, certificate verified, over within `timeoutMs` whatever the server does.
 * @throws AIOT_PLATFORM_UNREACHABLE, AIOT_PLATFORM_UNTRUSTED
 */
export function probe(
  url: string,
  ca: string | undefined,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Probe> {
  return new Promise((resolve, reject) => {
    const ends = timeLimit(timeoutMs, signal);
    const outgoing = request(new URL('/healthz', url), { ca, signal: ends, agent: false }, (answer) => {
      const peer = (answer.socket as TLSSocket).getPeerCertificate();
      const date = Date.parse(answer.headers.date ?? '');
      resolve({ expires: Date.parse(peer.valid_to), time: Number.isNaN(date) ? Date.now() : date });
      outgoing.destroy();
    });
    outgoing.on('error', (error) => reject(told(error, url, timeoutMs)));
    outgoing.end();
  });
}

function told(error: Error, url: string, timeoutMs: number): AiotError {
  const code = systemCode(error) ?? error.name;
  const details = { cause: error, endpoint: url };
  if (isUntrusted(code))
    return new AiotError('AIOT_PLATFORM_UNTRUSTED', `${url} cannot be trusted (${code})`, details);
  const reason = code === 'ABORT_ERR' ? `nothing within ${timeoutMs} ms` : code;
  return new AiotError('AIOT_PLATFORM_UNREACHABLE', `no answer from ${url} (${reason})`, details);
}
