import type { Server } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { AiotError } from '../../core/errors.js';
import { whenClosed } from '../listen.js';

/** Largest JSON body, bytes; routes that accept more declare it. */
export const largestBody = 1024 ** 2;

/** Maximum sizes of a request's head, bytes, and of the request target, characters. */
export const largestHead = 16 * 1024;

export const longestTarget = 8192;

/** Maximum number of request headers. */
const mostHeaders = 100;

/** Maximum nesting depth of objects and lists; our own bodies have at most 12 levels. */
export const deepest = 32;

/** Time limits, ms: for receiving a body that is parsed, and for a pause in a streamed body. */
const usualTimes = { bodyMs: 30_000, pauseMs: 60_000 };

/** Headers that affect handling. If one is repeated, two programs could interpret the request differently. */
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

/** Limits the number of connections, and the resources that each can use before authentication. */
export function limitServer(server: Server, connections: number): void {
  server.maxConnections = connections;
  // Node silently drops headers beyond this number; allowing one more reveals that there were too many.
  server.maxHeadersCount = mostHeaders + 1;
  server.headersTimeout = 15_000;
  // Node's timeout for whole requests would end a large upload too; bodies have their own timeouts below.
  server.requestTimeout = 0;
}

/**
 * Rejects malformed heads before the body is read, and JSON that is nested too deeply or contains NUL. Disconnects clients that send too
 * slowly.
 */
export function limitRequests(app: FastifyInstance, { bodyMs, pauseMs } = usualTimes): void {
  app.removeContentTypeParser('text/plain');
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    const text = String(body);
    if (depthOf(text) > deepest)
      return done(invalid(`body: expected at most ${deepest} levels of lists and objects`));
    // The databases cannot store NUL in text.
    if (text.includes('\\u0000')) return done(invalid('body: expected text without NUL characters'));
    void parse(request, text, done);
  });
  app.addHook('onRequest', async (request, reply) => {
    checkHead(request);
    const { socket } = request.raw;
    // A body streamed to disk may take long, but must not pause for long.
    if (/^application\/(offset\+)?octet-stream\b/i.test(request.headers['content-type'] ?? '')) {
      // A connection may carry many such requests, so each request removes its listener. Node resets the timeout for
      // the next request.
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
  if (/%00/.test(url)) throw invalid('expected a target without NUL characters');
  const seen = new Set<string>();
  for (let i = 0; i < raw.rawHeaders.length; i += 2) {
    const name = (raw.rawHeaders[i] ?? '').toLowerCase();
    if (seen.has(name) && once.has(name)) throw invalid(`headers: ${name}: expected a single value`);
    seen.add(name);
  }
  const encoding = raw.headers['content-encoding'];
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    throw Object.assign(new Error('compressed bodies are not supported'), { statusCode: 415 });
  }
}

/** Nesting depth of a JSON text, determined without parsing it. */
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

/** Default headers of every response: no type sniffing, framing or caching, and no access from other origins (no CORS). */
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
