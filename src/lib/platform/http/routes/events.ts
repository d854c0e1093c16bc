import type { FastifyRequest } from 'fastify';
import { AiotError } from '../../../core/index.js';
import { eventPageSchema, eventQuerySchema } from '../../../registry/index.js';
import { eventsAfter, extentOf, startOf } from '../../events/read.js';
import { streamEvents } from '../../events/stream.js';
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
