import { AiotError } from '../core/errors.js';
import { backOffMs, type Clock, systemClock } from '../core/time.js';
import type { RegistryClient } from './client.js';
import { contract } from './contract/contract.js';
import { pathOf, queryOf } from './contract/endpoint.js';
import { hasJobEnded, type Job, jobSchema } from './contract/jobs.js';
import { errorOfTransport } from './errors.js';
import { type EventFilter, eventSchema, type PlatformEvent } from './events/api.js';
import { type RolloutNews, rolloutHasEnded, rolloutNewsSchema } from './rollouts/schema.js';
import type { Transport } from './transport.js';

export interface EventsQuery extends EventFilter {
  /** Id of the last known event; output begins after it. 0 = begin with the oldest available event. */
  from?: number | 'now' | undefined;
  /** Number of newest events to start with, instead of an id. */
  newest?: number | undefined;
  limit?: number | undefined;
}

export interface FollowOptions extends Omit<EventsQuery, 'limit'>, Reconnecting {}

/** How a client follows something across broken connections. */
export interface Reconnecting {
  signal?: AbortSignal;
  /** Maximum number of consecutive failed attempts; default: unlimited. */
  retries?: number;
  /** Called when the connection is lost or re-established. */
  onState?: (state: 'connected' | 'disconnected') => void;
  clock?: Clock;
}

/** Silence after which a connection is considered lost, ms. The platform sends something every 15 s. */
export const silenceMs = 45_000;
export const longestPauseMs = 5000;

/**
 * Yields all events in order, each exactly once, across broken connections and restarts of the platform.
 * @throws AIOT_EVENTS_GONE and other errors that no retry fixes; after `retries` attempts, AIOT_PLATFORM_UNREACHABLE
 */
export async function* followEvents(
  transport: Transport,
  options: FollowOptions,
): AsyncGenerator<PlatformEvent> {
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
      const answer = await transport.call(
        'GET',
        `/events${queryOf(eventsQuery({ types, subject, ...start }))}`,
        {
          headers: { accept: 'text/event-stream' },
          bodyTimeoutMs: silenceMs,
          ...(signal ? { signal } : {}),
        },
      );
      if (broken > 0) onState?.('connected');
      for await (const { id, data } of sentEvents(answer.body)) {
        broken = 0;
        if (data !== null) yield eventSchema.parse(JSON.parse(data));
        if (id !== null) start = { from: Number(id) };
      }
      throw new AiotError('AIOT_PLATFORM_UNREACHABLE', 'the platform closed the event stream', {
        endpoint: transport.url,
        retryable: true,
      });
    } catch (error) {
      signal?.throwIfAborted();
      const told = errorOfTransport(error, transport.url);
      if (!told.retryable || broken >= retries) throw told;
      if (broken === 0) onState?.('disconnected');
      broken++;
      await clock.sleep(backOffMs(broken, 500, longestPauseMs), signal);
    }
  }
}

/** The query as sent to the platform. */
export function eventsQuery({ from, newest, limit, types, subject }: EventsQuery) {
  const type = types && types.length > 0 ? [...types] : undefined;
  return { newest, from, limit, type, subject };
}

export interface WaitOptions {
  signal?: AbortSignal | undefined;
  timeoutMs?: number | undefined;
  /** Called with the job's state now, and after each change. */
  onProgress?: (job: Job) => void;
  clock?: Clock;
}

/** Waits until a job has ended, across broken connections and restarts of the platform. @throws AIOT_TIMEOUT, AIOT_NOT_FOUND */
export async function waitForJob(transport: Transport, id: string, options: WaitOptions = {}): Promise<Job> {
  const { timeoutMs, onProgress, clock = systemClock } = options;
  const late = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
  const signal = AbortSignal.any([options.signal, late].filter((one) => one !== undefined));
  for (let broken = 0; ; broken++) {
    try {
      const answer = await transport.call('GET', pathOf(contract.jobs.events, [id]), {
        headers: { accept: 'text/event-stream' },
        bodyTimeoutMs: silenceMs,
        signal,
      });
      for await (const data of eventData(answer.body)) {
        const job = jobSchema.parse(JSON.parse(data));
        broken = 0;
        onProgress?.(job);
        if (hasJobEnded(job)) return job;
      }
    } catch (error) {
      if (late?.aborted) throw new AiotError('AIOT_TIMEOUT', `the job did not end within ${timeoutMs} ms`);
      signal.throwIfAborted();
      const told = errorOfTransport(error, transport.url);
      if (!told.retryable) throw told;
    }
    await clock.sleep(backOffMs(broken + 1, 250, 5000), signal).catch(() => {});
  }
}

export interface WatchOptions {
  signal?: AbortSignal;
  /** Maximum number of consecutive broken connections. */
  retries?: number;
  clock?: Clock;
}

/** Yields the rollout's state now, and after each change until it ends. Reconnects after a broken connection. */
export async function* watchRollout(
  transport: Transport,
  id: string,
  options: WatchOptions = {},
): AsyncGenerator<RolloutNews> {
  const { signal, retries = 5, clock = systemClock } = options;
  for (let broken = 0; ; broken++) {
    try {
      const answer = await transport.call('GET', pathOf(contract.rollouts.events, [id]), {
        headers: { accept: 'text/event-stream' },
        bodyTimeoutMs: 60_000,
        ...(signal ? { signal } : {}),
      });
      for await (const data of eventData(answer.body)) {
        const news = rolloutNewsSchema.parse(JSON.parse(data));
        broken = 0;
        yield news;
        if (rolloutHasEnded(news.rollout)) return;
      }
      throw new AiotError('AIOT_PLATFORM_UNREACHABLE', 'the events of the rollout ended early', {
        endpoint: transport.url,
        retryable: true,
      });
    } catch (error) {
      signal?.throwIfAborted();
      const told = errorOfTransport(error, transport.url);
      if (!told.retryable || broken >= retries) throw told;
      await clock.sleep(500 * (broken + 1), signal);
    }
  }
}

/** One server-sent event. `id` is the position after the event. An event without data only reports the position. */
export interface SentEvent {
  id: string | null;
  data: string | null;
}

/** Maximum length of an event, characters. No event of the API is longer. */
const longestEvent = 4 * 1024 * 1024;

/**
 * Parses server-sent events (HTML standard, 9.2.6 "Interpreting an event stream"). The platform uses neither names nor retry times;
 * comments are heartbeats.
 * @throws AIOT_PLATFORM_FAILED for an event that is too long, or that never ends
 */
export async function* sentEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<SentEvent> {
  const decoder = new TextDecoder();
  let rest = '';
  let data: string[] = [];
  let id: string | null = null;
  let news = false;
  let length = 0;
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true });
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line === '') {
        if (news) yield { id, data: data.length > 0 ? data.join('\n') : null };
        data = [];
        news = false;
        length = 0;
      } else if (line.startsWith('data:')) {
        length += line.length;
        data.push(line.slice(line[5] === ' ' ? 6 : 5));
        news = true;
      } else if (line.startsWith('id:')) {
        id = line.slice(line[3] === ' ' ? 4 : 3);
        news = true;
      }
    }
    if (rest.length + length > longestEvent)
      throw new AiotError('AIOT_PLATFORM_FAILED', `an event is longer than ${longestEvent} characters`);
  }
}

/** Yields only the data of the events. */
export async function* eventData(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  for await (const { data } of sentEvents(body)) if (data !== null) yield data;
}

export interface StartJobOptions extends WaitOptions {
  kind: string;
  request: Record<string, unknown>;
  wait: boolean;
}

/** Starts a job and optionally waits until it has ended. @throws AIOT_REQUEST_INVALID, AIOT_TIMEOUT */
export async function startJob(
  client: Pick<RegistryClient, 'jobs'>,
  { kind, request, wait, ...options }: StartJobOptions,
): Promise<Job> {
  const job = await client.jobs.create({ kind, request });
  return wait ? client.jobs.wait(job.id, options) : job;
}
