import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { type PostgresPool, sql } from 'kysely';
import { AiotError } from '../../core/errors.js';
import type { Store } from './database.js';
import {
  atMost,
  type Changed,
  type Changes,
  type Engine,
  type FollowDevices,
  type Turn,
  type Turns,
  turnsByName,
} from './engine.js';
import { currentLease, type LeaseConnection, Leases } from './leases.js';
import {
  type Address,
  addressOf,
  databaseError,
  type Guard,
  openPool,
  openSession,
  type Session,
  unreachable,
} from './postgres-connection.js';
import { lockClass, lockKey, migrate, partLockClass, requireKnown, settleEvents } from './postgres-schema.js';
import type { Schema } from './schema.js';

/** Maximum number of concurrent statements. */
const connections = 10;

/**
 * Opens the state in PostgreSQL. Each commit is on the server's disk before it returns, even if `synchronous_commit` is off on the server.
 * @throws AIOT_DATABASE_UNREACHABLE, AIOT_DATABASE_REFUSED, AIOT_USAGE
 */
export async function openPostgres(url: string): Promise<Omit<Engine, 'soundness'>> {
  const { Kysely, PostgresDialect, sql } = await import('kysely');
  const address = await addressOf(url);
  await migrate(address);
  const { turns, guard, close: closeTurns } = await postgresTurns(address);
  let changed: Guard['changed'] = () => {};
  const pool = await openPool(address, connections, {
    check: guard,
    lease: currentLease,
    changed: (tables) => changed(tables),
  });
  const store: Store = new Kysely<Schema>({
    dialect: new PostgresDialect({ pool }),
  });
  const settler = settlerOf(store);
  const heard = postgresChanges(address, store);
  changed = (tables) => {
    if (tables.has('newEvents')) settler.soon();
    for (const what of ['devices', 'rollouts'] as const) if (tables.has(what)) heard.notify(what);
  };
  await heard.ready;
  return {
    store,
    turns,
    changes: heard.changes,
    leader: new Leases({ store, connect: () => openLeaseConnection(address) }),
    async trouble() {
      try {
        const { rows } = await sql<{
          version: number;
          oldest: number | null;
        }>`SELECT "version", "oldest" FROM "aiotSchema"`.execute(store);
        requireKnown(rows[0] ?? { version: 0, oldest: null }, address.shown);
        return heard.listening() ? null : unreachable(undefined, address.shown);
      } catch (error) {
        if (error instanceof AiotError) return error;
        throw error;
      }
    },
    async close() {
      await heard.close();
      await settler.close();
      await store.destroy();
      await closeTurns();
    },
  };
}

/** How long events of several transactions are collected before they are moved, ms. */
const collectMs = 20;

/**
 * Moves events that this process has recorded to where readers look for them. Errors are ignored, because readers do the same before they
 * read.
 */
function settlerOf(store: Store) {
  // Moved events belong to several callers, so they are not moved under the lease of one of them.
  const apart = AsyncLocalStorage.snapshot();
  let running: Promise<void> | undefined;
  let isClosed = false;
  let isDue = false;
  const run = async () => {
    while (isDue && !isClosed) {
      await delay(collectMs);
      isDue = false;
      await settleEvents(store).catch(() => {});
    }
    running = undefined;
  };
  return {
    soon() {
      isDue = true;
      running ??= apart(run);
    },
    async close() {
      isClosed = true;
      await running;
      await settleEvents(store).catch(() => {});
    },
  };
}

/** A lock that the running task holds, and the lock that the task already held when it requested this one. */
interface Held {
  lost: boolean;
  around: Held | undefined;
}

/** Maximum number of tasks on parts of each name at a time, each of which uses two connections. */
const partsAtOnce = 6;

/** Number of names whose parts are locked at the same time. The limit applies to each, because a task may lock parts of both. */
const namesOfParts = 2;

/** Statements that take and release advisory locks. */
interface Locks {
  take: string;
  release: string;
}

/**
 * Locks of a whole turn, or of parts of it. Parts hold the lock of the whole in shared mode. Locks of keys are taken in order of their numbers,
 * so that no two tasks wait for each other.
 */
function locksOf(name: string, keys?: readonly string[]): Locks {
  const whole = `${lockClass}, ${lockKey(`turn ${name}`)}`;
  if (!keys)
    return { take: `SELECT pg_advisory_lock(${whole})`, release: `SELECT pg_advisory_unlock(${whole})` };
  const numbers = new Set(keys.map((key) => lockKey(`turn ${name} ${key}`)));
  const parts = [...numbers].sort((a, b) => a - b).map((number) => `${partLockClass}, ${number}`);
  const call = (suffix: string) =>
    [
      'SELECT ',
      `pg_advisory_${suffix}_shared(${whole})`,
      ...parts.map((part) => `, pg_advisory_${suffix}(${part})`),
    ].join('');
  return { take: call('lock'), release: call('unlock') };
}

/**
 * `Turns` across all processes. Each is a session's advisory lock, held while the task runs. If that session and its
 * lock are lost, `guard` rejects the task's further statements.
 */
async function postgresTurns(address: Address): Promise<{
  turns: Turns;
  /** Called before each statement; rejects the statement by throwing. */
  guard(): void;
  close(): Promise<void>;
}> {
  const { default: pg } = await import('pg');
  // The pool needs one connection for each name in use in this process, and some for parts. The wait for other processes may be long.
  const waits = { lock_timeout: 30_000, statement_timeout: 35_000, query_timeout: 40_000 };
  const pool = new pg.Pool({
    ...address.config,
    ...waits,
    max: 16 + namesOfParts * partsAtOnce,
    idleTimeoutMillis: 60_000,
  });
  pool.on('error', () => {});
  const held = new AsyncLocalStorage<Held>();

  async function locked<T>(locks: Locks, task: () => Promise<T>): Promise<T> {
    const client = await pool.connect().catch((error: unknown) => {
      throw databaseError(error, address.shown);
    });
    const turn: Held = { lost: false, around: held.getStore() };
    const lose = () => {
      turn.lost = true;
    };
    client.on('error', lose);
    client.on('end', lose);
    try {
      try {
        await client.query(locks.take);
      } catch (error) {
        turn.lost = true;
        throw databaseError(error, address.shown);
      }
      return await held.run(turn, task);
    } finally {
      if (!turn.lost) await client.query(locks.release).catch(lose);
      client.off('error', lose);
      client.off('end', lose);
      // If in doubt, the session is ended, which releases its locks.
      client.release(turn.lost);
    }
  }

  const own = turnsByName();
  const limits = new Map<string, Turn>();
  const fewParts = (name: string): Turn => {
    const limit = limits.get(name) ?? atMost(partsAtOnce);
    limits.set(name, limit);
    return limit;
  };
  return {
    turns: {
      of(name) {
        const locks = locksOf(name);
        return (task) => own(name).whole(() => locked(locks, task));
      },
      parts: (name) => (keys, task) =>
        own(name).parts(keys, () => fewParts(name)(() => locked(locksOf(name, keys), task))),
      async join(name, transaction) {
        const key = lockKey(`turn ${name}`);
        await sql`SELECT pg_advisory_xact_lock_shared(${lockClass}::int, ${key}::int)`.execute(transaction);
      },
    },
    guard() {
      for (let turn = held.getStore(); turn; turn = turn.around) {
        if (turn.lost) throw unreachable(undefined, address.shown);
      }
    },
    close: () => pool.end(),
  };
}

const all: readonly Changed[] = ['devices', 'events', 'rollouts'];
const [againMs, aliveEveryMs, aliveWithinMs] = [250, 2_000, 2_000];

/**
 * Receives changes through LISTEN, on a dedicated connection that is re-established when lost. Everything is reported as changed when it is
 * established, and every two seconds. This makes up for missed notifications, and for those that a killed process did not send.
 */
function postgresChanges(
  address: Address,
  store: Store,
): {
  changes: Changes;
  /** Whether notifications are being received now. */
  listening(): boolean;
  /** Notifies all processes, including this one. */
  notify(what: Changed): void;
  /** Resolves after the first attempt to LISTEN, successful or not. */
  ready: Promise<void>;
  close(): Promise<void>;
} {
  const listeners = new Map<Changed, Set<() => void>>(all.map((what) => [what, new Set()]));
  const tell = (what: Changed) => {
    for (const listener of listeners.get(what) ?? []) listener();
  };
  const stop = new AbortController();
  let heard = false;
  let current: Session | undefined;
  let settle = () => {};
  const ready = new Promise<void>((resolve) => {
    settle = resolve;
  });

  const listen = async () => {
    const session = await openSession(address, { query_timeout: aliveWithinMs });
    current = session;
    try {
      session.client.on('notification', ({ payload }) => tell(payload as Changed));
      await session.query('LISTEN aiot');
      heard = true;
      settle();
      while (!session.lost.aborted) {
        for (const what of all) tell(what);
        await delay(aliveEveryMs, undefined, { signal: session.lost }).catch(() => {});
        if (!session.lost.aborted) await session.query('SELECT 1');
      }
    } finally {
      heard = false;
      await session.close();
    }
  };
  const running = (async () => {
    while (!stop.signal.aborted) {
      await listen().catch(() => {});
      settle();
      await delay(againMs, undefined, { signal: stop.signal }).catch(() => {});
    }
  })();

  const due = new Set<Changed>();
  let sending = false;
  const send = async () => {
    sending = true;
    while (due.size > 0) {
      const [what] = due;
      due.delete(what!);
      await current?.query(`SELECT pg_notify('aiot', $1)`, [what]).catch(() => {});
    }
    sending = false;
  };

  return {
    listening: () => heard,
    notify(what) {
      due.add(what);
      if (!sending) void send();
    },
    ready,
    changes: {
      shared: true,
      followDevices: () => deviceChangesIn(store),
      on(what, listener) {
        listeners.get(what)?.add(listener);
        return () => listeners.get(what)?.delete(listener);
      },
    },
    async close() {
      stop.abort();
      await current?.close();
      await running;
    },
  };
}

/**
 * Queries changed devices. Each query begins with the oldest transaction that was in progress at the previous query (pg_snapshot_xmin;
 * PostgreSQL 9.27.9). Transactions that commit late are therefore not missed, but some devices are returned twice.
 */
function deviceChangesIn(store: Store): FollowDevices {
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

/** Time limit for a statement with which a replica renews its leases, ms. */
const withinMs = 2_000;

/**
 * How long a new leader waits for the previous leader to end its work, ms, because the previous leader may have lost
 * its lock without noticing.
 */
const graceMs = 1_000;

/** Roles in which earlier versions of aiot elect a leader, by an advisory lock. */
const earlierRoles: ReadonlySet<string> = new Set(['platform', 'broker', 'guide']);

/**
 * Opens the connection on which a replica renews its leases. The connection also holds, in shared mode, the advisory locks that a leader of an
 * earlier version holds exclusively. Replicas of both versions may therefore run at the same time: those of this version lead only when no
 * earlier one does, and keep earlier ones from leading. If this connection is lost, the server ends its locks within 4 s.
 */
async function openLeaseConnection(address: Address): Promise<LeaseConnection> {
  const { Kysely, PostgresDialect } = await import('kysely');
  const session = await openSession(address, { query_timeout: withinMs });
  try {
    await session.query(
      `SELECT set_config('tcp_keepalives_idle', '2', false), set_config('tcp_keepalives_interval', '1', false),
              set_config('tcp_keepalives_count', '2', false)`,
    );
  } catch (error) {
    await session.close();
    throw error;
  }
  const query = (text: string, values: unknown[]) =>
    session.client.query(text, values).catch((error: unknown) => {
      throw databaseError(error, address.shown);
    });
  const pool = { connect: async () => ({ query, release() {} }), end: async () => {} };
  /** When each lock was taken, in monotonic ms. */
  const locks = new Map<string, number>();
  return {
    store: new Kysely<Schema>({ dialect: new PostgresDialect({ pool: pool as unknown as PostgresPool }) }),
    lost: session.lost,
    close: () => session.close(),
    async mayLead(role) {
      const earlier = earlierRoles.has(role) ? role : 'platform';
      const since = locks.get(earlier);
      if (since !== undefined) return performance.now() - since >= graceMs;
      const key = [lockClass, lockKey(`leader of ${earlier}`)];
      const [row] = await session.query<{ taken: boolean }>(
        'SELECT pg_try_advisory_lock_shared($1, $2) AS taken',
        key,
      );
      if (row?.taken) locks.set(earlier, performance.now());
      return false;
    },
  };
}
