import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ModelVersion } from '../../src/lib/api/api.js';
import { deploy } from '../../src/lib/api/rollouts/deploy.js';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny } from '../support/bundle.js';
import { root } from '../support/cli.js';
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
    const [release] = request(tiny, 'name=board').releases;
    await deploy({ client: own.client, release: release!, selector: 'name=board' });
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
