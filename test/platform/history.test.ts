import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Devices } from '../../src/lib/platform/devices/devices.js';
import { History } from '../../src/lib/platform/devices/history.js';
import { type Events, eventsIn } from '../../src/lib/platform/events/events.js';
import type { PlacedEntry } from '../../src/lib/platform/journal/telemetry.js';
import { createLog } from '../../src/lib/platform/log.js';
import { openStore, type Store } from '../../src/lib/platform/store/database.js';
import { fillHistory } from '../support/history.js';
import { testPlatform } from '../support/platform.js';
import { historySuite } from './history-suite.js';

const [minute, day] = [60_000, 86_400_000];
const begin = Date.UTC(2026, 10, 20);

describe('the history on one platform', () => {
  historySuite(testPlatform, async ({ folder }, task) => {
    const store = await openStore(join(folder, 'data', 'state.db'));
    await task(store);
    await store.destroy();
  });
});

describe('the history', () => {
  let now: number;
  let folder: string;
  let store: Store;
  let events: Events;
  let fleet: Devices;
  let entries: PlacedEntry[];
  let service: History;
  const signal = new AbortController().signal;

  beforeEach(async () => {
    now = begin;
    entries = [];
    folder = await mkdtemp(join(tmpdir(), 'aiot-history-'));
    await open();
    await fleet.inTurn(() => fleet.insertAll(['pump', 'fan', 'press'].map((name) => device(name))));
    for (const name of ['pump', 'fan', 'press']) {
      await fleet.connected(name);
      await fleet.disconnected(name);
    }
  });
  afterEach(close);

  async function open() {
    store = await openStore(join(folder, 'state.db'));
    events = eventsIn(store, () => now);
    fleet = await Devices.open(store, () => now, events);
    service = new History(await parts());
  }
  async function parts() {
    return { store, devices: fleet, telemetry: { reader }, log: await createLog(undefined), now: () => now };
  }
  async function close() {
    events.feed.close();
    await store.destroy();
    await rm(folder, { recursive: true, force: true });
  }

  const reader = {
    end: async () => String(entries.length),
    async *from(position: string | null, ended: AbortSignal, idle?: (isIdle: boolean) => void) {
      for (let at = Number(position ?? 0); at < entries.length; at += 2) {
        if (ended.aborted) return;
        yield entries.slice(at, at + 2);
      }
      idle?.(true);
    },
  };

  function device(name: string) {
    return {
      ...{ name, id: `dev_${name}`, type: 'virtual', state: 'active' as const, fingerprint: name },
      ...{ expires: begin + 365 * day, mac: null, chipId: null, created: begin, tags: {} },
    };
  }

  let seq = 0;
  function predict(name: string, label: string | null, more: { latencyMs?: number; version?: number } = {}) {
    const { latencyMs = 10, version = 1 } = more;
    entries.push({
      position: String(entries.length + 1),
      entry: {
        ...{ at: now, device: name, channel: 'inference' },
        payload: {
          ...{ seq: seq++, t: now, model: { name: 'watch', version }, window: 0, label, voted: label },
          ...{ scores: [1], latencyMs },
        },
      },
    });
  }

  /** Passes minutes, with four cycles in each. */
  async function pass(minutes: number) {
    for (let i = 0; i < minutes * 4; i++) {
      await service.cycle(signal, true);
      now += minute / 4;
    }
  }

  const shares = async (names?: string[]) => {
    const { buckets } = await service.presence({ from: begin, to: now }, names);
    return buckets.map(({ online, devices }) => (devices === null ? null : `${online}/${devices}`));
  };

  it('counts each minute how many devices are online', async () => {
    await pass(1);
    await fleet.connected('pump');
    await pass(1);
    await fleet.connected('fan');
    await fleet.disconnected('pump');
    await pass(1);
    expect(await shares()).toEqual(['0/3', '1/3', '1/3']);
    expect(await shares(['pump'])).toEqual(['0/1', '1/1', '0/1']);
    expect(await shares(['fan', 'press'])).toEqual(['0/2', '0/2', '1/2']);
    expect(await shares([])).toEqual(['0/0', '0/0', '0/0']);
  });

  it('shows a time without the platform as a gap, also in wider buckets', async () => {
    await fleet.connected('pump');
    await pass(2);
    now += 3 * minute;
    service = new History(await parts());
    await pass(1);
    expect(await shares()).toEqual(['1/3', '1/3', null, null, null, '1/3']);
    const wide = await service.presence({ from: begin, to: now, bucket: '10m' });
    expect(wide.buckets).toEqual([{ at: begin, minutes: 3, online: 1, devices: 3 }]);
  });

  it('fills the minutes that a busy platform was late for', async () => {
    await pass(1);
    now += 2 * minute;
    await pass(1);
    expect(await shares()).toEqual(['0/3', '0/3', '0/3', '0/3']);
  });

  it('waits until devices have had time to reconnect', async () => {
    await service.cycle(signal, false);
    now += 1;
    expect((await service.presence({ from: begin - minute })).buckets).toEqual([
      { at: begin - minute, minutes: 0, online: null, devices: null },
      { at: begin, minutes: 0, online: null, devices: null },
    ]);
  });

  it('counts predictions by class, model and device, once each', async () => {
    for (let i = 0; i < 5; i++) predict('pump', 'idle');
    predict('fan', 'fault', { version: 2 });
    predict('fan', null);
    await pass(1);
    predict('fan', 'idle');
    await pass(1);
    const all = await service.predictions({ from: begin, to: now });
    expect(all.classes).toEqual(['idle', 'fault']);
    expect(all.models).toEqual(['watch@1', 'watch@2']);
    expect(all.buckets).toEqual([
      { at: begin, total: 7, counts: [5, 1] },
      { at: begin + minute, total: 1, counts: [1, 0] },
    ]);
    const fan = await service.predictions({ from: begin, to: now }, ['fan']);
    expect(fan.buckets.map(({ total }) => total)).toEqual([2, 1]);
    const second = await service.predictions({ from: begin, to: now, model: 'watch@2' });
    expect(second.buckets.map(({ total }) => total)).toEqual([1, 0]);
    const wide = await service.predictions({ from: begin, to: now, bucket: '4h', model: 'watch' });
    expect(wide.buckets).toEqual([{ at: begin, total: 8, counts: [6, 1] }]);
  });

  it('continues after a restart without counting twice', async () => {
    predict('pump', 'idle');
    await pass(1);
    predict('pump', 'idle');
    events.feed.close();
    await store.destroy();
    await open();
    predict('fan', 'idle');
    await pass(1);
    const { buckets } = await service.predictions({ from: begin, to: now, bucket: '1h' });
    expect(buckets).toEqual([{ at: begin, total: 3, counts: [3] }]);
    expect(await shares()).toEqual(['0/3', '0/3']);
  });

  it('does not count what it could not store, and counts it later', async () => {
    await service.cycle(signal, true);
    predict('pump', 'idle');
    let isFull = true;
    const failing = new Proxy(store, {
      get(target, key) {
        if (key === 'transaction' && isFull) throw new Error('the disk is full');
        const value: unknown = Reflect.get(target, key);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    service = new History({ ...(await parts()), store: failing });
    await expect(service.cycle(signal, true)).rejects.toThrow('the disk is full');
    isFull = false;
    await service.cycle(signal, true);
    await service.cycle(signal, true);
    const { buckets } = await service.predictions({ from: begin, to: begin + minute });
    expect(buckets).toEqual([{ at: begin, total: 1, counts: [1] }]);
  });

  it('lets only the newest run write', async () => {
    await service.cycle(signal, true);
    const other = new History(await parts());
    predict('pump', 'idle');
    await other.cycle(signal, true);
    now += minute;
    await expect(service.cycle(signal, true)).rejects.toThrow('another process');
    const { buckets } = await other.predictions({ from: begin, to: begin + minute });
    expect(buckets).toEqual([{ at: begin, total: 1, counts: [1] }]);
  });

  it('measures latency within 10 %', async () => {
    for (let i = 0; i < 99; i++) predict('pump', 'idle', { latencyMs: 10 });
    predict('pump', 'idle', { latencyMs: 500 });
    await pass(1);
    const { buckets } = await service.latency({ from: begin, to: now });
    const [bucket] = buckets;
    expect(bucket?.total).toBe(100);
    expect(bucket?.p50).toBeGreaterThanOrEqual(10);
    expect(bucket?.p50).toBeLessThanOrEqual(11);
    expect(bucket?.p99).toBeLessThan(11);
  });

  it('measures latency of many models, and leaves out those beyond the maximum', async () => {
    const names = ['pump', 'fan', 'press'];
    for (let i = 0; i < 600; i++)
      predict(names[i % 3] ?? '', 'idle', { latencyMs: 1.1 ** (i % 200), version: 1 + (i % 3) });
    await pass(1);
    const range = { from: begin, to: now };
    const [wide] = (await service.latency(range)).buckets;
    expect([wide?.total, wide?.p50]).toEqual([600, expect.closeTo(1.1 ** 100, -3.5)]);
    // One device claims many models.
    for (let i = 0; i < 100; i++) predict('pump', 'idle', { latencyMs: 100, version: 10 + i });
    await pass(1);
    const { buckets, models } = await service.latency({ from: begin + minute, to: now });
    expect(models.length).toBe(4);
    expect(buckets).toEqual([
      { at: begin + minute, total: 100, p50: expect.closeTo(100, -1.4), p99: expect.closeTo(100, -1.4) },
    ]);
  });

  it('keeps the classes of the fleet if one device makes up many', async () => {
    for (let i = 0; i < 5000; i++) predict('pump', `made-up-${i}`);
    for (let i = 0; i < 60; i++) predict('fan', 'fault');
    await service.cycle(signal, false);
    // Nothing is read again from the database before the next messages.
    for (let i = 0; i < 5000; i++) predict('pump', `also-made-up-${i}`);
    await service.cycle(signal, false);
    const inMemory = service as unknown as {
      buckets: Map<string, { parts: Map<number, { devices: Map<number, Map<string, number>> }> }>;
    };
    const sizes = [...inMemory.buckets.values()].flatMap(({ parts }) =>
      [...parts.values()].flatMap(({ devices }) => [...devices.values()].map(({ size }) => size)),
    );
    expect(Math.max(...sizes)).toBeLessThanOrEqual(52);
    now += minute;
    const { classes, buckets } = await service.predictions({ from: begin, to: now });
    expect(classes[0]).toBe('fault');
    expect(buckets.map(({ total }) => total)).toEqual([10_060]);
  });

  it('counts a device as known that only another replica has seen', async () => {
    await fleet.inTurn(() => fleet.insertAll([device('drill')]));
    fleet.connectedElsewhere(new Set(['drill']));
    fleet.connectedElsewhere(new Set());
    await pass(1);
    expect(await shares()).toEqual(['0/4']);
  });

  it('gives other requests a turn while it counts 10,000 devices', async () => {
    const names = Array.from({ length: 10_000 }, (_, i) => `press-${i}`);
    for (let i = 0; i < 20_000; i++)
      predict(names[i % 10_000] ?? '', `class-${i % 5}`, { latencyMs: 5 + (i % 20) });
    let read = 0;
    const pages = {
      ...reader,
      async *from(_: string | null, __: AbortSignal, idle?: (isIdle: boolean) => void) {
        const end = read + 10_000;
        for (; read < end; read += 1000) yield entries.slice(read, read + 1000);
        idle?.(true);
      },
    };
    const devices = {
      visit: async (look: (one: object) => void) =>
        names.forEach((name) => void look({ name, state: 'active', lastSeen: 1 })),
      online: () => true,
      lastSeenOf: () => 1,
    } as unknown as Devices;
    service = new History({ ...(await parts()), devices, telemetry: { reader: pages } });
    // The first cycle also compiles the code.
    await service.cycle(signal, true);
    now += minute;
    let [longest, total, isOn] = [0, 0, true];
    let before = process.cpuUsage();
    const tick = () => {
      const { user, system } = process.cpuUsage(before);
      before = process.cpuUsage();
      longest = Math.max(longest, user + system);
      total += user + system;
      if (isOn) setImmediate(tick);
    };
    setImmediate(tick);
    await service.cycle(signal, true);
    isOn = false;
    // A share does not depend on the speed of the machine.
    expect(longest / total).toBeLessThan(0.2);
  }, 30_000);

  it('deletes what is no longer kept', async () => {
    predict('pump', 'idle');
    await pass(1);
    const rows = async () => {
      const found = await store.selectFrom('history').select('width').distinct().orderBy('width').execute();
      return found.map(({ width }) => Number(width) / minute);
    };
    expect(await rows()).toEqual([1, 10, 60, 240]);
    now = begin + 3 * day;
    await service.cycle(signal, false);
    expect(await rows()).toEqual([60, 240]);
    now = begin + 40 * day;
    await service.cycle(signal, false);
    expect(await rows()).toEqual([]);
    expect(await store.selectFrom('historyDevices').selectAll().execute()).toEqual([]);
  });

  it('ignores what is not a prediction, and limits the length of a class', async () => {
    entries.push({
      position: '1',
      entry: { at: now, device: 'pump', channel: 'inference', payload: { label: 'idle' } },
    });
    predict('pump', 'x'.repeat(10_000));
    await pass(1);
    const { classes, buckets } = await service.predictions({ from: begin, to: now });
    expect(classes).toEqual(['x'.repeat(64)]);
    expect(buckets).toEqual([{ at: begin, total: 1, counts: [1] }]);
  });

  it('answers for 10,000 devices with bounded rows and CPU time', async () => {
    const names = Array.from({ length: 10_000 }, (_, i) => `press-${i}`);
    // A day in buckets of 10 minutes; all devices predict in each bucket.
    const times = Array.from({ length: 144 }, (_, i) => begin + i * 10 * minute);
    const spent = async (task: () => Promise<unknown>) => {
      const before = process.cpuUsage();
      await task();
      const { user, system } = process.cpuUsage(before);
      return Math.round((user + system) / 1000);
    };
    const counting = await spent(() =>
      fillHistory(store, {
        ...{ names, times: times.slice(-1), isOnline: (name) => name.length % 2 === 0 },
        predictions: (name) => [{ label: name.endsWith('7') ? 'fault' : 'idle', latencyMs: 10 }],
      }),
    );
    // The other buckets are copies, because filling them takes minutes.
    const rows = await store
      .selectFrom('history')
      .selectAll()
      .where('width', '=', 10 * minute)
      .where('begun', '=', times.at(-1) ?? 0)
      .where('kind', '=', 'predictions')
      .execute();
    for (const at of times.slice(0, -1))
      for (let from = 0; from < rows.length; from += 50)
        await store
          .insertInto('history')
          .values(rows.slice(from, from + 50).map((row) => ({ ...row, begun: at })))
          .execute();
    now = begin + day;
    const range = { from: begin, to: now };
    const { buckets } = await service.predictions(range, names);
    expect(buckets.map(({ total }) => total)).toEqual(times.map(() => 10_000));
    const whole = await spent(() => service.predictions(range));
    const one = await spent(() => service.predictions(range, ['press-1']));
    const some = await spent(() => service.predictions(range, names.slice(0, 9000)));
    // Ten times the measured values, see docs/background/decisions/048-history-in-packed-buckets.md.
    expect(counting).toBeLessThan(6000);
    expect(whole).toBeLessThan(80);
    expect(one).toBeLessThan(180);
    expect(some).toBeLessThan(2000);
  }, 60_000);
});
