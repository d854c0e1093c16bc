import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { parseRange } from '../../blobs/range.js';
import { answer, answerError, answerListing, answerNotFound, answerRelative, plainText } from './answer.js';
import { escapedPath, type ListedName, listingOf } from './listing.js';

/** What a path stands for. */
export type Found = { kind: 'folder'; entries: readonly ListedName[]; modified: number } | ServedFile;

export interface ServedFile {
  kind: 'file';
  bytes: number;
  type: string;
  /** ms since 1970 */
  modified: number;
  /** `first` and `last` are inclusive offsets. */
  open(range?: { first: number; last: number }): Readable;
}

/**
 * A clean path as Go's http.FileServer answers it: folders end in a slash and files do not, else a redirect says so. Any
 * method is taken for a GET.
 */
export async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  { path, search }: { path: string; search: string },
  find: (path: string) => Promise<Found | null>,
): Promise<void> {
  if (path.endsWith('/index.html')) return answerRelative(response, './', search);
  const bare = path === '/' ? path : path.replace(/\/$/, '');
  const found = await find(bare);
  if (!found) return answerNotFound(response);
  const last = escapedPath(bare.slice(bare.lastIndexOf('/') + 1));
  if (found.kind === 'folder') {
    if (!path.endsWith('/')) return answerRelative(response, `${last}/`, search);
    return answerListing(response, listingOf(found.entries), found.modified);
  }
  if (path.endsWith('/')) return answerRelative(response, `../${last}`, search);
  return serveFile(request, response, found);
}

async function serveFile(request: IncomingMessage, response: ServerResponse, file: ServedFile) {
  const { bytes, type, modified } = file;
  const headers = {
    'accept-ranges': 'bytes',
    'content-type': type,
    'last-modified': new Date(modified).toUTCString(),
  };
  if (unchanged(request, modified)) {
    response.writeHead(304, headers).end();
    return;
  }
  const range = sameSince(request, modified) ? parseRange(request.headers.range, bytes) : null;
  if (range === 'unsatisfiable') {
    const text = 'invalid range: failed to overlap\n';
    return answer(response, 416, text, { 'content-range': `bytes */${bytes}`, 'content-type': plainText });
  }
  const { first, last } = range ?? { first: 0, last: bytes - 1 };
  response.writeHead(range ? 206 : 200, {
    ...headers,
    'content-length': String(last - first + 1),
    ...(range ? { 'content-range': `bytes ${first}-${last}/${bytes}` } : {}),
    ...(request.complete ? {} : { connection: 'close' }),
  });
  if (request.method === 'HEAD' || bytes === 0) {
    response.end();
    return;
  }
  await pipeline(file.open(range ?? undefined), response);
}

/** If-Modified-Since (RFC 9110, 13.1.3): seconds, as dates have them. */
function unchanged({ headers, method }: IncomingMessage, modified: number): boolean {
  if (method !== 'GET' && method !== 'HEAD') return false;
  const since = Date.parse(headers['if-modified-since'] ?? '');
  return Math.floor(modified / 1000) * 1000 <= since;
}

/** If-Range with a date (RFC 9110, 13.1.5); there are no entity tags. */
function sameSince({ headers }: IncomingMessage, modified: number): boolean {
  const condition = headers['if-range'];
  return condition === undefined || Date.parse(String(condition)) === Math.floor(modified / 1000) * 1000;
}

/** A failure that nobody was told of yet. */
export function answerFailure(response: ServerResponse, status: number, text: string): void {
  if (response.headersSent) response.destroy();
  else answerError(response, status, text);
}
