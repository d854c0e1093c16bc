import type { Logger } from 'pino';
import type { Store } from '../store/database.js';
import { every, type Worker } from '../workers.js';
import { targetsCursor } from './alarm-targets.js';
import { auditCursor } from './audit.js';
import { type Events, type NewEvent, prunedCursor } from './events.js';
import { cursorName } from './webhooks.js';

export interface PruneParts {
  store: Store;
  events: Events;
  /** Highest id that the relay has forwarded; null = there is no relay. */
  relayed: () => Promise<number | null>;
  /** ms since 1970 */
  now: () => number;
}

/** Retention of events: maximum age, ms, and maximum number. */
export interface Kept {
  forMs: number;
  events: number;
}
const usuallyKept: Kept = { forMs: 90 * 86_400_000, events: 1_000_000 };

const periodMs = 600_000;
/** Number of events per transaction; other requests are served between transactions. */
const together = 5000;

/**
 * Deletes old jobs and old events, except events that a webhook or the relay has yet to send, or that are not in the audit log yet. The position is recorded,
 * so that a reader behind it gets an error.
 * @returns the number of deleted events
 */
export async function pruneEvents(parts: PruneParts, kept: Kept = usuallyKept): Promise<{ events: number }> {
  const { store, events, now } = parts;
  const upTo = await limitOf(parts, kept);
  let gone = 0;
  for (;;) {
    const rows = await store
      .selectFrom('events')
      .select('id')
      .where('id', '<=', upTo)
      .orderBy('id')
      .limit(together)
      .execute();
    const last = rows.at(-1);
    if (!last) break;
    const position = Number(last.id);
    await store.transaction().execute(async (transaction) => {
      await transaction.deleteFrom('events').where('id', '<=', position).execute();
      await transaction
        .insertInto('cursors')
        .values({ name: prunedCursor, position })
        .onConflict((conflict) => conflict.column('name').doUpdateSet({ position }))
        .execute();
    });
    gone += rows.length;
  }
  await store
    .deleteFrom('jobs')
    .where('ended', '<', now() - kept.forMs)
    .execute();
  const data = { upTo, events: gone };
  const event: NewEvent = { who: 'platform', type: 'events.prune', subject: 'events', data };
  if (gone > 0) await store.transaction().execute((transaction) => events.record(event, transaction));
  return { events: gone };
}

/** Highest id of the events that may be deleted. */
async function limitOf({ store, relayed, now }: PruneParts, kept: Kept): Promise<number> {
  const young = await store
    .selectFrom('events')
    .select('id')
    .where('at', '>=', now() - kept.forMs)
    .orderBy('id')
    .limit(1)
    .executeTakeFirst();
  const surplus = await store
    .selectFrom('events')
    .select('id')
    .orderBy('id', 'desc')
    .offset(kept.events)
    .limit(1)
    .executeTakeFirst();
  const old = young ? Number(young.id) - 1 : Number.MAX_SAFE_INTEGER;
  const wanted = Math.max(old, Number(surplus?.id ?? 0));
  return Math.min(
    wanted,
    (await relayed()) ?? wanted,
    await oldestWebhook(store),
    await notified(store),
    await sealed(store),
  );
}

/** Highest id of the events that the audit log has processed. */
async function sealed(store: Store): Promise<number> {
  const cursor = store.selectFrom('cursors').select('position').where('name', '=', auditCursor);
  return Number((await cursor.executeTakeFirst())?.position ?? 0);
}

/** Highest id of the events that have been processed for the alarms' targets. */
async function notified(store: Store): Promise<number> {
  const cursor = store.selectFrom('cursors').select('position').where('name', '=', targetsCursor);
  return Number((await cursor.executeTakeFirst())?.position ?? Number.MAX_SAFE_INTEGER);
}

async function oldestWebhook(store: Store): Promise<number> {
  const hooks = await store.selectFrom('webhooks').select('id').where('enabled', '=', 1).execute();
  if (hooks.length === 0) return Number.MAX_SAFE_INTEGER;
  const names = hooks.map(({ id }) => cursorName(id));
  const cursors = await store.selectFrom('cursors').select('position').where('name', 'in', names).execute();
  return Math.min(...cursors.map(({ position }) => Number(position)));
}

/** Prunes at startup and periodically. */
export function pruner(parts: PruneParts & { log: Logger }): Worker {
  return {
    name: 'events',
    run: (signal) =>
      every(periodMs, signal, async () => {
        const { events } = await pruneEvents(parts);
        if (events > 0) parts.log.info({ events }, 'deleted old events');
      }),
  };
}
