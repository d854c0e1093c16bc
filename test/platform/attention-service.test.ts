import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Reported } from '../../src/lib/device/protocol/messages.js';
import { AttentionService } from '../../src/lib/platform/devices/attention.js';
import { Devices } from '../../src/lib/platform/devices/devices.js';
import { type Events, eventsIn } from '../../src/lib/platform/events/events.js';
import { openStore, type Store } from '../../src/lib/platform/store/database.js';

describe('the attention service', () => {
  const minute = 60_000;
  let now: number;
  let folder: string;
  let store: Store;
  let events: Events;
  let fleet: Devices;
  let service: AttentionService;

  beforeEach(async () => {
    now = Date.UTC(2026, 4, 10);
    folder = await mkdtemp(join(tmpdir(), 'aiot-attention-'));
    store = await openStore(join(folder, 'state.db'));
    events = eventsIn(store, () => now);
    fleet = await Devices.open(store, () => now, events);
    service = new AttentionService({ store, events, devices: fleet, now: () => now });
    await fleet.inTurn(() =>
      fleet.insert({
        ...{ name: 'pump', id: 'dev_pump', type: 'esp32', state: 'active', fingerprint: 'fp' },
        ...{ expires: now + 365 * 86_400_000, mac: null, chipId: null, created: now },
      }),
    );
  });
  afterEach(async () => {
    events.feed.close();
    await store.destroy();
    await rm(folder, { recursive: true, force: true });
  });

  const codes = async () => (await service.get('pump')).causes.map(({ code }) => code);

  it('counts a connection once, although several requests read the event log at the same time', async () => {
    await service.counts();
    for (let i = 0; i < 3; i++)
      await events.record({ who: 'device pump', type: 'device.connect', subject: 'pump' });
    await Promise.all(Array.from({ length: 8 }, () => service.counts()));
    expect(await codes()).toEqual([]);
    for (let i = 0; i < 3; i++)
      await events.record({ who: 'device pump', type: 'device.connect', subject: 'pump' });
    await Promise.all(Array.from({ length: 8 }, () => service.counts()));
    expect((await service.get('pump')).causes).toMatchObject([
      { code: 'restarting', message: 'it connected 6 times within 1h' },
    ]);
  });

  it('keeps rejected messages that could not be stored', async () => {
    let isFull = true;
    const failing = new Proxy(store, {
      get(target, key) {
        if (key === 'transaction' && isFull) throw new Error('the disk is full');
        const value: unknown = Reflect.get(target, key);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    service = new AttentionService({ store: failing, events, devices: fleet, now: () => now });
    service.rejected('pump', 'a: expected a number');
    await service.close();
    expect(await codes()).toEqual([]);
    isFull = false;
    service.rejected('pump', 'b: expected a number');
    await service.close();
    const [cause] = (await service.get('pump')).causes;
    expect(cause?.message).toMatch(/^2 messages .* the last one: b: expected a number$/);
  });

  it('counts a crash from its first report, and forgets it after an hour', async () => {
    const crashed: Reported = {
      ...{ t: now, type: 'esp32', state: 'IDLE', rollout: null, model: null, floor: 0 },
      ...{ download: null, golden: null, error: null, vitals: { boot: { reason: 'panic' } } },
    };
    await fleet.report('pump', crashed);
    expect(await codes()).toEqual(['restarting']);
    now += 59 * minute;
    await fleet.report('pump', { ...crashed, t: now });
    expect(await codes()).toEqual(['restarting']);
    now += 2 * minute;
    await fleet.report('pump', { ...crashed, t: now });
    await events.record({ who: 'device pump', type: 'device.connect', subject: 'pump' });
    expect(await codes()).toEqual([]);
  });
});
