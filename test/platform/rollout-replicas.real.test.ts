import { setTimeout as delay } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { sideBySide } from '../../bench/scale/replicas.js';
import { Deltas, DesiredStates, type PublishRetained } from '../../src/lib/platform/devices/desired.js';
import { Devices } from '../../src/lib/platform/devices/devices.js';
import { eventsAfter, eventsIn, extentOf } from '../../src/lib/platform/events/events.js';
import { rolloutStoreIn } from '../../src/lib/platform/releases/rollout-store.js';
import { type Engine, openEngine } from '../../src/lib/platform/store/engine.js';
import { addressOf, openSession } from '../../src/lib/platform/store/postgres-connection.js';
import { type Postgres, startPostgres } from '../support/postgres.js';
import { describeReal } from '../support/real.js';
import { devicesOf, newDevice, newRollout } from './engine-suite.js';

const now = () => Date.UTC(2026, 0, 1);
const release = { kind: 'model' as const, name: 'm', version: 1, sequence: 1 };

describeReal('postgres', 'replicas on one PostgreSQL', () => {
  let server: Postgres;
  let url: string;
  const engines: Engine[] = [];
  const open = async () => {
    const engine = await openEngine('', url);
    engines.push(engine);
    return engine;
  };
  const servicesOf = ({ store, changes, turns }: Engine, publish: PublishRetained = async () => {}) => {
    const events = eventsIn(store, now, changes);
    const deltas = new Deltas({ store, blobs: {} as never, now });
    const desired = new DesiredStates(store, publish, events, deltas);
    return { events, desired, rollouts: rolloutStoreIn(store, events, desired, turns) };
  };
  /** Resolves with whether the task has ended within the time. */
  const endsWithin = (ms: number, task: Promise<unknown>) =>
    Promise.race([task.then(() => true), delay(ms).then(() => false)]);
  const gate = () => {
    let release = () => {};
    const opened = new Promise<void>((resolve) => {
      release = resolve;
    });
    return { opened, release };
  };

  beforeAll(async () => {
    server = await startPostgres();
  }, 60_000);
  afterEach(async () => {
    for (const engine of engines.splice(0)) await engine.close();
  });
  afterAll(() => server?.stop());

  describe('rollouts', () => {
    const unchanged = () => null;
    const prepared = async () => {
      url = await server.database();
      const [first, second] = [await open(), await open()];
      const services = { first: servicesOf(first), second: servicesOf(second) };
      for (const id of ['ro_1', 'ro_2'])
        await services.first.rollouts.insert(newRollout(id, ['a']), 'operator x');
      return { first, second, services };
    };

    it('advance without waiting for a step of another rollout, but wait for one of the same', async () => {
      const { second, services } = await prepared();
      const [{ opened, release }, locked] = [gate(), gate()];
      const step = second.store.transaction().execute(async (transaction) => {
        await transaction.selectFrom('rollouts').select('id').where('id', '=', 'ro_1').forUpdate().execute();
        await services.second.events.record(
          { type: 'webhook.test', subject: 'x', who: 'platform' },
          transaction,
        );
        locked.release();
        await opened;
      });
      await locked.opened;
      const advance = (id: string) => services.first.rollouts.advance(id, undefined, unchanged, 'platform');
      const same = advance('ro_1');
      expect(await endsWithin(20_000, advance('ro_2'))).toBe(true);
      expect(await endsWithin(300, same)).toBe(false);
      release();
      await step;
      expect((await same)?.before.head.id).toBe('ro_1');
      expect(await advance('ro_3')).toBeNull();
    }, 30_000);

    it('do not advance while a replica of an earlier version advances rollouts in its turn', async () => {
      const { first, services } = await prepared();
      const [{ opened, release }, locked] = [gate(), gate()];
      const turn = first.turns.of('rollouts')(() => {
        locked.release();
        return opened;
      });
      await locked.opened;
      const advanced = services.second.rollouts.advance('ro_1', undefined, unchanged, 'platform');
      expect(await endsWithin(300, advanced)).toBe(false);
      release();
      await turn;
      expect(await endsWithin(20_000, advanced)).toBe(true);
    }, 30_000);

    it('start each step from the state in the database, whichever replica saved it', async () => {
      const { services } = await prepared();
      const stale = (await services.second.rollouts.get('ro_1'))!;
      const next = (state: typeof stale) => ({
        head: { ...state.head, revision: state.head.revision + 1 },
        changed: [...state.devices.values()].map((device) => ({ ...device, attempts: device.attempts + 1 })),
        wishes: [],
      });
      const both = [services.first, services.second].map(({ rollouts }) =>
        Promise.all(Array.from({ length: 10 }, () => rollouts.advance('ro_1', stale, next, 'platform'))),
      );
      await Promise.all(both);
      const state = await services.first.rollouts.get('ro_1');
      expect(state?.head.revision).toBe(20);
      expect(state?.devices.get('a')?.attempts).toBe(20);
    }, 30_000);

    it('of which one withdraws a device leave the newer desired state of another in place', async () => {
      const { first, second, services } = await prepared();
      const devices = await devicesOf(first);
      await devices.inTurn(() => devices.insert(newDevice('a')));
      const write = (wish: string, offered: typeof release | null, { store }: Engine) =>
        store
          .transaction()
          .execute((one) => services.first.desired.write([{ device: 'a', wish, release: offered }], one));
      await write('ro_1', release, first);
      const [{ opened, release: commit }, locked] = [gate(), gate()];
      const offer = second.store.transaction().execute(async (transaction) => {
        await services.second.desired.write([{ device: 'a', wish: 'ro_2', release }], transaction);
        locked.release();
        await opened;
      });
      await locked.opened;
      const withdrawn = write('ro_1', null, first);
      expect(await endsWithin(300, withdrawn)).toBe(false);
      commit();
      await offer;
      expect(await withdrawn).toEqual([]);
      expect(await services.first.desired.get('a')).toMatchObject({ rollout: 'ro_2' });
    }, 30_000);

    it('publish the newer of two desired states last, whichever replica is slower', async () => {
      const { first, second, services } = await prepared();
      const devices = await devicesOf(first);
      await devices.inTurn(() => devices.insert(newDevice('a')));
      const write = (wish: string, { store }: Engine) =>
        store
          .transaction()
          .execute((one) => services.first.desired.write([{ device: 'a', wish, release }], one));
      const published: string[] = [];
      const slow = servicesOf(first, async (_topic, payload) => {
        // The other replica offers another release before this message is sent.
        if (published.length === 0) {
          await write('ro_2', second);
          published.push('ro_2');
        }
        published.push((JSON.parse(payload.toString()) as { rollout: string }).rollout);
      });
      await slow.desired.tell(await write('ro_1', first));
      expect(published).toEqual(['ro_2', 'ro_1', 'ro_2']);
    }, 30_000);

    it('end with each device updated once, although replicas are killed', async () => {
      const result = await sideBySide(server, { rollouts: 12, each: 8, replicas: 3, kill: 3 });
      expect(result).toMatchObject({ ended: 12, wrong: [] });
      expect(result.killed).toBeGreaterThan(0);
    }, 240_000);
  });

  describe('events', () => {
    it('get their ids in commit order, although no writer waits for another', async () => {
      url = await server.database();
      const [first, second] = [await open(), await open()];
      const [{ opened, release }, recorded] = [gate(), gate()];
      const record = (subject: string, { store, changes }: Engine, wait = Promise.resolve()) =>
        store.transaction().execute(async (transaction) => {
          const event = { type: 'webhook.test' as const, subject, who: 'platform' };
          await eventsIn(store, now, changes).record(event, transaction);
          recorded.release();
          await wait;
        });
      const slow = record('slow', first, opened);
      await recorded.opened;
      expect(await endsWithin(20_000, record('quick', second))).toBe(true);
      const { latest } = await extentOf(second.store);
      const read = async (after: number) =>
        (await eventsAfter(second.store, { after, limit: 10 })).map(({ subject }) => subject);
      expect(await read(0)).toEqual(['quick']);
      release();
      await slow;
      expect(await read(latest)).toEqual(['slow']);
    }, 30_000);

    it('of many writers, and of an earlier version, reach a reader once each', async () => {
      url = await server.database();
      const all = [await open(), await open(), await open()];
      const events = all.map(({ store, changes }) => eventsIn(store, now, changes));
      const [subjects, controller] = [[] as string[], new AbortController()];
      const reading = (async () => {
        for await (const page of events[0]!.feed.follow(0, controller.signal))
          subjects.push(...page.events.map(({ subject }) => subject));
      })();
      const written: string[] = [];
      const write = async (writer: number) => {
        for (let i = 0; i < 20; i++) {
          const subject = `w${writer}-${i}`;
          const event = { type: 'webhook.test' as const, subject, who: 'platform' };
          await all[writer % 3]!.store.transaction().execute(async (transaction) => {
            // Earlier versions insert directly, and wait for the lock of the trigger.
            if (writer === 9)
              await sql`INSERT INTO "events" ("at", "type", "subject", "who", "data")
                VALUES (0, 'webhook.test', ${subject}, 'platform', '{}')`.execute(transaction);
            else await events[writer % 3]!.record(event, transaction);
            await delay(Math.random() * 5);
          });
          written.push(subject);
        }
      };
      await Promise.all(Array.from({ length: 10 }, (_, writer) => write(writer)));
      await expect.poll(() => subjects.length, { timeout: 10_000 }).toBe(200);
      controller.abort();
      await reading;
      for (const each of events) each.feed.close();
      expect([...subjects].sort()).toEqual([...written].sort());
      // Each writer's events keep their order.
      for (let writer = 0; writer < 10; writer++) {
        const own = subjects.filter((subject) => subject.startsWith(`w${writer}-`));
        expect(own).toEqual(Array.from({ length: 20 }, (_, i) => `w${writer}-${i}`));
      }
    }, 60_000);
  });

  describe('changes to devices', () => {
    it('are notified after the commit, except the times when devices were last seen', async () => {
      url = await server.database();
      const engine = await open();
      const devices = await devicesOf(engine);
      const session = await openSession(await addressOf(url));
      try {
        const heard: (string | undefined)[] = [];
        session.client.on('notification', ({ payload }) => heard.push(payload));
        await session.query('LISTEN aiot');
        await devices.inTurn(() => devices.insert(newDevice('a', { state: 'active' })));
        // The insertion is notified, too.
        await expect.poll(() => heard).toContain('devices');
        heard.length = 0;
        await devices.connected('a');
        await devices.disconnected('a');
        await devices.connected('a');
        // The events of these connections are moved, and then notified.
        await expect.poll(() => heard.includes('events'), { timeout: 20_000 }).toBe(true);
        expect(heard.filter((what) => what === 'devices')).toHaveLength(0);
        await devices.inTurn(() => devices.update(devices.record('a'), { tags: { site: 'x' } }));
        await expect
          .poll(() => heard.filter((what) => what === 'devices').length, { timeout: 20_000 })
          .toBe(1);
      } finally {
        await session.close();
      }
    }, 30_000);

    it('are noticed even if the replica was killed before its notification', async () => {
      url = await server.database();
      const [first, second] = [await open(), await open()];
      const devices = await devicesOf(first);
      await devices.inTurn(() => devices.insert(newDevice('a')));
      const others = await Devices.open(
        second.store,
        now,
        eventsIn(second.store, now),
        second.turns,
        second.changes,
      );
      const stop = others.watch(() => {});
      const name = url.split('/').at(-1) as string;
      await server.psql(
        name,
        `SELECT set_config('aiot.notifies', 'after', false); UPDATE devices SET tags = '{"site":"y"}', revision = 2`,
      );
      await expect.poll(() => others.record('a').tags, { timeout: 10_000 }).toEqual({ site: 'y' });
      stop();
    }, 30_000);
  });
});
