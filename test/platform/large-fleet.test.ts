import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Histogram } from '../../src/lib/core/prometheus.js';
import { AttentionService } from '../../src/lib/platform/devices/attention.js';
import type { DesiredStates } from '../../src/lib/platform/devices/desired.js';
import { type DeviceRecord, Devices } from '../../src/lib/platform/devices/devices.js';
import type { DeviceMemory } from '../../src/lib/platform/devices/memory.js';
import { keepRevocationList } from '../../src/lib/platform/devices/revocations.js';
import { DeviceSettingsService } from '../../src/lib/platform/devices/settings.js';
import { type Events, eventsIn } from '../../src/lib/platform/events/events.js';
import { HomeAssistantService } from '../../src/lib/platform/events/home-assistant.js';
import { Objectives } from '../../src/lib/platform/objectives.js';
import { openStore, type Store } from '../../src/lib/platform/store/database.js';
import { openAuthority } from '../../src/lib/provision/authority.js';

const count = 200_000;
/** Every so many devices, other work must get a turn. Counted in turns, because times say little on a busy machine. */
const atMost = 10_000;

describe(`a platform with ${count} devices in memory`, () => {
  let folder: string;
  let store: Store;
  let events: Events;
  let devices: Devices;
  const now = () => Date.UTC(2026, 4, 10);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-large-'));
    store = await openStore(join(folder, 'state.db'));
    events = eventsIn(store, now);
    devices = await Devices.open(store, now, events);
    const { memory } = devices as unknown as { memory: DeviceMemory };
    const rest = {
      ...{ type: 'pi', state: 'active' as const, expires: now() + 365 * 86_400_000, mac: null, chipId: null },
      ...{ created: 0, nextFingerprint: null, nextExpires: null, lastSeen: now(), settings: null },
      ...{ reported: null, tags: {}, groups: [], revision: 1 },
    };
    for (let i = 0; i < count; i++) {
      const name = `d-${i}`;
      memory.remember({ ...rest, name, id: name, fingerprint: name } as DeviceRecord);
    }
  }, 120_000);
  afterAll(async () => {
    events.feed.close();
    await store.destroy();
    await rm(folder, { recursive: true, force: true });
  });

  /** Number of times that other work gets a turn during a task. */
  async function turnsDuring(task: () => Promise<unknown>): Promise<number> {
    let turns = 0;
    let isOver = false;
    const tick = () => {
      turns++;
      if (!isOver) setImmediate(tick);
    };
    setImmediate(tick);
    try {
      await task();
    } finally {
      isOver = true;
    }
    return turns;
  }

  it('shows a blocking scan in the number of turns', async () => {
    const scan = async () => devices.records().filter(({ state }) => state === 'active');
    expect(await turnsDuring(scan)).toBeLessThan(3);
  });

  it('serves other requests while it samples its objectives and looks for devices that need attention', async () => {
    const objectives = new Objectives({ store, devices, ingest: new Histogram(), now });
    objectives.start()();
    expect(await turnsDuring(() => objectives.sample())).toBeGreaterThan(count / atMost);
    const presence = (await objectives.list()).find(({ name }) => name === 'presence');
    expect(presence).toMatchObject({ good: 0, total: count });
    const attention = new AttentionService({ store, events, devices, now });
    expect(await turnsDuring(() => attention.pass())).toBeGreaterThan(count / atMost);
  });

  it('serves other requests while settings are compared, and writes those of many devices in the background', async () => {
    const some = Array.from({ length: 600 }, (_, i) => ({
      ...{ name: `chip-${i}`, id: `chip-${i}`, type: 'esp32', state: 'active' as const, tags: {} },
      ...{ fingerprint: `chip-${i}`, expires: now() + 365 * 86_400_000, mac: null, chipId: null, created: 0 },
    }));
    await devices.inTurn(() => devices.insertAll(some));
    const desired = { tellSettings: async () => {} } as unknown as DesiredStates;
    const service = new DeviceSettingsService({ store, events, devices, desired, now });
    const rpm = (most: number) => ({
      type: 'object',
      properties: { rpm: { type: 'integer', maximum: most, default: 500 } },
    });
    const apply = (most: number) =>
      service.apply({ project: 'p', settings: [{ type: 'esp32', schema: rpm(most) }] }, 'a test');
    const valuesOf = async (name: string) => (await service.of(name)).values;
    const written = () =>
      some.filter(({ name }) => devices.find(name)?.settings?.wanted?.values.rpm !== undefined).length;

    expect(await turnsDuring(() => apply(3000))).toBeGreaterThan(count / atMost);
    expect(written()).toBe(0);
    expect(await turnsDuring(() => service.pass())).toBeGreaterThan(count / atMost);
    expect(written()).toBe(600);
    // Nothing is left to do.
    expect(await turnsDuring(() => service.pass())).toBeGreaterThan(count / atMost);

    await devices.inTurn(() => devices.update(devices.record('chip-7'), { groups: ['lab'] }));
    const change = { set: { rpm: 700 } };
    const changed = turnsDuring(() => service.changeGroup('esp32', 'lab', change, 'a test'));
    expect(await changed).toBeGreaterThan(count / atMost);
    expect([await valuesOf('chip-7'), await valuesOf('chip-8')]).toEqual([{ rpm: 700 }, { rpm: 500 }]);
    // The overrides must fit all devices, before anything is written.
    await expect(apply(600)).rejects.toMatchObject({ code: 'AIOT_SETTINGS_INVALID' });
    expect(await valuesOf('chip-8')).toEqual({ rpm: 500 });
    // Devices of a type without a definition lose their settings.
    await service.apply({ project: 'p', settings: [] }, 'a test');
    await service.pass();
    expect(written()).toBe(0);
  });

  it('serves other requests while the list of revoked certificates is made', async () => {
    const certificates = 60_000;
    for (let i = 0; i < certificates; i += 1000)
      await store
        .insertInto('certificates')
        .values(
          Array.from({ length: 1000 }, (_, j) => {
            const serial = (0x10000000 + i + j).toString(16);
            return {
              serial,
              fingerprint: i + j < 3 ? `gone-${j}` : `d-${i + j}`,
              device: 'd',
              expires: now() + 1,
            };
          }),
        )
        .execute();
    const file = join(folder, 'devices.crl');
    const authority = await openAuthority(join(folder, 'pki'), now);
    const parts = { file, follow: false, store, devices, authority, now, log: pino({ enabled: false }) };
    const turns = await turnsDuring(async () => (await keepRevocationList(parts)).close());
    expect(turns).toBeGreaterThan(certificates / atMost);
    expect(existsSync(file)).toBe(true);
    expect((await readFile(file, 'utf8')).length).toBeGreaterThan(0);
  });

  it('rejects a Home Assistant integration of more than 10,000 devices', async () => {
    const service = new HomeAssistantService({ store, events, devices, now } as never);
    const definition = {
      ...{ project: 'p', broker: null, prefix: 'homeassistant', selector: 'all', everyMs: 1000 },
      ...{ installs: null, stream: '', sensors: [] },
    };
    const apply = (selector: string) =>
      service.apply({ project: 'p', definition: { ...definition, selector } as never }, 'a test');
    await expect(apply('all')).rejects.toMatchObject({
      code: 'AIOT_REQUEST_INVALID',
      message: 'the Home Assistant integration selects 200600 devices; the limit is 10000',
    });
    expect(await apply('type=esp32')).toMatchObject({ change: 'created' });
  });

  it('accepts an unchanged Home Assistant integration after the fleet has grown', async () => {
    const service = new HomeAssistantService({ store, events, devices, now } as never);
    const definition = {
      ...{ project: 'p', broker: null, prefix: 'homeassistant', selector: 'type=esp32', everyMs: 1000 },
      ...{ installs: null, stream: '', sensors: [] },
    };
    const { memory } = devices as unknown as { memory: DeviceMemory };
    const known = devices.record('chip-1');
    for (let i = 0; i < 10_001; i++)
      memory.remember({ ...known, name: `more-${i}`, id: `more-${i}`, fingerprint: `more-${i}` });
    const apply = (everyMs: number) =>
      service.apply({ project: 'p', definition: { ...definition, everyMs } as never }, 'a test');
    expect(await apply(1000)).toMatchObject({ change: 'unchanged' });
    await expect(apply(2000)).rejects.toMatchObject({ code: 'AIOT_REQUEST_INVALID' });
  });
});
