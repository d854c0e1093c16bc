import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deviceHealthSchema } from '../../src/lib/api/contract/attention.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny } from '../support/bundle.js';
import { bundleWithReference, samples, swapped } from '../support/drift-signal.js';
import { type FakeDevice, fakeDevice } from '../support/fake-device.js';
import { fixedPorts, type TestPlatform, testPlatform } from '../support/platform.js';

let own: TestPlatform;
let pump: FakeDevice;
let other: FakeDevice;
let digest: string;

const model = () => ({ name: 'tiny', version: 1, sequence: 1, digest });

async function connect(name: string, version = 1): Promise<FakeDevice> {
  const device = await fakeDevice(own.platform.urls.mqtts, join(own.folder, name), name);
  await device.report('COMMITTED', { model: { ...model(), version } });
  return device;
}

/** A window of 600 samples. */
async function send(
  device: FakeDevice,
  name: string,
  seed: number,
  change: (fields: ReturnType<typeof samples>) => object = (fields) => fields,
  count = 600,
) {
  const payload = { rate: 1, ...change(samples(100 * seed, count)) };
  await device.client.publishAsync(`aiot/v1/${name}/telemetry/motion`, JSON.stringify(payload), { qos: 1 });
}

const health = async (name: string) => deviceHealthSchema.parse(await own.client.attention.get(name));
const windows = async (name: string) => (await health(name)).drift?.windows.length ?? 0;

async function untilWindows(name: string, count: number) {
  await expect.poll(() => windows(name), { timeout: 20_000 }).toBe(count);
}

beforeAll(async () => {
  own = await testPlatform(await fixedPorts());
  ({ digest } = await pushTiny(own.client, own.key, { bundle: bundleWithReference() }));
  await pushTiny(own.client, own.key, { seed: 7 });
  for (const name of ['pump', 'other']) {
    await provisionDevice({ client: own.client, name, type: 'virtual', out: join(own.folder, name) });
  }
  pump = await connect('pump');
  other = await connect('other', 2);
}, 60_000);
afterAll(async () => {
  for (const { client } of [pump, other]) await client.endAsync(true);
  await own?.stop();
});

describe('the drift of a signal', () => {
  it('is not found in unchanged data, and unknown for a model without a reference', async () => {
    await send(other, 'other', 1);
    // The platform looks for devices with a reference every two seconds.
    const few = async () => {
      await send(pump, 'pump', 1, undefined, 1);
      return (await health('pump')).drift !== null;
    };
    await expect.poll(few, { timeout: 20_000, interval: 500 }).toBe(true);
    await send(pump, 'pump', 2);
    await untilWindows('pump', 1);
    const { drift, causes } = await health('pump');
    expect(causes).toEqual([]);
    expect(drift).toMatchObject({
      ...{ model: { name: 'tiny', version: 1 }, stream: 'motion', fields: ['x', 'y'], windowSamples: 600 },
    });
    expect(drift!.windows.flatMap(({ drifted }) => drifted)).toEqual([]);
    expect((await health('other')).drift).toBe(null);
  }, 60_000);

  it('is a cause after two windows, also across a restart, and ends after two good ones', async () => {
    const before = await windows('pump');
    await send(pump, 'pump', 2, swapped);
    await untilWindows('pump', before + 1);
    expect((await health('pump')).causes).toEqual([]);
    await pump.client.endAsync(true);
    await other.client.endAsync(true);
    await own.restart();
    expect(await windows('pump')).toBe(before + 1);
    [pump, other] = [await connect('pump'), await connect('other', 2)];
    await send(pump, 'pump', 3, swapped);
    await untilWindows('pump', before + 2);
    const { state, causes, drift } = await health('pump');
    const [first] = drift!.windows.slice(-2);
    expect([state, causes.map(({ code, since }) => [code, since])]).toEqual([
      'degraded',
      [['drift', first!.from]],
    ]);
    expect(causes[0]!.message).toMatch(
      /^its signal differs from the training data of tiny@1: [xy] has a PSI of [\d.]+, at most 0\.25 is usual$/,
    );
    expect(causes[0]!.next).toContain(
      '`aiot data export motion --selector pump --out pump.csv`, then `aiot data drift pump.csv`',
    );
    await send(pump, 'pump', 4);
    await send(pump, 'pump', 5);
    await untilWindows('pump', before + 4);
    expect((await health('pump')).causes).toEqual([]);
  }, 60_000);

  it('is recorded in the log of events, and names a stuck sensor', async () => {
    const before = await windows('pump');
    const stuck = (fields: object) => ({ ...fields, x: new Array<number>(600).fill(0.5) });
    for (const seed of [6, 7]) await send(pump, 'pump', seed, stuck);
    await untilWindows('pump', before + 2);
    expect((await health('pump')).causes[0]!.message).toMatch(
      /x kept one value for [\d,]+ samples, at most 59/,
    );
    await expect
      .poll(async () => (await own.client.events.page({ types: ['device.unwell'], limit: 10 })).events, {
        timeout: 10_000,
      })
      .toContainEqual(expect.objectContaining({ subject: 'pump' }));
  }, 60_000);

  it('belongs to the model: another one starts without windows', async () => {
    await pump.report('COMMITTED', { model: { ...model(), version: 2 } });
    await expect.poll(async () => (await health('pump')).causes, { timeout: 10_000 }).toEqual([]);
    expect((await health('pump')).drift).toBe(null);
  });
});
