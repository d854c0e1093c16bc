import type { ServerResponse } from 'node:http';
import type { FastifyRequest } from 'fastify';
import * as z from 'zod';
import { AiotError } from '../../../core/errors.js';
import { onAbort } from '../../../core/tasks.js';
import { auditQuerySchema, listSchemas } from '../../../registry/api.js';
import {
  type EventFilter,
  eventPageSchema,
  eventQuerySchema,
  type PlatformEvent,
} from '../../../registry/events/api.js';
import { pageQuerySchema } from '../../../registry/page.js';
import {
  newWebhookSchema,
  removedWebhookSchema,
  webhookChangeSchema,
  webhookSchema,
  webhookSecretSchema,
  webhooksSchema,
  webhookTestSchema,
} from '../../../registry/webhooks/api.js';
import { type EventFeed, eventsAfter, extentOf, startOf } from '../../events/events.js';
import { created } from '../describe.js';
import type { Routes } from '../parts.js';

const usualPage = 100;

export const eventRoutes: Routes =
  ({ events, store, log }) =>
  async (app) => {
    app.get(
      '/events',
      {
        config: { endless: true, mayBeGone: true },
        schema: {
          summary: 'What changed, in order: server-sent events, or a page with Accept: application/json',
          querystring: eventQuerySchema,
          response: { 200: eventPageSchema },
        },
      },
      async (request, reply) => {
        const { type: types, subject, limit } = request.query;
        const after = await startOf(store, { ...request.query, ...lastEventOf(request) });
        if (!wantsPage(request)) {
          reply.hijack();
          await streamEvents(events.feed, { after, limit, types, subject }, reply.raw).catch(
            (err: unknown) => {
              log.warn({ err }, 'events could not be read on');
            },
          );
          return;
        }
        // Looked at first: what comes meanwhile is in the next page.
        const { latest } = await extentOf(store);
        const most = limit ?? usualPage;
        const found = await eventsAfter(store, { after, limit: most + 1, types, subject });
        const page = found.slice(0, most);
        const more = found.length > most;
        const last = more ? (page.at(-1)?.id ?? after) : Math.max(after, latest, page.at(-1)?.id ?? 0);
        return { events: page, next: more ? String(last) : null, last };
      },
    );
  };

function wantsPage({ headers }: FastifyRequest): boolean {
  const { accept = '' } = headers;
  return accept.includes('application/json') && !accept.includes('text/event-stream');
}

/** A client that comes back says how far it was: that counts, and not where it began. @throws AIOT_REQUEST_INVALID */
function lastEventOf({ headers }: FastifyRequest): { after?: number } {
  const id = headers['last-event-id'];
  if (id === undefined || id === '') return {};
  if (typeof id === 'string' && /^\d{1,15}$/.test(id)) return { after: Number(id) };
  throw new AiotError('AIOT_REQUEST_INVALID', 'headers: last-event-id: expected the id of an event');
}

const params = z.object({ id: z.string().max(100) });

/** Addresses may hold secrets of others. */
const config = { access: 'operator' } as const;

export const webhookRoutes: Routes =
  ({ webhooks }) =>
  async (app) => {
    app.get(
      '/webhooks',
      {
        config,
        schema: { summary: 'Webhooks', querystring: pageQuerySchema, response: { 200: webhooksSchema } },
      },
      ({ query }) => webhooks.list(query),
    );

    app.get(
      '/webhooks/:id',
      { config, schema: { summary: 'One webhook', params, response: { 200: webhookSchema } } },
      ({ params }) => webhooks.get(params.id),
    );

    app.post(
      '/webhooks',
      {
        config,
        schema: {
          summary: 'Send events to a URL, signed; the secret is told once',
          body: newWebhookSchema,
          response: { 201: webhookSecretSchema },
        },
      },
      async ({ body, who }, reply) => {
        const added = await webhooks.add(body, who);
        return created(reply, 'webhooks', added.webhook.id).send(added);
      },
    );

    app.patch(
      '/webhooks/:id',
      {
        config,
        schema: {
          summary: 'Change a webhook, or enable it again',
          params,
          body: webhookChangeSchema,
          response: { 200: webhookSchema },
        },
      },
      ({ params, body, who }) => webhooks.change(params.id, body, who),
    );

    app.post(
      '/webhooks/:id/secret',
      {
        config,
        schema: {
          summary: 'Give it another secret, told once',
          params,
          response: { 200: webhookSecretSchema },
        },
      },
      ({ params, who }) => webhooks.rotate(params.id, who),
    );

    app.post(
      '/webhooks/:id/test',
      {
        config,
        schema: { summary: 'Send it a test now', params, response: { 200: webhookTestSchema } },
      },
      ({ params, who }, reply) => {
        const ended = new AbortController();
        reply.raw.once('close', () => ended.abort());
        return webhooks.test(params.id, who, ended.signal);
      },
    );

    app.delete(
      '/webhooks/:id',
      {
        config,
        schema: { summary: 'Remove a webhook', params, response: { 200: removedWebhookSchema } },
      },
      ({ params, who }) => webhooks.remove(params.id, who),
    );
  };

export const auditRoutes: Routes =
  ({ events }) =>
  async (app) => {
    app.get(
      '/audit',
      {
        schema: {
          summary: 'Who did what, newest first',
          querystring: auditQuerySchema,
          response: { 200: listSchemas.audit },
        },
      },
      async ({ query }) => events.audit(query),
    );
  };

/** A comment now and then keeps a connection from looking dead, and tells the client how far the log was looked at, ms. */
const heartbeatMs = 15_000;

/** A client that takes nothing for so long is cut off: it comes back and goes on where it stood, ms. */
const drainPatienceMs = 30_000;

/** How soon a client that lost its connection is to come back, ms. */
const retryMs = 2000;

interface StreamOptions extends EventFilter {
  /** Id behind which it begins. */
  after: number;
  /** End after so many. */
  limit?: number | undefined;
}

/**
 * Server-sent events of the log, as long as the client takes them (HTML standard, 9.2). Nothing is held for a client that is slow:
 * what it has not taken is read again when it does.
 */
async function streamEvents(
  feed: EventFeed,
  { after, limit = Number.POSITIVE_INFINITY, ...filter }: StreamOptions,
  response: ServerResponse,
): Promise<void> {
  const ended = new AbortController();
  response.on('close', () => ended.abort());
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  });
  let position = after;
  let left = limit;
  // The place is told before anything has happened: who is cut off at once begins there again.
  response.write(`retry: ${retryMs}\nid: ${position}\n\n`);
  const beat = setInterval(() => {
    if (!response.writableNeedDrain) response.write(`: still here\nid: ${position}\n\n`);
  }, heartbeatMs);
  try {
    for await (const { events, last } of feed.follow(after, ended.signal, filter)) {
      for (const event of events) {
        if (!response.write(frameOf(event)) && !(await drained(response, ended.signal))) return;
        position = event.id;
        if (--left <= 0) return;
      }
      position = last;
    }
  } finally {
    clearInterval(beat);
    response.end();
    // One that takes nothing would never see the end.
    if (response.writableNeedDrain) response.destroy();
  }
}

/** Made once, however many listen. */
const frames = new WeakMap<PlatformEvent, string>();

function frameOf(event: PlatformEvent): string {
  const frame = frames.get(event) ?? `id: ${event.id}\ndata: ${JSON.stringify(event)}\n\n`;
  frames.set(event, frame);
  return frame;
}

/** Whether the client takes more within its time. */
function drained(response: ServerResponse, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (taken: boolean) => {
      clearTimeout(timer);
      response.off('drain', onDrain);
      leave();
      resolve(taken);
    };
    const onDrain = () => end(true);
    const timer = setTimeout(() => end(false), drainPatienceMs);
    response.on('drain', onDrain);
    const leave = onAbort(signal, () => end(false));
  });
}
