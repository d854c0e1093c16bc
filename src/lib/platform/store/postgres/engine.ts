import { AiotError } from '../../../core/index.js';
import type { Store } from '../database.js';
import type { Engine } from '../engine.js';
import type { Schema } from '../schema.js';
import { addressOf } from './address.js';
import { postgresChanges } from './changes.js';
import { unreachable } from './errors.js';
import { postgresLeader } from './leader.js';
import { migrate, requireKnown } from './migrate.js';
import { openPool } from './pool.js';
import { postgresTurns } from './turns.js';

/** Statements at once. */
const connections = 10;

/**
 * Opens the state in PostgreSQL: each commit is on the server's disk before it returns, whatever its settings say.
 * @throws AIOT_DATABASE_UNREACHABLE, AIOT_DATABASE_REFUSED, AIOT_USAGE
 */
export async function openPostgres(url: string): Promise<Omit<Engine, 'soundness'>> {
  const { Kysely, PostgresDialect, sql } = await import('kysely');
  const address = await addressOf(url);
  await migrate(address);
  const { turns, guard, close: closeTurns } = await postgresTurns(address);
  const pool = await openPool(address, connections, guard);
  const store: Store = new Kysely<Schema>({
    dialect: new PostgresDialect({ pool }),
  });
  const heard = postgresChanges(address, store);
  await heard.ready;
  return {
    store,
    turns,
    changes: heard.changes,
    leader: postgresLeader(address),
    async trouble() {
      try {
        const { rows } = await sql<{ version: number }>`SELECT "version" FROM "aiotSchema"`.execute(store);
        requireKnown(rows[0]?.version ?? 0, address.shown);
        return heard.listening() ? null : unreachable(undefined, address.shown);
      } catch (error) {
        if (error instanceof AiotError) return error;
        throw error;
      }
    },
    async close() {
      await heard.close();
      await store.destroy();
      await closeTurns();
    },
  };
}
