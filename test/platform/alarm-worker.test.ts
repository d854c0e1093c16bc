import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { alarmTestText } from '../../src/lib/cli/render/alarms.js';
import { Devices } from '../../src/lib/platform/devices/devices.js';
import { Alarms } from '../../src/lib/platform/events/alarms.js';
import { type Events, eventsIn } from '../../src/lib/platform/events/events.js';
import type { Entry } from '../../src/lib/platform/journal/entry.js';
import type { JournalReader, Telemetry } from '../../src/lib/platform/journal/telemetry.js';
import { openStore, type Store } from '../../src/lib/platform/store/database.js';

describe('the worker of the alarms', () => {
  const second = 1000;
  const begin = Date.UTC(2026, 4, 10);
  let now: number;
  let folder: string;
  let store: Store;
  let events: Events;
  let fleet: Devices;
  let entries: Entry[];
  /** Whether a read of further entries takes long. */
  let isSlow: boolean;
  /** Whether the alarms know that there may be further entries. */
  let isTold: boolean;
  let alarms: Alarms;
  let stop: () => Promise<void>;

  const reader: JournalReader = {
    end: async () => String(entries.length),
    async *from(position, signal, idle) {
      for (let next = Number(position); !signal.aborted; ) {
        const entry = isSlow ? undefined : entries[next];
        if (entry) yield [{ entry, position: String(++next) }];
        else {
          idle?.(!isSlow);
          isTold = isSlow;
          await delay(5);
        }
      }
    },
  };
  const ofStream = (stream: string) => entries.filter((entry) => entry.stream === stream);
  const telemetry = {
    reader,
    streams: async () => [...new Set(entries.map(({ stream }) => stream))].map((name) => ({ name })),
    takes: async ({ stream }: { stream: string }) => {
      const [first] = ofStream(stream);
      return first ? [{ device: first.device, recording: '', stream, startedAt: first.at, lastAt: now }] : [];
    },
    async *read({ stream }: { stream: string }) {
      yield* ofStream(stream);
    },
  } as unknown as Telemetry;

  beforeEach(async () => {
    now = begin;
    isSlow = false;
    isTold = false;
    entries = [];
    folder = await mkdtemp(join(tmpdir(), 'aiot-alarms-'));
    store = await openStore(join(folder, 'state.db'));
    events = eventsIn(store, () => now);
    fleet = await Devices.open(store, () => now, events);
    await fleet.inTurn(() =>
      fleet.insert({
        ...{ name: 'pump', id: 'dev_pump', type: 'esp32', state: 'active', fingerprint: 'fp' },
        ...{ expires: begin + 1e9, mac: null, chipId: null, created: begin },
      }),
    );
    await fleet.inTurn(() => fleet.update(fleet.record('pump'), { tags: { site: 'lab' } }));
    const log = pino({ level: 'silent' });
    alarms = new Alarms({
      store,
      events,
      telemetry,
      devices: fleet,
      attention: { unwell: async () => [] },
      log,
      now: () => now,
    });
    const ending = new AbortController();
    const ended = alarms.worker().run(ending.signal);
    stop = async () => {
      ending.abort();
      await ended;
    };
  });
  afterEach(async () => {
    await stop();
    events.feed.close();
    await store.destroy();
    await rm(folder, { recursive: true, force: true });
  });

  /** Stores a message that arrives this many seconds after the start. */
  function sent(at: number, stream: string, values: Record<string, unknown>) {
    const time = begin + at * second;
    entries.push({ at: time, device: 'pump', channel: 'telemetry', stream, payload: { t: time, ...values } });
  }
  const incidents = async (name: string) =>
    (await alarms.get(name)).incidents.map(({ raised, cleared }) => [
      (raised - begin) / second,
      cleared === null ? null : (cleared - begin) / second,
    ]);
  const position = async () =>
    (await store.selectFrom('meta').select('value').where('key', '=', 'alarms:position').executeTakeFirst())
      ?.value;
  const evaluated = () => expect.poll(position, { timeout: 20_000 }).toBe(String(entries.length));
  /** Waits until the alarms have looked for absent and removed devices. */
  const examined = () => delay(1200);

  it('does not call a device absent while its messages wait to be evaluated', async () => {
    await alarms.create({ name: 'mute', absentMs: 60_000 }, 'x');
    sent(0, 'env', { temperature: 20 });
    await evaluated();
    isSlow = true;
    await expect.poll(() => isTold, { timeout: 20_000 }).toBe(true);
    now = begin + 90 * second;
    sent(80, 'env', { temperature: 20 });
    await examined();
    expect(await incidents('mute')).toEqual([]);
    isSlow = false;
    await evaluated();
    await examined();
    expect(await incidents('mute')).toEqual([]);
    now = begin + 140 * second;
    await expect.poll(() => incidents('mute'), { timeout: 20_000 }).toEqual([[140, null]]);
  });

  it('ignores samples of other streams that lack the fields', async () => {
    await alarms.create({ name: 'hot', where: 'temperature > 80', forMs: 4000 }, 'x');
    for (let i = 0; i < 10; i += 2) {
      sent(i, 'env', { temperature: 90 });
      sent(i + 1, 'motors', { current: 1 });
    }
    await evaluated();
    expect(await incidents('hot')).toEqual([[4, null]]);
    sent(11, 'env', { error: 'the sensor is broken' });
    await evaluated();
    expect(await incidents('hot')).toEqual([[4, 11]]);
  });

  it('evaluates a device whose clock was set back, after a minute, and streams whose clocks differ', async () => {
    await alarms.create({ name: 'hot', where: 'temperature > 80' }, 'x');
    const old = (arrival: number, at: number, temperature: number, stream = 'env') =>
      entries.push({
        ...{ at: begin + arrival * second, device: 'pump', channel: 'telemetry', stream },
        payload: { t: begin + at * second, temperature },
      });
    sent(7200, 'env', { temperature: 20 });
    // The other stream's clock is an hour behind from the start.
    old(7201, 3600, 90, 'oil');
    await evaluated();
    expect(await incidents('hot')).toEqual([[3600, null]]);
    old(7202, 3602, 20, 'oil');
    // These are late, unless the clock stays behind for a minute.
    for (let i = 0; i < 60; i += 10) old(7210 + i, i, 90);
    await evaluated();
    expect(await incidents('hot')).toEqual([[3600, 3602]]);
    old(7271, 61, 90);
    await evaluated();
    expect(await incidents('hot')).toEqual([
      [3600, 3602],
      [61, null],
    ]);
    old(7280, 70, 20);
    await evaluated();
    expect((await incidents('hot'))[1]).toEqual([61, 70]);
  });

  it('reports an incident that is still open when a maintenance window ends', async () => {
    // The start is a Sunday, 0:00.
    const maintenance = ['sun 00:00-02:00'];
    await alarms.create({ name: 'hot', where: 'temperature > 80', maintenance }, 'x');
    sent(0, 'env', { temperature: 90 });
    sent(0, 'oil', { temperature: 90 });
    await evaluated();
    const raises = async () =>
      (await store.selectFrom('events').select('type').where('type', '=', 'alarm.raise').execute()).length;
    expect(await incidents('hot')).toEqual([[0, null]]);
    now = begin + 7199 * second;
    await examined();
    expect(await raises()).toBe(0);
    now = begin + 7200 * second;
    await expect.poll(raises, { timeout: 20_000 }).toBe(1);
  });

  it('ends the incidents of a device that no longer matches, and of one that was removed', async () => {
    await alarms.create({ name: 'hot', where: 'temperature > 80', selector: 'site=lab' }, 'x');
    await alarms.create({ name: 'warm', where: 'temperature > 60' }, 'x');
    sent(0, 'env', { temperature: 90 });
    await evaluated();
    now = begin + 5 * second;
    await fleet.inTurn(() => fleet.update(fleet.record('pump'), { tags: {} }));
    await expect.poll(() => incidents('hot'), { timeout: 20_000 }).toEqual([[0, 5]]);
    expect(await incidents('warm')).toEqual([[0, null]]);
    now = begin + 7 * second;
    await fleet.inTurn(() => fleet.updateAll([{ device: fleet.record('pump'), change: null }]));
    await expect.poll(() => incidents('warm'), { timeout: 20_000 }).toEqual([[0, 7]]);
    expect(await store.selectFrom('alarmStates').selectAll().execute()).toEqual([]);
    sent(8, 'env', { temperature: 90 });
    await evaluated();
    expect(await incidents('warm')).toEqual([[0, 7]]);
  });

  it('forgets a removed device immediately, so that a new device of the same name starts afresh', async () => {
    await alarms.create({ name: 'hot', where: 'temperature > 80' }, 'x');
    sent(0, 'env', { temperature: 90 });
    await evaluated();
    now = begin + 5 * second;
    await alarms.forget('pump');
    expect(await incidents('hot')).toEqual([[0, 5]]);
    sent(6, 'env', { temperature: 90 });
    await evaluated();
    expect(await incidents('hot')).toEqual([
      [6, null],
      [0, 5],
    ]);
  });

  it('stores nothing if another process has evaluated the messages meanwhile', async () => {
    await alarms.create({ name: 'hot', where: 'temperature > 80' }, 'x');
    sent(0, 'env', { temperature: 20 });
    await evaluated();
    isSlow = true;
    sent(1, 'env', { temperature: 90 });
    sent(2, 'env', { temperature: 20 });
    await store.updateTable('meta').set({ value: '3' }).where('key', '=', 'alarms:position').execute();
    isSlow = false;
    await examined();
    expect(await incidents('hot')).toEqual([]);
    expect(await position()).toBe('3');
    sent(3, 'env', { temperature: 90 });
    await evaluated();
    expect(await incidents('hot')).toEqual([[3, null]]);
  });

  it('replays all streams of a device in chronological order', async () => {
    await alarms.create({ name: 'hot', where: 'temperature > 80', forMs: 15_000 }, 'x');
    sent(0, 'a', { temperature: 90 });
    sent(20, 'a', { temperature: 90 });
    sent(10, 'b', { temperature: 20 });
    now = begin + 60 * second;
    expect(await alarms.test('hot', 3600_000)).toMatchObject({ samples: 3, total: 0, truncated: false });
  });

  it('counts all incidents of a test, returns the newest, and ends early if its client has left', async () => {
    await alarms.create({ name: 'hot', where: 'temperature > 80' }, 'x');
    for (let i = 0; i < 1000; i++) sent(i, 'a', { temperature: i % 2 === 0 ? 90 : 20 });
    now = begin + 1000 * second;
    const result = await alarms.test('hot', 3600_000);
    expect(result).toMatchObject({ total: 500, truncated: false });
    expect(result.fired.map(({ raised }) => (raised - begin) / second)).toEqual(
      Array.from({ length: 200 }, (_, i) => 600 + 2 * i),
    );
    expect(alarmTestText(result)).toContain('would have fired 500 times. Showing the newest 200.');
    expect(await alarms.test('hot', 3600_000, AbortSignal.abort())).toMatchObject({ samples: 0 });
  });
});
