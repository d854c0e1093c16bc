import { AiotError } from '../../core/errors.js';
import { plural } from '../../core/figures.js';
import { formatDuration } from '../../core/time.js';
import type { RegistryClient } from '../client.js';
import type { EventsQuery } from '../streams.js';
import type { EventFilter, EventPage, PlatformEvent } from './api.js';

export interface TailOptions extends EventFilter {
  /** Id of the last known event; output begins after it. Absent = begin with some of the newest events. */
  from?: number | 'now' | undefined;
  /** Number of events after which the output ends. */
  count?: number | undefined;
  /** Whether to wait for future events. If not, the output ends at the end of the log, unless `count` is set. */
  follow: boolean;
  timeoutMs?: number | undefined;
  signal?: AbortSignal;
  onState?: (state: 'connected' | 'disconnected') => void;
}

/** Number of newest events shown by default. */
const newest = 20;

/**
 * Shows events, oldest first. Returns the number of events shown.
 * @throws AIOT_EVENTS_GONE if `from` is older than the oldest available event, AIOT_TIMEOUT, and errors of the client's calls
 */
export async function tailEvents(
  client: Pick<RegistryClient, 'events'>,
  options: TailOptions,
  show: (event: PlatformEvent) => void,
): Promise<number> {
  const { types, subject, from, count, follow, timeoutMs, onState } = options;
  const late = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
  const signal = AbortSignal.any([options.signal, late].filter((one) => one !== undefined));
  const query = { types, subject, ...(from === undefined ? { newest } : { from }) };
  const endless = follow || count !== undefined || from === 'now';
  const events = endless
    ? client.events.follow({ ...query, signal, ...(onState ? { onState } : {}) })
    : everyEvent(client, query);
  let shown = 0;
  try {
    for await (const event of events) {
      show(event);
      if (++shown === count) break;
    }
  } catch (error) {
    // Ctrl-C is the normal end of an endless stream.
    if (options.signal?.aborted && count === undefined) return shown;
    if (!late?.aborted) throw error;
    const wanted = count === undefined ? '' : ` of ${count}`;
    const time = formatDuration(timeoutMs ?? 0);
    throw new AiotError(
      'AIOT_TIMEOUT',
      `the time limit of ${time} was reached after ${plural(shown, 'event')}${wanted}`,
    );
  }
  return shown;
}

/** All available events, oldest first. */
export async function* everyEvent(
  client: Pick<RegistryClient, 'events'>,
  query: EventsQuery,
): AsyncGenerator<PlatformEvent> {
  for (let next: EventsQuery | null = query; next !== null; ) {
    const page: EventPage = await client.events.page({ ...next, limit: 1000 });
    yield* page.events;
    const { types, subject } = query;
    next = page.next === null ? null : { types, subject, from: page.last };
  }
}
