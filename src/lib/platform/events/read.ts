import { AiotError } from '../../core/index.js';
import type { EventFilter, EventQuery, PlatformEvent } from '../../registry/index.js';
import type { Store } from '../store/database.js';
import type { Schema } from '../store/schema.js';
import { wanted } from './filter.js';

/** Name of the cursor that says up to which id events were deleted. */
export const prunedCursor = 'pruned';

/** What there is: ids above `pruned` up to `latest`. Both 0 in a log that is new. */
export interface Extent {
  pruned: number;
  latest: number;
}

export async function extentOf(store: Store): Promise<Extent> {
  const row = await store
    .selectFrom('cursors')
    .select('position')
    .where('name', '=', prunedCursor)
    .executeTakeFirst();
  const pruned = Number(row?.position ?? 0);
  const newest = await store
    .selectFrom('events')
    .select('id')
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst();
  return { pruned, latest: Math.max(pruned, Number(newest?.id ?? 0)) };
}

/** At most `limit` of those behind an id, oldest first. */
export async function eventsAfter(
  store: Store,
  { after, limit, ...filter }: EventFilter & { after: number; limit: number },
): Promise<PlatformEvent[]> {
  const rows = await store
    .selectFrom('events')
    .selectAll()
    .where('id', '>', after)
    .where((is) => wanted(is, filter))
    .orderBy('id')
    .limit(limit)
    .execute();
  return rows.map(eventOf);
}

/**
 * The id behind which a reader begins; 0 = the oldest that is kept, whatever was before it.
 * @throws AIOT_EVENTS_GONE for an id whose followers were deleted, or that this log never had
 */
export async function startOf(
  store: Store,
  { from, after, newest, type, subject }: Omit<EventQuery, 'limit'>,
): Promise<number> {
  const { pruned, latest } = await extentOf(store);
  const asked = after ?? from;
  if (asked === undefined)
    return newest === undefined ? pruned : beforeNewest(store, { types: type, subject }, newest);
  if (asked === 'now') return latest;
  if (asked === 0) return pruned;
  if (asked < pruned) throw eventsGone(asked, pruned);
  if (asked <= latest) return asked;
  throw new AiotError('AIOT_EVENTS_GONE', `there was no event ${asked} here: the newest is ${latest}`, {
    next: 'The events are of another platform, or of one that was put back from a backup: read from 0 on.',
  });
}

export function eventsGone(asked: number, pruned: number): AiotError {
  return new AiotError(
    'AIOT_EVENTS_GONE',
    `expected an id from ${pruned} on, got ${asked}: the events up to ${pruned} are no longer kept`,
  );
}

/** Id behind which the newest `count` are that are wanted. */
export async function beforeNewest(store: Store, filter: EventFilter, count: number): Promise<number> {
  const rows = await store
    .selectFrom('events')
    .select('id')
    .where((is) => wanted(is, filter))
    .orderBy('id', 'desc')
    .limit(count)
    .execute();
  const oldest = rows.at(-1);
  return oldest ? Number(oldest.id) - 1 : (await extentOf(store)).latest;
}

export function eventOf({
  id,
  at,
  type,
  subject,
  who,
  data,
}: Omit<Schema['events'], 'id'> & { id: number }): PlatformEvent {
  return {
    id: Number(id),
    at: Number(at),
    type,
    subject,
    who,
    data: JSON.parse(data) as PlatformEvent['data'],
  };
}
