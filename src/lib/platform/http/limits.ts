import type { Server } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { AiotError } from '../../core/errors.js';
import { whenClosed } from '../listen.js';

/** Largest JSON body, bytes; routes that take more say so. */
export const largestBody = 1024 ** 2;

/** Largest head of a request, bytes, and largest target in it, characters. */
export const largestHead = 16 * 1024;

export const longestTarget = 8192;

/** Most headers of a request. */
const mostHeaders = 100;

/** How deep objects and lists may be in one another: no body of ours goes beyond 12. */
const deepest = 32;

/** How long a body that is parsed may take to come, ms; one that is streamed may pause so long. */
const usualTimes = { bodyMs: 30_000, pauseMs: 60_000 };

/** Headers that decide something: said twice, two programs could read two things. */
const once = new Set([
  ...['authorization', 'content-encoding', 'content-length', 'content-range', 'content-type', 'host'],
  ...[
    'idempotency-key',
    'if-match',
    'if-none-match',
    'if-range',
    'last-event-id',
    'range',
    'transfer-encoding',
  ],
]);

/** Bounds on what a connection may cost before anybody is known: node's own, and how many there may be. */
export function limitServer(server: Server, connections: number): void {
  server.maxConnections = connections;
  // Node drops the headers beyond its count in silence: one more than are taken shows that there were more.
  server.maxHeadersCount = mostHeaders + 1;
  server.headersTimeout = 15_000;
  // Node's clock for whole requests would end a large upload too; bodies have clocks of their own below.
  server.requestTimeout = 0;
}

/** Refuses what no honest client sends, before the body is read. */
export function limitRequests(app: FastifyInstance, { bodyMs, pauseMs } = usualTimes): void {
  app.removeContentTypeParser('text/plain');
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    const text = String(body);
    if (depthOf(text) > deepest)
      return done(invalid(`body: expected at most ${deepest} levels of lists and objects`));
    // The databases keep no NUL in text.
    if (text.includes('\\u0000')) return done(invalid('body: expected text without NUL'));
    parse(request, text, done);
  });
  app.addHook('onRequest', async (request, reply) => {
    checkHead(request);
    const { socket } = request.raw;
    // What is streamed to disk may last, and may not pause for long.
    if (/^application\/(offset\+)?octet-stream\b/i.test(request.headers['content-type'] ?? '')) {
      // Many such requests may come by one connection: each takes its listener away. Node sets the time anew for the next.
      const cut = () => socket.destroy();
      socket.setTimeout(pauseMs, cut);
      whenClosed(reply.raw, () => socket.off('timeout', cut));
      return;
    }
    const timer = setTimeout(() => request.raw.complete || socket.destroy(), bodyMs);
    whenClosed(reply.raw, () => clearTimeout(timer));
  });
}

function checkHead({ raw, url }: FastifyRequest): void {
  if (url.length > longestTarget) {
    throw Object.assign(new Error(`the target is longer than ${longestTarget} characters`), {
      statusCode: 414,
    });
  }
  if (raw.rawHeaders.length / 2 > mostHeaders) {
    throw Object.assign(new Error(`the request has more than ${mostHeaders} headers`), { statusCode: 431 });
  }
  if (/%00/.test(url)) throw invalid('expected a target without NUL');
  const seen = new Set<string>();
  for (let i = 0; i < raw.rawHeaders.length; i += 2) {
    const name = (raw.rawHeaders[i] ?? '').toLowerCase();
    if (seen.has(name) && once.has(name)) throw invalid(`headers: ${name}: expected it once`);
    seen.add(name);
  }
  const encoding = raw.headers['content-encoding'];
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    throw Object.assign(new Error('compressed bodies are not taken'), { statusCode: 415 });
  }
}

/** Levels of nesting of a JSON text, without parsing it. */
export function depthOf(text: string): number {
  let [depth, deepest, inText] = [0, 0, false];
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i);
    if (inText) {
      if (char === 0x5c) i++;
      else if (char === 0x22) inText = false;
    } else if (char === 0x22) inText = true;
    else if (char === 0x5b || char === 0x7b) deepest = Math.max(deepest, ++depth);
    else if (char === 0x5d || char === 0x7d) depth--;
  }
  return deepest;
}

function invalid(message: string): AiotError {
  return new AiotError('AIOT_REQUEST_INVALID', message);
}

/** Headers of every answer: nothing is to be guessed, framed or kept, and no other page may read it (no CORS). */
export function addSafetyHeaders(app: FastifyInstance): void {
  app.addHook('onSend', async (_request, reply) => {
    reply.header('x-content-type-options', 'nosniff');
    reply.header('referrer-policy', 'no-referrer');
    if (!reply.hasHeader('content-security-policy')) {
      reply.header('content-security-policy', "default-src 'none'; frame-ancestors 'none'");
    }
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store');
  });
}
