import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rolloutPolicySchema } from '../../src/lib/api/rollouts/schema.js';
import { newId } from '../../src/lib/core/names.js';
import { deferred } from '../../src/lib/core/tasks.js';
import { afterStep, rolloutStep } from '../../src/lib/fleet/rollout/step.js';
import type { RolloutState } from '../../src/lib/fleet/rollout/types.js';
import { startRollout } from '../../src/lib/fleet/rollout/waves.js';
import { Tokens } from '../../src/lib/platform/access/tokens.js';
import { Sessions } from '../../src/lib/platform/access/users.js';
import { namesIn } from '../../src/lib/platform/devices/crashes.js';
import { Deltas, DesiredStates } from '../../src/lib/platform/devices/desired.js';
import { Devices, type NewDevice } from '../../src/lib/platform/devices/devices.js';
import { eventsIn } from '../../src/lib/platform/events/events.js';
import { Models } from '../../src/lib/platform/releases/models.js';
import { PipelineRequests } from '../../src/lib/platform/releases/pipeline-requests.js';
import { PipelineRuns } from '../../src/lib/platform/releases/pipeline-runs.js';
import { Firmware } from '../../src/lib/platform/releases/releases.js';
import { rolloutStoreIn } from '../../src/lib/platform/releases/rollout-store.js';
import { TrainingRuns } from '../../src/lib/platform/releases/training-runs.js';
import type { Engine } from '../../src/lib/platform/store/engine.js';
import { publishedRun, trainingRunId } from '../support/published-run.js';

const now = () => 1_700_000_000_000;

export const newDevice = (name: string, more: Partial<NewDevice> = {}): NewDevice => ({
  ...{ name, id: `dev_${name}`, type: 'pi', state: 'provisioned', fingerprint: `fp-${name}` },
  ...{ expires: 4_000_000_000_000, mac: null, chipId: null, created: now(), ...more },
});

export async function devicesOf(engine: Engine): Promise<Devices> {
  const { store, turns, changes } = engine;
  return Devices.open(store, now, eventsIn(store, now), turns, changes);
}

export function newRollout(id: string, devices: string[]): RolloutState {
  const releases = [{ kind: 'model' as const, name: 'm', version: 1, sequence: 1 }];
  const policy = rolloutPolicySchema.parse({ waves: [1], perMinute: 60 });
  const who = { selector: 'all', by: 'operator x', created: now() };
  return startRollout({ id, releases, rollback: null, policy, devices, ...who });
}

export function rolloutsIn({ store }: Pick<Engine, 'store'>) {
  const deltas = new Deltas({ store, blobs: {} as never, now });
  const events = eventsIn(store, now);
  return rolloutStoreIn(store, events, new DesiredStates(store, async () => {}, events, deltas));
}

/**
 * The services' requirements for any database. `open` opens the same database each time. It is opened twice at once only if
 * processes share it.
 */
export function engineSuite(name: string, { open }: { open: () => Promise<Engine> }): void {
  describe(`state in ${name}`, () => {
    let engine: Engine;
    beforeAll(async () => {
      engine = await open();
    });
    afterAll(() => engine.close());

    const reopened = async () => {
      await engine.close();
      engine = await open();
      return engine;
    };

    it('selects by any number of names', async () => {
      const { store } = engine;
      const rows = ['name-a', 'name-b "c"', 'name-d'].map((key) => ({ key, value: '' }));
      await store.insertInto('meta').values(rows).execute();
      const keys = store.selectFrom('meta').select('key').orderBy('key');
      const chosen = (names: readonly string[] | undefined) =>
        keys.where('key', 'in', namesIn(store, names)).execute();
      const many = Array.from({ length: 100_000 }, (_, i) => `name-${i}`);
      expect(await chosen([...many, 'name-b "c"', 'name-d'])).toEqual([
        { key: 'name-b "c"' },
        { key: 'name-d' },
      ]);
      expect(await chosen([])).toEqual([]);
    });

    it('pages models, their versions, firmware and rollouts: each entry once, one page at a time', async () => {
      const { store } = engine;
      const of = { sequence: 0, digest: `sha256:${'0'.repeat(64)}`, bytes: 1, pushed: now() };
      const info = JSON.stringify({ kind: 'upload' });
      const names = Array.from(
        { length: 25 },
        (_, i) => `${i % 2 === 0 ? 'Z' : 'a'}-${String(i).padStart(2, '0')}`,
      );
      const versions = names.flatMap((name, i) =>
        Array.from({ length: i === 3 ? 12 : 2 }, (_, v) => ({ ...of, name, version: v + 1, info })),
      );
      await store.insertInto('models').values(versions).execute();
      await store
        .updateTable('models')
        .set({ stage: 'production' })
        .where('name', '=', 'a-03')
        .where('version', '=', 7)
        .execute();
      await store.updateTable('models').set({ removed: now() }).where('name', '=', 'a-01').execute();
      await store
        .updateTable('models')
        .set({ removed: now() })
        .where('name', '=', 'a-03')
        .where('version', '=', 12)
        .execute();
      await store
        .insertInto('firmware')
        .values(versions.map((row, i) => ({ ...row, sequence: i + 1, envelope: '{}' })))
        .execute();
      const rollouts = rolloutsIn({ store });
      const parts = { ...engine, now } as unknown as ConstructorParameters<typeof Firmware>[0];
      const models = new Models(parts);
      const firmware = new Firmware(parts);
      const all = async <T>(read: (after?: string) => Promise<{ entries: T[]; next: string | null }>) => {
        const found: T[] = [];
        for (let after: string | undefined; ; ) {
          const { entries, next } = await read(after);
          expect(entries.length).toBeLessThanOrEqual(7);
          found.push(...entries);
          if (next === null) return found;
          after = next;
        }
      };
      const limit = 7;
      const sorted = [...names].sort();
      const listed = await all(async (after) => {
        const { models: entries, next } = await models.list({ limit, after });
        return { entries, next };
      });
      expect(listed.map(({ name }) => name)).toEqual(sorted.filter((name) => name !== 'a-01'));
      expect(await models.counts()).toEqual({ models: 24, modelVersions: 57 });
      expect(listed.find(({ name }) => name === 'a-03')).toMatchObject({
        ...{ versions: 11, production: 7, latest: { version: 11 } },
      });
      const ofOne = await all(async (after) => {
        const { versions: entries, next } = await models.versions('a-03', { limit, after });
        return { entries, next };
      });
      expect(ofOne.map(({ version }) => version)).toEqual([11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
      await expect(models.versions('a-01', { limit })).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
      const images = await all((after) => firmware.list({ limit, after }));
      expect(images.map(({ name }) => name)).toEqual(sorted);
      expect(images.find(({ name }) => name === 'a-03')).toMatchObject({
        versions: 12,
        latest: { version: 12 },
      });
      expect(
        (await firmware.versions('a-03', { limit, after: '3' })).versions.map(({ version }) => version),
      ).toEqual([2, 1]);
      expect(await firmware.next('a-03')).toEqual({ version: 13, sequence: versions.length + 1 });
      const ids = Array.from({ length: 15 }, (_, i) => `ro_${String(i).padStart(2, '0')}`);
      for (const id of ids) await rollouts.insert(newRollout(id, []), 'operator x');
      const [first, second] = [
        await rollouts.list({ limit: 10 }),
        await rollouts.list({ limit: 10, after: 'ro_05' }),
      ];
      expect(first.map(({ id }) => id)).toEqual(ids.toReversed().slice(0, 10));
      expect(second.map(({ id }) => id)).toEqual(['ro_04', 'ro_03', 'ro_02', 'ro_01', 'ro_00']);
    });

    it('stores published training runs once, pages them newest first, and keeps the newest 1,000', async () => {
      const { store } = engine;
      const runs = new TrainingRuns({ store, events: eventsIn(store, now) });
      const first = [publishedRun(1), publishedRun(2)];
      expect(await runs.publish('watch', first, 'user x')).toEqual({ added: 2 });
      expect(await runs.publish('watch', [publishedRun(2, { seed: 9 }), publishedRun(3)], 'user x')).toEqual({
        added: 1,
      });
      const many = Array.from({ length: 1010 }, (_, i) => publishedRun(i, { model: 'Zoo' }));
      expect(await runs.publish('Zoo', many, 'user x')).toEqual({ added: 1010 });
      const page = await runs.list('watch', { limit: 2 });
      expect(page).toEqual({ runs: [publishedRun(3), publishedRun(2)], next: trainingRunId(2) });
      expect(await runs.list('watch', { limit: 2, after: trainingRunId(2) })).toEqual({
        runs: [publishedRun(1)],
        next: null,
      });
      const [newest] = many.slice(-1);
      expect(await runs.models({ limit: 1 })).toEqual({
        models: [{ model: 'Zoo', runs: 1000, newest }],
        next: 'Zoo',
      });
      expect((await runs.models({ limit: 1, after: 'Zoo' })).models).toEqual([
        { model: 'watch', runs: 3, newest: publishedRun(3) },
      ]);
      expect((await runs.list('Zoo', { limit: 1, after: trainingRunId(11) })).runs).toEqual([many[10]]);
      expect((await runs.list('Zoo', { limit: 1, after: trainingRunId(10) })).runs).toEqual([]);
      // In a failed transaction, nothing is stored.
      await expect(
        runs.publish('watch', [publishedRun(4), publishedRun(5, { model: 'x' })], 'x'),
      ).rejects.toThrow('runs.1.model: expected watch, got x');
      expect((await runs.list('watch', { limit: 1 })).runs).toEqual([publishedRun(3)]);
    });

    it('stores the current state of pipeline runs, and keeps the newest 100 of a project', async () => {
      const { store } = engine;
      const runs = new PipelineRuns({ store, events: eventsIn(store, now), now });
      const told = {
        ...{ state: 'running', cause: { kind: 'user', text: 'started manually' }, who: 'x', started: now() },
        ...{ ended: null, seconds: 0, aiot: '1.0.0', engine: 'local', model: null, steps: [] },
      };
      const id = (i: number) => `run_${String(i).padStart(26, '0')}`;
      for (let i = 0; i < 103; i++) await runs.tell('pump', id(i), told, 'x');
      await runs.tell('pump', id(102), { ...told, state: 'done', ended: now() }, 'x');
      await runs.tell('Fan', id(1), told, 'x');
      const summaries = (await runs.projects({ limit: 10 })).pipelines;
      expect(summaries.map(({ project, run, state }) => [project, run, state])).toEqual([
        ['Fan', id(1), 'running'],
        ['pump', id(102), 'done'],
      ]);
      const all = await runs.list('pump', { limit: 1000 });
      expect([all.runs.length, all.runs.at(-1)?.run, all.next]).toEqual([100, id(3), null]);
      const page = await runs.list('pump', { limit: 2, after: id(50) });
      expect([page.runs.map(({ run }) => run), page.next]).toEqual([[id(49), id(48)], id(48)]);
      expect(await runs.get('pump', id(102))).toMatchObject({ state: 'done', told: now() });
      await expect(runs.get('pump', id(2))).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
    });

    it('gives each requested run to one of several runners that ask at the same time', async () => {
      const { store } = engine;
      const requests = new PipelineRequests({ store, events: eventsIn(store, now), now });
      const steps = [{ name: 'train', about: 'trains', needs: [], gate: null }];
      const runners = [1, 2, 3, 4].map(() => newId('runner'));
      for (const [i, id] of runners.entries())
        await requests.putRunner(id, { name: `r${i}`, project: 'race', aiot: '1.0.0', steps }, 'x');
      const ids: string[] = [];
      for (let i = 0; i < 3; i++) ids.push((await requests.create({ project: 'race' }, 'x')).id);
      // Each runner asks twice, as after a lost response, and gets the same request.
      const claims = await Promise.all([...runners, ...runners].map((id) => requests.claim(id, 'x')));
      const claimed = new Set(
        claims.flatMap(({ request }) => (request ? [`${request.id} ${request.runner?.id}`] : [])),
      );
      expect([...claimed].map((text) => text.split(' ')[0]).sort()).toEqual(ids.sort());
    });

    it('keeps devices with their certificates, tags and reports', async () => {
      const devices = await devicesOf(engine);
      await devices.inTurn(() => devices.insert(newDevice('one', { mac: '02:00:00:00:00:01' })));
      await expect(devices.inTurn(() => devices.insert(newDevice('one')))).rejects.toMatchObject({
        code: 'AIOT_ALREADY_EXISTS',
        subject: 'device',
      });
      await devices.connected('one');
      await devices.inTurn(async () => {
        await devices.offer(devices.record('one'), { fingerprint: 'next', expires: 4_100_000_000_000 });
        await devices.update(devices.record('one'), { tags: { site: 'Zürich "lab"' }, groups: ['a', 'b'] });
      });
      await reopened();
      const again = await devicesOf(engine);
      expect(again.info('one')).toMatchObject({
        ...{ state: 'active', mac: '02:00:00:00:00:01', lastSeen: now(), created: now() },
        ...{ next: { fingerprint: 'next', expires: 4_100_000_000_000 } },
        ...{ tags: { site: 'Zürich "lab"' }, groups: ['a', 'b'] },
      });
      expect(again.authenticated('fp-one')?.name).toBe('one');
      await again.act('one', 'revoke', 'operator x');
      expect(again.authenticated('fp-one')).toBeNull();
      // The name is available again, and a new device inherits nothing from the previous one.
      const fresh = newDevice('one', { id: 'dev_one2', fingerprint: 'fp-one2' });
      expect(await again.inTurn(() => again.insert(fresh))).toEqual({ replaced: true });
      expect(again.info('one')).toMatchObject({ tags: {}, groups: [], next: null, lastSeen: null });
    });

    it('rejects a change to a device that is based on a stale revision', async () => {
      const devices = await devicesOf(engine);
      await devices.inTurn(() => devices.insert(newDevice('stale')));
      await engine.store
        .updateTable('devices')
        .set({ revision: 9, state: 'revoked' })
        .where('name', '=', 'stale')
        .execute();
      // This happens outside its turn, as if the turn had been lost with its connection.
      const resumed = devices.update(devices.record('stale'), { state: 'active' });
      await expect(resumed).rejects.toMatchObject({ code: 'AIOT_DEVICE_CHANGED', retryable: true });
    });

    it('gives rollouts revisions, and rejects the second of two steps from the same state', async () => {
      const rollouts = rolloutsIn(engine);
      const first = newRollout('ro_1', ['a', 'b', 'c']);
      await rollouts.insert(first, 'operator x');
      const known = new Map((await rollouts.running(new Map())).map((state) => [state.head.id, state]));
      expect(known.get('ro_1')).toEqual(first);
      // An unchanged rollout stays the same object, and so do the unchanged parts of a changed one.
      expect((await rollouts.running(known)).find(({ head }) => head.id === 'ro_1')).toBe(known.get('ro_1'));
      const world = { at: now() + 1, online: () => true };
      const { head, ...rest } = rolloutStep(first, [{ type: 'tick' }], world);
      const step = { ...rest, head: { ...head, revision: 1 } };
      const told = await rollouts.save(first, step, 'device b');
      expect(told).toMatchObject([{ device: 'a', wish: 'ro_1', release: { name: 'm' } }]);
      await expect(rollouts.save(first, step, 'device b')).rejects.toMatchObject({ retryable: true });
      const second = afterStep(first, step);
      const latest = (await rollouts.running(known)).find(({ head }) => head.id === 'ro_1');
      expect(latest).toEqual(second);
      expect(latest?.devices.get('b')).toBe(known.get('ro_1')?.devices.get('b'));
      expect(await rollouts.get('ro_1')).toEqual(second);
      expect(await rollouts.head('ro_1')).toEqual(second.head);
      const offered = await rollouts.devices('ro_1', { state: 'offered', limit: 9 });
      expect(offered).toEqual([second.devices.get('a')]);
      expect((await rollouts.devices('ro_1', { after: 'a', limit: 1 })).map(({ name }) => name)).toEqual([
        'b',
      ]);
    });

    it('writes events with ids that rise in commit order, even with concurrent writers', async () => {
      const events = eventsIn(engine.store, now);
      const seen: number[] = [];
      let ended = false;
      // A reader that continues from the newest id that it has seen must not miss an event that is committed later.
      const reader = (async () => {
        for (let last = false; ; last = ended) {
          const rows = await engine.store
            .selectFrom('events')
            .select('id')
            .where('id', '>', seen.at(-1) ?? 0)
            .orderBy('id')
            .execute();
          seen.push(...rows.map(({ id }) => id));
          if (last) return;
          await delay(1);
        }
      })();
      const writers = Array.from({ length: 8 }, async (_, writer) => {
        for (let i = 0; i < 6; i++) {
          await engine.store.transaction().execute(async (store) => {
            const event = {
              type: 'webhook.test' as const,
              subject: `w${writer}`,
              who: 'platform',
              data: { i },
            };
            await events.record(event, store);
            await delay(Math.random() * 4);
          });
        }
      });
      await Promise.all(writers);
      ended = true;
      await reader;
      const all = await engine.store.selectFrom('events').select('id').orderBy('id').execute();
      expect(seen).toEqual(all.map(({ id }) => id));
      expect(seen.length).toBeGreaterThanOrEqual(48);
    });

    it('runs the tasks of one turn sequentially, while those of other turns may run', async () => {
      const { store, turns } = engine;
      await store.insertInto('meta').values({ key: 'count', value: '0' }).execute();
      const increment = async () => {
        const row = await store
          .selectFrom('meta')
          .select('value')
          .where('key', '=', 'count')
          .executeTakeFirstOrThrow();
        await delay(2);
        const value = String(Number(row.value) + 1);
        await store.updateTable('meta').set({ value }).where('key', '=', 'count').execute();
      };
      let inner = 0;
      const nested = () => turns.of('inner')(async () => void inner++);
      const tasks = Array.from({ length: 20 }, () => turns.of('count')(() => increment().then(nested)));
      await Promise.all(tasks);
      const { value } = await store
        .selectFrom('meta')
        .select('value')
        .where('key', '=', 'count')
        .executeTakeFirstOrThrow();
      expect([value, inner]).toEqual(['20', 20]);
      await expect(turns.of('count')(() => Promise.reject(new Error('mine')))).rejects.toThrow('mine');
      expect(await turns.of('count')(async () => 'the next one runs')).toBe('the next one runs');
    });

    it('rolls back a failed transaction entirely', async () => {
      const failing = engine.store.transaction().execute(async (store) => {
        await store.insertInto('meta').values({ key: 'half', value: '' }).execute();
        await store.insertInto('meta').values({ key: 'half', value: '' }).execute();
      });
      await expect(failing).rejects.toThrow();
      const left = await engine.store.selectFrom('meta').select('key').where('key', '=', 'half').execute();
      expect(left).toEqual([]);
    });

    it('runs tasks on different parts of a turn at once, and tasks on the same part or the whole one at a time', async () => {
      const { turns } = engine;
      const [part, whole] = [turns.parts('divided'), turns.of('divided')];
      const running = new Set<string>();
      const seen: string[] = [];
      const task = (name: string, until: Promise<unknown>) => async () => {
        running.add(name);
        seen.push([...running].sort().join(' '));
        await until;
        running.delete(name);
      };
      const [both, apart] = [deferred(), delay(20)];
      const first = part(['a'], task('a', both.promise));
      const second = part(['b', 'c'], task('bc', both.promise));
      await expect.poll(() => running.size).toBe(2);
      const rest = [
        part(['c', 'd'], task('cd', apart)),
        part(['a'], task('a2', apart)),
        whole(task('whole', apart)),
        part(['e'], task('e', apart)),
      ];
      // Nothing else begins while a and bc run: the other parts have keys in common with them, and the last one came after the whole.
      expect(await Promise.race([...rest, delay(100).then(() => 'all wait')])).toBe('all wait');
      both.resolve();
      await Promise.all([first, second, ...rest]);
      expect(seen[1]).toBe('a bc');
      for (const names of seen.slice(2)) expect(['a2', 'cd', 'a2 cd', 'whole', 'e']).toContain(names);
      expect(seen.indexOf('e')).toBeGreaterThan(seen.indexOf('whole'));
      await expect(part(['a'], () => Promise.reject(new Error('mine')))).rejects.toThrow('mine');
      expect(await part(['a'], async () => 'the next one runs')).toBe('the next one runs');
    });

    it('orders names by code unit, and returns counts and times as numbers', async () => {
      const values = ['b', 'A', 'a-1', 'a.1', 'a1', 'B'].map((key) => ({
        name: `order-${key}`,
        position: 2 ** 52,
      }));
      await engine.store.insertInto('cursors').values(values).execute();
      const ordered = await engine.store.selectFrom('cursors').selectAll().orderBy('name').execute();
      const mine = ordered.filter(({ name }) => name.startsWith('order-'));
      expect(mine.map(({ name }) => name)).toEqual(values.map(({ name }) => name).sort());
      expect(mine[0]?.position).toBe(2 ** 52);
      const counted = engine.store
        .selectFrom('cursors')
        .select(({ fn }) => [
          fn.countAll<number>().as('count'),
          fn.sum<number>('position').as('sum'),
          fn.max('position').as('max'),
        ]);
      const { count, sum, max } = await counted.where('name', 'like', 'order-a%').executeTakeFirstOrThrow();
      // SQLite's LIKE ignores case.
      expect([3, 4]).toContain(count);
      expect([typeof sum, max]).toEqual(['number', 2 ** 52]);
    });

    it('identifies a token by its digest, and rejects any other', async () => {
      const { store, turns } = engine;
      const tokens = new Tokens({
        ...{ store, turns, events: eventsIn(store, now), sessions: new Sessions(), now },
      });
      const token = await tokens.issue();
      expect(await tokens.identify(token)).toMatchObject({ role: 'operator' });
      const wrong = `${token.slice(0, -2)}${token.endsWith('AA') ? 'BA' : 'AA'}`;
      expect(await tokens.identify(wrong)).toBeNull();
    });

    it('migrates once: reopening it changes nothing', async () => {
      const before = await engine.store.selectFrom('events').selectAll().orderBy('id').execute();
      await reopened();
      expect(await engine.store.selectFrom('events').selectAll().orderBy('id').execute()).toEqual(before);
      expect(await engine.trouble()).toBeNull();
    });
  });
}
