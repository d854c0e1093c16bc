import type { FastifyReply, FastifyRequest } from 'fastify';
import { parseRange } from '../blobs/range.js';
import { type BlobStore, noSuchBlob } from '../blobs/store.js';

export interface SentBlob {
  digest: string;
  /** Strong: its bytes never change. */
  etag: string;
  /** Called before it is sent from its beginning. */
  whole?: () => Promise<void>;
}

/** A blob, or a range of it (RFC 9110, 13 and 14), once it is known to be as it was put. @throws AIOT_NOT_FOUND, AIOT_BLOB_DAMAGED */
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

/** If-None-Match and If-Match: `*`, or a list in which weak ones match too (RFC 9110, 13.1.2). */
export function matches(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  return header.split(',').some((part) => ['*', etag].includes(part.trim().replace(/^W\//, '')));
}
