import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { type BlobStore, noSuchBlob, parseRange } from '../blobs/store.js';

/**
 * Adds an ETag to JSON reads, and responds with 304 if the client sends the same ETag. If a route provides a revision,
 * the ETag begins with it, followed by a dot. Values that change without a user's action (presence, last seen) change
 * only the part after the dot.
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

/** Sets the revision that the response represents. */
export function giveRevision(reply: FastifyReply, revision: number): void {
  reply.header('etag', `"r${revision}"`);
}

/**
 * Checks a change's If-Match header against the resource's revision; without the header, any revision is accepted. @throws
 * AIOT_PRECONDITION_FAILED
 */
export function checkRevision({ headers }: FastifyRequest, revision: number): void {
  const wanted = listed(headers['if-match']);
  if (wanted.length === 0 || wanted.includes('*')) return;
  const got = wanted.map((etag) => /^"r(\d+)(?:\.[0-9a-f]+)?"$/.exec(etag)?.[1]);
  if (got.includes(String(revision))) return;
  throw new AiotError(
    'AIOT_PRECONDITION_FAILED',
    `expected the ETag ${wanted.join(', ').slice(0, 200)}, but the resource is at revision ${revision}`,
  );
}

/** Entity tags in a header (RFC 9110, 13.1); weak tags are compared without the prefix. */
function listed(header: string | undefined): string[] {
  return (header ?? '')
    .split(',')
    .map((part) => part.trim().replace(/^W\//, ''))
    .filter((part) => part !== '');
}

interface SentBlob {
  digest: string;
  /** Strong entity tag, because the bytes never change. */
  etag: string;
  /** Called before the blob is sent from the beginning. */
  whole?: () => Promise<void>;
}

/** Sends a blob, or a range of it (RFC 9110, 13 and 14), once it is verified to be intact. @throws AIOT_NOT_FOUND, AIOT_BLOB_DAMAGED */
export async function sendBlob(
  blobs: BlobStore,
  { digest, etag, whole }: SentBlob,
  { headers, method }: Pick<FastifyRequest, 'headers' | 'method'>,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const size = await blobs.size(digest);
  if (size === null) throw noSuchBlob(digest);
  if (!matches(headers['if-none-match'], etag)) await blobs.ready(digest);
  reply.headers({
    etag,
    'accept-ranges': 'bytes',
    'cache-control': 'private, max-age=31536000, immutable',
    'content-type': 'application/octet-stream',
  });
  if (matches(headers['if-none-match'], etag)) return reply.status(304).removeHeader('content-type').send();
  const stale = headers['if-range'] !== undefined && headers['if-range'] !== etag;
  const range = stale || method === 'HEAD' ? null : parseRange(headers.range, size);
  if (range === 'unsatisfiable') {
    return reply.status(416).removeHeader('content-type').header('content-range', `bytes */${size}`).send();
  }
  if (range === null) {
    reply.header('content-length', size);
    if (method === 'HEAD') return reply.send();
    await whole?.();
    return size === 0 ? reply.send() : reply.send(blobs.stream(digest));
  }
  const { first, last } = range;
  reply.headers({ 'content-length': last - first + 1, 'content-range': `bytes ${first}-${last}/${size}` });
  return reply.status(206).send(blobs.stream(digest, range));
}

/** Evaluates If-None-Match and If-Match: `*`, or a list in which weak tags match too (RFC 9110, 13.1.2). */
export function matches(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  return header.split(',').some((part) => ['*', etag].includes(part.trim().replace(/^W\//, '')));
}
