import type { IncomingMessage, ServerResponse } from 'node:http';
import { escaped, escapedPath } from './listing.js';

export const plainText = 'text/plain; charset=utf-8';
const html = 'text/html; charset=utf-8';

/** Answers of the guide's servers, each with its Content-Length: never chunked, never compressed. */
export function answer(
  response: ServerResponse,
  status: number,
  body = '',
  headers: Record<string, string> = {},
): void {
  const bytes = Buffer.from(body);
  // A body that is still coming would be read to its end before the connection could be used again.
  const rest: Record<string, string> = response.req.complete ? {} : { connection: 'close' };
  response.writeHead(status, { ...headers, ...rest, 'content-length': String(bytes.length) });
  response.end(response.req.method === 'HEAD' ? undefined : bytes);
}

/** A word without a line end. */
export function answerWord(response: ServerResponse, word: string): void {
  answer(response, 200, word, { 'content-type': plainText });
}

export function answerListing(response: ServerResponse, body: string, modified: number): void {
  answer(response, 200, body, { 'content-type': html, 'last-modified': new Date(modified).toUTCString() });
}

/** As Go's http.Error: a line of text. */
export function answerError(response: ServerResponse, status: number, text: string): void {
  answer(response, status, `${text}\n`, { 'content-type': plainText, 'x-content-type-options': 'nosniff' });
}

export function answerNotFound(response: ServerResponse): void {
  answerError(response, 404, '404 page not found');
}

/** To a path that was cleaned: as Go's ServeMux, which sends a body with it to who reads one. */
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

/** Within a folder: a relative reference and no body. */
export function answerRelative(response: ServerResponse, location: string, search: string): void {
  answer(response, 301, '', { location: `${location}${search}` });
}
