import { AsyncLocalStorage } from 'node:async_hooks';
import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { AiotError } from '../../core/errors.js';
import { onAbort } from '../../core/tasks.js';
import type { Campaign, Leader } from '../workers.js';
import type { Store } from './database.js';

/**
 * `beatMs`: interval at which a replica shows that it is running. `lifeMs`: a replica without a beat for this long is gone, and others take
 * over its roles. `endMs`: how much earlier the replica itself stops working. Each replica measures these times with its own monotonic
 * clock, so clocks need not agree.
 */
export const leaseTimes = { beatMs: 1000, lifeMs: 5000, endMs: 1000 };

/** How long a role is left to replicas with fewer roles, in beats. */
const patienceBeats = 2;

/** A replica's right to do the work of one role. */
export interface Lease {
  role: string;
  holder: string;
  epoch: number;
  /** Whether the lease has ended. Writes are then rejected. */
  isLost: boolean;
}

const working = new AsyncLocalStorage<Lease>();

/** The lease under which the caller works. */
export function currentLease(): Lease | undefined {
  return working.getStore();
}

/** Error for a write by a replica that no longer leads in the role. */
export function lostLease({ role }: Lease): AiotError {
  return new AiotError('AIOT_DATABASE_UNREACHABLE', `another replica has taken over the role ${role}`, {
    retryable: true,
  });
}

/** The connection through which a replica shows that it is running. Its statements time out well before the replica counts as gone. */
export interface LeaseConnection {
  store: Store;
  /** Aborted when the connection ends. */
  lost: AbortSignal;
  /** Whether replicas of this version may lead in the role now, because none of an earlier version does. */
  mayLead(role: string): Promise<boolean>;
  close(): Promise<void>;
}

interface Parts {
  store: Store;
  connect(): Promise<LeaseConnection>;
  times?: typeof leaseTimes;
  clock?: LeaseClock;
}

export interface LeaseClock {
  /** Monotonic time, ms. */
  now(): number;
  /** Resolves after `ms`, or when the signal is aborted. */
  pause(ms: number, signal: AbortSignal): Promise<void>;
}

const monotonicClock: LeaseClock = {
  now: () => performance.now(),
  pause: (ms, signal) => delay(ms, undefined, { signal }).catch(() => {}),
};

interface Post {
  campaign: Campaign;
  work: (signal: AbortSignal) => Promise<void>;
  isBusy: () => boolean;
  /** The lease and the work under it; null = another replica leads, or none. */
  held: { lease: Lease; controller: AbortController; ended: Promise<void> } | null;
  /** A change in progress; the post is left alone until it has ended. */
  change: Promise<void> | null;
  /** Since when the role has been free, in monotonic ms. */
  freeSince: number | null;
  isOver: boolean;
}

type Row = { role: string; holder: string | null; epoch: number };

/**
 * Distributes roles among the replicas, each role with its own lease in the database. A replica takes on free roles up to its share, which is
 * the number of roles divided by the number of replicas, rounded up. If it has more because a replica has joined, it hands on the surplus. A
 * role that is free for longer is taken on by any replica. See docs/background/decisions/038-roles-with-leases.md.
 */
export class Leases implements Leader {
  private readonly posts: Post[] = [];
  private readonly times: typeof leaseTimes;
  private readonly clock: LeaseClock;
  /** This replica in the database; null = not there yet. */
  private id: string | null = null;
  /** Increases when all leases are lost, so that takeovers in progress are given up. */
  private term = 0;
  private connection: LeaseConnection | null = null;
  /** When the leases end unless there is another beat, in monotonic ms. */
  private deadline = Number.NEGATIVE_INFINITY;
  private expiry: NodeJS.Timeout | undefined;
  /** The last beat of each replica, and when this replica first saw it. */
  private readonly beats = new Map<string, { beat: number; at: number }>();
  private running: { stop: AbortController; ended: Promise<void> } | null = null;

  constructor(private readonly parts: Parts) {
    this.times = parts.times ?? leaseTimes;
    this.clock = parts.clock ?? monotonicClock;
  }

  roles(): readonly Campaign[] {
    return this.posts.map(({ campaign }) => campaign);
  }

  campaign(
    work: (signal: AbortSignal) => Promise<void>,
    role: string,
    isBusy: () => boolean = () => false,
  ): () => Promise<void> {
    const campaign = { role, leads: false, error: null };
    const post: Post = { campaign, work, isBusy, held: null, change: null, freeSince: null, isOver: false };
    this.posts.push(post);
    this.running ??= this.start();
    return async () => {
      post.isOver = true;
      await post.change;
      await this.handOn(post).catch(() => {});
      this.posts.splice(this.posts.indexOf(post), 1);
      if (this.posts.length === 0) await this.end();
    };
  }

  private start() {
    const stop = new AbortController();
    const run = async () => {
      while (!stop.signal.aborted) {
        await this.beat().catch(async (error: unknown) => {
          const code = error instanceof AiotError ? error.code : 'AIOT_DATABASE_UNREACHABLE';
          for (const { campaign } of this.posts) campaign.error = code;
          await this.connection?.close();
        });
        await this.clock.pause(this.times.beatMs, stop.signal);
      }
    };
    return { stop, ended: run() };
  }

  private async end(): Promise<void> {
    const { running } = this;
    this.running = null;
    running?.stop.abort();
    await running?.ended;
    // Another campaign may have begun meanwhile.
    if (this.running !== null) return;
    clearTimeout(this.expiry);
    const { id, connection } = this;
    this.id = null;
    this.connection = null;
    if (id !== null)
      await connection?.store
        .deleteFrom('leaseHolders')
        .where('holder', '=', id)
        .execute()
        .catch(() => {});
    await connection?.close();
  }

  /** Renews this replica's leases, takes on free roles, and hands on a surplus. */
  private async beat(): Promise<void> {
    const { posts, times } = this;
    if (this.clock.now() >= this.deadline) this.loseAll();
    const connection = await this.connected();
    const { store } = connection;
    const open: Post[] = [];
    for (const post of posts) if (await connection.mayLead(post.campaign.role)) open.push(post);
    const began = this.clock.now();
    await this.renew(store, JSON.stringify(open.map(({ campaign }) => campaign.role)));
    if (connection.lost.aborted) throw new AiotError('AIOT_DATABASE_UNREACHABLE', 'the connection was lost');
    this.deadline = began + times.lifeMs - times.endMs;
    this.watchDeadline();
    for (const { campaign } of posts) campaign.error = null;
    // In this order, a replica that joins in between cannot appear as the absent holder of a role that it has just taken on.
    const rows = await store.selectFrom('roleLeases').selectAll().execute();
    const alive = await this.aliveIn(store);
    this.checkHeld(rows);
    this.handOnSurplus(open, alive, rows);
    const taking = this.takeFree(open, alive, rows);
    // A write of the previous holder that is still in progress delays a takeover, but must not delay the next beat.
    await Promise.race([Promise.all(taking), delay(times.beatMs, undefined, { ref: false })]);
  }

  private watchDeadline(): void {
    clearTimeout(this.expiry);
    const check = () => (this.clock.now() < this.deadline ? this.watchDeadline() : this.loseAll());
    this.expiry = setTimeout(check, Math.max(1, this.deadline - this.clock.now()));
    this.expiry.unref();
  }

  private async connected(): Promise<LeaseConnection> {
    if (this.connection && !this.connection.lost.aborted) return this.connection;
    const connection = await this.parts.connect();
    this.connection = connection;
    onAbort(connection.lost, () => {
      if (this.connection === connection) this.loseAll();
    });
    return connection;
  }

  private async renew(store: Store, wanted: string): Promise<void> {
    if (this.id !== null) {
      const { numUpdatedRows } = await store
        .updateTable('leaseHolders')
        .set((row) => ({ beat: row('beat', '+', 1), wanted }))
        .where('holder', '=', this.id)
        .executeTakeFirst();
      if (numUpdatedRows > 0n) return;
      // Another replica has noticed that this one did not respond.
      this.loseAll();
    }
    const holder = randomUUID();
    await store.insertInto('leaseHolders').values({ holder, beat: 0, wanted }).execute();
    this.id = holder;
  }

  /** Returns the running replicas, with the roles that each can take on, and removes the others. */
  private async aliveIn(store: Store): Promise<Map<string, Set<string>>> {
    const { beats, id, times } = this;
    const rows = await store.selectFrom('leaseHolders').selectAll().execute();
    const at = this.clock.now();
    const alive = new Map<string, Set<string>>();
    for (const { holder, beat: told, wanted } of rows) {
      const beat = Number(told);
      if (beats.get(holder)?.beat !== beat) beats.set(holder, { beat, at });
      const silentMs = at - (beats.get(holder)?.at ?? at);
      const isGone = holder !== id && silentMs >= times.lifeMs && (await remove(store, holder, beat));
      if (!isGone) alive.set(holder, new Set(JSON.parse(wanted) as string[]));
    }
    for (const holder of beats.keys()) if (!alive.has(holder)) beats.delete(holder);
    return alive;
  }

  private checkHeld(rows: readonly Row[]): void {
    for (const post of this.posts) {
      const { held } = post;
      if (!held || post.change !== null) continue;
      const row = rows.find(({ role }) => role === held.lease.role);
      if (row?.holder !== held.lease.holder || Number(row.epoch) !== held.lease.epoch) this.lose(post);
    }
  }

  private handOnSurplus(
    open: readonly Post[],
    alive: ReadonlyMap<string, ReadonlySet<string>>,
    rows: readonly Row[],
  ): void {
    const share = Math.ceil(open.length / alive.size);
    const counts = new Map([...alive.keys()].map((holder) => [holder, 0]));
    for (const { holder } of rows)
      if (holder !== null && counts.has(holder)) counts.set(holder, (counts.get(holder) ?? 0) + 1);
    let surplus = this.count() - share;
    for (const post of this.inOrder(open).reverse()) {
      if (surplus <= 0) return;
      if (!post.held || post.change !== null || post.isOver || post.isBusy()) continue;
      const next = [...alive].find(
        ([holder, wanted]) =>
          holder !== this.id && wanted.has(post.campaign.role) && (counts.get(holder) ?? 0) < share,
      );
      if (!next) continue;
      surplus--;
      counts.set(next[0], (counts.get(next[0]) ?? 0) + 1);
      void this.during(post, () => this.handOn(post));
    }
  }

  private takeFree(
    open: readonly Post[],
    alive: ReadonlyMap<string, ReadonlySet<string>>,
    rows: readonly Row[],
  ): Promise<void>[] {
    const share = Math.ceil(open.length / alive.size);
    const taking: Promise<void>[] = [];
    for (const post of this.inOrder(open)) {
      if (post.held || post.change !== null || post.isOver) continue;
      const row = rows.find(({ role }) => role === post.campaign.role);
      // Its own lease is free if the replica lost its connection, or a takeover whose result is unknown.
      const isFree = !row?.holder || row.holder === this.id || !alive.has(row.holder);
      post.freeSince = isFree ? (post.freeSince ?? this.clock.now()) : null;
      if (post.freeSince === null) continue;
      const isLeft = this.clock.now() - post.freeSince >= patienceBeats * this.times.beatMs;
      if (this.count() < share || isLeft) taking.push(this.during(post, () => this.take(post, row)));
      else if (row?.holder === this.id) taking.push(this.during(post, () => this.handOn(post)));
    }
    return taking;
  }

  /** Number of roles in which this replica leads, or that it is taking on. */
  private count(): number {
    return this.posts.filter((post) => post.held !== null || post.change !== null).length;
  }

  /** Each replica has an order of its own, so that replicas rarely try to take on the same role. */
  private inOrder(posts: readonly Post[]): Post[] {
    const key = ({ campaign }: Post) =>
      createHash('sha256').update(`${this.id} ${campaign.role}`).digest('hex');
    return [...posts].sort((a, b) => (key(a) < key(b) ? -1 : 1));
  }

  private during(post: Post, task: () => Promise<void>): Promise<void> {
    const change = task()
      // The next beat reads the state of the lease.
      .catch(() => {})
      .finally(() => {
        post.change = null;
      });
    post.change = change;
    return change;
  }

  private async take(post: Post, row: Row | undefined): Promise<void> {
    const { role } = post.campaign;
    const { id: holder, term } = this;
    if (holder === null) return;
    const epoch = Number(row?.epoch ?? 0) + 1;
    const { store } = this.parts;
    // Waits for a transaction of the previous holder, which has locked the row.
    const { numUpdatedRows: taken = 0n } = row
      ? await store
          .updateTable('roleLeases')
          .set({ holder, epoch })
          .where('role', '=', role)
          .where('epoch', '=', row.epoch)
          .executeTakeFirst()
      : await store
          .insertInto('roleLeases')
          .values({ role, holder, epoch })
          .onConflict((conflict) => conflict.doNothing())
          .executeTakeFirst()
          .then(({ numInsertedOrUpdatedRows }) => ({ numUpdatedRows: numInsertedOrUpdatedRows ?? 0n }));
    if (taken === 0n || term !== this.term || this.clock.now() >= this.deadline || post.isOver) return;
    post.freeSince = null;
    this.work(post, { role, holder, epoch, isLost: false });
  }

  private work(post: Post, lease: Lease): void {
    const controller = new AbortController();
    post.campaign.leads = true;
    const ended = working.run(lease, () => post.work(controller.signal)).catch(() => {});
    post.held = { lease, controller, ended };
  }

  /** Ends the work, then gives the role to whichever replica takes it on next. */
  private async handOn(post: Post): Promise<void> {
    const { held, campaign } = post;
    held?.controller.abort();
    await held?.ended;
    if (held) held.lease.isLost = true;
    if (post.held === held) post.held = null;
    campaign.leads = false;
    if (this.id === null || this.connection?.lost.aborted) return;
    await this.parts.store
      .updateTable('roleLeases')
      .set({ holder: null })
      .where('role', '=', campaign.role)
      .where('holder', '=', this.id)
      .execute();
  }

  /** Ends work whose lease is lost. */
  private lose(post: Post): void {
    const { held } = post;
    if (!held) return;
    held.lease.isLost = true;
    held.controller.abort();
    post.held = null;
    post.campaign.leads = false;
    post.change ??= held.ended.finally(() => {
      post.change = null;
    });
  }

  private loseAll(): void {
    this.term++;
    for (const post of this.posts) this.lose(post);
  }
}

/** Removes a replica unless there is another beat of it. Returns whether it is removed. */
async function remove(store: Store, holder: string, beat: number): Promise<boolean> {
  const { numDeletedRows } = await store
    .deleteFrom('leaseHolders')
    .where('holder', '=', holder)
    .where('beat', '=', beat)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}
