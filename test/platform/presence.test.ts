import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AttentionService } from '../../src/lib/platform/devices/attention.js';
import { Devices } from '../../src/lib/platform/devices/devices.js';
import { SharedPresence } from '../../src/lib/platform/devices/presence.js';
import { eventsIn } from '../../src/lib/platform/events/events.js';
import { openStore, type Store } from '../../src/lib/platform/store/database.js';

let folder: string;
let store: Store;
let clock = 1_700_000_000_000;
const now = () => clock;
const minute = 60_000;
beforeEach(async () => {
  clock = 1_700_000_000_000;
  folder = await mkdtemp(join(tmpdir(), 'aiot-presence-'));
  store = await openStore(join(folder, 'state.db'));
});
afterEach(async () => {
  await store.destroy();
  await rm(folder, { recursive: true, force: true });
});

/** One process of a platform: its devices, and their health as it sees it. */
async function replica({ aheadMs = 0 } = {}) {
  const events = eventsIn(store, now);
  const devices = await Devices.open(store, now, events);
  const attention = new AttentionService({ store, events, devices, now });
  const log = pino({ level: 'silent' });
  const presence = new SharedPresence({ store, devices, log, now: () => now() + aheadMs, elapsed: now });
  const silent = async () =>
    (await attention.list({ limit: 10 })).devices.flatMap(({ name, causes }) =>
      causes.filter(({ code }) => code === 'silent').map(({ since }) => ({ name, since })),
    );
  return { devices, presence, silent };
}

/** Two replicas that know the device `d`, which has connected to the first, and has been there for an hour. */
async function two() {
  const { devices } = await replica();
  await devices.inTurn(() =>
    devices.insert({
      ...{
        name: 'd',
        id: 'dev_d',
        type: 'esp32',
        state: 'active',
        fingerprint: 'fp',
        mac: null,
        chipId: null,
      },
      ...{ expires: now() + 1e12, created: now() },
    }),
  );
  await devices.connected('d');
  await devices.disconnected('d');
  const [first, leader] = [await replica(), await replica()];
  await first.devices.connected('d');
  const share = async () => {
    await first.presence.share();
    await leader.presence.share();
  };
  await share();
  clock += 60 * minute;
  await share();
  return { first, leader, share };
}

describe('devices connected to another replica', () => {
  it('are online, not silent', async () => {
    const { first, leader } = await two();
    expect(leader.devices.online('d')).toBe(true);
    expect(leader.devices.isHere('d')).toBe(false);
    expect(leader.devices.info('d').online).toBe(true);
    expect(await leader.silent()).toEqual([]);
    expect(await first.silent()).toEqual([]);
  });

  it('are silent some minutes after they disconnected there', async () => {
    const { first, leader, share } = await two();
    await first.devices.disconnected('d');
    await share();
    const gone = clock;
    expect(leader.devices.online('d')).toBe(false);
    clock += 4 * minute;
    await share();
    expect(await leader.silent()).toEqual([]);
    clock += 2 * minute;
    expect(await leader.silent()).toEqual([{ name: 'd', since: gone }]);
  });

  it('are silent some minutes after that replica was killed', async () => {
    const { leader } = await two();
    for (let seconds = 0; seconds < 30; seconds += 10) {
      expect(leader.devices.online('d')).toBe(true);
      clock += 10_000;
      await leader.presence.share();
    }
    const noticed = clock;
    expect(leader.devices.online('d')).toBe(false);
    expect(await leader.silent()).toEqual([]);
    clock += 6 * minute;
    expect(await leader.silent()).toEqual([{ name: 'd', since: noticed }]);
  });

  it('stay online while the clock of a replica is wrong', async () => {
    const { first, share } = await two();
    const late = await replica({ aheadMs: -60 * minute });
    const early = await replica({ aheadMs: 60 * minute });
    await late.devices.connected('d');
    await first.devices.disconnected('d');
    for (let i = 0; i < 5; i++) {
      await late.presence.share();
      await early.presence.share();
      await share();
      for (const { devices } of [first, early]) expect(devices.online('d')).toBe(true);
      clock += 10_000;
    }
  });

  it('are shared again after other replicas removed a stalled one', async () => {
    const { first, leader, share } = await two();
    for (let i = 0; i < 4; i++) {
      clock += 10_000;
      await leader.presence.share();
    }
    expect(leader.devices.online('d')).toBe(false);
    await share();
    expect(leader.devices.online('d')).toBe(true);
    expect(first.devices.isHere('d')).toBe(true);
  });

  it('are online immediately if they move to this replica', async () => {
    const { first, leader, share } = await two();
    await leader.devices.connected('d');
    await first.devices.disconnected('d');
    await share();
    expect(leader.devices.isHere('d')).toBe(true);
    expect(first.devices.isHere('d')).toBe(false);
    await first.presence.share();
    expect(first.devices.online('d')).toBe(true);
  });

  it('are withdrawn when their replica stops', async () => {
    const { first, leader } = await two();
    const stop = first.presence.start();
    await stop();
    await leader.presence.share();
    expect(leader.devices.online('d')).toBe(false);
  });
});

it('a replica that begins to record does not record a known connection again', async () => {
  const { first } = await two();
  const { devices } = await replica();
  devices.leaveRecording();
  const connects = async () =>
    (await store.selectFrom('events').select('type').where('subject', '=', 'd').execute()).filter(
      ({ type }) => type === 'device.connect',
    ).length;
  const before = await connects();
  const taken = devices.takeRecording(Promise.resolve());
  // The broker reports the connection before the database has answered.
  await devices.connected('d');
  await taken;
  expect(await connects()).toBe(before);
  await first.devices.disconnected('d');
});

it('a replica that stops recording while it begins records nothing', async () => {
  const { first } = await two();
  await first.devices.disconnected('d');
  const { devices } = await replica();
  devices.leaveRecording();
  await devices.connected('d');
  const count = async () => (await store.selectFrom('events').select('id').execute()).length;
  const before = await count();
  const taken = devices.takeRecording(Promise.resolve());
  devices.leaveRecording();
  await taken;
  expect(await count()).toBe(before);
});
