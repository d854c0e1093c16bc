import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { AiotError, sha256Hex } from '../../core/index.js';

/**
 * Reads of JSON have an ETag, and one that the client has already is answered 304. Where a route gave a revision, it is the
 * part before the dot: what changes by itself (presence, last seen) makes another ETag and not another revision.
 */
export function tagReads(app: FastifyInstance): void {
  app.addHook('onSend', async (request, reply, payload) => {
    if (request.method !== 'GET' || reply.statusCode !== 200 || typeof payload !== 'string') return payload;
    const revision = reply.getHeader('etag');
    const digest = sha256Hex(payload).slice(0, 16);
    const etag = revision === undefined ? `"${digest}"` : `${String(revision).slice(0, -1)}.${digest}"`;
    reply.header('etag', etag);
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-cache');
    if (!listed(request.headers['if-none-match']).some((one) => one === '*' || one === etag)) return payload;
    reply.status(304).removeHeader('content-length').removeHeader('content-type');
    return '';
  });
}

/** Says which revision an answer shows. */
export function giveRevision(reply: FastifyReply, revision: number): void {
  reply.header('etag', `"r${revision}"`);
}

/** The revision that a change is for, from If-Match; undefined = whatever is there. @throws AIOT_PRECONDITION_FAILED */
export function checkRevision({ headers }: FastifyRequest, revision: number): void {
  const wanted = listed(headers['if-match']);
  if (wanted.length === 0 || wanted.includes('*')) return;
  const got = wanted.map((etag) => /^"r(\d+)(?:\.[0-9a-f]+)?"$/.exec(etag)?.[1]);
  if (got.includes(String(revision))) return;
  throw new AiotError(
    'AIOT_PRECONDITION_FAILED',
    `expected it to be as in ${wanted.join(', ').slice(0, 200)}, and it is at revision ${revision}`,
  );
}

/** Entity tags of a header (RFC 9110, 13.1); weak ones compare as what they are of. */
function listed(header: string | undefined): string[] {
  return (header ?? '')
    .split(',')
    .map((part) => part.trim().replace(/^W\//, ''))
    .filter((part) => part !== '');
}
