import type { PostgresPool, PostgresPoolClient } from 'kysely';
import type { Client, ClientConfig, Pool, PoolClient } from 'pg';
import { AiotError, systemCode } from '../../core/errors.js';
import { type Lease, lostLease } from './leases.js';

/** The database's address: the options for `pg`, and the part that may be displayed. */
export interface Address {
  config: ClientConfig;
  /** postgres://HOST:PORT/NAME, without user and password. */
  shown: string;
}

/** Timeouts for a connection, a statement, a lock and an idle transaction, ms. */
const [connectMs, statementMs, lockMs, idleMs] = [5_000, 15_000, 10_000, 30_000];

/** @throws AIOT_USAGE for an invalid PostgreSQL URL */
export async function addressOf(url: string): Promise<Address> {
  const { default: pg } = await import('pg');
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (!parsed || !/^postgres(?:ql)?:$/.test(parsed.protocol)) {
    // The invalid value is not shown, because it may contain a password.
    throw new AiotError(
      'AIOT_USAGE',
      'expected --database in the form postgres://USER:PASSWORD@HOST:PORT/NAME',
    );
  }
  const shown = `postgres://${parsed.host || parsed.searchParams.get('host') || 'localhost'}${parsed.pathname}`;
  // Types that are parsed as numbers: int8, and numeric, which is PostgreSQL's type for sums of integers. Counts and
  // times fit into a double.
  const numbers = new Set([20, 1700]);
  return {
    shown,
    config: {
      connectionString: url,
      application_name: 'aiot',
      connectionTimeoutMillis: connectMs,
      statement_timeout: statementMs,
      // Longer than the server's timeout, whose error is more specific; ends the wait for an unresponsive server.
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

/**
 * Makes each commit durable on disk. Stronger settings are left unchanged, because an operator may require more, such as a standby. The other
 * setting keeps triggers from notifying other processes, because `Guard.changed` does that after the commit.
 */
const settings = `
  SELECT set_config('aiot.notifies', 'after', false),
    (SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off')`;

/** Rejects statements of tasks that have lost the right to write. */
export interface Guard {
  /** Called before each statement; rejects the statement by throwing. */
  check(): void;
  /** The lease under which the caller works. Writes and transactions lock its row, so that none is committed after another replica's takeover. */
  lease(): Lease | undefined;
  /** Called after a commit with the tables that it may have changed. */
  changed(tables: ReadonlySet<FollowedTable>): void;
}

/** Tables whose changes other processes follow. */
export type FollowedTable = 'devices' | 'rollouts' | 'newEvents';

const noGuard: Guard = { check() {}, lease: () => undefined, changed() {} };

const begins = /^(?:begin|start transaction)(?!.*\bread only\b)/i;
const opens = /^(?:begin|start transaction)\b/i;
// Not `rollback to savepoint`, which does not end the transaction.
const ends = /^(?:commit|rollback)\s*$/i;
const changes =
  /^\s*(?:insert into|update|delete from) "(devices|rollouts|newEvents)"(?! set "lastSeen" = \$1 where)/i;
const writes = /^\s*(?:insert|update|delete|with)\b/i;

/**
 * Opens a connection pool for kysely, with errors that a caller can act on. After a failure other than a server response, the connection
 * is discarded, because its state is unknown.
 */
export async function openPool(address: Address, max: number, guard: Guard = noGuard) {
  const { default: pg } = await import('pg');
  const pool: Pool = new pg.Pool({ ...address.config, max, idleTimeoutMillis: 30_000 });
  // A failed idle connection is replaced when a connection is needed.
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
        await client.query(settings);
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
    // The transaction ended with the connection, so the rollback is skipped and the original error is reported.
    if (broken && text === 'rollback') return { command: 'ROLLBACK', rowCount: 0, rows: [] };
    if (broken) throw unreachable(undefined, shown);
    if (text !== 'rollback') guard.check();
    try {
      const result = await underLease(text, values);
      const table = changes.exec(text)?.[1];
      if (table !== undefined) changed.add(table as FollowedTable);
      if (changed.size > 0 && !isOpen) {
        if (text !== 'rollback') guard.changed(changed);
        changed.clear();
      }
      return result;
    } catch (error) {
      if (sqlState(error) === undefined) broken = true;
      throw databaseError(error, shown);
    }
  };
  let isOpen = false;
  const changed = new Set<FollowedTable>();
  const underLease = async (text: string, values: unknown[]) => {
    const lease = guard.lease();
    const isBeginning = begins.test(text);
    if (lease?.isLost && (isBeginning || writes.test(text) || (isOpen && text !== 'rollback')))
      throw lostLease(lease);
    if (lease && !isOpen && writes.test(text)) {
      await client.query('begin');
      return orRollBack(async () => {
        await lockLease(client, lease);
        const result = await client.query(text, values);
        await client.query('commit');
        return result;
      });
    }
    const result = await client.query(text, values);
    if (lease && isBeginning) await orRollBack(() => lockLease(client, lease));
    if (opens.test(text)) isOpen = true;
    if (ends.test(text)) isOpen = false;
    return result;
  };
  const orRollBack = async <T>(task: () => Promise<T>): Promise<T> => {
    try {
      return await task();
    } catch (error) {
      await client.query('rollback').catch(() => {
        broken = true;
      });
      throw error;
    }
  };
  return { query, release: () => client.release(broken) } as unknown as PostgresPoolClient;
}

/** Locks the lease until the transaction ends. @throws if another replica has taken over the role */
async function lockLease(client: PoolClient, lease: Lease): Promise<void> {
  const { rowCount } = await client.query(
    'SELECT FROM "roleLeases" WHERE "role" = $1 AND "holder" = $2 AND "epoch" = $3 FOR SHARE',
    [lease.role, lease.holder, lease.epoch],
  );
  if (rowCount === 1) return;
  lease.isLost = true;
  throw lostLease(lease);
}

/** A dedicated connection for long-lived use: a held lock, or notifications. */
export interface Session {
  client: Client;
  /** Aborted when the connection ends, for whatever reason. */
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

/** Classes of SQLSTATE (PostgreSQL, appendix A) that are temporary: connection, resources, operator intervention. */
const passing = /^(?:08|53|57)/;

/** Further temporary codes: serialization failure, deadlock, lock timeout, read-only server, session ended for an idle transaction. */
const passingCodes = new Set(['40001', '40P01', '55P03', '25006', '25P03']);

/** Wrong password, database name, or privilege. */
const refusing = /^(?:28|3D|42501)/;

/** SQLSTATEs for text that contains a NUL byte. */
const unstorable = new Set(['22021', '22P05']);

/**
 * Converts a `pg` error into one that a caller can act on. `endpoint` is displayed, so it must not contain a password. Other errors are
 * unchanged.
 */
export function databaseError(error: unknown, endpoint: string): unknown {
  if (error instanceof AiotError || !(error instanceof Error)) return error;
  const state = sqlState(error);
  if (state === undefined) {
    // Errors that are not server responses concern the connection, except our own programming errors.
    return error instanceof TypeError || error instanceof RangeError ? error : unreachable(error, endpoint);
  }
  if (state === '53100') {
    return new AiotError('AIOT_DISK_FULL', `the disk of the database ${endpoint} is full`, { cause: error });
  }
  if (refusing.test(state)) {
    return new AiotError('AIOT_DATABASE_REFUSED', `the database ${endpoint} reported: ${error.message}`, {
      endpoint,
      cause: error,
    });
  }
  if (unstorable.has(state)) {
    return new AiotError('AIOT_REQUEST_INVALID', 'expected text without NUL bytes', { cause: error });
  }
  if (passing.test(state) || passingCodes.has(state)) return unreachable(error, endpoint);
  return error;
}

export function unreachable(cause: unknown, endpoint: string): AiotError {
  const said = systemCode(cause) ?? (cause instanceof Error ? cause.message : 'the connection was lost');
  return new AiotError('AIOT_DATABASE_UNREACHABLE', `the database ${endpoint} does not respond (${said})`, {
    endpoint,
    retryable: true,
    cause,
  });
}

/** SQLSTATE of the server's response: five capitals or digits. */
export function sqlState(error: unknown): string | undefined {
  const code = systemCode(error);
  return code !== undefined && /^[0-9A-Z]{5}$/.test(code) && error instanceof Error && 'severity' in error
    ? code
    : undefined;
}
