import type { Logger } from 'pino';
import type { z } from 'zod';
import {
  type auditLogQuerySchema,
  type auditLogSchema,
  hashOfEntry,
  noHash,
  type SealedEntry,
} from '../../api/events/audit.js';
import type { EventType } from '../../api/events/types.js';
import type { Store } from '../store/database.js';
import type { Turns } from '../store/engine.js';
import type { Schema } from '../store/schema.js';
import { every, type Worker } from '../workers.js';
import { begins, type Events, eventsAfter } from './events.js';

/** Name of the cursor that stores the highest id of the events that were examined for the audit log. */
export const auditCursor = 'audit';

/**
 * Types that are not in the audit log. Devices and rules cause these events all day without a user's decision, and they would hide the
 * changes that people look for. They remain in the event log until its retention ends.
 */
const unaudited: ReadonlySet<string> = new Set([
  'alarm.clear',
  'alarm.raise',
  'device.connect',
  'device.crash',
  'device.disconnect',
  'device.report',
  'device.unwell',
  'device.well',
  'events.prune',
] satisfies EventType[]);

/** Number of events per transaction. */
const together = 1000;

/** How often new events are sealed, ms. Until then, an event could be changed without a trace. */
const periodMs = 1000;

/**
 * The audit log: every change and every denied attempt, each sealed with the hash of the entry before it. It is derived from the event
 * log, which is complete and in order. Old events are deleted; audit entries are kept.
 */
export class Audit {
  private readonly inTurn: ReturnType<Turns['of']>;

  constructor(
    private readonly store: Store,
    turns: Turns,
  ) {
    this.inTurn = turns.of('audit');
  }

  worker(): Worker {
    return {
      name: 'audit',
      run: (signal) =>
        every(periodMs, signal, async () => {
          while (!signal.aborted && (await this.seal()) === together);
        }),
    };
  }

  /** Appends the new events to the audit log. Returns the number of examined events. */
  seal(): Promise<number> {
    return this.inTurn(() => this.sealNow());
  }

  private async sealNow(): Promise<number> {
    const { store } = this;
    const cursor = await store
      .selectFrom('cursors')
      .select('position')
      .where('name', '=', auditCursor)
      .executeTakeFirst();
    const events = await eventsAfter(store, { after: Number(cursor?.position ?? 0), limit: together });
    const last = events.at(-1);
    if (!last) return 0;
    let { seq, hash: previous } = await this.head();
    const rows: Schema['auditLog'][] = [];
    for (const { at, type, subject, who, data } of events) {
      if (unaudited.has(type)) continue;
      const entry = { seq: ++seq, at, type, subject, who, data, previous };
      previous = hashOfEntry(entry);
      rows.push({ ...entry, data: JSON.stringify(data), hash: previous });
    }
    await store.transaction().execute(async (transaction) => {
      for (let i = 0; i < rows.length; i += 100)
        await transaction
          .insertInto('auditLog')
          .values(rows.slice(i, i + 100))
          .execute();
      await transaction
        .insertInto('cursors')
        .values({ name: auditCursor, position: last.id })
        .onConflict((conflict) => conflict.column('name').doUpdateSet({ position: last.id }))
        .execute();
    });
    return events.length;
  }

  private async head(): Promise<{ seq: number; hash: string }> {
    const newest = await this.store
      .selectFrom('auditLog')
      .select(['seq', 'hash'])
      .orderBy('seq', 'desc')
      .limit(1)
      .executeTakeFirst();
    return newest ? { seq: Number(newest.seq), hash: newest.hash } : { seq: 0, hash: noHash };
  }

  async log(query: z.output<typeof auditLogQuerySchema>): Promise<z.output<typeof auditLogSchema>> {
    const { after, limit, newest, type, subject, who } = query;
    // Readers see their own changes at once. If the database is read-only, they see the older entries.
    await this.seal().catch(() => {});
    // The head is read first, so that entries that arrive meanwhile are in the next page.
    const head = await this.head();
    const rows = await this.store
      .selectFrom('auditLog')
      .selectAll()
      .where('seq', '>', after)
      .$if(type !== undefined, (wanted) =>
        wanted.where((is) =>
          type?.endsWith('*') ? begins(is, 'type', type.slice(0, -1)) : is('type', '=', type ?? ''),
        ),
      )
      .$if(subject !== undefined, (wanted) =>
        wanted.where((is) =>
          is.or([is('subject', '=', subject ?? ''), begins(is, 'subject', `${subject}@`)]),
        ),
      )
      .$if(who !== undefined, (wanted) =>
        wanted.where((is) => is.or([is('who', '=', who ?? ''), begins(is, 'who', `${who} `)])),
      )
      .orderBy('seq', newest ? 'desc' : 'asc')
      .limit(limit + 1)
      .execute();
    const page = rows.slice(0, limit).map(entryOf);
    const last = page.at(-1);
    const more = rows.length > limit && !newest && last !== undefined;
    return { entries: newest ? page.reverse() : page, next: more ? String(last.seq) : null, head };
  }
}

function entryOf(row: Omit<SealedEntry, 'data'> & { data: string }): SealedEntry {
  const { seq, at, type, subject, who, data, previous, hash } = row;
  return { seq: Number(seq), at: Number(at), type, subject, who, data: JSON.parse(data), previous, hash };
}

/** A request or connection that was rejected because its sender has no right to it. */
export interface Denial {
  /** The sender, as in events; `nobody` if it could not be identified. */
  who: string;
  /** The attempted request or action, such as `POST /api/v1/rollouts` or `mqtt publish`. */
  what: string;
  /** Reason, without secrets. */
  reason: string;
  address: string;
}

/**
 * Minimum interval between records of the same attempt, ms, and maximum number of different attempts in it; further ones are counted
 * together.
 */
const denialPeriodMs = 60_000;
const denialsAtOnce = 200;

interface Attempt {
  denial: Denial;
  /** Number of attempts that are not recorded yet. */
  count: number;
  /** When the last one was recorded, ms since 1970. */
  recorded: number | null;
}

/** Records denied attempts as events. Repeated ones are counted, so that an attacker cannot fill the log. */
export class Denials {
  /** Attempts by sender, object and address. */
  private readonly attempts = new Map<string, Attempt>();
  private readonly timer: NodeJS.Timeout;
  private turn: Promise<void> = Promise.resolve();

  constructor(private readonly parts: { events: Events; log: Logger; now: () => number }) {
    // A timer is used, because events recorded within the request would count as its changes.
    this.timer = setInterval(() => void this.flush(), 1000);
    this.timer.unref();
  }

  note(denial: Denial): void {
    const { attempts } = this;
    const own = JSON.stringify([denial.who, denial.what, denial.address]);
    const isNew = !attempts.has(own) && attempts.size < denialsAtOnce;
    if (isNew) attempts.set(own, { denial, count: 0, recorded: null });
    const key = attempts.has(own) ? own : othersKey;
    const known = attempts.get(key) ?? { denial: others, count: 0, recorded: null };
    known.count++;
    attempts.set(key, known);
  }

  /** Records the attempts that are due. @param all whether to include repetitions of recently recorded attempts */
  flush(all = false): Promise<void> {
    this.turn = this.turn.then(() => this.record(all));
    return this.turn;
  }

  private async record(all: boolean): Promise<void> {
    const { events, log, now } = this.parts;
    const due: { attempt: Attempt; denial: Denial; count: number }[] = [];
    for (const [key, attempt] of this.attempts) {
      const { denial, count, recorded } = attempt;
      if (!all && recorded !== null && now() - recorded < denialPeriodMs) continue;
      if (count === 0) this.attempts.delete(key);
      else due.push({ attempt, denial, count });
      attempt.count = 0;
      attempt.recorded = now();
    }
    const made = due.map(({ denial: { who, what, reason, address }, count }) => ({
      ...{ who, type: 'access.deny' as const, subject: what },
      data: { reason, address, count },
    }));
    await events.recordAll(made).catch((err: unknown) => {
      // The database may be read-only at present, so the attempts stay counted.
      log.warn({ err }, 'could not record denied attempts');
      for (const { attempt, count } of due)
        Object.assign(attempt, { count: attempt.count + count, recorded: null });
    });
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.flush(true);
  }
}

const othersKey = '';
const others: Denial = {
  ...{ who: 'nobody', what: 'others', address: '' },
  reason: `more than ${denialsAtOnce} different attempts in a minute`,
};
