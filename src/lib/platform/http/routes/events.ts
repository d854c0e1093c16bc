import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { AiotError } from '../../../core/index.js';
import {
  auditQuerySchema,
  eventPageSchema,
  eventQuerySchema,
  listSchemas,
  newWebhookSchema,
  pageQuerySchema,
  removedWebhookSchema,
  webhookChangeSchema,
  webhookSchema,
  webhookSecretSchema,
  webhooksSchema,
  webhookTestSchema,
} from '../../../registry/index.js';
import { eventsAfter, extentOf, startOf } from '../../events/events.js';
import { streamEvents } from '../../events/feed.js';
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
