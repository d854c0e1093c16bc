import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { alarmSchema, alarmShownSchema } from '../../src/lib/api/contract/alarms.js';
import { attentionSchema } from '../../src/lib/api/contract/attention.js';
import { writeContexts } from '../../src/lib/core/contexts.js';
import { AiotError } from '../../src/lib/core/errors.js';
import { systemClock } from '../../src/lib/core/time.js';
import { interpreterRuntime } from '../../src/lib/device/runtime.js';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import { createFlash } from '../../src/lib/device/virtual/flash.js';
import { type DeviceLink, openLink } from '../../src/lib/device/virtual/mqtt-link.js';
import { flashBytesFor } from '../../src/lib/device/virtual/store.js';
import type { VirtualDevice, VirtualDeviceOptions } from '../../src/lib/device/virtual/types.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny } from '../support/bundle.js';
import { runCli } from '../support/cli.js';
import { type Dashboard, dashboardOf } from '../support/dashboard.js';
import { fixedPorts, type TestPlatform, testPlatform } from '../support/platform.js';
import { type Postgres, startPostgres } from '../support/postgres.js';
import { runProgram } from '../support/program.js';
import { describeReal } from '../support/real.js';
import { oneWave, rolloutEnd } from '../support/rollout.js';
import { ok } from '../support/up.js';

const count = 200;
const names = Array.from({ length: count }, (_, i) => `unit-${String(i + 1).padStart(3, '0')}`);

/** The unwell devices, and the only cause that each may have. */
const unwell: Readonly<Record<string, string>> = {
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
};
const [broken, unfit, silent, restarting, rejected] = [
  'unit-041',
  'unit-058',
  'unit-066',
  'unit-094',
  'unit-151',
] as const;
/** Devices without a problem: one that takes the same update as two of the unwell ones, one with a model, one that is merely hot. */
const [updated, measured, hot] = ['unit-040', 'unit-134', 'unit-101'] as const;

/** Connects as the firmware of a board, which also reports its heap. */
const withLowMemory: typeof openLink = async (options) => {
  const link = await openLink(options);
  const heap = { free: 9000, largest: 4000, least: 1000 };
  const publish: DeviceLink['publish'] = (channel, message, more) =>
    link.publish(channel, channel === 'reported' ? { ...message, heap } : message, more);
  return { ...link, publish };
};

/** Connections of devices, to send messages that no virtual device would send. */
const links = new Map<string, DeviceLink>();

/** Traits of the devices that differ from the others. */
const traits: Readonly<Record<string, VirtualDeviceOptions>> = {
  'unit-007': { vitals: () => ({ battery: { percent: 2 } }) },
  'unit-023': { vitals: () => ({ disk: { freeBytes: 1e6, totalBytes: 1e9 } }) },
  [updated]: { form: { stream: 'motion', fields: ['x', 'y'], rateHz: 100 } },
  [broken]: {
    runtime: { ...interpreterRuntime, checkGolden: async () => ({ vectors: 3, passed: 2 }) },
  },
  [unfit]: { form: { stream: 'motors', fields: ['temperature'], rateHz: 1 } },
  'unit-120': { openLink: withLowMemory },
  'unit-133': { vitals: () => ({ queue: { waiting: 0, dropped: 31 } }) },
  [measured]: {
    vitals: () => ({ battery: { percent: 85 }, disk: { freeBytes: 5e8, totalBytes: 1e9 }, rssiDbm: -60 }),
  },
  [rejected]: {
    async openLink(options) {
      const link = await openLink(options);
      links.set(rejected, link);
      return link;
    },
  },
  'unit-188': { clock: { ...systemClock, now: () => Date.now() + 3 * 86_400_000 } },
};

/** Few, so that neither the platform nor its database exceeds a time limit on a busy machine. */
const atOnce = 5;

/** Calls `act` for all names, a few at a time. */
async function forEach(some: readonly string[], act: (name: string) => Promise<unknown>): Promise<void> {
  for (let i = 0; i < some.length; i += atOnce) await Promise.all(some.slice(i, i + atOnce).map(act));
}

/** Repeats what failed only because the machine is so busy that something did not respond in time. */
async function persistently<T>(act: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++)
    try {
      return await act();
    } catch (error) {
      if (
        attempt === 5 ||
        !(error instanceof AiotError && (error.retryable || error.code === 'AIOT_BROKER_UNREACHABLE'))
      )
        throw error;
    }
}

describeReal('postgres', 'a day in the life of 200 virtual devices, ten of which are unwell', () => {
  let server: Postgres;
  let own: TestPlatform;
  const devices = new Map<string, VirtualDevice>();
  const device = (name: string) => devices.get(name) as VirtualDevice;

  /** One sample per second from each device; only the hot one is above 80. */
  const sample = (from: number, seconds: number) =>
    forEach(
      names.filter((name) => name !== silent && name !== updated),
      (name) =>
        device(name).replay(
          {
            ...{ id: `shift-${from}`, label: null, device: name, rateHz: 1, fields: ['temperature'] },
            startedAt: start + from * 1000,
            columns: [Float64Array.from({ length: seconds }, (_, i) => (name === hot ? 90 : 60 + (i % 15)))],
          },
          { stream: 'motors', speed: 'max' },
        ),
    );
  const start = Date.now() - 600_000;

  beforeAll(async () => {
    server = await startPostgres();
    own = await testPlatform({ engines: { database: await server.database() }, ...(await fixedPorts()) });
    process.env.AIOT_CONFIG_DIR = join(own.folder, 'config');
    const lab = { url: own.platform.urls.http, ca: own.platform.ca, token: own.token };
    await writeContexts({ current: 'lab', contexts: { lab } });
    await forEach(names, async (name) => {
      const out = join(own.folder, name);
      await persistently(() => provisionDevice({ client: own.client, name, type: 'virtual', out }));
      const flash = createFlash({ bytes: flashBytesFor(64 * 1024) });
      const made = await createVirtualDevice({ identityDir: out, flash, ...traits[name] });
      devices.set(name, made);
      await persistently(() => made.connect());
    });
  }, 300_000);
  afterAll(async () => {
    await forEach([...devices.keys()], (name) => device(name).stop());
    await own?.stop();
    await server?.stop();
  }, 60_000);

  /** The causes of the unwell devices, in the form of `unwell`. */
  const causesOf = (found: readonly { name: string; causes: readonly { code: string }[] }[]) =>
    Object.fromEntries(found.map(({ name, causes }) => [name, causes.map(({ code }) => code).join()]));

  it('names no device before the first problem', async () => {
    // Some of the problems are there from the start, such as an empty battery.
    const { devices: found } = await own.client.attention.list({ limit: 1000 });
    expect(Object.keys(unwell)).toEqual(expect.arrayContaining(found.map(({ name }) => name)));
    expect(await own.client.devices.list()).toHaveLength(count);
  });

  it('names all ten with the right cause, and no other device, by `status --attention --json`', async () => {
    await own.client.devices.patch(silent, { tags: { 'silent-after': '2s' } });
    await device(silent).stop();
    for (let i = 0; i < 7; i++) await persistently(() => device(restarting).reboot());
    await links
      .get(rejected)
      ?.publish('telemetry', { t: 'yesterday', temperature: 60 }, { stream: 'motors' });
    const { version, sequence } = await pushTiny(own.client, own.key);
    const selector = `name in (${[updated, broken, unfit].join(', ')})`;
    const { id } = await own.client.rollouts.start(oneWave({ name: 'tiny', version, sequence, selector }));
    const { devices: ended } = await rolloutEnd(own.client, id);
    expect(Object.fromEntries(ended.map(({ name, state }) => [name, state]))).toEqual({
      [updated]: 'committed',
      [broken]: 'rolledBack',
      [unfit]: 'committed',
    });
    const asked = async () => {
      const { devices: found } = await own.client.attention.list({ limit: 1000 });
      return causesOf(found);
    };
    await expect.poll(asked, { timeout: 60_000, interval: 500 }).toEqual(unwell);
    const { stdout, code } = await runProgram(['status', '--attention', '--json'], 120_000);
    expect(code).toBe(0);
    const { counts, devices: found, next } = attentionSchema.parse(JSON.parse(stdout));
    expect(causesOf(found)).toEqual(unwell);
    expect(next).toBeNull();
    expect(counts).toEqual({ failing: 4, silent: 1, degraded: 5, ok: 190, unknown: 0 });
    for (const { causes } of found) expect(causes[0]?.next).toMatch(/\.$/);
    const shown = await runCli(['device', 'show', measured]);
    for (const row of [/running for +\d+ s/, /battery +85 %/, /Wi-Fi signal +-60 dBm/])
      expect(shown.stdout).toMatch(row);
    expect(shown.stdout).toMatch(/free disk +476\.8 MiB of 953\.7 MiB/);
  }, 180_000);

  /** The devices with an open incident of the alarm, and the causes that their messages name. */
  const alarmed = async () => {
    const { incidents } = await ok(alarmShownSchema, ['alarm', 'show', 'unwell']);
    expect(new Set(incidents.map(({ device }) => device)).size).toBe(incidents.length);
    return Object.fromEntries(
      incidents.map(({ device, message, cleared }) => [device, cleared === null && message.split(':')[0]]),
    );
  };

  it('raises an alarm for each of the ten with its cause, and for no other device', async () => {
    await ok(alarmSchema, ['alarm', 'create', '--name', 'unwell', '--unwell', '--where', 'state != "ok"']);
    await expect.poll(alarmed, { timeout: 60_000, interval: 500 }).toEqual(unwell);
  }, 90_000);

  describeReal('chromium', 'on the dashboard', () => {
    let board: Dashboard;
    beforeAll(async () => {
      board = await dashboardOf(own);
    });
    afterAll(() => board?.browser.close());

    it('names the ten with their causes, and no other device', async () => {
      const { page, troubles, context } = await board.open('#/');
      page.setDefaultTimeout(60_000);
      const list = page.getByRole('list', { name: 'Needs attention' });
      await list.getByRole('link', { name: 'unit-188' }).waitFor();
      // The rollout's failed device is also named in the entry of the rollout.
      const links = await list.getByRole('link', { name: /^unit-/ }).allTextContents();
      expect([...new Set(links)].sort()).toEqual(Object.keys(unwell));
      const { devices: found } = await own.client.attention.list({ limit: 100 });
      expect(causesOf(found)).toEqual(unwell);
      for (const { name, causes } of found) {
        const entry = list.getByRole('listitem').filter({ hasText: name });
        await entry.getByText(causes[0]!.message).waitFor();
      }
      expect(troubles).toEqual([]);
      await context.close();
    }, 120_000);

    it("shows the alarm's ten incidents with their causes", async () => {
      const { page, troubles, context } = await board.open('#/alarms/unwell');
      page.setDefaultTimeout(60_000);
      const list = page.getByRole('list', { name: 'Incidents' });
      for (const [name, cause] of Object.entries(unwell)) {
        const entry = list.getByRole('listitem').filter({ hasText: name });
        await entry.getByText(`${cause}: `).waitFor();
      }
      const links = await list.getByRole('link', { name: /^unit-/ }).allTextContents();
      expect(links.sort()).toEqual(Object.keys(unwell));
      expect(troubles).toEqual([]);
      await context.close();
    }, 120_000);
  });

  it('raises one incident for the hot device only, although the platform restarts in the middle', async () => {
    const condition = ['--name', 'hot', '--where', 'temperature > 80', '--for', '10s', '--stream', 'motors'];
    await ok(alarmSchema, ['alarm', 'create', ...condition]);
    await sample(0, 6);
    await own.restart();
    const online = async () => names.filter((name) => name !== silent && device(name).online).length;
    await expect.poll(online, { timeout: 60_000, interval: 500 }).toBe(count - 1);
    await sample(6, 10);
    const incidents = async () => (await own.client.alarms.get('hot')).incidents;
    await expect
      .poll(incidents, { timeout: 60_000, interval: 500 })
      .toMatchObject([{ device: hot, since: start, raised: start + 10_000, cleared: null }]);
    await own.restart();
    const { events } = await own.client.events.page({ types: ['alarm.raise'], limit: 100 });
    expect(events.filter(({ subject }) => subject === 'hot')).toHaveLength(1);
    expect(await incidents()).toHaveLength(1);
    // The incidents of the unwell devices continue, each with the one event that reported it.
    expect(await alarmed()).toEqual(unwell);
    expect(events.filter(({ subject }) => subject === 'unwell')).toHaveLength(10);
  }, 240_000);
});
