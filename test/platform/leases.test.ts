import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { deferred, onAbort } from '../../src/lib/core/tasks.js';
import { openStore, type Store } from '../../src/lib/platform/store/database.js';
import {
  currentLease,
  type Lease,
  type LeaseConnection,
  Leases,
} from '../../src/lib/platform/store/leases.js';

const roles = ['alarms', 'audit', 'jobs', 'relay', 'retention', 'rollouts', 'scrub', 'webhooks'];
const times = { beatMs: 1000, lifeMs: 5000, endMs: 1000 };

interface Replica {
  /** Runs the next beat. */
  beat(): Promise<void>;
  /** Resolves when the first beat has ended. */
  begun(): Promise<void>;
  leads(): string[];
  errors(): (string | null)[];
  /** Ends the replica's connection to the database. */
  disconnect(): void;
  /** Whether the replica's connection responds. */
  setReachable(isReachable: boolean): void;
  stop(): Promise<void>;
}

let folder: string;
let store: Store;
let now: number;
let replicas: Replica[];
/** The replicas that do the work of each role now, and the largest number of them so far. */
const working = new Map<string, number[]>();
const most = new Map<string, number>();
const starts: Lease[] = [];

beforeEach(async () => {
  now = 0;
  replicas = [];
  working.clear();
  most.clear();
  starts.length = 0;
  folder = await mkdtemp(join(tmpdir(), 'aiot-leases-'));
  store = await openStore(join(folder, 'state.db'));
});
afterEach(async () => {
  await Promise.all(replicas.map((replica) => replica.stop()));
  await store.destroy();
  await rm(folder, { recursive: true, force: true });
});

function replica({
  own = roles,
  busy = () => false,
  mayLead = () => true,
}: {
  own?: string[];
  busy?: () => boolean;
  mayLead?: () => boolean;
} = {}): Replica {
  const place = replicas.length;
  let isReachable = true;
  let connection = new AbortController();
  const connect = async (): Promise<LeaseConnection> => {
    const opened = new AbortController();
    connection = opened;
    const answer = async () => {
      if (!isReachable) throw new Error('unreachable');
      return mayLead();
    };
    return { store, lost: opened.signal, mayLead: answer, close: async () => opened.abort() };
  };
  // The replica pauses after each beat until the test calls `beat`.
  let paused = deferred();
  let resume = () => {};
  const pause = (_: number, signal: AbortSignal) =>
    new Promise<void>((resolve) => {
      const stopListening = onAbort(signal, resolve);
      resume = () => {
        stopListening();
        resolve();
      };
      paused.resolve();
    });
  const leases = new Leases({ store, connect, times, clock: { now: () => now, pause } });
  const ends = own.map((role) =>
    leases.campaign(
      async (signal) => {
        starts.push(currentLease() as Lease);
        const here = [...(working.get(role) ?? []), place];
        working.set(role, here);
        most.set(role, Math.max(most.get(role) ?? 0, here.length));
        await new Promise<void>((resolve) => onAbort(signal, resolve));
        const rest = (working.get(role) ?? []).filter((each) => each !== place);
        working.set(role, rest);
      },
      role,
      busy,
    ),
  );
  let isStopped = false;
  const made: Replica = {
    async beat() {
      await paused.promise;
      paused = deferred();
      resume();
      await paused.promise;
    },
    begun: () => paused.promise,
    leads: () => leases.roles().flatMap(({ role, leads }) => (leads ? [role] : [])),
    errors: () => leases.roles().map(({ error }) => error),
    disconnect: () => connection.abort(),
    setReachable(is) {
      isReachable = is;
    },
    async stop() {
      if (isStopped) return;
      isStopped = true;
      await Promise.all(ends.map((end) => end()));
    },
  };
  replicas.push(made);
  return made;
}

/** Lets time pass while these replicas run. */
async function pass(ms: number, running: readonly Replica[]): Promise<void> {
  for (const until = now + ms; now < until; ) {
    now += times.beatMs;
    for (const each of running) await each.beat();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const led = () => replicas.flatMap((each) => each.leads()).sort();
const counts = () => replicas.map((each) => each.leads().length);

describe('the roles of background tasks', () => {
  it('are all taken on by a single replica at its first beat', async () => {
    const only = replica();
    await only.begun();
    expect(only.leads()).toEqual(roles);
    expect(starts.map(({ epoch }) => epoch)).toEqual(roles.map(() => 1));
  });

  it('are redistributed when replicas join, each role to one replica at a time', async () => {
    const [a, b] = [replica(), replica()];
    await a.begun();
    await pass(3000, [a, b]);
    expect(counts()).toEqual([4, 4]);
    const c = replica();
    await pass(4000, [a, b, c]);
    expect(counts().sort()).toEqual([2, 3, 3]);
    expect(led()).toEqual(roles);
    expect([...most.values()].every((count) => count === 1)).toBe(true);
    // Spread roles stay where they are.
    const before = replicas.map((each) => each.leads());
    await pass(20_000, [a, b, c]);
    expect(replicas.map((each) => each.leads())).toEqual(before);
  });

  it('of a killed replica are taken over after the lifetime of a lease, and not before', async () => {
    const [a, b] = [replica(), replica()];
    await pass(6000, [a, b]);
    const ofB = b.leads();
    expect(ofB).toHaveLength(4);
    await pass(4000, [a]);
    expect(a.leads()).toHaveLength(4);
    await pass(2000, [a]);
    expect(a.leads()).toEqual(roles);
    const [before, again] = [starts.slice(0, -4), starts.slice(-4)];
    expect(again.map(({ role }) => role).sort()).toEqual(ofB);
    for (const { role, epoch } of again)
      expect(epoch).toBe((before.filter((one) => one.role === role).at(-1)?.epoch ?? 0) + 1);
    // A replica that was only paused notices that it was replaced, and starts again.
    await b.beat();
    expect(b.leads()).toEqual([]);
    await pass(3000, [a, b]);
    expect(counts()).toEqual([4, 4]);
    expect(led()).toEqual(roles);
  });

  it('are handed on at the next beat when a replica shuts down', async () => {
    const [a, b] = [replica(), replica()];
    await pass(6000, [a, b]);
    await b.stop();
    await pass(1000, [a]);
    expect(a.leads()).toEqual(roles);
    const rows = await store.selectFrom('leaseHolders').select('holder').execute();
    expect(rows).toHaveLength(1);
    expect([...most.values()].every((count) => count === 1)).toBe(true);
  });

  it('end a second before others may take them over, if the database is unreachable', async () => {
    const [a, b] = [replica(), replica()];
    await pass(6000, [a, b]);
    const ofB = b.leads();
    b.setReachable(false);
    await pass(times.lifeMs - times.endMs, [a]);
    await b.beat();
    expect(b.leads()).toEqual([]);
    expect(b.errors()).toEqual(roles.map(() => 'AIOT_DATABASE_UNREACHABLE'));
    const leases = ofB.map((role) => starts.filter((one) => one.role === role).at(-1));
    expect(leases.every((lease) => lease?.isLost)).toBe(true);
    await a.beat();
    expect(a.leads()).not.toEqual(expect.arrayContaining(ofB));
    await pass(times.endMs, [a]);
    await pass(times.beatMs, [a]);
    expect(a.leads()).toEqual(roles);
  });

  it('end at once when the connection is lost, and are resumed with a higher epoch', async () => {
    const only = replica();
    await only.begun();
    only.disconnect();
    expect(only.leads()).toEqual([]);
    expect(starts.every(({ isLost }) => isLost)).toBe(true);
    await pass(1000, [only]);
    await pass(1000, [only]);
    expect(only.leads()).toEqual(roles);
    expect(starts.slice(-roles.length).every(({ epoch }) => epoch === 2)).toBe(true);
    expect([...most.values()].every((count) => count === 1)).toBe(true);
  });

  it('stay with a replica that is busy with them', async () => {
    const a = replica({ busy: () => true });
    await a.begun();
    const b = replica();
    await pass(10_000, [a, b]);
    expect(counts()).toEqual([8, 0]);
    expect(led()).toEqual(roles);
  });

  it('stay with the only replica that can take them on, while the other roles are distributed', async () => {
    const a = replica({ own: [...roles, 'broker', 'guide'] });
    await a.begun();
    const b = replica({ own: ['audit', 'jobs'] });
    await pass(10_000, [a, b]);
    expect(led()).toEqual([...roles, 'broker', 'guide'].sort());
    expect(b.leads().every((role) => ['audit', 'jobs'].includes(role))).toBe(true);
    expect(a.leads()).toEqual(expect.arrayContaining(['broker', 'guide', 'scrub']));
    const before = replicas.map((each) => each.leads());
    await pass(20_000, [a, b]);
    expect(replicas.map((each) => each.leads())).toEqual(before);
  });

  it('are left to replicas of an earlier version while one of them leads', async () => {
    let isEarlier = true;
    const a = replica({ mayLead: () => !isEarlier });
    await pass(10_000, [a]);
    expect(a.leads()).toEqual([]);
    isEarlier = false;
    await a.beat();
    expect(a.leads()).toEqual(roles);
  });
});
