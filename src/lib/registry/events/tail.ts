import { AiotError } from '../../core/errors.js';
import { plural } from '../../core/figures.js';
import { formatDuration } from '../../core/time.js';
import type { RegistryClient } from '../client.js';
import type { EventFilter, EventPage, PlatformEvent } from './api.js';
import type { EventsQuery } from './calls.js';

export interface TailOptions extends EventFilter {
  /** Id of the last one that is known; absent = the newest few, and what follows. */
  from?: number | 'now' | undefined;
  /** End after so many. */
  count?: number | undefined;
  /** Go on with those to come; without it, it ends where the log ends, unless there is a `count`. */
  follow: boolean;
  timeoutMs?: number | undefined;
  signal?: AbortSignal;
  onState?: (state: 'connected' | 'disconnected') => void;
}

/** How many of the newest are shown where nobody says from where on. */
const newest = 20;

/**
 * Shows events oldest first. Returns how many.
 * @throws AIOT_EVENTS_GONE when `from` is older than what is kept, AIOT_TIMEOUT, and what the client's calls throw
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
    // Ctrl-C is how one that has no end is ended.
    if (options.signal?.aborted && count === undefined) return shown;
    if (!late?.aborted) throw error;
    const wanted = count === undefined ? '' : ` of ${count}`;
    const time = formatDuration(timeoutMs ?? 0);
    throw new AiotError('AIOT_TIMEOUT', `${time} were over after ${plural(shown, 'event')}${wanted}`);
  }
  return shown;
}

/** Those that are kept, oldest first. */
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
