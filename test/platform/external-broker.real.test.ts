import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { provisionDevice } from '../../src/lib/provision/index.js';
import { type Mosquitto, startMosquitto } from '../support/mosquitto.js';
import { connect } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { describeReal } from '../support/real.js';

let own: TestPlatform | undefined;
let mosquitto: Mosquitto | undefined;
afterEach(async () => {
  await own?.stop();
  await mosquitto?.stop();
  own = undefined;
});

describeReal('mosquitto', 'a platform on an external broker', () => {
  const start = async (options: Parameters<typeof testPlatform>[0] = {}) => {
    mosquitto = await startMosquitto({ settings: ['persistence true', 'autosave_interval 1'] });
    own = await testPlatform({ engines: { broker: `mqtt://127.0.0.1:${mosquitto.port}` }, ...options });
    await provisionDevice({ client: own.client, name: 'dev', type: 'virtual', out: join(own.folder, 'dev') });
    return { platform: own, url: `mqtt://127.0.0.1:${mosquitto.port}` };
  };
  const sample = (seq: number) => JSON.stringify({ seq, t: seq, rate: 10, recording: 'r', x: seq });

  it('stores what devices say there, also what they said while it was away, and knows who is online', async () => {
    const { platform, url } = await start();
    expect(platform.platform.urls.mqtts).toBe(url);
    const will = { topic: 'aiot/v1/dev/presence', payload: Buffer.from('{"online":false,"t":2}') };
    const device = await connect(url, { will: { ...will, qos: 1, retain: true } });
    await device.publishAsync('aiot/v1/dev/presence', '{"online":true,"t":1}', { qos: 1, retain: true });
    await expect.poll(async () => (await platform.client.devices.get('dev')).online).toBe(true);
    await device.publishAsync('aiot/v1/dev/telemetry/s', sample(1), { qos: 1 });
    await expect
      .poll(async () => (await platform.client.datasets.list()).map(({ samples }) => samples))
      .toEqual([1]);
    await platform.platform.stop();
    await device.publishAsync('aiot/v1/dev/telemetry/s', sample(2), { qos: 1 });
    await platform.restart();
    await expect
      .poll(async () => (await platform.client.datasets.list()).map(({ samples }) => samples))
      .toEqual([2]);
    expect((await platform.client.devices.get('dev')).online).toBe(true);
    device.stream.destroy();
    await expect.poll(async () => (await platform.client.devices.get('dev')).online).toBe(false);
    device.end(true);
  });

  it('acknowledges nothing to it that could not be stored, and stores it later', async () => {
    let failing = false;
    const { platform, url } = await start({
      async sync(file) {
        if (failing) throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
        await file.datasync();
      },
    });
    const device = await connect(url, {});
    failing = true;
    await device.publishAsync('aiot/v1/dev/telemetry/s', sample(1), { qos: 1 });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await platform.client.datasets.list()).toEqual([]);
    failing = false;
    await expect
      .poll(async () => (await platform.client.datasets.list()).map(({ samples }) => samples), {
        timeout: 5000,
      })
      .toEqual([1]);
    await device.endAsync(true);
  });
});
