import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { MqttClient } from 'mqtt';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { alarmSchema } from '../../src/lib/api/contract/alarms.js';
import { attentionSchema } from '../../src/lib/api/contract/attention.js';
import { writeContexts } from '../../src/lib/core/contexts.js';
import { sha256Hex } from '../../src/lib/core/crypto.js';
import type { Reported } from '../../src/lib/device/protocol/messages.js';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import type { VirtualDevice } from '../../src/lib/device/virtual/types.js';
import type { Vitals } from '../../src/lib/formats/vitals.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { runCli } from '../support/cli.js';
import { type Dashboard, dashboardOf } from '../support/dashboard.js';
import { connect } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { type Postgres, startPostgres } from '../support/postgres.js';
import { describeReal } from '../support/real.js';
import { ok } from '../support/up.js';

const count = 200;
const names = Array.from({ length: count }, (_, i) => `unit-${String(i + 1).padStart(3, '0')}`);
const secret = 'a secret of the simulated devices';

/** The unwell devices, and the only cause that each may have. */
const unwell = {
  'unit-007': 'battery-empty',
  'unit-023': 'disk-full',
  'unit-041': 'update-failed',
  'unit-058': 'sensor-unfit',
  'unit-066': 'silent',
  'unit-094': 'restarting',
  'unit-120': 'memory-low',
  'unit-133': 'messages-lost',
  'unit-151': 'messages-rejected',
  'unit-188': 'clock-wrong',
} as const;
const hot = 'unit-101';

/** The devices that run the virtual device's complete firmware, with these hardware readings. The other devices only send messages. */
const readings: Record<string, Vitals> = {
  'unit-007': { battery: { percent: 2 } },
  'unit-023': { disk: { freeBytes: 1e6, totalBytes: 1e9 } },
  'unit-133': { queue: { waiting: 0, dropped: 31 } },
  'unit-134': { battery: { percent: 85 }, disk: { freeBytes: 5e8, totalBytes: 1e9 }, rssiDbm: -60 },
};
const simple = names.filter((name) => !(name in readings));

const reports: Partial<Record<string, Partial<Reported>>> = {
  'unit-041': {
    state: 'ROLLED_BACK',
    rollout: 'ro_1',
    error: { code: 'AIOT_GOLDEN_FAILED', message: '1 of 3' },
  },
  'unit-058': {
    sensor: { stream: 'motors', fields: ['temperature'], rate: 1, unfit: 'it needs x, y and z' },
  },
  'unit-120': { heap: { free: 9000, largest: 4000, least: 1000 } },
  'unit-188': { t: Date.now() + 3 * 86_400_000 },
};

describeReal('postgres', 'a fleet of 200 devices, ten of which are unwell', () => {
  let server: Postgres;
  let own: TestPlatform;
  const connections = new Map<string, MqttClient>();
  const virtual: VirtualDevice[] = [];

  /** Connects all devices that are not connected, a few at a time. */
  async function bringOnline(some: readonly string[]) {
    for (let i = 0; i < some.length; i += 20)
      await Promise.all(
        some.slice(i, i + 20).map(async (name) => {
          const options = { username: name, password: secret, ca: own.ca };
          connections.set(name, await connect(own.platform.urls.mqtts, options));
        }),
      );
  }

  const publish = (name: string, channel: string, payload: unknown) =>
    connections
      .get(name)
      ?.publishAsync(
        `aiot/v1/${name}/${channel}`,
        typeof payload === 'string' ? payload : JSON.stringify(payload),
        {
          qos: 1,
        },
      );

  /** One sample per second from each device; only the hot one is above 80. */
  const sample = (from: number, seconds: number) =>
    Promise.all(
      names.map(async (name) => {
        if (!connections.get(name)?.connected) return;
        for (let i = 0; i < seconds; i++) {
          const temperature = name === hot ? 90 : 60 + (i % 15);
          await publish(name, 'telemetry/motors', { t: start + (from + i) * 1000, temperature });
        }
      }),
    );
  const start = Date.now() - 600_000;

  beforeAll(async () => {
    server = await startPostgres();
    own = await testPlatform({ engines: { database: await server.database() } });
    const devices = simple.map((name) => ({ name, digest: sha256Hex(secret) }));
    await own.client.devices.simulate({ type: 'esp32', devices });
    await own.client.devices.patch('unit-066', { tags: { 'silent-after': '2s' } });
    await bringOnline(simple);
    for (const [name, vitals] of Object.entries(readings)) {
      const out = join(own.folder, name);
      await mkdir(out, { recursive: true });
      await provisionDevice({ client: own.client, name, type: 'virtual', out });
      const device = await createVirtualDevice({ identityDir: out, vitals: () => vitals });
      virtual.push(device);
      await device.connect();
    }
    for (const name of simple) {
      const report = { t: Date.now(), type: 'esp32', state: 'IDLE', rollout: null, model: null, floor: 0 };
      const rest = { download: null, golden: null, error: null };
      await publish(name, 'reported', { ...report, ...rest, ...reports[name] });
    }
    await publish('unit-151', 'telemetry/motors', 'not a message');
    await connections.get('unit-066')?.endAsync(true);
    for (let i = 0; i < 7; i++) {
      await connections.get('unit-094')?.endAsync();
      await bringOnline(['unit-094']);
    }
  }, 120_000);
  afterAll(async () => {
    for (const device of virtual) await device.stop();
    for (const connection of connections.values()) connection.end(true);
    await own?.stop();
    await server?.stop();
  });

  it('names all ten with the right cause, and no other device, by API and command', async () => {
    const found = async () => {
      const { devices } = await own.client.attention.list({ limit: 1000 });
      return Object.fromEntries(
        devices.map(({ name, causes }) => [name, causes.map(({ code }) => code).join()]),
      );
    };
    await expect.poll(found, { timeout: 20_000, interval: 500 }).toEqual(unwell);
    process.env.AIOT_CONFIG_DIR = join(own.folder, 'config');
    const lab = { url: own.platform.urls.http, ca: own.platform.ca, token: own.token };
    await writeContexts({ current: 'lab', contexts: { lab } });
    const { counts, devices } = await ok(attentionSchema, ['status', '--attention']);
    expect(counts).toEqual({ failing: 4, silent: 1, degraded: 5, ok: 190, unknown: 0 });
    for (const { causes } of devices) expect(causes[0]?.next).toMatch(/\.$/);
    const { stdout } = await runCli(['device', 'show', 'unit-134']);
    for (const row of [/running for +\d+ s/, /battery +85 %/, /Wi-Fi signal +-60 dBm/])
      expect(stdout).toMatch(row);
    expect(stdout).toMatch(/free disk +476\.8 MiB of 953\.7 MiB/);
  });

  /** The devices with an open incident of the alarm, and the causes that their messages name. */
  const alarmed = async () => {
    const { incidents } = await own.client.alarms.get('unwell');
    expect(new Set(incidents.map(({ device }) => device)).size).toBe(incidents.length);
    return Object.fromEntries(
      incidents.map(({ device, message, cleared }) => [device, cleared === null && message.split(':')[0]]),
    );
  };

  it('raises an alarm for each of the ten with its cause, and for no other device', async () => {
    await ok(alarmSchema, ['alarm', 'create', '--name', 'unwell', '--unwell', '--where', 'state != "ok"']);
    await expect.poll(alarmed, { timeout: 30_000, interval: 500 }).toEqual(unwell);
  });

  describeReal('chromium', 'on the dashboard', () => {
    let board: Dashboard;
    beforeAll(async () => {
      board = await dashboardOf(own);
    });
    afterAll(() => board?.browser.close());

    it('names the ten with their causes, and no other device', async () => {
      const { page, troubles, context } = await board.open('#/');
      page.setDefaultTimeout(20_000);
      const list = page.getByRole('list', { name: 'Needs attention' });
      await list.getByRole('link', { name: 'unit-188' }).waitFor();
      const links = await list.getByRole('link', { name: /^unit-/ }).allTextContents();
      expect(links.sort()).toEqual(Object.keys(unwell));
      const { devices } = await own.client.attention.list({ limit: 100 });
      for (const { name, causes } of devices) {
        const entry = list.getByRole('listitem').filter({ hasText: name });
        await entry.getByText(causes[0]!.message).waitFor();
      }
      expect(troubles).toEqual([]);
      await context.close();
    });
  });

  it('raises one incident for the hot device only, although the platform restarts in the middle', async () => {
    await own.client.alarms.create({
      name: 'hot',
      where: 'temperature > 80',
      forMs: 10_000,
      stream: 'motors',
    });
    await sample(0, 6);
    for (const connection of connections.values()) connection.end(true);
    await own.restart();
    await bringOnline(simple.filter((name) => name !== 'unit-066'));
    await sample(6, 10);
    const incidents = async () => (await own.client.alarms.get('hot')).incidents;
    await expect
      .poll(incidents, { timeout: 20_000, interval: 500 })
      .toMatchObject([{ device: hot, since: start, raised: start + 10_000, cleared: null }]);
    await own.restart();
    const { events } = await own.client.events.page({ types: ['alarm.raise'], limit: 100 });
    expect(events.filter(({ subject }) => subject === 'hot')).toHaveLength(1);
    expect(await incidents()).toHaveLength(1);
    // The incidents of the unwell devices continue, each with the one event that reported it.
    expect(await alarmed()).toEqual(unwell);
    expect(events.filter(({ subject }) => subject === 'unwell')).toHaveLength(10);
  }, 120_000);
});
