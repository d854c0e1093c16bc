import type { Logger } from 'pino';
import type { Replica } from '../api/condition.js';
import { newId } from '../core/names.js';
import { parsedJson } from '../core/text.js';
import type { Engine } from './store/engine.js';
import { every } from './workers.js';

/** How often a replica shares its state, ms. */
export const shareEveryMs = 2000;
/** How long a replica that no longer shares its state counts as running; allows for differing clocks and a slow database. */
export const replicaLifeMs = 30_000;

type Facts = Omit<Replica, 'id' | 'seen' | 'self' | 'leads'>;

interface Parts {
  engine: Pick<Engine, 'store' | 'changes' | 'leader'>;
  /** Describes this replica. */
  facts: () => Facts;
  log: Logger;
  /** ms since 1970 */
  now: () => number;
}

/** The processes that share the database, and the roles in which each leads. Without other processes, there is only this one. */
export class Replicas {
  readonly id: string;

  constructor(private readonly parts: Parts) {
    this.id = newId('replica', parts.now());
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
    const { engine, now } = this.parts;
    const own = this.own();
    if (!engine.changes.shared) return [own];
    const rows = await engine.store
      .selectFrom('replicas')
      .select(['replica', 'seen', 'facts'])
      .where('seen', '>=', now() - replicaLifeMs)
      .where('facts', 'is not', null)
      .where('replica', '!=', this.id)
      .execute()
      .catch(() => []);
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
    await store
      .insertInto('replicas')
      .values({ replica, seen, facts })
      .onConflict((conflict) => conflict.column('replica').doUpdateSet({ seen, facts }))
      .execute();
    await store
      .deleteFrom('replicas')
      .where('seen', '<', seen - replicaLifeMs)
      .execute();
  }
}
