import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { openSource } from '../../src/lib/stream/open.js';
import { fakeDevice } from '../support/fake-device.js';
import { type Mosquitto, startMosquitto } from '../support/mosquitto.js';
import { testPlatform } from '../support/platform.js';
import { describeReal } from '../support/real.js';
import { collected, sparkplugDefinition, sparkplugSuite, waitLong } from './sparkplug-suite.js';

describeReal('mosquitto', 'the edge node on a Mosquitto', () => {
  let broker: Mosquitto;
  beforeAll(async () => {
    broker = await startMosquitto();
  });
  afterAll(() => broker.stop());
  const address = () => `127.0.0.1:${broker.port}`;
  sparkplugSuite({
    definition: () => ({ broker: `mqtt://${address()}` }),
    open: () => openSource(`sparkplug://${address()}/works`, { overflow: 'wait' }),
  });
});

describeReal('mosquitto', 'the edge node on a Mosquitto that is killed', () => {
  it('begins a new session with all devices, and ends it with the platform', async () => {
    const [broker, own] = [await startMosquitto(), await testPlatform()];
    try {
      const out = join(own.folder, 'pump');
      await provisionDevice({ client: own.client, name: 'pump', type: 'virtual', out });
      const device = await fakeDevice(own.platform.urls.mqtts, out, 'pump');
      const address = `127.0.0.1:${broker.port}`;
      const source = await openSource(`sparkplug://${address}/works`, { overflow: 'wait' });
      const heard = collected(source);
      const definition = sparkplugDefinition({ broker: `mqtt://${address}`, everyMs: 1000 });
      await own.platform.applySparkplug({ project: 'plant', definition });
      await expect.poll(() => heard.at(-1)?.type, waitLong).toBe('DBIRTH');
      await broker.restart({ signal: 'SIGKILL' });
      // The births of the new session may be sent before this reader is connected again; it asks for them if they are missing.
      let n = 0;
      const send = () =>
        device.client.publishAsync('aiot/v1/pump/telemetry/motors', JSON.stringify({ t: ++n, load: n }), {
          qos: 1,
        });
      const sessions = () =>
        heard.filter(({ type }) => type === 'NBIRTH').map(({ metrics }) => Number(metrics.bdSeq));
      // While the broker starts, each attempt to connect begins a session.
      await expect
        .poll(async () => {
          await send();
          return Math.max(...sessions());
        }, waitLong)
        .toBeGreaterThan(0);
      // A birth that was sent before the first value contains none; the value then follows as data.
      const ofSession = () => heard.slice(heard.findLastIndex(({ type }) => type === 'NBIRTH') + 1);
      await expect
        .poll(() => ofSession().some(({ type, device }) => type === 'DBIRTH' && device === 'pump'), waitLong)
        .toBe(true);
      await expect
        .poll(() => Number(ofSession().findLast(({ metrics }) => 'load' in metrics)?.metrics.load), waitLong)
        .toBeGreaterThan(0);
      await own.platform.stop();
      await expect.poll(() => heard.at(-1), waitLong).toMatchObject({ type: 'NDEATH', online: false });
      await device.client.endAsync(true);
      await source.close();
    } finally {
      await own.stop().catch(() => {});
      await broker.stop();
    }
  }, 90_000);
});
