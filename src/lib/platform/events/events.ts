import type { Expression, ExpressionBuilder, SqlBool } from 'kysely';
import type { AuditEntry } from '../../api/api.js';
import type { EventFilter, EventQuery, PlatformEvent } from '../../api/events/api.js';
import type { EventType } from '../../api/events/types.js';
import { numberOf, type PageQuery, pageOfRows } from '../../api/page.js';
import { AiotError } from '../../core/errors.js';
import { onAbort } from '../../core/tasks.js';
import { locksRows, type Store } from '../store/database.js';
import { type Changes, noChanges } from '../store/engine.js';
import type { Schema } from '../store/schema.js';

/**
 * A change of the platform's state. `eventTypes` defines each type and the format of its data; docs and filters are
 * generated from it.
 */
export interface NewEvent {
  type: EventType;
  /** Subject of the change, such as `har@3` or the name of a device. */
  subject: string;
  /** Originator, such as a user, `device motor-1` or `platform`. */
  who: string;
  data?: Record<string, unknown>;
}

/** Number of rows per statement. */
const atOnce = 100;

/** The log of all changes, in order, with increasing ids: the source of audit, feed, relay and webhooks. Append-only. */
export interface Events {
  /**
   * Records an event in the caller's transaction, so that a change and its event are committed together. Ids increase in commit order,
   * because SQLite has one writer, and with PostgreSQL events get their ids after the commit (store/postgres-schema.ts).
   */
  record(event: NewEvent, transaction?: Store): Promise<void>;
  /** Records several events in order. */
  recordAll(events: readonly NewEvent[], transaction?: Store): Promise<void>;
  /** Newest first. */
  audit(
    query: PageQuery & { subject?: string | undefined },
  ): Promise<{ entries: AuditEntry[]; next: string | null }>;
  feed: EventFeed;
}

/** @param along additional writes in the transaction of each change */
export function eventsIn(
  own: Store,
  now: () => number,
  changes: Changes = noChanges,
  along?: (store: Store) => Promise<void>,
): Events {
  const feed = new EventFeed(own, changes);
  const recordAll: Events['recordAll'] = async (events, store = own) => {
    for (let i = 0; i < events.length; i += atOnce) {
      const rows = events.slice(i, i + atOnce).map(({ type, subject, who, data = {} }) => ({
        ...{ at: now(), type, subject, who },
        data: JSON.stringify(data),
      }));
      // Several processes would have to wait for one another to assign ids in commit order.
      const table = changes.shared ? 'newEvents' : 'events';
      await store.insertInto(table).values(rows).execute();
      await along?.(store);
    }
    if (events.length > 0) feed.poke();
  };
  return {
    feed,
    recordAll,
    record: (event, store) => recordAll([event], store),
    async audit({ subject, limit, after }) {
      await settle(own);
      const rows = await own
        .selectFrom('events')
        .selectAll()
        .where((is) => wanted(is, { subject }))
        .$if(after !== undefined, (query) => query.where('id', '<', numberOf(after ?? '')))
        .orderBy('id', 'desc')
        .limit(limit + 1)
        .execute();
      const page = pageOfRows(rows, limit, ({ id }) => String(id));
      const entries = page.entries.map((row) => {
        const { type: action, data: detail, ...rest } = eventOf(row);
        return { ...rest, action, detail };
      });
      return { entries, next: page.next };
    },
  };
}

/** Name of the cursor that stores the highest id of the deleted events. */
export const prunedCursor = 'pruned';

/**
 * Must be called before events are read, so that all events that have been committed are there, in order. If this takes too long because an
 * unresponsive process holds the lock, the events are read later.
 */
export async function settle(store: Store): Promise<void> {
  if (!locksRows(store)) return;
  const { settleEvents } = await import('../store/postgres-schema.js');
  // A failed statement ends its transaction.
  if (store.isTransaction) await settleEvents(store);
  else await settleEvents(store).catch(() => {});
}

/** Extent of the log: ids above `pruned` up to `latest`. Both are 0 in a new log. */
interface Extent {
  pruned: number;
  latest: number;
}

export async function extentOf(store: Store): Promise<Extent> {
  await settle(store);
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

/** At most `limit` events after an id, oldest first. */
export async function eventsAfter(
  store: Store,
  { after, limit, ...filter }: EventFilter & { after: number; limit: number },
): Promise<PlatformEvent[]> {
  await settle(store);
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
 * Returns the id after which a reader begins. A request for 0 begins with the oldest event available, even if earlier
 * ones were deleted.
 * @throws AIOT_EVENTS_GONE for an id after which events were deleted, or which this log never had
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
  throw new AiotError(
    'AIOT_EVENTS_GONE',
    `the event ${asked} does not exist on this platform: the newest is ${latest}`,
    {
      next: 'The ID is from another platform, or from before a restore. Read the events again from 0.',
    },
  );
}

function eventsGone(asked: number, pruned: number): AiotError {
  return new AiotError(
    'AIOT_EVENTS_GONE',
    `expected an id of at least ${pruned}, got ${asked}: events up to ${pruned} have been deleted`,
  );
}

/** Types of the events that may concern a device; see `concerns`. */
const typesOfDevices = ['device.*', 'alarm.raise', 'alarm.clear'];

/** Maximum number of events that one request of a user limited to some devices examines. */
const mostExamined = 20_000;

/**
 * A page of the events that a user limited to some devices may see, and the id up to which the log was searched. The filter is applied
 * after the limit. Otherwise, positions would reveal whether hidden events match the filter.
 * @param sees whether the user may see an event
 */
export async function visibleEvents(
  store: Store,
  { after, limit, ...filter }: EventFilter & { after: number; limit: number },
  sees: (event: PlatformEvent) => boolean,
): Promise<Page & { more: boolean }> {
  const { latest } = await extentOf(store);
  const isWanted = wants(filter);
  const found: PlatformEvent[] = [];
  let position = after;
  for (let examined = 0; examined < mostExamined; examined += batch) {
    const some = await eventsAfter(store, { after: position, limit: batch, types: typesOfDevices });
    for (const event of some) {
      if (!sees(event) || !isWanted(event)) continue;
      found.push(event);
      if (found.length === limit) return { events: found, last: event.id, more: true };
    }
    position = some.at(-1)?.id ?? position;
    if (some.length < batch) return { events: found, last: Math.max(latest, position), more: false };
  }
  return { events: found, last: position, more: true };
}

/** ID just before the newest `count` matching events that a user limited to some devices may see. @see visibleEvents */
export async function beforeNewestVisible(
  store: Store,
  { newest, ...filter }: EventFilter & { newest: number },
  sees: (event: PlatformEvent) => boolean,
): Promise<number> {
  const { latest } = await extentOf(store);
  const isWanted = wants(filter);
  let [position, left] = [latest + 1, newest];
  let oldest = latest;
  for (let examined = 0; examined < mostExamined; examined += batch) {
    const rows = await store
      .selectFrom('events')
      .selectAll()
      .where('id', '<', position)
      .where((is) => wanted(is, { types: typesOfDevices }))
      .orderBy('id', 'desc')
      .limit(batch)
      .execute();
    for (const event of rows.map(eventOf)) {
      if (!sees(event) || !isWanted(event)) continue;
      oldest = event.id - 1;
      if (--left === 0) return oldest;
    }
    position = Number(rows.at(-1)?.id ?? position);
    if (rows.length < batch) break;
  }
  return oldest;
}

/** ID just before the newest `count` matching events. */
async function beforeNewest(store: Store, filter: EventFilter, count: number): Promise<number> {
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

function eventOf({
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

/** Whether an event matches: by type (`device.connect`, `device.*`, `*`), and by subject (`har` includes all of its versions). */
export function wants({
  types,
  subject,
}: EventFilter): (event: Pick<PlatformEvent, 'type' | 'subject'>) => boolean {
  const tests = types?.map(testOf);
  return (event) =>
    (tests === undefined || tests.some((test) => test(event.type))) &&
    (subject === undefined || event.subject === subject || event.subject.startsWith(`${subject}@`));
}

function testOf(pattern: string): (type: string) => boolean {
  if (!pattern.endsWith('*')) return (type) => type === pattern;
  const start = pattern.slice(0, -1);
  return (type) => type.startsWith(start);
}

/** `wants` as a database condition. */
function wanted(
  is: ExpressionBuilder<Schema, 'events'>,
  { types, subject }: EventFilter,
): Expression<SqlBool> {
  const all: Expression<SqlBool>[] = [];
  if (types !== undefined && !types.includes('*')) {
    all.push(
      is.or(
        types.map((type) =>
          type.endsWith('*') ? begins(is, 'type', type.slice(0, -1)) : is('type', '=', type),
        ),
      ),
    );
  }
  if (subject !== undefined) {
    all.push(is.or([is('subject', '=', subject), begins(is, 'subject', `${subject}@`)]));
  }
  return is.and(all);
}

/**
 * Whether a text begins with `start`. LIKE is not used, because it ignores case in SQLite, and treats `_`, which names
 * may contain, as a wildcard. Lengths are in code points.
 */
export function begins<Table extends 'events' | 'auditLog'>(
  is: ExpressionBuilder<Schema, Table>,
  column: 'type' | 'subject' | 'who',
  start: string,
) {
  const head = is.fn<string>('substr', [column, is.val(1), is.val([...start].length)]);
  return is(head, '=', start);
}

/** Number of newest events cached in memory for listeners. */
const remembered = 4096;

/** Number of events per database read. */
const batch = 1000;

/** How often to check for events without a notification, ms. */
const lookEveryMs = 500;

/** Events, and the id up to which the log was searched. */
export interface Page {
  events: PlatformEvent[];
  last: number;
}

/**
 * Follows the log as it grows. One database reader serves all listeners: new events are read once and cached for a while. Listeners that
 * are far behind read their own pages. Without listeners, nothing is read.
 */
export class EventFeed {
  private readonly listeners = new Set<() => void>();
  /** The newest events in ascending order; complete for ids above `from`. */
  private ring: PlatformEvent[] = [];
  private from: number | null = null;
  private tail = 0;
  private reading: Promise<void> | undefined;
  private again = false;
  private timer: NodeJS.Timeout | undefined;
  private quiet: (() => void) | undefined;

  constructor(
    private readonly store: Store,
    private readonly changes: Changes,
  ) {}

  /** Must be called when events have been recorded, even before their transaction ends. */
  readonly poke = (): void => {
    if (this.listeners.size > 0) setImmediate(() => void this.read());
  };

  /**
   * Yields pages of existing and then new events after an id, until the signal is aborted. A page may be empty if no event matches the filter.
   * @throws AIOT_EVENTS_GONE when the next events were deleted
   */
  async *follow(after: number, signal: AbortSignal, filter: EventFilter = {}): AsyncGenerator<Page> {
    const isWanted = wants(filter);
    let news = true;
    let wake = () => {};
    const stop = this.listen(() => {
      news = true;
      wake();
    });
    const aborted = () => wake();
    const leave = onAbort(signal, aborted);
    try {
      for (let position = after; !signal.aborted; ) {
        if (!news) {
          await new Promise<void>((resolve) => {
            wake = resolve;
            if (signal.aborted || news) resolve();
          });
        }
        if (signal.aborted) return;
        news = false;
        for (;;) {
          const page = await this.page(position, filter, isWanted);
          const more = page.last > position;
          position = page.last;
          if (more) yield page;
          if (!more || signal.aborted) break;
        }
      }
    } finally {
      leave();
      stop();
    }
  }

  close(): void {
    this.listeners.clear();
    this.rest();
  }

  get listening(): number {
    return this.listeners.size;
  }

  private listen(listener: () => void): () => void {
    this.listeners.add(listener);
    if (this.timer === undefined) {
      this.timer = setInterval(() => void this.read(), lookEveryMs);
      this.timer.unref();
      this.quiet = this.changes.on('events', () => void this.read());
    }
    return () => {
      this.listeners.delete(listener);
      if (this.listeners.size === 0) this.rest();
    };
  }

  private rest(): void {
    clearInterval(this.timer);
    this.timer = undefined;
    this.quiet?.();
    this.quiet = undefined;
    this.ring = [];
    this.from = null;
    this.tail = 0;
  }

  /** Returns a page from memory if the cached events reach back far enough, otherwise from the database. */
  private async page(
    after: number,
    filter: EventFilter,
    isWanted: (event: PlatformEvent) => boolean,
  ): Promise<Page> {
    if (this.from !== null && after >= this.from) {
      const events = this.ring.slice(firstBehind(this.ring, after)).filter(isWanted);
      return { events, last: Math.max(after, this.tail) };
    }
    // The extent is read first, so that events that arrive meanwhile are in the next page.
    const { latest, pruned } = await extentOf(this.store);
    if (after < pruned) throw eventsGone(after, pruned);
    const events = await eventsAfter(this.store, { ...filter, after, limit: batch });
    const full = events.length === batch;
    return { events, last: Math.max(after, full ? 0 : latest, events.at(-1)?.id ?? 0) };
  }

  private async read(): Promise<void> {
    if (this.reading !== undefined) {
      this.again = true;
      return;
    }
    this.reading = this.readOn().finally(() => {
      this.reading = undefined;
    });
    // If the database cannot be read now, the next query follows soon.
    await this.reading.catch(() => {});
  }

  private async readOn(): Promise<void> {
    do {
      this.again = false;
      if (this.from === null) await this.begin();
      const events = await eventsAfter(this.store, { after: this.tail, limit: batch });
      if (this.listeners.size === 0) return;
      if (events.length === 0) continue;
      this.ring.push(...events);
      this.tail = events.at(-1)?.id ?? this.tail;
      if (this.ring.length > 2 * remembered) {
        this.ring = this.ring.slice(-remembered);
        this.from = (this.ring[0]?.id ?? 0) - 1;
      }
      this.again ||= events.length === batch;
      for (const listener of this.listeners) listener();
    } while (this.again);
  }

  private async begin(): Promise<void> {
    const { latest } = await extentOf(this.store);
    // Events recorded since the listener's first page come after this point and must be delivered.
    this.from = latest;
    this.tail = latest;
    for (const listener of this.listeners) listener();
  }
}

function firstBehind(ring: readonly PlatformEvent[], after: number): number {
  let [low, high] = [0, ring.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ring[middle]?.id ?? 0) <= after) low = middle + 1;
    else high = middle;
  }
  return low;
}
