import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { NewAlarm } from '../../src/lib/api/contract/alarms.js';
import type { CauseCode, DeviceHealth } from '../../src/lib/api/contract/attention.js';
import type { Devices } from '../../src/lib/platform/devices/devices.js';
import { Alarms } from '../../src/lib/platform/events/alarms.js';
import { eventsIn } from '../../src/lib/platform/events/events.js';
import type { Entry } from '../../src/lib/platform/journal/entry.js';
import type { Telemetry } from '../../src/lib/platform/journal/telemetry.js';
import { openStore, type Store } from '../../src/lib/platform/store/database.js';

let folder: string;
let store: Store;
const start = 1_700_000_000_000;
let clock = start;
const now = () => clock;
beforeEach(async () => {
  clock = start;
  folder = await mkdtemp(join(tmpdir(), 'aiot-alarm-kinds-'));
  store = await openStore(join(folder, 'state.db'));
});
afterEach(async () => {
  await store.destroy();
  await rm(folder, { recursive: true, force: true });
});

/** The devices that need attention. */
let unwell: DeviceHealth[] = [];
/** Names of the devices that are online, out of 40. */
let online: ReadonlySet<string> = new Set();
const names = Array.from({ length: 40 }, (_, i) => `d${i}`);
const devices = {
  find: (name: string) => ({ name }),
  visit: async (look: (device: object) => void) => {
    for (const name of names) look({ name, state: 'active', lastSeen: start });
  },
  online: (name: string) => online.has(name),
} as unknown as Devices;

/** One process of the platform. Its telemetry consists of `entries`, each in a separate batch, starting after the evaluated ones. */
function alarmsOn(entries: readonly Entry[]): Alarms {
  const reader = {
    end: async () => '0',
    async *from(position: string, signal: AbortSignal) {
      for (let i = Number(position); i < entries.length; i++)
        yield [{ entry: entries[i], position: String(i + 1) }];
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    },
  };
  const telemetry = { reader } as unknown as Telemetry;
  const events = eventsIn(store, now);
  const attention = { unwell: async () => unwell };
  return new Alarms({ store, events, telemetry, devices, attention, log: pino({ level: 'silent' }), now });
}

/** Runs the alarms until a condition holds. */
async function run(alarms: Alarms, until: () => Promise<void>): Promise<void> {
  const ended = new AbortController();
  const running = alarms.worker().run(ended.signal);
  try {
    await until();
  } finally {
    ended.abort();
    await running;
  }
}

const position = async () =>
  Number(
    (await store.selectFrom('meta').select('value').where('key', '=', 'alarms:position').executeTakeFirst())
      ?.value,
  );

/** Evaluates the entries in two processes, the second of which continues after `cut` entries. */
async function incidentsOf(alarm: NewAlarm, entries: readonly Entry[], cut: number) {
  await alarmsOn([]).create(alarm, 'me');
  for (const end of [cut, entries.length])
    await run(alarmsOn(entries.slice(0, end)), () =>
      expect
        .poll(position, { timeout: 20_000 })
        .toBe(end)
        .then(() => {}),
    );
  const rows = await store
    .selectFrom('incidents')
    .select(['device', 'raised', 'cleared', 'message'])
    .orderBy('raised')
    .execute();
  return rows.map(({ device, raised, cleared, message }) => [
    device,
    (Number(raised) - start) / 1000,
    cleared === null ? null : (Number(cleared) - start) / 1000,
    message,
  ]);
}

const entry = (second: number, more: Pick<Entry, 'channel' | 'payload' | 'stream'>): Entry => ({
  ...{ at: start + second * 1000, device: 'd0', ...more },
  payload: { t: start + second * 1000, ...more.payload },
});

describe('an alarm', () => {
  it.each([7, 12])(
    'on a change finds the rise, even if the process restarts after %i messages',
    async (cut) => {
      // 0.05 per second for 40 s, then 1 per second for 20 s, then constant.
      const entries = Array.from({ length: 25 }, (_, i) => {
        const second = i * 5;
        const temperature = 20 + 0.05 * Math.min(second, 40) + Math.max(0, Math.min(second - 40, 20));
        return entry(second, { channel: 'telemetry', stream: 's', payload: { temperature } });
      });
      const alarm = { name: 'warming', rate: 'temperature', withinMs: 30_000, where: 'change > 12' };
      expect(await incidentsOf(alarm, entries, cut)).toEqual([
        [
          'd0',
          55,
          80,
          expect.stringMatching(/^temperature within 30s: change > 12: change=15\.\d*, rate=0\.\d+$/),
        ],
      ]);
    },
    60_000,
  );

  it('on a change compares the samples of each stream only with each other', async () => {
    // Two places of the same device: one stays at 20, the other at 60 until it rises by 1 per second from second 40 to 60.
    const entries = Array.from({ length: 50 }, (_, i) => {
      const second = 2 * i + (i % 2);
      const temperature = i % 2 === 0 ? 20 : 60 + Math.max(0, Math.min(second - 40, 20));
      return entry(second, {
        channel: 'telemetry',
        stream: i % 2 === 0 ? 'a' : 'b',
        payload: { temperature },
      });
    });
    const alarm = { name: 'warming', rate: 'temperature', withinMs: 30_000, where: 'change > 12' };
    expect(await incidentsOf(alarm, entries, 27)).toEqual([
      ['d0', 55, 79, expect.stringContaining('change=15')],
    ]);
  }, 60_000);

  it('on a class counts predictions after smoothing', async () => {
    const entries = Array.from({ length: 30 }, (_, i) => {
      const voted = i >= 12 && i < 20 ? 'shaking' : 'resting';
      return entry(i, { channel: 'inference', payload: { label: 'shaking', voted } });
    });
    const alarm = { name: 'shaky', class: 'shaking', withinMs: 10_000, where: 'share >= 0.5' };
    expect(await incidentsOf(alarm, entries, 15)).toEqual([
      [
        'd0',
        17,
        25,
        'predictions of shaking within 10s: share >= 0.5: share=0.5454545454545454, count=6, total=11',
      ],
    ]);
  }, 60_000);

  it('on unwell devices raises an incident with the causes, which ends when they are gone', async () => {
    const sick = (name: string, code: CauseCode, state: 'failing' | 'degraded'): DeviceHealth => ({
      ...{ name, type: 'esp32', state, acknowledged: null, snoozed: null },
      causes: [{ code, state, message: `its ${code}`, since: start, next: 'Look.' }],
    });
    unwell = [sick('d1', 'battery-empty', 'failing'), sick('d2', 'memory-low', 'degraded')];
    const alarms = alarmsOn([]);
    await alarms.create({ name: 'unwell', unwell: true, where: 'state = "failing"' }, 'me');
    const incidents = async () => (await alarms.get('unwell')).incidents;
    await run(alarms, async () => {
      await expect
        .poll(incidents, { timeout: 20_000 })
        .toMatchObject([{ device: 'd1', cleared: null, message: 'battery-empty: its battery-empty' }]);
      unwell = [sick('d2', 'disk-full', 'failing')];
      clock += 6000;
      await expect
        .poll(async () => (await incidents()).map(({ device, cleared }) => [device, cleared]).sort(), {
          timeout: 20_000,
        })
        .toEqual([
          ['d1', clock],
          ['d2', null],
        ]);
    });
    // Another process continues with the incident of d2.
    await run(alarmsOn([]), () => new Promise((resolve) => setTimeout(resolve, 1500)));
    expect(await incidents()).toHaveLength(2);
    unwell = [];
  }, 60_000);

  it('on offline devices raises one incident for the fleet', async () => {
    online = new Set(names.slice(3));
    const alarms = alarmsOn([]);
    await alarms.create({ name: 'outage', offline: true, where: 'share > 0.05' }, 'me');
    const incidents = async () => (await alarms.get('outage')).incidents;
    await run(alarms, async () => {
      // Devices have a minute to reconnect after the start.
      await new Promise((resolve) => setTimeout(resolve, 1200));
      expect(await incidents()).toEqual([]);
      clock += 61_000;
      await expect.poll(incidents, { timeout: 20_000 }).toMatchObject([{ device: '*', cleared: null }]);
      const [incident] = await incidents();
      expect(incident?.message).toBe(
        'offline devices: share > 0.05: share=0.075, offline=3, total=40, devices=d0,d1,d2',
      );
      online = new Set(names.slice(2));
      clock += 6000;
      await expect
        .poll(async () => (await incidents()).map(({ cleared }) => cleared), { timeout: 20_000 })
        .toEqual([clock]);
    });
  }, 60_000);
});
