import type { FastifyReply, FastifyRequest } from 'fastify';
import { AiotError, sha256Hex } from '../../core/index.js';
import { csrfOf, type WebIdentity } from '../services/logins.js';
import type { ApiParts } from './parts.js';

type Parts = Pick<ApiParts, 'logins' | 'ca'>;

/** Cookies know no ports: each platform of a host has a name of its own. `__Host-`: over TLS, of this host, for all paths. */
function cookieName(ca: string): string {
  return `__Host-aiot-${sha256Hex(ca).slice(0, 8)}`;
}

/** The secret of the session whose cookie a browser sends; empty = none. */
export function webSecretOf({ headers }: FastifyRequest, { ca }: Parts): string {
  const wanted = cookieName(ca);
  for (const pair of (headers.cookie ?? '').split(';')) {
    const [name = '', value = ''] = pair.trim().split('=');
    if (name === wanted) return value;
  }
  return '';
}

/**
 * Who is logged in in the browser that asks; null = nobody. What changes anything is to show that a page of ours sent it: the
 * browser adds the cookie to requests of other pages on this host as well. @throws AIOT_NOT_ALLOWED
 */
export async function webIdentityOf(request: FastifyRequest, parts: Parts): Promise<WebIdentity | null> {
  const secret = webSecretOf(request, parts);
  if (secret === '') return null;
  const { method, headers } = request;
  const reads = method === 'GET' || method === 'HEAD';
  if (!reads && headers['x-aiot-csrf'] !== csrfOf(secret)) {
    throw new AiotError('AIOT_NOT_ALLOWED', 'headers: x-aiot-csrf: expected what GET /api/v1/session says');
  }
  return parts.logins.identify(secret);
}

/** Gives the browser the session, or with null takes it away. */
export function setWebSession(
  reply: FastifyReply,
  { ca }: Parts,
  session: { secret: string; seconds: number } | null,
): void {
  const value = session === null ? '; Max-Age=0' : `${session.secret}; Max-Age=${session.seconds}`;
  reply.header('set-cookie', `${cookieName(ca)}=${value}; Path=/; Secure; HttpOnly; SameSite=Strict`);
}
