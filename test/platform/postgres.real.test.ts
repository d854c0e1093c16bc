import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { deferred } from '../../src/lib/core/tasks.js';
import { Enrolment } from '../../src/lib/platform/devices/enrolment.js';
import { Fleet } from '../../src/lib/platform/devices/fleet.js';
import { writeDevices } from '../../src/lib/platform/devices/records.js';
import { eventsIn } from '../../src/lib/platform/events/events.js';
import { type Engine, openEngine } from '../../src/lib/platform/store/engine.js';
import { migrations } from '../../src/lib/platform/store/migrations.js';
import { type Postgres, password, startPostgres } from '../support/postgres.js';
import { describeReal } from '../support/real.js';
import { devicesOf, engineSuite, newDevice } from './engine-suite.js';

describeReal('postgres', 'PostgreSQL', () => {
  let server: Postgres;
  let shared: string;
  const opened: Engine[] = [];
  const open = async (url: string) => {
    const engine = await openEngine('', url);
    opened.push(engine);
    return engine;
  };
  beforeAll(async () => {
    server = await startPostgres(['synchronous_commit=off']);
    shared = await server.database();
  }, 60_000);
  afterAll(async () => {
    await Promise.all(opened.map((engine) => engine.close()));
    await server.stop();
  }, 30_000);

  let suite: string | undefined;
  engineSuite('PostgreSQL', {
    open: async () => {
      suite ??= await server.database();
      return openEngine('', suite);
    },
  });

  describe('a database', () => {
    it('is created once when two processes start at the same time', async () => {
      const url = await server.database();
      const engines = await Promise.all([open(url), open(url)]);
      const name = url.split('/').at(-1) as string;
      expect(await server.psql(name, 'SELECT version FROM "aiotSchema"')).toBe(String(migrations.length));
      expect(await Promise.all(engines.map((engine) => engine.trouble()))).toEqual([null, null]);
    });

    it('keeps log lines of an earlier platform without limit, and those of a new one for the usual time', async () => {
      const step = migrations.findIndex((sql) => sql.includes('INSERT INTO retention'));
      const later = migrations.splice(step);
      const url = await server.database();
      const name = url.split('/').at(-1) as string;
      const policies = () => server.psql(name, 'SELECT "stream", "days", "bytes" FROM "retention"');
      try {
        await open(url);
      } finally {
        migrations.push(...later);
      }
      await server.psql(
        name,
        `INSERT INTO "events" ("at", "type", "subject", "who", "data") VALUES (1, 'x', 'y', 'z', '{}')`,
      );
      expect(await policies()).toBe('');
      await open(url);
      expect(await policies()).toBe('||');
      const { store } = await open(await server.database());
      expect(await store.selectFrom('retention').selectAll().execute()).toEqual([]);
    });

    it('commits synchronously, whatever the server’s own setting', async () => {
      const { store } = await open(shared);
      const { rows } = await sql<{
        now: string;
      }>`SELECT current_setting('synchronous_commit') AS now`.execute(store);
      expect(rows).toEqual([{ now: 'on' }]);
    });

    const newer = migrations.length + 1;

    it('is rejected and left unchanged if a newer aiot changed what this one needs', async () => {
      const url = await server.database();
      const running = await open(url);
      const name = url.split('/').at(-1) as string;
      await server.psql(name, `UPDATE "aiotSchema" SET version = ${newer}, oldest = ${newer}`);
      await expect(openEngine('', url)).rejects.toMatchObject({ code: 'AIOT_DATABASE_REFUSED' });
      expect(await running.trouble()).toMatchObject({ code: 'AIOT_DATABASE_REFUSED' });
      expect(await server.psql(name, 'SELECT version FROM "aiotSchema"')).toBe(String(newer));
    });

    it('is used and left unchanged if a newer aiot only added to it', async () => {
      const url = await server.database();
      const running = await open(url);
      const name = url.split('/').at(-1) as string;
      await server.psql(name, `UPDATE "aiotSchema" SET version = ${newer}, oldest = ${migrations.length}`);
      const later = await open(url);
      expect(await Promise.all([running, later].map((engine) => engine.trouble()))).toEqual([null, null]);
      expect(await server.psql(name, 'SELECT version FROM "aiotSchema"')).toBe(String(newer));
    });

    it('stores changes to the same devices in any order at the same time', async () => {
      const engine = await open(await server.database());
      const { store } = engine;
      const devices = await devicesOf(engine);
      for (const name of ['a', 'b']) await devices.inTurn(() => devices.insert(newDevice(name)));
      const [a, b] = [devices.record('a'), devices.record('b')];
      const change = (both: (typeof a)[], lastSeen: number) =>
        store.transaction().execute((trx) =>
          writeDevices(
            trx,
            both.map((device) => ({ device, change: { lastSeen } })),
          ),
        );
      for (let round = 0; round < 50; round++)
        await Promise.all(
          [0, 1, 2, 3, 4, 5, 6, 7].map((at) => change(at % 2 === 0 ? [a, b] : [b, a], round * 8 + at)),
        );
      const rows = await store.selectFrom('devices').select('lastSeen').execute();
      expect(rows.map(({ lastSeen }) => (lastSeen ?? 0) >= 49 * 8)).toEqual([true, true]);
    }, 120_000);

    it('is migrated when a transaction of the previous version has ended, without ending it', async () => {
      const url = await server.database();
      const older = await open(url);
      let opening: Promise<Engine> | undefined;
      let isOpen = false;
      await older.store.transaction().execute(async (trx) => {
        await trx.updateTable('devices').set({ lastSeen: 1 }).execute();
        migrations.push('ALTER TABLE devices ADD COLUMN later TEXT;');
        opening = open(url).finally(() => migrations.pop());
        void opening.then(
          () => {
            isOpen = true;
          },
          () => {},
        );
        // Longer than PostgreSQL's deadlock detection, which would end one of the two.
        await delay(3000);
        expect(isOpen).toBe(false);
        // The migration needs both tables.
        await sql`SELECT count(*) FROM events`.execute(trx);
      });
      const newer = await opening;
      expect(await Promise.all([older, newer].map((engine) => engine?.trouble()))).toEqual([null, null]);
      const version = await server.psql(url.split('/').at(-1) as string, 'SELECT version FROM "aiotSchema"');
      expect(version).toBe(String(migrations.length + 1));
    }, 60_000);

    it('is migrated without assigning the ids of uncommitted rows again', async () => {
      const url = await server.database();
      await open(url);
      const name = url.split('/').at(-1) as string;
      await server.psql(
        name,
        'CREATE TABLE numbered (id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY)',
      );
      const draw = async () =>
        Number(await server.psql(name, `SELECT nextval(pg_get_serial_sequence('numbered', 'id'))`));
      const migrate = async () => {
        migrations.push('ALTER TABLE devices ADD COLUMN later TEXT;');
        await open(url).finally(() => migrations.pop());
        await server.psql(name, `ALTER TABLE devices DROP COLUMN later`);
        await server.psql(name, `UPDATE "aiotSchema" SET version = ${migrations.length}`);
      };
      await server.psql(name, 'INSERT INTO numbered DEFAULT VALUES');
      const drawn = [await draw(), await draw()];
      expect(drawn).toEqual([2, 3]);
      await migrate();
      expect(await draw()).toBe(4);
      await server.psql(name, 'INSERT INTO numbered VALUES (50)');
      await migrate();
      expect(await draw()).toBe(51);
    });

    it.each([
      [
        'the password is wrong',
        (url: string) => url.replace(password, 'wrong-secret'),
        'AIOT_DATABASE_REFUSED',
      ],
      ['it does not exist', (url: string) => `${url}x`, 'AIOT_DATABASE_REFUSED'],
      ['no server is listening', (url: string) => url.replace(/:\d+\//, ':1/'), 'AIOT_DATABASE_UNREACHABLE'],
      ['its URL has another scheme', (url: string) => url.replace('postgres:', 'mysql:'), 'AIOT_USAGE'],
    ])('is not opened if %s, and the password is not disclosed', async (_, broken, code) => {
      const error: unknown = await openEngine('', broken(shared)).catch((thrown) => thrown);
      expect(error).toMatchObject({ code });
      const { inspect } = await import('node:util');
      const told = inspect(error, { depth: 9, showHidden: true }) + JSON.stringify(error);
      expect(told).not.toContain(password);
      expect(told).not.toContain('wrong-secret');
    });
  });

  describe('two processes on one database', () => {
    it('see each other’s devices, and end the sessions of a device that the other revoked', async () => {
      const [a, b] = [await open(shared), await open(shared)];
      const [there, here] = [await devicesOf(a), await devicesOf(b)];
      const ended: string[] = [];
      const stop = here.watch((name) => ended.push(name));
      await there.inTurn(() => there.insert(newDevice('both')));
      // Within a turn, earlier changes by the other process are known without waiting for a notification.
      await here.inTurn(async () => expect(here.authenticated('fp-both')?.name).toBe('both'));
      await expect(here.inTurn(() => here.insert(newDevice('both', { id: 'dev_x' })))).rejects.toMatchObject({
        code: 'AIOT_ALREADY_EXISTS',
        subject: 'device',
      });
      await there.act('both', 'revoke', 'operator x');
      await expect.poll(() => ended, { timeout: 1000, interval: 10 }).toEqual(['both']);
      expect(here.authenticated('fp-both')).toBeNull();
      stop();
    });

    it('run tasks of the same turn one at a time', async () => {
      const engines = [await open(shared), await open(shared)];
      let running = 0;
      let most = 0;
      const task = async () => {
        most = Math.max(most, ++running);
        await delay(5);
        running--;
      };
      await Promise.all(Array.from({ length: 12 }, (_, i) => engines[i % 2]?.turns.of('shared')(task)));
      expect(most).toBe(1);
    });

    it('run tasks on the same part of a turn one at a time, and others at once', async () => {
      const [one, other] = (await Promise.all([open(shared), open(shared)])) as [Engine, Engine];
      const part = ({ turns }: Engine, keys: string[], task: () => Promise<unknown>) =>
        turns.parts('devices in parts')(keys, task);
      const held = deferred();
      const begun = deferred();
      const holds = part(one, ['pump', 'board'], async () => {
        begun.resolve();
        await held.promise;
      });
      await begun.promise;
      await part(other, ['fan'], async () => {});
      await part(one, ['fan'], async () => {});
      const same = part(other, ['board'], async () => 'same');
      const whole = other.turns.of('devices in parts')(async () => 'whole');
      expect(await Promise.race([same, whole, delay(300).then(() => 'both wait')])).toBe('both wait');
      held.resolve();
      expect(await Promise.all([holds, same, whole])).toEqual([undefined, 'same', 'whole']);
      let running = 0;
      let most = 0;
      const counted = async () => {
        most = Math.max(most, ++running);
        await delay(3);
        running--;
      };
      const all = Array.from({ length: 40 }, (_, i) => part(i % 2 ? one : other, ['x', `${i % 3}`], counted));
      await Promise.all(all);
      expect(most).toBe(1);
    });

    it('give a name and a board to one of many devices that are registered at once', async () => {
      const processes = [open(shared), open(shared)].map(async (opening) => {
        const engine = await opening;
        const [devices, events] = [await devicesOf(engine), eventsIn(engine.store, Date.now)];
        const parts = { devices, events, now: Date.now };
        return {
          ...{ devices, store: engine.store, enrolment: new Enrolment({ ...parts, authority: {} as never }) },
          fleet: new Fleet({ ...parts, ended: async () => {}, removed: async () => {} }),
        };
      });
      const fleets = await Promise.all(processes);
      const asked = Array.from({ length: 60 }, (_, i) => ({
        ...{ name: `racer-${i % 20}`, type: 'esp32', mac: `24:0a:c4:00:02:${(10 + (i % 15)).toString(16)}` },
        at: fleets[i % 2]!,
      }));
      const results = await Promise.allSettled(
        asked.map(({ at, ...newcomer }) => at.enrolment.register(newcomer, 'operator x')),
      );
      const refused = results.filter((result) => result.status === 'rejected');
      for (const { reason } of refused) expect(reason).toMatchObject({ code: 'AIOT_ALREADY_EXISTS' });
      for (const { devices } of fleets) await devices.inTurn(async () => {});
      const rows = await fleets[0]!.store
        .selectFrom('devices')
        .select(['name', 'mac'])
        .where('name', 'like', 'racer-%')
        .execute();
      expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length);
      expect(new Set(rows.map(({ mac }) => mac)).size).toBe(rows.length);
      expect(rows.length).toBeGreaterThan(0);
      const known = ({ devices }: (typeof fleets)[number]) =>
        rows.map(({ name }) => ({ name, mac: devices.record(name).mac }));
      for (const fleet of fleets) expect(known(fleet)).toEqual(rows);
      // Different devices are changed side by side at both processes, and no change is lost.
      const changed = rows.flatMap(({ name }) => [1, 2, 3, 4].map((step) => ({ name, step })));
      await Promise.all(
        changed.map(({ name, step }, i) =>
          fleets[i % 2]!.fleet.patch(name, { tags: { [`step-${step}`]: 'done' } }, 'operator x'),
        ),
      );
      for (const { devices } of fleets) {
        await devices.inTurn(async () => {});
        for (const { name } of rows) expect(Object.keys(devices.record(name).tags)).toHaveLength(4);
      }
    }, 60_000);

    it('record reconnecting devices while the other process changes devices, and first connections afterwards', async () => {
      const [one, other] = [await open(shared), await open(shared)];
      const [changing, seeing] = [await devicesOf(one), await devicesOf(other)];
      for (const name of ['known', 'new'])
        await seeing.inTurn(() =>
          seeing.insert(newDevice(name, { id: `dev_seen_${name}`, fingerprint: `seen-${name}` })),
        );
      await seeing.connected('known');
      await seeing.disconnected('known');
      const begun = deferred();
      const proceed = deferred();
      const change = changing.inTurn(async () => {
        begun.resolve();
        await proceed.promise;
        await changing.update(changing.record('new'), { state: 'suspended' });
      });
      await begun.promise;
      await seeing.connected('known');
      expect(seeing.info('known')).toMatchObject({ state: 'active', online: true });
      const first = seeing.connected('new');
      expect(await Promise.race([first, delay(300).then(() => 'waits')])).toBe('waits');
      proceed.resolve();
      await Promise.all([change, first]);
      // The first connection saw the change, so it did not activate the device.
      const stored = await one.store
        .selectFrom('devices')
        .select('state')
        .where('name', '=', 'new')
        .execute();
      expect(stored).toEqual([{ state: 'suspended' }]);
    });

    it('write nothing more in a turn whose lock was lost with its connection', async () => {
      const engine = await open(shared);
      const name = shared.split('/').at(-1) as string;
      const task = engine.turns.of('lost')(async () => {
        await server.psql(
          name,
          `SELECT pg_terminate_backend(pid, 20000) FROM pg_locks WHERE locktype = 'advisory' AND granted
          AND objid = (SELECT objid FROM pg_locks WHERE pid <> 0 AND locktype = 'advisory' AND objsubid = 2
          AND pid IN (SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_advisory_lock%') LIMIT 1)`,
        );
        await delay(200);
        await engine.store.insertInto('meta').values({ key: 'late', value: '' }).execute();
      });
      await expect(task).rejects.toMatchObject({ code: 'AIOT_DATABASE_UNREACHABLE', retryable: true });
      const late = await engine.store.selectFrom('meta').select('key').where('key', '=', 'late').execute();
      expect(late).toEqual([]);
    });

    it('have one leader at a time, and the other takes over when it stops', async () => {
      const engines = [await open(shared), await open(shared)];
      const working = new Set<number>();
      let most = 0;
      const campaigns = engines.map(({ leader }, i) =>
        leader.campaign(async (signal) => {
          working.add(i);
          most = Math.max(most, working.size);
          await new Promise<void>((resolve) =>
            signal.addEventListener('abort', () => resolve(), { once: true }),
          );
          working.delete(i);
        }, 'platform'),
      );
      await expect.poll(() => working.size, { timeout: 30_000 }).toBe(1);
      const [first] = working;
      await campaigns[first as number]?.();
      await expect.poll(() => [...working], { timeout: 30_000 }).toEqual([1 - (first as number)]);
      expect(most).toBe(1);
      await Promise.all(campaigns.map((stop) => stop()));
      expect(working.size).toBe(0);
    }, 15_000);
  });

  describe('a replica that leads in a role', () => {
    /** Runs `task` as the leader's work, and returns its result; `takeOver` gives the role to another replica. */
    const leading = async (task: (engine: Engine, takeOver: () => Promise<string>) => Promise<unknown>) => {
      const engine = await open(shared);
      const name = shared.split('/').at(-1) as string;
      const sql = `UPDATE "roleLeases" SET holder = 'another', epoch = epoch + 1 WHERE role = 'late'`;
      const result = await new Promise<unknown>((resolve) => {
        const work = () => task(engine, () => server.psql(name, sql)).then(resolve, resolve) as Promise<void>;
        ends.push(engine.leader.campaign(work, 'late'));
      });
      return result;
    };
    const ends: (() => Promise<void>)[] = [];
    afterEach(async () => {
      for (const end of ends.splice(0)) await end();
      const name = shared.split('/').at(-1) as string;
      await server.psql(name, `DELETE FROM "roleLeases"; DELETE FROM meta WHERE key = 'late'`);
    });
    const late = { key: 'late', value: '' };
    const stored = async () => {
      const name = shared.split('/').at(-1) as string;
      return server.psql(name, `SELECT count(*) FROM meta WHERE key = 'late'`);
    };
    const rejected = { code: 'AIOT_DATABASE_UNREACHABLE', message: expect.stringContaining('role late') };

    it('writes until another replica takes over, and nothing from then on', async () => {
      const results: unknown[] = [];
      await leading(async ({ store }, takeOver) => {
        await store.insertInto('meta').values(late).execute();
        await store.deleteFrom('meta').where('key', '=', 'late').execute();
        await takeOver();
        results.push(
          await store
            .insertInto('meta')
            .values(late)
            .execute()
            .catch((error) => error),
        );
        const together = store.transaction().execute((one) => one.insertInto('meta').values(late).execute());
        results.push(await together.catch((error) => error));
        // The connections are usable again, and reads continue.
        results.push(await store.selectFrom('meta').select('key').where('key', '=', 'late').execute());
      });
      expect(results).toMatchObject([rejected, rejected, []]);
      expect(await stored()).toBe('0');
    }, 15_000);

    it('completes a transaction that it began before another replica takes over, which waits for it', async () => {
      const order: string[] = [];
      await leading(async ({ store }, takeOver) => {
        const taking = await store.transaction().execute(async (one) => {
          const taking = takeOver().then(() => order.push('taken over'));
          await delay(300);
          await one.insertInto('meta').values(late).execute();
          order.push('written');
          return { taking };
        });
        await taking.taking;
      });
      expect(order).toEqual(['written', 'taken over']);
      expect(await stored()).toBe('1');
    }, 15_000);

    it('leaves the role to a replica of an earlier version, and keeps it from leading afterwards', async () => {
      const engine = await open(shared);
      // Earlier versions elect a leader by this lock.
      const key = createHash('sha256').update('leader of platform').digest().readInt32BE();
      const lock = sql<{
        taken: boolean;
      }>`SELECT pg_try_advisory_lock(${0x61696f74}::int, ${key}::int) AS taken`;
      const unlock = sql`SELECT pg_advisory_unlock(${0x61696f74}::int, ${key}::int)`;
      await (await open(shared)).store.connection().execute(async (earlier) => {
        const take = async () => (await lock.execute(earlier)).rows[0]?.taken;
        expect(await take()).toBe(true);
        let leads = false;
        const work = async () => {
          leads = true;
        };
        ends.push(engine.leader.campaign(work, 'late'));
        await delay(3500);
        expect(leads).toBe(false);
        expect(engine.leader.roles()).toEqual([{ role: 'late', leads: false, error: null }]);
        await unlock.execute(earlier);
        await expect.poll(() => leads, { timeout: 15_000 }).toBe(true);
        expect(await take()).toBe(false);
      });
    }, 60_000);
  });

  describe('a database server that stops and restarts', () => {
    it('is reported as down, keeps acknowledged writes, ends leadership, and is used again automatically', async () => {
      const engine = await open(await server.database());
      let leading = false;
      const stop = engine.leader.campaign(async (signal) => {
        leading = true;
        await new Promise<void>((resolve) =>
          signal.addEventListener('abort', () => resolve(), { once: true }),
        );
        leading = false;
      }, 'platform');
      await expect.poll(() => leading, { timeout: 30_000 }).toBe(true);
      const devices = await devicesOf(engine);
      const acknowledged: string[] = [];
      let killed = false;
      let refused = 0;
      const writer = (async () => {
        // Until a write is refused: on a slow machine, the last write may be acknowledged just before the server is killed.
        for (let i = 0; !killed || refused === 0 || i % 5 !== 0; i++) {
          try {
            await devices.inTurn(() => devices.insert(newDevice(`d${i}`)));
            acknowledged.push(`d${i}`);
          } catch (error) {
            expect(error).toMatchObject({ code: 'AIOT_DATABASE_UNREACHABLE', retryable: true });
            refused++;
          }
        }
      })();
      await expect.poll(() => acknowledged.length, { timeout: 10_000 }).toBeGreaterThan(0);
      await delay(150);
      await server.kill();
      killed = true;
      await writer;
      expect(refused).toBeGreaterThan(0);
      expect(await engine.trouble()).toMatchObject({ code: 'AIOT_DATABASE_UNREACHABLE', retryable: true });
      await expect.poll(() => leading).toBe(false);
      await server.start();
      await expect.poll(() => engine.trouble(), { timeout: 20_000 }).toBeNull();
      await expect.poll(() => leading, { timeout: 20_000 }).toBe(true);
      await stop();
      const names = new Set(
        (await engine.store.selectFrom('devices').select('name').execute()).map(({ name }) => name),
      );
      expect(acknowledged.filter((name) => !names.has(name))).toEqual([]);
      expect(acknowledged.length).toBeGreaterThan(0);
      await devices.inTurn(() => devices.insert(newDevice('after')));
    }, 60_000);
  });
});
