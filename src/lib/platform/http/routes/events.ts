import type { ServerResponse } from 'node:http';
import type { FastifyRequest } from 'fastify';
import { contract } from '../../../api/contract/contract.js';
import type { EventFilter, PlatformEvent } from '../../../api/events/api.js';
import { AiotError } from '../../../core/errors.js';
import { onAbort } from '../../../core/tasks.js';
import { concerns, type Reach } from '../../access/reach.js';
import {
  beforeNewestVisible,
  type EventFeed,
  eventsAfter,
  extentOf,
  startOf,
  visibleEvents,
  wants,
} from '../../events/events.js';
import type { Routes } from '../parts.js';
import { reachFor, serve } from '../serve.js';

const usualPage = 100;

export const eventRoutes: Routes =
  ({ events, store, log }) =>
  async (app) => {
    serve(app, contract.events, {
      page: async (request, reply) => {
        const { type: types, subject, limit, newest } = request.query;
        const reach = reachFor(request.user);
        const start = { ...request.query, ...lastEventOf(request) };
        const sees = (event: PlatformEvent) => concerns(reach, event);
        const isNewest = newest !== undefined && start.after === undefined && start.from === undefined;
        const after =
          reach !== null && isNewest
            ? await beforeNewestVisible(store, { newest, types, subject }, sees)
            : await startOf(store, start);
        if (!wantsPage(request)) {
          reply.hijack();
          await streamEvents(events.feed, { after, limit, types, subject, reach }, reply.raw).catch(
            (err: unknown) => {
              log.warn({ err }, 'could not continue reading events');
            },
          );
          return reply;
        }
        const most = limit ?? usualPage;
        if (reach !== null) {
          const page = await visibleEvents(store, { after, limit: most, types, subject }, sees);
          return { events: page.events, next: page.more ? String(page.last) : null, last: page.last };
        }
        // The extent is read first, so that events that arrive meanwhile are in the next page.
        const { latest } = await extentOf(store);
        const found = await eventsAfter(store, { after, limit: most + 1, types, subject });
        const page = found.slice(0, most);
        const more = found.length > most;
        const last = more ? (page.at(-1)?.id ?? after) : Math.max(after, latest, page.at(-1)?.id ?? 0);
        return { events: page, next: more ? String(last) : null, last };
      },
    });
  };

function wantsPage({ headers }: FastifyRequest): boolean {
  const { accept = '' } = headers;
  return accept.includes('application/json') && !accept.includes('text/event-stream');
}

/** The position in a reconnecting client's header, which overrides the original start. @throws AIOT_REQUEST_INVALID */
function lastEventOf({ headers }: FastifyRequest): { after?: number } {
  const id = headers['last-event-id'];
  if (id === undefined || id === '') return {};
  if (typeof id === 'string' && /^\d{1,15}$/.test(id)) return { after: Number(id) };
  throw new AiotError('AIOT_REQUEST_INVALID', 'headers: last-event-id: expected the id of an event');
}

export const webhookRoutes: Routes =
  ({ webhooks }) =>
  async (app) =>
    serve(app, contract.webhooks, {
      list: ({ query }) => webhooks.list(query),
      get: ({ params }) => webhooks.get(params.id),
      add: ({ body, who }) => webhooks.add(body, who),
      change: ({ params, body, who }) => webhooks.change(params.id, body, who),
      rotate: ({ params, who }) => webhooks.rotate(params.id, who),
      test: ({ params, who }, reply) => webhooks.test(params.id, who, closed(reply)),
      remove: ({ params, who }) => webhooks.remove(params.id, who),
    });

export const alarmTargetRoutes: Routes =
  ({ alarmTargets }) =>
  async (app) =>
    serve(app, contract.alarmTargets, {
      list: () => alarmTargets.list(),
      add: ({ body, who }) => alarmTargets.add(body, who),
      apply: ({ body, who }) => alarmTargets.apply(body, who),
      test: ({ params }, reply) => alarmTargets.test(params.name, closed(reply)),
      remove: ({ params, who }) => alarmTargets.remove(params.name, who),
    });

export const alarmRoutes: Routes =
  ({ alarms, fleet }) =>
  async (app) =>
    serve(app, contract.alarms, {
      list: ({ query, user }) => alarms.list(query, reachFor(user)),
      get: ({ params, user }) => alarms.get(params.name, reachFor(user)),
      create: ({ body, who }) => alarms.create(body, who),
      apply: ({ body, who }) => alarms.apply(body, who),
      replace: ({ params, body, who }) => alarms.replace(params.name, body, who),
      acknowledge: ({ params, body: { selector, note }, who, user }) => {
        const devices = fleet.chosen(selector, reachFor(user));
        return alarms.acknowledge(params.name, { selector, devices, note }, who, reachFor(user));
      },
      silence: ({ params, body, who }) => alarms.silence(params.name, body, who),
      test: ({ params, body }, reply) => alarms.test(params.name, body.sinceMs, closed(reply)),
      remove: ({ params, who }) => alarms.remove(params.name, who),
    });

export const auditRoutes: Routes =
  ({ audit, events }) =>
  async (app) =>
    serve(app, contract.audit, {
      list: ({ query }) => events.audit(query),
      log: ({ query }) => audit.log(query),
    });

/** Is aborted when the connection of the request ends. */
function closed(reply: { raw: ServerResponse }): AbortSignal {
  const ended = new AbortController();
  reply.raw.once('close', () => ended.abort());
  return ended.signal;
}

/** Interval of the comments that keep a connection alive, and contain the id up to which the log was searched, ms. */
const heartbeatMs = 15_000;

/**
 * How long a client may read nothing before it is disconnected, ms. The client can reconnect and continue from its
 * position.
 */
const drainPatienceMs = 30_000;

/** Reconnection delay for a client that lost its connection, ms. */
const retryMs = 2000;

interface StreamOptions extends EventFilter {
  /** Id after which the stream begins. */
  after: number;
  /** Number of events after which the stream ends. */
  limit?: number | undefined;
  /** Devices whose events are sent; null = all events are sent. */
  reach: Reach | null;
}

/**
 * Sends the log as server-sent events, at the client's pace (HTML standard, 9.2). Nothing is buffered for a slow
 * client; further events are read from the log only when the client is ready.
 */
async function streamEvents(
  feed: EventFeed,
  { after, limit = Number.POSITIVE_INFINITY, reach, ...filter }: StreamOptions,
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
  // The position is sent first, so that a client that is disconnected immediately continues there.
  response.write(`retry: ${retryMs}\nid: ${position}\n\n`);
  const beat = setInterval(() => {
    if (!response.writableNeedDrain) response.write(`: still here\nid: ${position}\n\n`);
  }, heartbeatMs);
  // For a limited user, the feed does not apply the filter. Otherwise, positions would reveal whether hidden events match it.
  const isWanted = reach === null ? () => true : wants(filter);
  try {
    for await (const { events, last } of feed.follow(after, ended.signal, reach === null ? filter : {})) {
      for (const event of events) {
        if (!concerns(reach, event) || !isWanted(event)) continue;
        if (!response.write(frameOf(event)) && !(await drained(response, ended.signal))) return;
        position = event.id;
        if (--left <= 0) return;
      }
      position = last;
    }
  } finally {
    clearInterval(beat);
    response.end();
    // A client that is not reading would not notice the end of the response, so the connection is closed.
    if (response.writableNeedDrain) response.destroy();
  }
}

/** Caches an event's frame, so that it is encoded once for all listeners. */
const frames = new WeakMap<PlatformEvent, string>();

function frameOf(event: PlatformEvent): string {
  const frame = frames.get(event) ?? `id: ${event.id}\ndata: ${JSON.stringify(event)}\n\n`;
  frames.set(event, frame);
  return frame;
}

/** Whether the client is ready for more within the time limit. */
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
