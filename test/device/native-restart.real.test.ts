import { once } from 'node:events';
import { mkdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { DeviceEvent } from '../../src/lib/device/events.js';
import { nativeProgram } from '../../src/lib/device/native/build.js';
import { createNativeDevice, type NativeDevice } from '../../src/lib/device/native/device.js';
import { decodeMessage } from '../../src/lib/device/protocol/codec.js';
import { presenceSchema } from '../../src/lib/device/protocol/messages.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { startBroker } from '../support/broker.js';
import { freePort } from '../support/free-port.js';
import { motionSamples } from '../support/motion-bundle.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { push } from '../support/push.js';
import { describeReal } from '../support/real.js';
import { oneWave, rolloutEnd } from '../support/rollout.js';

const count = 3000;
const rows = motionSamples(count, 3);
const walk = {
  ...{ id: 'walk', label: null, device: null, rateHz: 100, startedAt: 1_700_000_000_000 },
  fields: ['x', 'y', 'z'],
  columns: [0, 1, 2].map((f) => Float64Array.from(rows, (row) => row[f] as number)),
};

describeReal('native', 'a native device whose platform is restarted', () => {
  let own: TestPlatform;
  let device: NativeDevice;
  const events: DeviceEvent[] = [];
  const of = (event: DeviceEvent['event']) => events.filter((one) => one.event === event).length;

  beforeAll(async () => {
    await nativeProgram();
    // The platform stops and returns at these ports, which systems assign to no other connection meanwhile.
    own = await testPlatform({ httpPort: await freePort(), mqttPort: await freePort() });
  }, 300_000);
  afterAll(async () => {
    await device?.stop();
    await own.stop();
  });

  /** A broker that is not ready, and closes each connection without a response. */
  async function unready(port: number, connections: number) {
    let came = 0;
    const server = createServer((socket) => {
      came++;
      socket.on('error', () => {});
      socket.resetAndDestroy();
    }).listen(port, '127.0.0.1');
    await once(server, 'listening');
    await expect.poll(() => came, { timeout: 20_000 }).toBeGreaterThanOrEqual(connections);
    server.close();
    await once(server, 'close');
  }

  /** Stops the platform with its broker, and restarts it at the same addresses once the device has noticed. */
  async function restart(refused = 0) {
    const { http, mqtts } = own.platform.urls;
    const offline = of('offline');
    const back = of('online');
    await own.client.close();
    await own.platform.stop();
    await expect.poll(() => of('offline'), { timeout: 20_000 }).toBe(offline + 1);
    const ports = { httpPort: Number(new URL(http).port), mqttPort: Number(new URL(mqtts).port) };
    if (refused > 0) await unready(ports.mqttPort, refused);
    await own.start(ports);
    await expect.poll(() => of('online'), { timeout: 20_000 }).toBe(back + 1);
  }

  it.each([
    ['json', []],
    ['cbor', ['--cbor']],
  ])(
    'reconnects automatically, and no measurement is lost or duplicated, in %s',
    async (name, words) => {
      await device?.stop();
      events.length = 0;
      const identityDir = join(own.folder, name);
      await mkdir(identityDir);
      await provisionDevice({ client: own.client, name, type: 'virtual', out: identityDir });
      device = await createNativeDevice({
        ...{ identityDir, arguments: words, onEvent: (event) => events.push(event) },
      });
      await device.connect();
      const { pid } = device;
      const sent = device.replay(walk, { stream: name, speed: 10, telemetry: true });
      await restart();
      await restart(3);
      expect(await sent).toMatchObject({ samples: count });
      const { recordings } = await own.client.datasets.get(name);
      expect(recordings).toMatchObject([{ id: 'walk', samples: count, missing: 0 }]);
      const csv = await own.client.datasets.csv(name, name, 'walk');
      const stored = csv.trimEnd().split('\n').slice(1);
      expect(stored.map((row) => row.split(',').map(Number))).toEqual(
        Array.from({ length: count }, (_, i) => walk.columns.map((column) => column[i])),
      );
      // It is still the same process.
      expect([device.pid, of('booted')]).toEqual([pid, 1]);
      await expect.poll(async () => (await own.client.devices.get(name)).online).toBe(true);
    },
    60_000,
  );

  it('completes an update that was started before the restart', async () => {
    const version = await push(own, 9);
    const { sequence } = (await own.client.models.list())[0]!.latest;
    const selector = 'name=cbor';
    const release = oneWave({ name: 'motion', version, sequence, selector, deadlineMs: 60_000 });
    const { id } = await own.client.rollouts.start(release);
    await restart();
    expect((await rolloutEnd(own.client, id)).devices).toMatchObject([{ state: 'committed' }]);
    await expect
      .poll(() => device.reported)
      .toMatchObject({ state: 'COMMITTED', model: { name: 'motion', version } });
  }, 60_000);

  it('connects again until a broker accepts its subscriptions, and is online only then', async () => {
    const { http, mqtts } = own.platform.urls;
    const ports = { httpPort: Number(new URL(http).port), mqttPort: Number(new URL(mqtts).port) };
    const before = of('online');
    await own.client.close();
    await own.platform.stop();
    const pki = (name: string) => readFile(join(own.folder, 'data/pki', name), 'utf8');
    const [key, cert, ca] = await Promise.all(['server.key', 'server.crt', 'ca.crt'].map(pki));
    const presences: [rejections: number, online: boolean][] = [];
    let rejections = 0;
    const broker = await startBroker({
      port: ports.mqttPort,
      tls: { key, cert, ca, requestCert: true, rejectUnauthorized: true },
      prepare(aedes) {
        aedes.authorizeSubscribe = (_client, subscription, done) => {
          if (rejections === 3 || !subscription.topic.endsWith('/command')) return done(null, subscription);
          rejections++;
          done(null, null);
        };
        aedes.on('publish', ({ topic, payload }) => {
          if (!topic.endsWith('/presence')) return;
          presences.push([rejections, decodeMessage(presenceSchema, topic, payload as Buffer).online]);
        });
      },
    });
    try {
      await expect.poll(() => presences, { timeout: 30_000 }).toContainEqual([3, true]);
      expect(presences.filter(([after, online]) => online && after < 3)).toEqual([]);
      // The program's own event is no earlier than its presence.
      expect(of('online') - before).toBe(1);
    } finally {
      await broker.close();
      await own.start(ports);
    }
  }, 60_000);
});
