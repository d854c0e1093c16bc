import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import type { Rollout } from '../../src/lib/api/rollouts/schema.js';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import type { VirtualDevice } from '../../src/lib/device/virtual/types.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny } from '../support/bundle.js';
import { fixedPorts, type TestPlatform, testPlatform } from '../support/platform.js';
import { oneWave } from '../support/rollout.js';

const names = ['dev-1', 'dev-2', 'outside'];
const patience = { timeout: 20_000 };

let own: TestPlatform;
let rollout: Rollout;
const devices = new Map<string, VirtualDevice>();

const now = () => own.client.rollouts.get(rollout.id);
const stored = async (device: string) =>
  (await own.client.crashes.list({ selector: device })).groups.reduce((sum, { count }) => sum + count, 0);

/** Crashes a virtual device, which reports it by MQTT after its restart. */
async function crash(device: string) {
  const before = await stored(device);
  await own.client.commands.call(device, { command: 'crash' }, { limitMs: 0 });
  await expect.poll(() => stored(device), patience).toBe(before + 1);
}

/** The report of a crash that a program sends for a device. */
const report = (device: string, more: { t?: number; version?: string }) =>
  own.client.crashes.send({
    device,
    crash: {
      id: `${device} ${JSON.stringify(more)}`,
      ...{ kind: 'watchdog', reason: 'task radio hung' },
      ...(more.t === undefined ? {} : { t: more.t }),
      ...(more.version === undefined ? {} : { firmware: { name: 'virtual', version: more.version } }),
    },
  });

beforeAll(async () => {
  own = await testPlatform(await fixedPorts());
  const model = await pushTiny(own.client, own.key);
  for (const name of names) {
    const identityDir = join(own.folder, name);
    await provisionDevice({ client: own.client, name, type: 'virtual', out: identityDir });
    const device = await createVirtualDevice({ identityDir });
    devices.set(name, device);
    await device.connect();
  }
  const { name, version, sequence } = model;
  const request = oneWave({ name, version, sequence, selector: 'name=dev-1 or name=dev-2' });
  const policy = { ...request.policy, maxFailures: 1, minSuccess: '100%' as const, soakMs: 3600_000 };
  rollout = await own.client.rollouts.start({ ...request, policy });
  await vi.waitFor(async () => expect((await now()).waves[0]?.state).toBe('soaking'), patience);
}, 60_000);
afterAll(async () => {
  for (const device of devices.values()) await device.stop();
  await own.stop();
});

it('crashes of other devices, of an older firmware, and from before the update do not count', async () => {
  await crash('outside');
  await report('dev-1', { version: '0.0.1' });
  await report('dev-1', { t: rollout.created - 60_000 });
  expect(await stored('dev-1')).toBe(2);
  expect(await now()).toMatchObject({ state: 'running', waves: [{ committed: 2, crashed: 0 }] });
}, 60_000);

it('a device that crashes after the update counts once, even after a restart of the platform', async () => {
  await crash('dev-1');
  await crash('dev-1');
  expect(await now()).toMatchObject({ state: 'running', waves: [{ committed: 2, crashed: 1 }] });
  const [crashed, ...others] = await own.client.rollouts.devices(rollout.id, { crashed: true });
  expect(crashed).toMatchObject({
    name: 'dev-1',
    state: 'committed',
    times: { crashed: expect.any(Number) },
  });
  expect(others).toEqual([]);
  await own.restart();
  await expect.poll(() => devices.get('dev-1')?.online, patience).toBe(true);
  await crash('dev-1');
  expect(await now()).toMatchObject({ state: 'running', waves: [{ committed: 2, crashed: 1 }] });
}, 90_000);

it('a crash beyond the limit pauses the rollout, and the devices that crashed are listed', async () => {
  await expect.poll(() => devices.get('dev-2')?.online, patience).toBe(true);
  await crash('dev-2');
  await expect.poll(async () => (await now()).state, patience).toBe('paused');
  expect(await now()).toMatchObject({
    reason: {
      code: 'AIOT_ROLLOUT_FAILURES',
      message: '2 of 2 devices of wave 1 crashed after the update; the limit is 1',
    },
    waves: [{ state: 'stopped', committed: 2, crashed: 2 }],
  });
}, 60_000);

it('a rollout judges crashes by device-hours, keeps its counts over a restart, and names the most frequent crash', async () => {
  const [release] = rollout.releases;
  if (release?.kind !== 'model') throw new Error('expected a model');
  const request = oneWave({ ...release, selector: 'name=outside' });
  const crashFree = { min: '98%', minHours: 50 };
  const { id } = await own.client.rollouts.start({
    ...request,
    policy: { ...request.policy, maxFailures: 0, crashFree },
  });
  const current = () => own.client.rollouts.get(id);
  await vi.waitFor(async () => expect((await current()).waves[0]?.state).toBe('soaking'), patience);
  expect(await current()).toMatchObject({ state: 'running', policy: { crashFree } });
  const { created } = await current();
  // Three hours later, because a crash cannot be in the future.
  const realNow = Date.now;
  vi.spyOn(Date, 'now').mockImplementation(() => realNow() + 3 * 3_600_000);
  try {
    await report('outside', { t: created + 1_800_000 });
    expect(await current()).toMatchObject({ state: 'running', crashFree: { crashedHours: 1 } });
    await own.restart();
    // The device resends its last report, and reports another crash in the same hour.
    await report('outside', { t: created + 1_800_000 });
    await report('outside', { t: created + 1_900_000 });
    expect(await current()).toMatchObject({ state: 'running', crashFree: { crashedHours: 1 } });
    await report('outside', { t: created + 2 * 3_600_000 });
  } finally {
    vi.restoreAllMocks();
  }
  const [group] = (await own.client.crashes.list({ selector: 'outside' })).groups.filter(
    ({ kind }) => kind === 'watchdog',
  );
  expect(await current()).toMatchObject({
    state: 'paused',
    reason: {
      code: 'AIOT_ROLLOUT_CRASHES',
      message: `2 device-hours had crashes, but at most 1 of 50 may (98% must be free of crashes); mostly ${group?.signature} (task radio hung)`,
    },
    crashFree: {
      crashedHours: 2,
      causes: [{ signature: group?.signature, reason: 'task radio hung', hours: 2 }],
    },
  });
}, 60_000);
