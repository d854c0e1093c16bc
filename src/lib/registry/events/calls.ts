import { AiotError } from '../../core/errors.js';
import { type Clock, systemClock } from '../../core/time.js';
import { errorOfTransport } from '../errors.js';
import { sentEvents } from '../sse.js';
import type { Transport } from '../transport.js';
import { type EventFilter, type EventPage, eventPageSchema, eventSchema, type PlatformEvent } from './api.js';

export interface EventsQuery extends EventFilter {
  /** Id of the last one that is known: those behind it. 0 = from the oldest that is kept. */
  from?: number | 'now' | undefined;
  /** Instead: so many of the newest, and what follows. */
  newest?: number | undefined;
  limit?: number | undefined;
}

export interface FollowOptions extends Omit<EventsQuery, 'limit'> {
  signal?: AbortSignal;
  /** Attempts that may fail, one after the other, before it gives up; default: for ever. */
  retries?: number;
  /** Connection lost and found again. */
  onState?: (state: 'connected' | 'disconnected') => void;
  clock?: Clock;
}

/** Silence after which a connection is taken for dead, ms: the platform says something every 15 s. */
const silenceMs = 45_000;
const longestPauseMs = 5000;

export function eventCalls(transport: Transport) {
  return {
    /** Oldest first. @throws AIOT_EVENTS_GONE when `from` is older than what is kept */
    page: (query: EventsQuery = {}): Promise<EventPage> =>
      transport.json('GET', `/events${queryOf(query)}`, eventPageSchema),
    /** All of them, each once and in order, over breaks of the connection and restarts of the platform. @throws AIOT_EVENTS_GONE */
    follow: (options: FollowOptions) => follow(transport, options),
  };
}

async function* follow(transport: Transport, options: FollowOptions): AsyncGenerator<PlatformEvent> {
  const {
    signal,
    retries = Number.POSITIVE_INFINITY,
    onState,
    clock = systemClock,
    types,
    subject,
  } = options;
  let start: Pick<EventsQuery, 'from' | 'newest'> = { from: options.from, newest: options.newest };
  for (let broken = 0; ; ) {
    try {
      const answer = await transport.call('GET', `/events${queryOf({ types, subject, ...start })}`, {
        headers: { accept: 'text/event-stream' },
        bodyTimeoutMs: silenceMs,
        ...(signal ? { signal } : {}),
      });
      if (broken > 0) onState?.('connected');
      for await (const { id, data } of sentEvents(answer.body)) {
        broken = 0;
        if (data !== null) yield eventSchema.parse(JSON.parse(data));
        if (id !== null) start = { from: Number(id) };
      }
      throw new AiotError('AIOT_PLATFORM_UNREACHABLE', 'the platform ended the events', {
        endpoint: transport.url,
        retryable: true,
      });
    } catch (error) {
      signal?.throwIfAborted();
      const told = errorOfTransport(error, transport.url);
      if (!told.retryable || broken >= retries) throw told;
      if (broken === 0) onState?.('disconnected');
      broken++;
      await clock.sleep(Math.min(longestPauseMs, 250 * 2 ** Math.min(broken, 6)), signal);
    }
  }
}

function queryOf({ from, newest, limit, types, subject }: EventsQuery): string {
  const query = new URLSearchParams();
  if (newest !== undefined) query.set('newest', String(newest));
  if (from !== undefined) query.set('from', String(from));
  if (limit !== undefined) query.set('limit', String(limit));
  if (types && types.length > 0) query.set('type', types.join(','));
  if (subject !== undefined) query.set('subject', subject);
  return query.size === 0 ? '' : `?${query}`;
}
