import { setTimeout as delay } from 'node:timers/promises';
import { AiotError } from '../../../core/index.js';
import type { Entry } from '../entry.js';
import type { JournalReader } from '../reader.js';

type Query = <T>(sql: string, values: unknown[]) => Promise<T[]>;

const [page, pauseMs] = [1000, 250];

/**
 * Messages in the order of the transactions that wrote them; one is read when no transaction before it can still commit
 * (PostgreSQL, 9.27.10, pg_snapshot_xmin). A position is `TRANSACTION:ID`.
 */
export function followTable(query: Query): JournalReader {
  return {
    async end() {
      const [row] = await query<{ open: string }>(
        'SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS "open"',
        [],
      );
      return `${BigInt(row?.open ?? 1) - 1n}:${Number.MAX_SAFE_INTEGER}`;
    },
    async *from(position, signal) {
      let after = parsed(position ?? '0:0');
      while (!signal.aborted) {
        const rows = await query<{ written: string; id: number; entry: string }>(
          `SELECT "written"::text, "id", "entry" FROM "telemetryMessages"
           WHERE ("written", "id") > ($1::xid8, $2) AND "written" < pg_snapshot_xmin(pg_current_snapshot())
           ORDER BY "written", "id" LIMIT $3`,
          [...after, page],
        );
        const last = rows.at(-1);
        if (!last) {
          await delay(pauseMs, undefined, { signal }).catch(() => {});
          continue;
        }
        after = [last.written, Number(last.id)];
        yield rows.map(({ written, id, entry }) => {
          return { entry: JSON.parse(entry) as Entry, position: `${written}:${id}` };
        });
      }
    },
  };
}

function parsed(position: string): [written: string, id: number] {
  const [, written, id] = /^(\d{1,20}):(\d{1,16})$/.exec(position) ?? [];
  if (written !== undefined) return [written, Number(id)];
  throw new AiotError('AIOT_PLATFORM_FAILED', `"${position}" is no position in the telemetry of a database`);
}
