import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DeviceAction, DeviceChange } from '../../src/lib/api/contract/devices.js';
import { type DeviceState, mayConnect } from '../../src/lib/fleet/device.js';
import { reachOf } from '../../src/lib/platform/access/reach.js';
import { secretsIn } from '../../src/lib/platform/access/secrets.js';
import { Devices, type NewDevice } from '../../src/lib/platform/devices/devices.js';
import { Fleet } from '../../src/lib/platform/devices/fleet.js';
import { deviceHistory } from '../../src/lib/platform/devices/talk.js';
import { eventsIn } from '../../src/lib/platform/events/events.js';
import { openStore, type Store } from '../../src/lib/platform/store/database.js';
import { fc, runs } from '../support/property.js';

let passed = 0;
const now = () => 1_795_000_000_000 + passed;
let folder: string;
let store: Store;
let devices: Devices;
let fleet: Fleet;
let told: string[];
let count = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-fleet-'));
});
afterAll(async () => {
  await store.destroy();
  await rm(folder, { recursive: true, force: true });
});

async function open(path: string): Promise<void> {
  store = await openStore(path);
  const events = eventsIn(store, now);
  devices = await Devices.open(store, now, events);
  fleet = new Fleet({
    ...{ devices, events, now },
    ended: async (name) => void told.push(`ended ${name}`),
    removed: async (name) => void told.push(`removed ${name}`),
  });
}

beforeEach(async () => {
  await store?.destroy();
  told = [];
  passed = 0;
  await open(join(folder, `state-${++count}.db`));
});

async function add(name: string, more: Partial<NewDevice> = {}): Promise<void> {
  await devices.inTurn(() =>
    devices.insert({
      ...{ name, id: `dev_${name}`, type: 'esp32', state: 'active', fingerprint: `fp-${name}` },
      ...{ expires: now() + 1e9, mac: null, chipId: null, created: now() },
      ...more,
    }),
  );
}

const typesOf = async (name: string) =>
  (await deviceHistory({ store, devices }, name, { limit: 1000 })).entries.map(({ type }) => type).reverse();
const tag = (set: Record<string, string>, remove: string[] = []): DeviceChange => ({
  action: 'tag',
  set,
  remove,
});

describe('the fleet', () => {
  it('is listed by name, in pages, filtered by a selector', async () => {
    for (const i of [3, 1, 2, 5, 4]) await add(`motor-${i}`, { type: i % 2 === 0 ? 'pi' : 'esp32' });
    const names = async (query: object) => {
      const { devices: found, next } = await fleet.list({ limit: 2, ...query });
      return [found.map(({ name }) => name), next];
    };
    expect(await names({})).toEqual([['motor-1', 'motor-2'], 'motor-2']);
    expect(await names({ after: 'motor-2' })).toEqual([['motor-3', 'motor-4'], 'motor-4']);
    expect(await names({ after: 'motor-4' })).toEqual([['motor-5'], null]);
    expect(await names({ after: 'zz' })).toEqual([[], null]);
    expect(await names({ selector: 'type=esp32' })).toEqual([['motor-1', 'motor-3'], 'motor-3']);
    expect(await names({ selector: 'type=esp32', after: 'motor-3' })).toEqual([['motor-5'], null]);
    expect(await names({ selector: 'type=none' })).toEqual([[], null]);
    await expect(names({ selector: 'type=' })).rejects.toMatchObject({ code: 'AIOT_SELECTOR_INVALID' });
  });

  it('compares reported firmware as versions', async () => {
    for (const [name, version] of [
      ['old', '1.3.9'],
      ['new', '1.10.0'],
      ['rc', '1.4.0-rc.1'],
      ['none', null],
    ] as const) {
      await add(name);
      const firmware = version === null ? {} : { firmware: { version } };
      const idle = {
        state: 'IDLE' as const,
        rollout: null,
        model: null,
        floor: 0,
        download: null,
        golden: null,
      };
      await devices.report(name, { t: now(), type: 'esp32', ...firmware, ...idle, error: null });
    }
    const { devices: found } = await fleet.list({ selector: 'type=esp32 and fw<1.4', limit: 10 });
    expect(found.map(({ name, firmware }) => [name, firmware])).toEqual([
      ['old', '1.3.9'],
      ['rc', '1.4.0-rc.1'],
    ]);
  });

  it('keeps tags and groups across a restart, with their authors', async () => {
    await add('a');
    await fleet.change(['a'], tag({ site: 'lab', floor: '2' }), false, 'operator x');
    await fleet.change(['a'], tag({ floor: '3' }, ['site', 'never']), false, 'operator y');
    await fleet.change(
      ['a'],
      { action: 'group', add: ['hall', 'b', 'hall'], remove: [] },
      false,
      'operator x',
    );
    await store.destroy();
    await open(join(folder, `state-${count}.db`));
    expect(devices.info('a')).toMatchObject({ tags: { floor: '3' }, groups: ['b', 'hall'], revision: 4 });
    const { entries } = await deviceHistory({ store, devices }, 'a', { limit: 10 });
    expect(entries.map(({ type, who, data }) => [type, who, data])).toEqual([
      ['device.group', 'operator x', { add: ['hall', 'b', 'hall'], remove: [] }],
      ['device.tag', 'operator y', { set: { floor: '3' }, remove: ['site', 'never'] }],
      ['device.tag', 'operator x', { set: { site: 'lab', floor: '2' }, remove: [] }],
    ]);
  });

  it('previews a change in a dry run, and applies nothing', async () => {
    await add('a');
    await add('b', { state: 'suspended' });
    await add('c', { state: 'registered', fingerprint: null });
    const asked = ['b', 'a', 'nobody', 'c', 'a'];
    const all = () => devices.records().map(({ name }) => devices.info(name));
    const before = all();
    const dry = await fleet.change(asked, { action: 'suspend' }, true, 'operator');
    expect(dry.map(({ name, outcome, after, error }) => [name, outcome, after?.state, error?.code])).toEqual([
      ['b', 'same', 'suspended', undefined],
      ['a', 'changed', 'suspended', undefined],
      ['nobody', 'refused', undefined, 'AIOT_NOT_FOUND'],
      ['c', 'refused', 'registered', 'AIOT_DEVICE_STATE'],
    ]);
    expect([all(), told, await typesOf('a')]).toEqual([before, [], []]);
    expect(await fleet.change(asked, { action: 'suspend' }, false, 'operator')).toEqual(dry);
    expect(devices.info('a').state).toBe('suspended');
    expect(devices.info('c').state).toBe('registered');
    // This includes a device that was already suspended, because ending its sessions may have been interrupted.
    expect(told).toEqual(['ended b', 'ended a']);
    expect([await typesOf('a'), await typesOf('b'), await typesOf('c')]).toEqual([
      ['device.suspend'],
      [],
      [],
    ]);
  });

  it('saves a change and its event together, or neither', async () => {
    await add('a');
    await store.schema.dropTable('events').execute();
    const change = fleet.change(['a'], tag({ site: 'lab' }), false, 'operator');
    await expect(change).rejects.toThrow();
    expect(devices.info('a')).toMatchObject({ tags: {}, revision: 1 });
    expect(await store.selectFrom('devices').select('tags').executeTakeFirst()).toEqual({ tags: '{}' });
  });

  it('forgets a removed device: its name is free again, and its history is kept', async () => {
    await add('a', { mac: '24:0a:c4:00:00:01' });
    await expect(fleet.changeOne('a', { action: 'remove' }, 'operator')).rejects.toMatchObject({
      code: 'AIOT_DEVICE_STATE',
    });
    await fleet.changeOne('a', { action: 'revoke' }, 'operator');
    expect((await fleet.changeOne('a', { action: 'remove' }, 'operator')).state).toBe('revoked');
    expect([devices.find('a'), devices.authenticated('fp-a'), devices.records()]).toEqual([null, null, []]);
    expect(told).toEqual(['ended a', 'ended a', 'removed a']);
    expect(await typesOf('a')).toEqual(['device.revoke', 'device.remove']);
    await add('a', { id: 'dev_other', mac: '24:0a:c4:00:00:01', fingerprint: 'fp-b' });
    expect(devices.info('a')).toMatchObject({ id: 'dev_other', tags: {} });
    await expect(deviceHistory({ store, devices }, 'never', { limit: 1 })).rejects.toMatchObject({
      code: 'AIOT_NOT_FOUND',
    });
  });

  it('is not changed for a user from whose limits it was moved while the change waited', async () => {
    const reach = reachOf(['site=lab'], devices);
    const secrets = secretsIn({ store, devices, events: eventsIn(store, now), now });
    const back = { action: 'tag' as const, set: { site: 'lab' }, remove: [] };
    await add('a');
    for (const attempt of [
      () => fleet.patch('a', { tags: { site: 'lab' } }, 'ann', undefined, reach),
      () => fleet.change(['a'], back, false, 'ann', undefined, reach),
      () => fleet.changeOne('a', { action: 'suspend' }, 'ann', undefined, reach),
      () => secrets.make('a', 'ann', reach),
    ]) {
      await fleet.patch('a', { tags: { site: 'lab' } }, 'operator');
      const moved = fleet.patch('a', { tags: { site: 'hall' } }, 'operator');
      await expect(attempt()).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
      await moved;
      expect(devices.info('a')).toMatchObject({ state: 'active', tags: { site: 'hall' } });
    }
    const row = await store.selectFrom('devices').select('secret').executeTakeFirst();
    expect(row).toEqual({ secret: null });
  });

  it('limits a device’s tags, and keeps the existing ones', async () => {
    await add('a');
    const many = Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`t${i}`, 'x']));
    const [answer] = await fleet.change(['a'], tag(many), false, 'operator');
    expect(answer).toMatchObject({ outcome: 'refused', error: { code: 'AIOT_REQUEST_INVALID' } });
    await expect(fleet.patch('a', { tags: many }, 'operator')).rejects.toMatchObject({
      code: 'AIOT_REQUEST_INVALID',
    });
    expect(devices.info('a').tags).toEqual({});
    const tags = { constructor: 'x', old: 'y' };
    expect((await fleet.patch('a', { tags, groups: ['g', 'h'] }, 'operator')).tags).toEqual(tags);
    const patched = await fleet.patch('a', { tags: { old: null }, groups: ['h', 'i'] }, 'operator');
    expect(patched).toMatchObject({ tags: { constructor: 'x' }, groups: ['h', 'i'] });
    // One change has two events, one for the tags and one for the groups.
    expect((await fleet.patch('a', { tags: {}, groups: ['h', 'i'] }, 'operator')).revision).toBe(3);
    expect(await typesOf('a')).toEqual(['device.tag', 'device.group', 'device.tag', 'device.group']);
    const half = fleet.patch('a', { tags: { ...tags, n: '1' }, groups: Object.keys(many) }, 'operator');
    await expect(half).rejects.toMatchObject({ code: 'AIOT_REQUEST_INVALID' });
    expect(devices.info('a')).toMatchObject({ tags: { constructor: 'x' }, revision: 3 });
  });

  it('counts an online device as seen now, however long ago it connected', async () => {
    for (const name of ['a', 'b']) {
      await add(name);
      await devices.connected(name);
    }
    await devices.disconnected('b');
    passed = 3 * 86_400_000;
    const named = async (selector: string) =>
      (await fleet.list({ selector, limit: 10 })).devices.map(({ name }) => name);
    expect([await named('lastSeen>2d'), await named('lastSeen<1h')]).toEqual([['b'], ['a']]);
  });

  it('pages through a long history', async () => {
    await add('a');
    for (let i = 0; i < 5; i++) await fleet.change(['a'], tag({ n: String(i) }), false, 'operator');
    const first = await deviceHistory({ store, devices }, 'a', { limit: 3 });
    const rest = await deviceHistory({ store, devices }, 'a', { limit: 3, after: first.next ?? '' });
    const numbers = [...first.entries, ...rest.entries].map(({ data }) => (data.set as { n: string }).n);
    expect([numbers, rest.next]).toEqual([['4', '3', '2', '1', '0'], null]);
  });

  it('changes 3,000 devices without blocking other work', async () => {
    const rows = Array.from({ length: 3000 }, (_, i) => ({
      ...{ name: `m-${String(i).padStart(5, '0')}`, id: `dev_${i}`, type: 'esp32', state: 'active' },
      ...{ fingerprint: `fp-${i}`, expires: null, mac: null, chipId: null, created: now(), lastSeen: null },
      ...{ nextFingerprint: null, nextExpires: null, reported: null, desired: null, secret: null },
    }));
    for (let i = 0; i < rows.length; i += 500) {
      await store
        .insertInto('devices')
        .values(rows.slice(i, i + 500))
        .execute();
    }
    await store.destroy();
    await open(join(folder, `state-${count}.db`));
    let turns = 0;
    const others = setInterval(() => turns++, 1);
    const answers = await fleet.change(
      devices.records().map(({ name }) => name),
      tag({ site: 'lab' }),
      false,
      'operator',
    );
    clearInterval(others);
    expect(answers.filter(({ outcome }) => outcome === 'changed')).toHaveLength(3000);
    expect(turns).toBeGreaterThan(10);
    expect((await fleet.list({ selector: 'site=lab and name~*99', limit: 1000 })).devices).toHaveLength(30);
  });
});

describe('a device, after any sequence of actions', () => {
  const actions: DeviceAction[] = ['suspend', 'resume', 'revoke', 'remove'];
  const step = fc.constantFrom(...actions, 'certified' as const, 'seen' as const, 'restart' as const);

  it('follows the state diagram, records each transition once, and connects only if permitted', async () => {
    const ways: Record<DeviceState, Partial<Record<string, DeviceState | 'gone'>>> = {
      registered: { certified: 'provisioned', revoke: 'revoked', remove: 'gone' },
      provisioned: { certified: 'provisioned', seen: 'active', suspend: 'suspended', revoke: 'revoked' },
      active: { certified: 'active', seen: 'active', suspend: 'suspended', revoke: 'revoked' },
      suspended: { suspend: 'suspended', resume: 'active', revoke: 'revoked' },
      revoked: { revoke: 'revoked', remove: 'gone' },
    };
    const types: Record<string, string> = { seen: 'device.activate' };
    let run = 0;
    const walk = async (steps: ('certified' | 'seen' | 'restart' | DeviceAction)[]) => {
      const name = `d-${++run}`;
      await add(name, { state: 'registered', fingerprint: null, expires: null });
      let state: DeviceState | 'gone' = 'registered';
      const expected: string[] = [];
      let certificates = 0;
      for (const each of steps) {
        if (each === 'restart') {
          await store.destroy();
          await open(join(folder, `state-${count}.db`));
          continue;
        }
        const next: DeviceState | 'gone' | undefined = state === 'gone' ? undefined : ways[state][each];
        const change = () => {
          if (each === 'seen') return devices.act(name, 'seen', `device ${name}`);
          if (each !== 'certified') return fleet.changeOne(name, { action: each }, 'operator');
          const certificate = { fingerprint: `${name}-${certificates + 1}`, expires: now() + 1e6 };
          return devices.inTurn(async () => devices.certify(devices.record(name), certificate));
        };
        if (next === undefined) {
          const code = state === 'gone' ? 'AIOT_NOT_FOUND' : 'AIOT_DEVICE_STATE';
          await expect(change(), `${each} of ${state}`).rejects.toMatchObject({ code });
        } else {
          await change();
          if (each === 'certified') certificates++;
          if (next !== state && each !== 'certified') expected.push(types[each] ?? `device.${each}`);
          state = next;
        }
        expect(devices.find(name)?.state ?? 'gone').toBe(state);
        const row = await store
          .selectFrom('devices')
          .select('state')
          .where('name', '=', name)
          .executeTakeFirst();
        expect(row?.state ?? 'gone').toBe(state);
        const connects = devices.authenticated(`${name}-${certificates}`) !== null;
        expect(connects).toBe(state !== 'gone' && mayConnect(state) && certificates > 0);
      }
      if (expected.length > 0) expect(await typesOf(name)).toEqual(expected);
    };
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 14 }), walk), { numRuns: runs(60) });
  });
});
