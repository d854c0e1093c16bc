import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import type { Answers, Pending } from '../access/answers.js';
import { whenClosed } from '../listen.js';
import { tokenOf } from './auth.js';
import { sendProblem } from './errors.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** The request's Idempotency-Key while it is being processed; null = none. */
    pending: (Pending & { end: () => void }) | null;
  }
}

const methods = new Set(['POST', 'DELETE', 'PATCH']);

/** Response headers that describe the outcome and are therefore included in replays. */
const telling = ['etag', 'location', 'upload-expires', 'upload-offset'];

/**
 * A POST, DELETE or PATCH with an Idempotency-Key is carried out once. Repeats get the first response, even if the
 * first request is still in progress or the platform was restarted. Streamed bodies are excluded, because their content
 * determines the name under which they are stored.
 */
export function answerRepeats(app: FastifyInstance, answers: Answers, log: Logger): void {
  app.decorateRequest('pending', null);
  app.addHook('preHandler', async (request, reply) => {
    const pending = pendingOf(request);
    if (pending === null) return;
    const found = await answers.begin(pending);
    if (typeof found === 'function') {
      request.pending = { ...pending, end: found };
      whenClosed(reply.raw, found);
      return;
    }
    if (found.request !== pending.request) {
      throw new AiotError(
        'AIOT_IDEMPOTENCY_REUSED',
        `the Idempotency-Key ${pending.key} was used by another request`,
      );
    }
    if (found.status === 0) return sendProblem(reply, lost(pending), 409);
    reply.headers({ ...found.headers, 'idempotency-replayed': 'true' }).status(found.status);
    if (found.body !== '') reply.type('application/json; charset=utf-8');
    return reply.send(found.body);
  });
  app.addHook('preHandler', (request, _reply, done) => {
    if (request.pending) answers.during(request.pending, done);
    else done();
  });
  app.addHook('onSend', async (request, reply, payload) => {
    const { pending } = request;
    if (pending === null) return;
    request.pending = null;
    if (payload === undefined || payload === null || typeof payload === 'string')
      await keep(pending, reply, payload ?? '');
    pending.end();
  });
  const keep = async (pending: Pending, reply: FastifyReply, body: string) => {
    try {
      const told = telling.flatMap((name) => {
        const value = reply.getHeader(name);
        return value === undefined ? [] : [[name, String(value)]];
      });
      const headers = Object.fromEntries(told) as Record<string, string>;
      await answers.finish(pending, { status: reply.statusCode, body, headers });
    } catch (err) {
      log.error({ err }, 'could not store a response for repeated requests');
    }
  };
}

function pendingOf(request: FastifyRequest): Pending | null {
  if (request.routeOptions.config.ownRepeats || !methods.has(request.method) || request.who === 'nobody')
    return null;
  const key = idempotencyKeyOf(request);
  if (key === null) return null;
  const { body, method, url, who } = request;
  const plain = body === undefined || body === null || Object.getPrototypeOf(body) === Object.prototype;
  if (!plain) return null;
  const asked = sha256Hex(`${method}\n${url}\n${JSON.stringify(body ?? null)}`);
  return { who, key, request: asked, secret: request.user ? tokenOf(request) : null };
}

/** The request's Idempotency-Key; null = none. @throws AIOT_REQUEST_INVALID */
export function idempotencyKeyOf({ headers }: Pick<FastifyRequest, 'headers'>): string | null {
  const key = headers['idempotency-key'];
  if (key === undefined) return null;
  if (typeof key !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(key)) {
    throw new AiotError(
      'AIOT_REQUEST_INVALID',
      'headers: idempotency-key: expected 1 to 255 visible characters',
    );
  }
  return key;
}

function lost({ key }: Pending): AiotError {
  return new AiotError(
    'AIOT_IDEMPOTENCY_REUSED',
    `the request with the key ${key} was completed, but its response is lost`,
    {
      next: 'Read the resource: the change has been made.',
    },
  );
}
