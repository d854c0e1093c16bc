import type { LogRetention, LogRetentionRequest, RemovedLogs } from '../../api/contract/data.js';
import type { Events } from '../events/events.js';
import type { Take } from '../journal/takes.js';
import { cursorOf, type Telemetry } from '../journal/telemetry.js';
import type { Store } from '../store/database.js';
import type { Turns } from '../store/engine.js';

interface LogRetentionParts {
  store: Store;
  telemetry: Pick<Telemetry, 'take' | 'takes' | 'remove' | 'reclaim'>;
  events: Events;
  turns: Turns;
  now: () => number;
}

/** Days that log lines are kept on a new platform. Crash reports and events are kept as long. Upgraded platforms keep all (see the migrations). */
const usualDays = 90;

/** Key of the policy in the table of retention policies. Names of streams are never empty. */
export const logPolicyKey = '';

const dayMs = 86_400_000;
/** Number of recordings that are read and removed at once. */
const together = 1000;

/** A block is rewritten automatically only when at least this fraction of it is unused. */
const worthIt = 0.25;

/**
 * Retention of devices' log lines. The lines of one device and day (UTC) are one recording, and are removed together. The recordings are
 * read in pages, because a large fleet has hundreds of thousands of them.
 */
export class LogRetentionService {
  constructor(private readonly parts: LogRetentionParts) {}

  async get(): Promise<LogRetention> {
    const row = await this.parts.store
      .selectFrom('retention')
      .selectAll()
      .where('stream', '=', logPolicyKey)
      .executeTakeFirst();
    return row
      ? { days: row.days, bytes: row.bytes === null ? null : Number(row.bytes) }
      : { days: usualDays, bytes: null };
  }

  async set({ days, bytes }: LogRetentionRequest, who: string): Promise<LogRetention> {
    await this.parts.store.transaction().execute(async (transaction) => {
      await transaction
        .insertInto('retention')
        .values({ stream: logPolicyKey, days, bytes, labelled: 0 })
        .onConflict((conflict) => conflict.column('stream').doUpdateSet({ days, bytes }))
        .execute();
      await this.parts.events.record(
        { type: 'logs.retention', subject: 'logs', who, data: { days, bytes } },
        transaction,
      );
    });
    return { days, bytes };
  }

  /** Applies the policy. @param explicit whether to free the space immediately, at any cost */
  async run({ dryRun = false }: { dryRun?: boolean }, who: string, explicit = true): Promise<RemovedLogs> {
    return this.parts.turns.of('retention')(async () => {
      const { telemetry } = this.parts;
      const before = await this.limit(await this.get());
      const sums: Sums = { recordings: 0, lines: 0, bytes: 0 };
      for await (const page of this.pages()) {
        const due = page.filter(({ lastAt }) => (lastAt ?? 0) < before);
        if (due.length === 0) continue;
        const some = dryRun ? sumsOf(due) : await this.remove(due, before, who);
        sums.recordings += some.recordings;
        sums.lines += some.lines;
        sums.bytes += some.bytes;
      }
      if (dryRun || sums.recordings === 0) return { ...sums, before, freed: 0, dryRun };
      const { bytes: freed } = await telemetry.reclaim(explicit ? 0 : worthIt);
      return { ...sums, before, freed, dryRun };
    });
  }

  /**
   * Removes recordings, then records what was removed: the event is in another database. An interruption between the two loses the event of
   * one page, but no event is recorded twice. After a failure, the recordings that are already gone are recorded.
   */
  private async remove(due: readonly Take[], before: number, who: string): Promise<Sums> {
    const { telemetry, store, events } = this.parts;
    const record = async (gone: readonly Take[]) => {
      const sums = sumsOf(gone);
      if (gone.length > 0)
        await store
          .transaction()
          .execute((transaction) =>
            events.record(
              { type: 'logs.remove', subject: 'logs', who, data: { ...sums, before } },
              transaction,
            ),
          );
      return sums;
    };
    try {
      await telemetry.remove(due);
    } catch (error) {
      const gone: Take[] = [];
      for (const take of due) if ((await telemetry.take(take)) === null) gone.push(take);
      await record(gone);
      throw error;
    }
    return record(due);
  }

  /** Lines that arrived before this time are due, ms since 1970. The lines of the current day are never due. */
  private async limit({ days, bytes }: LogRetention): Promise<number> {
    const now = this.parts.now();
    const oldest = days === null ? 0 : now - days * dayMs;
    if (bytes === null) return Math.max(0, oldest);
    /** Size by the day of the last line, in days since 1970. */
    const sizes = new Map<number, number>();
    for await (const page of this.pages())
      for (const take of page) {
        const day = Math.floor((take.lastAt ?? 0) / dayMs);
        sizes.set(day, (sizes.get(day) ?? 0) + take.bytes);
      }
    const today = Math.floor(now / dayMs);
    let [left, from] = [bytes, today];
    for (const [day, size] of [...sizes].sort(([a], [b]) => b - a)) {
      left -= size;
      if (left < 0 && day < today) break;
      from = Math.min(from, day);
    }
    return Math.max(0, oldest, from * dayMs);
  }

  private async *pages(): AsyncGenerator<Take[]> {
    for (let after: string | undefined; ; ) {
      const page = await this.parts.telemetry.takes({ channel: 'log', stream: '', after, limit: together });
      if (page.length > 0) yield page;
      const last = page.at(-1);
      if (!last || page.length < together) return;
      after = cursorOf(last);
    }
  }
}

interface Sums {
  recordings: number;
  lines: number;
  bytes: number;
}

function sumsOf(takes: readonly Take[]): Sums {
  return {
    recordings: takes.length,
    lines: takes.reduce((sum, { messages }) => sum + messages, 0),
    bytes: takes.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}
