import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ModelVersion } from '../../src/lib/api/api.js';
import { rolloutReport } from '../../src/lib/api/rollouts/report.js';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import { createFlash } from '../../src/lib/device/virtual/flash.js';
import { flashBytesFor } from '../../src/lib/device/virtual/store.js';
import { readIdentity } from '../../src/lib/provision/held-identity.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny } from '../support/bundle.js';
import { type FakeDevice, fakeDevice } from '../support/fake-device.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { oneWave, rolloutEnd } from '../support/rollout.js';
import { anyRuntime } from '../support/update.js';

let own: TestPlatform;
const versions: ModelVersion[] = [];
let real: Awaited<ReturnType<typeof createVirtualDevice>>;
let fake: FakeDevice;

const of = (version: number, selector: string) => {
  const { name, sequence } = versions[version - 1]!;
  return oneWave({ name, version, sequence, selector });
};
const running = ({ name, version, sequence, digest }: ModelVersion) => ({ name, version, sequence, digest });

beforeAll(async () => {
  own = await testPlatform();
  for (const seed of [0, 1, 2]) versions.push(await pushTiny(own.client, own.key, { seed }));
  for (const name of ['real', 'fake'])
    await provisionDevice({ client: own.client, name, type: 'virtual', out: join(own.folder, name) });
  real = await createVirtualDevice({
    identity: await readIdentity(join(own.folder, 'real')),
    runtime: anyRuntime,
    flash: createFlash({ bytes: flashBytesFor(256 * 1024) }),
  });
  await real.connect();
  const first = await own.client.rollouts.start(of(1, 'name=real'));
  expect((await rolloutEnd(own.client, first.id)).state).toBe('done');
});
afterAll(async () => {
  await real.stop();
  await fake?.client.endAsync(true);
  await own.stop();
});

it('a plan warns if it updates all devices at once, whatever its waves are called', async () => {
  const request = of(3, 'all');
  const warned = async (waves: (string | number)[]) =>
    (await own.client.rollouts.plan({ ...request, policy: { ...request.policy, waves } })).warnings.filter(
      (warning) => warning.includes('at once'),
    );
  expect(await warned(['100%'])).toEqual(['all devices update at once: to start with a few, use --waves']);
  expect(await warned(['1%', '100%'])).toEqual([]);
  expect(await warned(['1%'])).toEqual([]);
});

it('a rollout plans a delta, offers it to devices that run its base, and reports the savings', async () => {
  const plan = await own.client.rollouts.plan(of(2, 'all'));
  const [first, second] = versions as [ModelVersion, ModelVersion];
  // The other device runs nothing that could be the base of a patch.
  expect(plan.deltas).toMatchObject([{ base: first.digest, devices: 1, of: second.bytes }]);
  const { bytes } = plan.deltas[0]!;
  expect(bytes).toBeLessThan(second.bytes / 4);

  const { id } = await own.client.rollouts.start(of(2, 'name=real'));
  expect((await rolloutEnd(own.client, id)).state).toBe('done');
  const saved = { byDelta: 1, fellBack: 0, bytes: second.bytes - bytes };
  const status = await own.client.rollouts.get(id);
  expect(status.saved).toEqual(saved);
  expect(status.runs).toEqual([{ name: 'tiny', version: 2, devices: 1 }]);
  const report = await rolloutReport(own.client, id);
  expect(report.saved).toEqual(saved);
  expect(report.devices[0]?.delta).toEqual({ bytes, of: second.bytes, error: null });
});

it('a rollout reports the reason if a device could not use a delta', async () => {
  fake = await fakeDevice(own.platform.urls.mqtts, join(own.folder, 'fake'), 'fake');
  await fake.report('IDLE', { model: running(versions[1]!) });
  const { id } = await own.client.rollouts.start(of(3, 'name=fake'));
  const desired = await fake.heard(1);
  expect(desired?.delta).toMatchObject({ base: versions[1]!.digest });
  const error = { code: 'AIOT_DELTA_RESULT', message: 'expected one, got another' };
  const delta = { bytes: desired!.delta!.bytes, of: versions[2]!.bytes, error };
  await fake.report('DOWNLOADING', { delta });
  // After a restart, a device may have forgotten the error.
  await fake.report('COMMITTED', { model: running(versions[2]!) });
  expect((await rolloutEnd(own.client, id)).state).toBe('done');
  expect((await own.client.rollouts.get(id)).saved).toEqual({ byDelta: 0, fellBack: 1, bytes: 0 });
  expect((await own.client.rollouts.devices(id))[0]?.delta).toEqual(delta);
});

it('a delta is kept for as long as its release', async () => {
  const { digest } = (await fake.heard(1))!.delta!;
  const { references } = await import('../../src/lib/platform/datasets/orphans.js');
  const { openStore } = await import('../../src/lib/platform/store/database.js');
  const store = await openStore(join(own.folder, 'data', 'state.db'));
  try {
    expect(await references(store)).toContainEqual({ digest, by: 'a delta update' });
    await store.updateTable('models').set({ removed: 1 }).where('version', '=', 3).execute();
    expect((await references(store)).map((each) => each.digest)).not.toContain(digest);
  } finally {
    await store.destroy();
  }
});

it('a delta is awaited even if another one cannot be created', async () => {
  const { Deltas } = await import('../../src/lib/platform/devices/desired.js');
  const { openStore } = await import('../../src/lib/platform/store/database.js');
  const store = await openStore(join(own.folder, 'data', 'state.db'));
  const [broken, base, target] = ['b', 'a', 'c'].map((digit) => `sha256:${digit.repeat(64)}`) as [
    string,
    string,
    string,
  ];
  const bytes = async (digest: string) => {
    if (digest === broken) throw new Error('a sector of the disk is not readable');
    await new Promise((resolve) => setTimeout(resolve, 50));
    return Buffer.alloc(4096, 1);
  };
  const blobs = { size: async () => 4096, bytes, put: async () => {} };
  const deltas = new Deltas({ store, blobs, now: () => 1 } as unknown as ConstructorParameters<
    typeof Deltas
  >[0]);
  try {
    const pairs = [broken, base].map((each) => ({ base: each, target }));
    expect(await deltas.ready(pairs, 10_000)).toMatchObject([{ base, target }]);
  } finally {
    await deltas.close();
    await store.destroy();
  }
});
