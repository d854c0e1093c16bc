import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer, type Server, type Socket } from 'node:net';
import { posix } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { parseRange } from '../blobs/store.js';
import type { TlsOptions } from '../certificates.js';
import type { Connections } from '../connections.js';
import { bodyIsComing, closeServer, Drain } from '../listen.js';

/** How long a connection may take to send its first byte, ms. */
const greetingMs = 10_000;

/** Prefixes by which Go recognizes HTTP without TLS: the first five bytes of a request. */
const plainRequests = new Set(['GET /', 'HEAD ', 'POST ', 'PUT /', 'OPTIO']);

const plainAnswer = 'HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n';

export interface GuideServer {
  /** The server to listen on. */
  server: Server;
  /** Accepts no further connections, finishes requests in progress within this many ms, and closes the rest. */
  close(patienceMs?: number): Promise<void>;
}

/**
 * Creates an HTTPS server with HTTP/1.1 only, because microcontrollers support nothing else. Clients without TLS get a plain-text error, as
 * from Go's server. Slow clients are disconnected.
 */
export function createGuideServer(
  tls: Pick<TlsOptions, 'key' | 'cert' | 'follow'>,
  connections: Connections,
  listener: RequestListener,
): GuideServer {
  const sockets = new Set<Socket>();
  const https = createHttpsServer(
    {
      ...{ key: tls.key, cert: tls.cert },
      ALPNProtocols: ['http/1.1'],
      minVersion: 'TLSv1.2',
      handshakeTimeout: greetingMs,
      headersTimeout: 10_000,
      requestTimeout: 300_000,
      connectionsCheckingInterval: 5000,
      maxHeaderSize: 16 * 1024,
    },
    listener,
  );
  // Headers are limited by their total size. With a limit on their number, Node would silently drop the rest.
  https.maxHeadersCount = 0;
  tls.follow(https);
  const drain = new Drain();
  https.on('request', (_request, response) => drain.begin(response));
  https.on('tlsClientError', (_error, socket) => socket.destroy());
  // A connection without progress for this long is idle or stuck.
  https.setTimeout(60_000, (socket) => socket.destroy());
  // This server does not listen, but gets its connections from the server below. The event starts the check for slow requests.
  https.emit('listening');
  const server = createServer((socket) => {
    if (!connections.admit(socket)) return;
    // Clients are not authenticated here; this listener has its own limit.
    connections.known(socket);
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.setTimeout(greetingMs, () => socket.destroy());
    socket.once('data', (first) => {
      socket.setTimeout(0);
      socket.removeAllListeners('timeout');
      if (plainRequests.has(first.toString('latin1', 0, 5))) {
        socket.setTimeout(1000, () => socket.destroy());
        socket.end(plainAnswer);
        return;
      }
      socket.pause();
      socket.unshift(first);
      https.emit('connection', socket);
      process.nextTick(() => socket.resume());
    });
  });
  server.maxConnections = 1000;
  return {
    server,
    async close(patienceMs) {
      server.close();
      await drain.end(patienceMs);
      https.close(() => {});
      await closeServer(server, sockets);
    },
  };
}

/** The folder or file at a path. */
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
 * Serves a clean path as Go's http.FileServer does: folders end in a slash and files do not; other paths are
 * redirected. Any method is treated as GET.
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
    ...(bodyIsComing(request) ? { connection: 'close' } : {}),
  });
  if (request.method === 'HEAD' || bytes === 0) {
    response.end();
    return;
  }
  await pipeline(file.open(range ?? undefined), response);
}

/** If-Modified-Since (RFC 9110, 13.1.3): whole seconds, the resolution of HTTP dates. */
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

/** Responds with an error, or closes the connection if the response has already begun. */
export function answerFailure(response: ServerResponse, status: number, text: string): void {
  if (response.headersSent) response.destroy();
  else answerError(response, status, text);
}

const plainText = 'text/plain; charset=utf-8';
const html = 'text/html; charset=utf-8';

/** Responses of the guide's servers, each with its Content-Length: never chunked, never compressed. */
export function answer(
  response: ServerResponse,
  status: number,
  body = '',
  headers: Record<string, string> = {},
): void {
  const bytes = Buffer.from(body);
  // If the body is still arriving, the connection could be reused only after reading the whole body.
  const rest: Record<string, string> = bodyIsComing(response.req) ? { connection: 'close' } : {};
  response.writeHead(status, { ...headers, ...rest, 'content-length': String(bytes.length) });
  response.end(response.req.method === 'HEAD' ? undefined : bytes);
}

/** Responds with text that has no final newline. */
export function answerWord(response: ServerResponse, word: string): void {
  answer(response, 200, word, { 'content-type': plainText });
}

function answerListing(response: ServerResponse, body: string, modified: number): void {
  answer(response, 200, body, { 'content-type': html, 'last-modified': new Date(modified).toUTCString() });
}

/** Same as Go's http.Error: a line of text. */
export function answerError(response: ServerResponse, status: number, text: string): void {
  answer(response, status, `${text}\n`, { 'content-type': plainText, 'x-content-type-options': 'nosniff' });
}

function answerNotFound(response: ServerResponse): void {
  answerError(response, 404, '404 page not found');
}

/** Redirects to a cleaned path, as Go's ServeMux does: with a body for GET. */
export function answerMoved(
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
  search: string,
): void {
  const location = `${escapedPath(path)}${search}`;
  const reads = request.method === 'GET' || request.method === 'HEAD';
  const body = `<a href="${escaped(location)}">Moved Permanently</a>.\n\n`;
  if (reads) answer(response, 301, body, { location, 'content-type': html });
  else answer(response, 301, '', { location });
}

/** Redirects within a folder: a relative reference and no body. */
function answerRelative(response: ServerResponse, location: string, search: string): void {
  answer(response, 301, '', { location: `${location}${search}` });
}

/** An entry in a folder listing. */
interface ListedName {
  name: string;
  folder: boolean;
}

/**
 * A folder listing as Go's http.FileServer produced it up to Go 1.21: one line per entry within `<pre>`. The guide's Python steps parse it as
 * XML, so a `&` in a reference is escaped, which Go did not do. Entries are sorted by the bytes of their names.
 */
export function listingOf(entries: readonly ListedName[]): string {
  const lines = entries
    .map(({ name, folder }) => (folder ? `${name}/` : name))
    .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    .map((name) => `<a href="${escaped(referenceTo(name))}">${escaped(name)}</a>\n`);
  return `<pre>\n${lines.join('')}</pre>\n`;
}

/**
 * A name as a relative reference, like Go's url.URL{Path: name}.String(). If the first segment contains a colon, `./` is prepended, because
 * the part before the colon would be read as a scheme (RFC 3986, 4.2).
 */
function referenceTo(name: string): string {
  const path = escapedPath(name);
  const first = path.split('/', 1)[0] ?? '';
  return first.includes(':') ? `./${path}` : path;
}

/** Escapes a path like Go's url package. */
function escapedPath(path: string): string {
  return path.replace(/[^A-Za-z0-9\-_.~$&+,/:;=@]/gu, (character) =>
    [...Buffer.from(character)]
      .map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`)
      .join(''),
  );
}

const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&#34;',
  "'": '&#39;',
};

/** Escapes text like Go's html.EscapeString. */
function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}

/** Number of leading bytes that determine the content type. */
export const sniffedBytes = 512;

const byExtension: Record<string, string> = {
  '.css': 'text/css; charset=utf-8',
  '.gif': 'image/gif',
  '.jpeg': 'image/jpeg',
  '.jpg': 'image/jpeg',
  '.json': 'application/json',
  '.pdf': 'application/pdf',
  '.png': 'image/png',
  '.wasm': 'application/wasm',
  '.webp': 'image/webp',
  '.xml': 'text/xml; charset=utf-8',
};

/** Content types by first bytes, in hex. */
const bySignature: readonly [string, string][] = [
  ['504b0304', 'application/zip'],
  ['1f8b08', 'application/x-gzip'],
  ['89504e470d0a1a0a', 'image/png'],
  ['ffd8ff', 'image/jpeg'],
  ['25504446', 'application/pdf'],
];

/**
 * Content-Type as set by Go's file server in an image without MIME tables: by a few extensions, else by the first 512 bytes (WHATWG MIME
 * Sniffing, 7.1). Content that a browser would run (HTML, SVG, JavaScript) is served as plain text, because anyone may upload.
 */
export function contentType(name: string, head: Uint8Array): string {
  const known = byExtension[posix.extname(name).toLowerCase()];
  if (known !== undefined) return known;
  const hex = Buffer.from(head.subarray(0, 8)).toString('hex');
  const signed = bySignature.find(([signature]) => hex.startsWith(signature));
  if (signed) return signed[1];
  const text = head.subarray(0, sniffedBytes).every((byte) => !isBinary(byte));
  return text ? 'text/plain; charset=utf-8' : 'application/octet-stream';
}

/** Whether the byte indicates binary data: control characters other than white space and escape. */
function isBinary(byte: number): boolean {
  return byte <= 0x08 || byte === 0x0b || (byte >= 0x0e && byte <= 0x1a) || (byte >= 0x1c && byte <= 0x1f);
}
