import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MqttClient } from 'mqtt';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createClient, type RegistryClient } from '../../src/lib/api/client.js';
import { generateKeyPair, publicKeyOf } from '../../src/lib/core/crypto.js';
import { trustRootOf } from '../../src/lib/formats/manifest/envelope.js';
import type { Platform } from '../../src/lib/platform/options.js';
import { startPlatform } from '../../src/lib/platform/start.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { type Mosquitto, startMosquitto } from '../support/mosquitto.js';
import { connect } from '../support/mqtt.js';
import { type Postgres, startPostgres } from '../support/postgres.js';
import { describeReal } from '../support/real.js';

const wait = { timeout: 30_000, interval: 100 };

describeReal('postgres', 'two replicas on one external broker', () => {
  let server: Postgres;
  let broker: Mosquitto;
  let folder: string;
  let database: string;
  let client: RegistryClient;
  let token = '';
  const platforms = new Map<string, Platform>();
  const open: MqttClient[] = [];

  const start = async (name: string) => {
    const engines = { database, broker: `mqtt://127.0.0.1:${broker.port}` };
    const place = { dataDir: join(folder, name), httpPort: 0, mqttPort: 0, secret: 'shared by both' };
    const platform = await startPlatform({ ...place, engines });
    platforms.set(name, platform);
    return platform;
  };
  const device = async (name: string) => {
    const [topic, say] = [`aiot/v1/${name}/presence`, (online: boolean) => JSON.stringify({ online, t: 1 })];
    const will = { topic, payload: Buffer.from(say(false)), qos: 1 as const, retain: true };
    const made = await connect(`mqtt://127.0.0.1:${broker.port}`, { will });
    open.push(made);
    await made.publishAsync(topic, say(true), { qos: 1, retain: true });
    return made;
  };
  const presenceOf = async (name: string) => {
    const types = ['device.connect', 'device.disconnect'];
    const { events } = await client.events.page({ types, limit: 1000 });
    return events.filter(({ subject }) => subject === name).map(({ type }) => type);
  };

  beforeAll(async () => {
    [server, broker] = [await startPostgres(), await startMosquitto()];
    database = await server.database();
    folder = await mkdtemp(join(tmpdir(), 'aiot-presence-'));
    const first = await start('a');
    token = first.token ?? '';
    client = createClient({ url: first.urls.http, ca: await readFile(first.ca, 'utf8'), token });
    await client.trust.put(trustRootOf(publicKeyOf(generateKeyPair().privatePem)));
    await start('b');
    for (const name of ['lamp', 'pump'])
      await provisionDevice({ client, name, type: 'virtual', out: join(folder, name) });
  }, 90_000);
  afterAll(async () => {
    for (const each of open) await each.endAsync(true);
    await client.close();
    for (const platform of platforms.values()) await platform.stop();
    await broker.stop();
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }, 60_000);

  it('record each connection once', async () => {
    const lamp = await device('lamp');
    await expect.poll(() => presenceOf('lamp'), wait).toEqual(['device.connect']);
    lamp.stream.destroy();
    await expect.poll(() => presenceOf('lamp'), wait).toEqual(['device.connect', 'device.disconnect']);
    lamp.end(true);
    await device('lamp');
    const three = ['device.connect', 'device.disconnect', 'device.connect'];
    await expect.poll(() => presenceOf('lamp'), wait).toEqual(three);
  }, 60_000);

  it('do not record it again when they start, but record what happened meanwhile', async () => {
    const before = await presenceOf('lamp');
    const pump = await device('pump');
    await expect.poll(() => presenceOf('pump'), wait).toEqual(['device.connect']);
    await platforms.get('b')?.stop();
    await platforms.get('a')?.stop();
    pump.stream.destroy();
    pump.end(true);
    const { ca, urls } = await start('a');
    await client.close();
    client = createClient({ url: urls.http, ca: await readFile(ca, 'utf8'), token });
    await start('b');
    await expect.poll(() => presenceOf('pump'), wait).toEqual(['device.connect', 'device.disconnect']);
    expect(await presenceOf('lamp')).toEqual(before);
    await expect.poll(async () => (await client.devices.get('lamp')).online, wait).toBe(true);
  }, 90_000);
});
