import type { PostgresPool, PostgresPoolClient } from 'kysely';
import type { Client, ClientConfig, Pool, PoolClient } from 'pg';
import { AiotError, systemCode } from '../../core/errors.js';

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

/** A connection of its own, for what lasts: a lock that is held, notices that are waited for. */
export interface Session {
  client: Client;
  /** Ends when the connection does, whoever ends it. */
  lost: AbortSignal;
  query<Row>(text: string, values?: unknown[]): Promise<Row[]>;
  close(): Promise<void>;
}

/** @throws AIOT_DATABASE_UNREACHABLE, AIOT_DATABASE_REFUSED */
export async function openSession(
  { config, shown }: Address,
  more: Partial<Address['config']> = {},
): Promise<Session> {
  const { default: pg } = await import('pg');
  const client = new pg.Client({ ...config, ...more });
  const lost = new AbortController();
  client.on('error', () => lost.abort());
  client.on('end', () => lost.abort());
  const close = async () => {
    lost.abort();
    await client.end().catch(() => {});
  };
  try {
    await client.connect();
  } catch (error) {
    close().catch(() => {});
    throw databaseError(error, shown);
  }
  return {
    client,
    lost: lost.signal,
    close,
    async query<Row>(text: string, values: unknown[] = []) {
      try {
        return (await client.query(text, values)).rows as Row[];
      } catch (error) {
        throw databaseError(error, shown);
      }
    },
  };
}

/** Classes of SQLSTATE (PostgreSQL, appendix A) that pass by themselves: the connection, its resources, an operator. */
const passing = /^(?:08|53|57)/;

/** Rolled back for the sake of another, a lock that did not come free, a session that was ended, a server that only reads. */
const passingCodes = new Set(['40001', '40P01', '55P03', '25006', '25P03']);

/** The password, the database's name, a privilege. */
const refusing = /^(?:28|3D|42501)/;

/** A text with a zero byte. */
const unstorable = new Set(['22021', '22P05']);

/**
 * An error of `pg` as one that a caller can act on: `endpoint` is shown, and holds no password. What says nothing of the
 * connection stays as it is.
 */
export function databaseError(error: unknown, endpoint: string): unknown {
  if (error instanceof AiotError || !(error instanceof Error)) return error;
  const state = sqlState(error);
  if (state === undefined) {
    // Everything that is no answer of the server is about the way to it; but for a mistake of ours.
    return error instanceof TypeError || error instanceof RangeError ? error : unreachable(error, endpoint);
  }
  if (state === '53100') {
    return new AiotError('AIOT_DISK_FULL', `the disk of the database ${endpoint} is full`, { cause: error });
  }
  if (refusing.test(state)) {
    return new AiotError('AIOT_DATABASE_REFUSED', `the database ${endpoint} says: ${error.message}`, {
      endpoint,
      cause: error,
    });
  }
  if (unstorable.has(state)) {
    return new AiotError('AIOT_REQUEST_INVALID', 'expected texts without a zero byte', { cause: error });
  }
  if (passing.test(state) || passingCodes.has(state)) return unreachable(error, endpoint);
  return error;
}

export function unreachable(cause: unknown, endpoint: string): AiotError {
  const said = systemCode(cause) ?? (cause instanceof Error ? cause.message : 'the connection was lost');
  return new AiotError('AIOT_DATABASE_UNREACHABLE', `the database ${endpoint} does not answer (${said})`, {
    endpoint,
    retryable: true,
    cause,
  });
}

/** What the server said: five capitals or digits. */
function sqlState(error: unknown): string | undefined {
  const code = systemCode(error);
  return code !== undefined && /^[0-9A-Z]{5}$/.test(code) && error instanceof Error && 'severity' in error
    ? code
    : undefined;
}
