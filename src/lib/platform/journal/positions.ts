import { parsedJson } from '../../core/text.js';
import type { Store } from '../store/database.js';

/** Keys in the table `meta` under which readers of the telemetry store how far they have read. */
export const positionKeys = {
  alarms: 'alarms:position',
  drift: 'drift:position',
  history: 'history:position',
} as const;

interface Progress {
  position?: string | null;
}

/** A position in the telemetry of PostgreSQL, which means nothing in any other database: a transaction and an id. */
const ofPostgres = /^\d{1,20}:\d{1,16}$/;

/**
 * Moves the readers of a restored platform to the end of its telemetry, because their stored positions refer to another database. A reader
 * that has read nothing yet still starts at the beginning.
 * @param all false = only positions in PostgreSQL; ids of SQLite remain valid in SQLite
 */
export async function movePositions(store: Store, end: string, all: boolean): Promise<void> {
  const rows = await store
    .selectFrom('meta')
    .select(['key', 'value'])
    .where('key', 'in', Object.values(positionKeys))
    .execute();
  for (const { key, value } of rows) {
    const progress = key === positionKeys.history ? (parsedJson(value) as Progress | undefined) : null;
    const position = progress === null ? value : progress?.position;
    if (position === null || position === undefined || !(all || ofPostgres.test(position))) continue;
    const moved = progress === null ? end : JSON.stringify({ ...progress, position: end });
    await store.updateTable('meta').set({ value: moved }).where('key', '=', key).execute();
  }
}

/** The position after everything that is stored in the telemetry of PostgreSQL, also while another transaction is open. */
export async function lastInPostgres(store: Store): Promise<string> {
  const { sql } = await import('kysely');
  const last = sql<{ written: string; id: number }>`
    SELECT "written"::text, "id" FROM "telemetryMessages"
    ORDER BY "telemetryMessages"."written" DESC, "id" DESC LIMIT 1`;
  const [row] = (await last.execute(store)).rows;
  return row ? `${row.written}:${row.id}` : '0:0';
}
