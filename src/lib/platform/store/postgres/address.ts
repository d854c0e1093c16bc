import type { ClientConfig } from 'pg';
import { AiotError } from '../../../core/index.js';

/** Where the database is: what `pg` takes, and what may be shown of it. */
export interface Address {
  config: ClientConfig;
  /** postgres://HOST:PORT/NAME, without who and with which password. */
  shown: string;
}

/** Waits for a connection, a statement, a lock and a transaction that does nothing, ms: none is endless. */
const [connectMs, statementMs, lockMs, idleMs] = [5_000, 15_000, 10_000, 30_000];

/** @throws AIOT_USAGE for what is no URL of PostgreSQL */
export async function addressOf(url: string): Promise<Address> {
  const { default: pg } = await import('pg');
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (!parsed || !/^postgres(?:ql)?:$/.test(parsed.protocol)) {
    // What it is instead is not said: it may hold a password.
    throw new AiotError('AIOT_USAGE', 'expected --database to be postgres://USER:PASSWORD@HOST:PORT/NAME');
  }
  const shown = `postgres://${parsed.host || parsed.searchParams.get('host') || 'localhost'}${parsed.pathname}`;
  // Counts and times fit a double; `numeric` is what PostgreSQL makes of the sum of integers.
  const numbers = new Set([20, 1700]);
  return {
    shown,
    config: {
      connectionString: url,
      application_name: 'aiot',
      connectionTimeoutMillis: connectMs,
      statement_timeout: statementMs,
      // Above the server's, which says more; it ends the wait for one that says nothing at all.
      query_timeout: statementMs + 5_000,
      lock_timeout: lockMs,
      idle_in_transaction_session_timeout: idleMs,
      keepAlive: true,
      keepAliveInitialDelayMillis: 5_000,
      types: {
        getTypeParser: ((oid: number, format: 'text') =>
          numbers.has(oid) ? Number : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
      },
    },
  };
}
