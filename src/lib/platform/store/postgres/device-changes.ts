import { sql } from 'kysely';
import type { FollowDevices } from '../changes.js';
import type { Store } from '../database.js';

/**
 * Asks which devices were changed. A transaction that commits late is not missed: what is asked for begins with the oldest
 * one that had not ended when it was asked last (pg_snapshot_xmin; PostgreSQL 9.27.9), and so some are named twice.
 */
export function deviceChangesIn(store: Store): FollowDevices {
  let since: string | undefined;
  return async (take) => {
    const from = since ?? '0';
    const { rows } = await sql<{ horizon: string; names: string[] | null }>`
      SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS horizon,
             (SELECT json_agg("name") FROM "deviceChanges" WHERE "changed" >= ${from}::text::xid8) AS names
    `.execute(store);
    const [row] = rows;
    if (row?.names) await take(row.names);
    if (row) since = row.horizon;
  };
}
