import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ModelVersion } from '../../src/lib/api/api.js';
import { pushConfig } from '../../src/lib/api/config/push.js';
import { type PushedFirmware, pushFirmware } from '../../src/lib/api/firmware/push.js';
import { deploy } from '../../src/lib/api/rollouts/deploy.js';
import { releaseOf } from '../../src/lib/api/rollouts/release.js';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny } from '../support/bundle.js';
import { root } from '../support/cli.js';
import { described, espImage } from '../support/esp-image.js';
import { type FakeDevice, fakeDevice } from '../support/fake-device.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { oneWave } from '../support/rollout.js';

/** A model of 448 samples and 60 features of the set `har`, which needs more memory than an ESP32 has. */
const har = readFileSync(join(root, 'firmware/test/fixtures/bundles/har.aiot'));

let own: TestPlatform;
let large: ModelVersion;
let tiny: ModelVersion;
const devices: FakeDevice[] = [];
const request = ({ name, version, sequence }: ModelVersion, selector: string) =>
  oneWave({ name, version, sequence, selector });

beforeAll(async () => {
  own = await testPlatform();
  for (const [name, type] of [
    ['small', 'esp32'],
    ['silent', 'esp32'],
    ['board', 'esp32'],
    ['pi', 'pi'],
  ] as const)
    await provisionDevice({ client: own.client, name, type, out: join(own.folder, name) });
  const change = (manifest: object) => ({ ...manifest, deviceTypes: ['virtual', 'esp32', 'pi'] });
  large = await pushTiny(own.client, own.key, { name: 'har', bundle: har, change: change as never });
  tiny = await pushTiny(own.client, own.key, { change: change as never });
  for (const name of ['small', 'pi'])
    devices.push(await fakeDevice(own.platform.urls.mqtts, join(own.folder, name), name));
  const sensor = { stream: 'motion', fields: ['x', 'y', 'z'], rate: 50, unfit: null };
  await devices[0]!.report('IDLE', { type: 'esp32', memory: { bytes: 15_104, free: 12_000 } });
  await devices[1]!.report('IDLE', { type: 'pi', sensor });
});
afterAll(async () => {
  for (const device of devices) await device.client.endAsync(true);
  await own.stop();
});

it('a model that needs more memory than a device reports is not rolled out', async () => {
  const message =
    'har@1 needs at least 46,659 bytes of memory for models, and 50,299 during its trial, but 1 device has less: small (has 15,104)';
  const refused = { code: 'AIOT_MEMORY_SHORT', message };
  await expect(own.client.rollouts.plan(request(large, 'name=small'))).rejects.toMatchObject(refused);
  await expect(own.client.rollouts.start(request(large, 'all'))).rejects.toMatchObject(refused);
  expect((await own.client.rollouts.plan(request(tiny, 'name=small'))).warnings.join()).not.toContain(
    'AIOT_',
  );
});

async function pushVault(project: string, secureVersion: number): Promise<PushedFirmware> {
  const path = join(own.folder, `${project}.bin`);
  const starts = described(project, '1.0.0', secureVersion);
  await writeFile(path, espImage({ address: 0x3f40_0020, starts }));
  return pushFirmware({ client: own.client, path, privatePem: own.key });
}

it('firmware below the secure version of a device is not rolled out', async () => {
  const [small] = devices as [FakeDevice, FakeDevice];
  const request = ({ name, version, sequence }: PushedFirmware) =>
    oneWave({ kind: 'firmware', name, version, sequence, selector: 'name=small' });
  const [two, three] = [await pushVault('vault-2', 2), await pushVault('vault-3', 3)];
  const firmware = { version: '1.0.0', release: null };
  const memory = { bytes: 15_104, free: 12_000 };
  await small.report('IDLE', { type: 'esp32', memory, firmware: { ...firmware, secureVersion: 3 } });
  const refused = {
    code: 'AIOT_UPDATE_SECURE_VERSION',
    message: 'vault-2@1 has the secure version 2, but 1 device requires a higher one: small (at least 3)',
  };
  await expect(own.client.rollouts.plan(request(two))).rejects.toMatchObject(refused);
  await expect(own.client.rollouts.start(request(two))).rejects.toMatchObject(refused);
  expect((await own.client.rollouts.plan(request(three))).warnings.join()).not.toContain('AIOT_');
  await small.report('IDLE', { type: 'esp32', memory, firmware });
  expect((await own.client.rollouts.plan(request(three))).warnings.join()).toContain(
    'AIOT_MANIFEST_MALFORMED is likely on 1 device',
  );
});

it('firmware is not rolled out if devices could not return from it to the firmware for the rollback', async () => {
  const five = await pushVault('vault-5', 5);
  const back = (version: number) => pushVault(`back-${version}`, version);
  const returning = ({ name, version, sequence }: PushedFirmware) => ({
    ...oneWave({
      kind: 'firmware',
      name: five.name,
      version: five.version,
      sequence: five.sequence,
      selector: 'name=silent',
    }),
    rollback: { kind: 'firmware' as const, name, version, sequence },
  });
  const below = returning(await back(4));
  const refused = {
    code: 'AIOT_UPDATE_SECURE_VERSION',
    message: 'devices could not roll back to back-4@1: its secure version is 4, but that of vault-5@1 is 5',
  };
  await expect(own.client.rollouts.plan(below)).rejects.toMatchObject(refused);
  await expect(own.client.rollouts.start(below)).rejects.toMatchObject(refused);
  const { request: planned } = await own.client.rollouts.plan(returning(await back(5)));
  expect(planned.rollback).toMatchObject({ name: 'back-5' });
});

it('a plan and a start warn about boards that have not reported, and about sensors that do not fit', async () => {
  const both = request(large, 'name=silent or name=pi');
  const { warnings } = await own.client.rollouts.plan(both);
  expect(warnings.slice(0, 2)).toEqual([
    expect.stringMatching(/^AIOT_MEMORY_SHORT is likely on 1 device .*: silent \(esp32: 15,104\)$/),
    'AIOT_RECORDING_UNFIT on 1 device, which will commit har@1 but predict nothing: it expects x, y, z at 100 Hz. Unfit: pi (sends motion at 50 Hz)',
  ]);
  const started = await own.client.rollouts.start(both);
  expect(started.warnings).toEqual(warnings.slice(0, 2));
  await own.client.rollouts.command(started.id, 'abort');
});

it('a virtual device with the type of a board rejects a model that the board has no memory for, and reports its memory and sensor', async () => {
  const device = await createVirtualDevice({
    identityDir: join(own.folder, 'board'),
    form: { stream: 'motion', fields: ['x', 'y'], rateHz: 100 },
  });
  try {
    await device.connect();
    const { name, version, sequence } = tiny;
    const release = { kind: 'model' as const, name, version, sequence };
    await deploy({ client: own.client, release, selector: 'name=board' });
    // The tiny model needs 98 bytes.
    const { memory, sensor, state } = device.reported;
    expect({ memory, sensor, state }).toEqual({
      memory: { bytes: 15_104, free: 15_006 },
      sensor: { stream: 'motion', fields: ['x', 'y'], rate: 100, unfit: null },
      state: 'COMMITTED',
    });
    await expect(own.client.rollouts.start(request(large, 'name=board'))).rejects.toMatchObject({
      code: 'AIOT_MEMORY_SHORT',
    });
  } finally {
    await device.stop();
  }
});

it('a device that runs the version under an earlier signature counts as committed, even without memory for a second copy', async () => {
  const [small, pi] = devices as [FakeDevice, FakeDevice];
  const newer = await pushTiny(own.client, own.key, {
    seed: 1,
    change: (manifest) => ({ ...manifest, deviceTypes: ['esp32', 'pi'] }),
  });
  const signing = { client: own.client, signingKey: async () => own.key, now: Date.now() };
  const again = await releaseOf(signing, 'model', { name: 'tiny', version: 1 });
  expect(again.sequence).toBeGreaterThan(newer.sequence);
  const { name, version, sequence, digest } = tiny;
  const model = { name, version, sequence, digest };
  await small.report('IDLE', { type: 'esp32', model, memory: { bytes: 15_104, free: 0 } });
  const heard = small.desired.length;
  const { policy } = oneWave({ ...again, selector: 'all' });
  const { id, state } = await own.client.rollouts.start({
    ...{ releases: [again], selector: 'name=small', policy },
  });
  expect(state).toBe('done');
  expect(await own.client.rollouts.devices(id)).toMatchObject([{ state: 'committed', offers: 0 }]);
  expect(small.desired).toHaveLength(heard);
  await expect(own.client.rollouts.start(request(newer, 'name=small'))).rejects.toMatchObject({
    code: 'AIOT_MEMORY_SHORT',
  });
  // A device that another rollout is about to update gets the offer, because it would not stay on the version.
  await pi.report('IDLE', { type: 'pi', model });
  const other = await own.client.rollouts.start(request(newer, 'name=pi'));
  await expect.poll(() => pi.desired.at(-1), { timeout: 10_000 }).toMatchObject({ version: 2 });
  const back = await own.client.rollouts.start({ releases: [again], selector: 'name=pi', policy });
  await expect.poll(() => pi.desired.at(-1), { timeout: 10_000 }).toMatchObject({ version: 1 });
  expect(await own.client.rollouts.devices(back.id)).toMatchObject([{ state: 'offered' }]);
  expect(await own.client.rollouts.devices(other.id)).toMatchObject([{ state: 'withdrawn' }]);
});

it('a device that runs the model, but not the configuration of the same rollout, gets an offer', async () => {
  const [, pi] = devices as [FakeDevice, FakeDevice];
  const { name, version, sequence, digest } = tiny;
  await pi.report('IDLE', { type: 'pi', model: { name, version, sequence, digest } });
  const path = join(own.folder, 'slow.json');
  await writeFile(path, '{"spec":"aiot-config/1","sampleHz":10}');
  const { client, key: privatePem } = own;
  const slow = await pushConfig({ client, path, name: 'slow', deviceTypes: ['pi'], privatePem });
  const { releases, policy } = request(tiny, 'name=pi');
  const config = { kind: 'config' as const, name: 'slow', version: slow.version, sequence: slow.sequence };
  const { id } = await client.rollouts.start({
    releases: [config, ...releases],
    selector: 'name=pi',
    policy,
  });
  expect(await client.rollouts.devices(id)).toMatchObject([{ state: 'offered', offers: 1 }]);
  await expect.poll(() => pi.desired.at(-1), { timeout: 10_000 }).toMatchObject({ kind: 'config' });
});
