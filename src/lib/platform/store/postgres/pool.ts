import type { PostgresPool, PostgresPoolClient } from 'kysely';
import type { Pool, PoolClient } from 'pg';
import type { Address } from './address.js';
import { databaseError, sqlState, unreachable } from './errors.js';

/** Only what is less than the disk is raised: an operator may ask for more, such as a standby's. */
const durably = `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`;

/** Asked before each statement: it may refuse. */
export type Guard = () => void;

/**
 * Connections to the database as kysely takes them, with errors that a caller can act on. One that failed otherwise than by
 * an answer of the server is not used again, for nobody knows what comes on it.
 */
export async function openPool(address: Address, max: number, guard: Guard = () => {}) {
  const { default: pg } = await import('pg');
  const pool: Pool = new pg.Pool({ ...address.config, max, idleTimeoutMillis: 30_000 });
  // Of connections that wait for work: they are made anew when they are needed.
  pool.on('error', () => {});
  const clients = new WeakMap<PoolClient, PostgresPoolClient>();
  const own: PostgresPool = {
    async connect() {
      const client = await pool.connect().catch((error: unknown) => {
        throw databaseError(error, address.shown);
      });
      const known = clients.get(client);
      if (known) return known;
      try {
        await client.query(durably);
      } catch (error) {
        client.release(true);
        throw databaseError(error, address.shown);
      }
      const fresh = wrapped(client, address.shown, guard);
      clients.set(client, fresh);
      return fresh;
    },
    end: () => pool.end(),
  };
  return own;
}

function wrapped(client: PoolClient, shown: string, guard: Guard): PostgresPoolClient {
  let broken = false;
  client.on('error', () => {
    broken = true;
  });
  const query = async (text: string, values: unknown[]) => {
    // Its transaction is gone with the connection; the first error is the one to tell of.
    if (broken && text === 'rollback') return { command: 'ROLLBACK', rowCount: 0, rows: [] };
    if (broken) throw unreachable(undefined, shown);
    if (text !== 'rollback') guard();
    try {
      return await client.query(text, values);
    } catch (error) {
      if (sqlState(error) === undefined) broken = true;
      throw databaseError(error, shown);
    }
  };
  return { query, release: () => client.release(broken) } as unknown as PostgresPoolClient;
}
