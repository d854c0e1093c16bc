import type { Logger } from 'pino';
import type { Replica } from '../api/condition.js';
import { newId } from '../core/names.js';
import { parsedJson } from '../core/text.js';
import type { Store } from './store/database.js';
import type { Engine } from './store/engine.js';
import { every } from './workers.js';

/** How often a replica shares its state, ms. */
export const shareEveryMs = 2000;
/** How long a replica that no longer shares its state counts as running, ms; allows for a slow database. */
export const replicaLifeMs = 30_000;

/** A replica's last report: its own time, which other replicas only compare with its earlier reports. */
interface Seen {
  replica: string;
  seen: number;
}

/**
 * Which replicas are running. A replica runs while its reports change, as observed with this machine's monotonic clock: clocks of other
 * machines may be wrong. A replica that is observed for the first time counts as running.
 */
export class Liveness {
  private readonly reports = new Map<string, { seen: number; since: number }>();
  private observed: number | undefined;

  /** @param elapsed ms since an arbitrary start */
  constructor(private readonly elapsed: () => number = () => performance.now()) {}

  /** Splits the current reports of all replicas into those of running replicas, and those of replicas that have ended. */
  observe<T extends Seen>(rows: readonly T[]): { running: T[]; ended: T[] } {
    const at = this.elapsed();
    // After an outage of the database, no replica has had the opportunity to report.
    const isInterrupted = this.observed !== undefined && at - this.observed > replicaLifeMs / 2;
    this.observed = at;
    const known = new Set(rows.map(({ replica }) => replica));
    for (const replica of this.reports.keys()) if (!known.has(replica)) this.reports.delete(replica);
    const [running, ended]: [T[], T[]] = [[], []];
    for (const row of rows) {
      const seen = Number(row.seen);
      const before = this.reports.get(row.replica);
      const isNew = before === undefined || before.seen !== seen || isInterrupted;
      const since = isNew ? at : before.since;
      this.reports.set(row.replica, { seen, since });
      (at - since < replicaLifeMs ? running : ended).push(row);
    }
    return { running, ended };
  }
}

/** Deletes the rows of replicas that have ended, unless they have reported since. */
export async function removeEnded(store: Store, ended: readonly Seen[]): Promise<void> {
  // In the same order everywhere, so that replicas that remove the same rows wait for each other.
  for (const { replica, seen } of [...ended].sort((a, b) => (a.replica < b.replica ? -1 : 1)))
    await store
      .deleteFrom('replicas')
      .where('replica', '=', replica)
      .where('seen', '=', Number(seen))
      .execute();
}

type Facts = Omit<Replica, 'id' | 'seen' | 'self' | 'leads'>;

interface Parts {
  engine: Pick<Engine, 'store' | 'changes' | 'leader'>;
  /** Describes this replica. */
  facts: () => Facts;
  /** Address of this replica for the others. */
  url: () => string;
  log: Logger;
  /** ms since 1970 */
  now: () => number;
  /** ms since an arbitrary start; default: this machine's monotonic clock */
  elapsed?: () => number;
}

/** Another replica that is running. `url`: its address for other replicas; null = a version of aiot that does not report it. */
export interface OtherReplica {
  replica: string;
  url: string | null;
}

/** The processes that share the database, and the roles in which each leads. Without other processes, there is only this one. */
export class Replicas {
  readonly id: string;
  private readonly liveness: Liveness;

  constructor(private readonly parts: Parts) {
    this.id = newId('replica', parts.now());
    this.liveness = new Liveness(parts.elapsed);
  }

  /** The other replicas that are running. Without a shared database, there are none. */
  async others(): Promise<OtherReplica[]> {
    if (!this.parts.engine.changes.shared) return [];
    const rows = await this.runningRows();
    // Rows without facts are those of brokers; see devices/presence.ts.
    return rows.flatMap(({ replica, url, facts }) => (facts === null ? [] : [{ replica, url }]));
  }

  /** The rows of the other replicas that are running. */
  private async runningRows() {
    const { store } = this.parts.engine;
    const rows = await store.selectFrom('replicas').selectAll().where('replica', '!=', this.id).execute();
    return this.liveness.observe(rows).running;
  }

  /** Shares this replica's state until the returned function is called, which withdraws it. */
  start(): () => Promise<void> {
    const { engine, log } = this.parts;
    if (!engine.changes.shared) return async () => {};
    const ended = new AbortController();
    let isFailing = false;
    const running = every(shareEveryMs, ended.signal, async () => {
      try {
        await this.share();
        isFailing = false;
      } catch (err) {
        if (!isFailing) log.warn({ err }, 'could not share the state of this replica; retrying');
        isFailing = true;
      }
    });
    return async () => {
      ended.abort();
      await running;
      await engine.store
        .deleteFrom('replicas')
        .where('replica', '=', this.id)
        .execute()
        .catch(() => {});
    };
  }

  /** All running replicas, the oldest first. If the database is unreachable, only this one. */
  async list(): Promise<Replica[]> {
    const own = this.own();
    if (!this.parts.engine.changes.shared) return [own];
    const rows = await this.runningRows().catch(() => []);
    const others = rows.flatMap(({ replica, seen, facts }): Replica[] => {
      const known = parsedJson(facts ?? '') as Omit<Replica, 'id' | 'seen' | 'self'> | undefined;
      return known ? [{ ...known, id: replica, seen: Number(seen), self: false }] : [];
    });
    return [own, ...others].sort((a, b) => a.started - b.started || (a.id < b.id ? -1 : 1));
  }

  private own(): Replica {
    const { facts, engine, now } = this.parts;
    const leads = engine.leader
      .roles()
      .flatMap((campaign) => (campaign.leads ? [campaign.role] : []))
      .sort();
    return { id: this.id, ...facts(), leads, seen: now(), self: true };
  }

  private async share(): Promise<void> {
    const { store } = this.parts.engine;
    const { id: replica, seen, self: _, ...known } = this.own();
    const facts = JSON.stringify(known);
    const row = { seen, facts, url: this.parts.url() };
    await store
      .insertInto('replicas')
      .values({ replica, ...row })
      .onConflict((conflict) => conflict.column('replica').doUpdateSet(row))
      .execute();
    const others = store.selectFrom('replicas').select(['replica', 'seen']).where('replica', '!=', replica);
    await removeEnded(store, this.liveness.observe(await others.execute()).ended);
  }
}
