import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, expect, it } from 'vitest';
import { createClient, type RegistryClient } from '../../src/lib/api/client.js';
import { generateKeyPair, publicKeyOf } from '../../src/lib/core/crypto.js';
import { trustRootOf } from '../../src/lib/formats/manifest/envelope.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { mosquittoPub } from '../support/mosquitto.js';
import { connect } from '../support/mqtt.js';
import { natsClient, startNatsWithMqtt } from '../support/nats.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { startPostgres } from '../support/postgres.js';
import { describeReal } from '../support/real.js';
import { brokerSuite } from './broker-suite.js';

let nats: Awaited<ReturnType<typeof startNatsWithMqtt>> | undefined;
let own: TestPlatform | undefined;
/** Ends the parts of the last test in reverse order, even if it ran out of time. */
const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
  await own?.stop();
  await nats?.stop();
  own = undefined;
  nats = undefined;
});

describeReal('nats-server', 'a platform with NATS', () => {
  brokerSuite({
    start: async (options) => {
      nats = await startNatsWithMqtt();
      return testPlatform({ engines: { broker: nats.broker }, ...options });
    },
    device: (_own, _name, options) => connect(nats?.mqtt ?? '', options ?? {}),
    async stop() {
      await nats?.stop();
      nats = undefined;
    },
  });
});

describeReal('nats-server', 'ingest from JetStream', () => {
  const sample = (seq: number) => JSON.stringify({ seq, t: seq, rate: 10, recording: 'r', x: seq });

  it('stores messages of other clients, and those sent while the platform was stopped, and empties the stream', async () => {
    nats = await startNatsWithMqtt();
    own = await testPlatform({ engines: { broker: nats.broker } });
    const { client } = own;
    expect((await client.status()).engines).toMatchObject({ broker: 'external', ingest: 'jetstream' });
    expect(own.platform.urls.mqtts).toBe(nats.mqtt);
    for (const name of ['dev', 'press.2'])
      await provisionDevice({ client, name, type: 'virtual', out: `${own.folder}/${name}` });
    const port = Number(nats.mqtt.split(':').at(-1));
    mosquittoPub(port, 'aiot/v1/dev/telemetry/s', sample(1));
    mosquittoPub(port, 'aiot/v1/press.2/telemetry/room.a', sample(1));
    const sizes = async () =>
      Object.fromEntries(
        (await (own as TestPlatform).client.datasets.list()).map((set) => [set.name, set.samples]),
      );
    await expect.poll(sizes).toEqual({ s: 1, 'room.a': 1 });
    await own.platform.stop();
    for (let seq = 1; seq <= 3; seq++) mosquittoPub(port, 'aiot/v1/dev/telemetry/s', sample(seq));
    await own.restart();
    await expect.poll(sizes).toEqual({ s: 3, 'room.a': 1 });
    const nc = await natsClient(nats);
    const manager = await nc.jetstreamManager();
    await expect.poll(async () => (await manager.streams.info('$MQTT_msgs')).state.messages).toBe(0);
    await nc.close();
  });
});

describeReal('nats-server', 'three replicas that share the messages of NATS', () =>
  describeReal('postgres', 'on PostgreSQL', () => {
    it('lose nothing and store nothing twice when two of them are killed', async () => {
      nats = await startNatsWithMqtt();
      const { mqtt, broker } = nats;
      const postgres = await startPostgres();
      const folder = await mkdtemp(join(tmpdir(), 'aiot-ingest-'));
      const children: ChildProcess[] = [];
      const clients: RegistryClient[] = [];
      endings.push(
        () => rm(folder, { recursive: true, force: true }),
        () => postgres.stop(),
        () => children.map((child) => child.kill('SIGKILL')),
        () => Promise.all(clients.map((client) => client.close())),
      );
      const database = await postgres.database();
      let token = '';
      for (const name of ['a', 'b', 'c']) {
        const options = { dataDir: join(folder, name), httpPort: 0, mqttPort: 0, secret: 'shared' };
        const child = startReplica({ ...options, engines: { database, broker } });
        children.push(child);
        const started = await replicaOf(child);
        token ||= started.token ?? '';
        const ca = await readFile(started.ca, 'utf8');
        clients.push(createClient({ url: started.urls.http, ca, token }));
      }
      const [first, , last] = clients as [RegistryClient, RegistryClient, RegistryClient];
      await first.trust.put(trustRootOf(publicKeyOf(generateKeyPair().privatePem)));
      const leaders = async () => (await last.status()).replicas.flatMap(({ leads }) => leads).sort();
      await expect.poll(leaders, { timeout: 20_000 }).toEqual(['broker', 'platform']);
      expect((await last.status()).replicas.map(({ self }) => self)).toEqual([false, false, true]);
      const [devices, messages] = [8, 150];
      const names = Array.from({ length: devices }, (_, i) => `dev-${i}`);
      for (const name of names)
        await provisionDevice({ client: first, name, type: 'virtual', out: join(folder, name) });
      let acknowledged = 0;
      const kill = async (index: number, after: number) => {
        await expect.poll(() => acknowledged, { timeout: 60_000 }).toBeGreaterThan(after);
        children[index]?.kill('SIGKILL');
      };
      const speak = async (name: string) => {
        const device = await connect(mqtt, { clientId: name });
        for (let seq = 1; seq <= messages; seq++) {
          const payload = JSON.stringify({ seq, t: seq, rate: 10, recording: 'r', x: seq });
          await device.publishAsync(`aiot/v1/${name}/telemetry/s`, payload, { qos: 1 });
          acknowledged++;
        }
        const report = { t: 1, type: 'virtual', state: 'IDLE', rollout: null, model: null, floor: 0 };
        const more = { download: null, golden: null, error: null };
        const text = JSON.stringify({ ...report, ...more });
        await device.publishAsync(`aiot/v1/${name}/reported`, text, { qos: 1, retain: true });
        await device.endAsync();
      };
      const all = devices * messages;
      await Promise.all([...names.map(speak), kill(0, all / 4), kill(1, all / 2)]);
      const stored = async () => (await last.datasets.list()).map(({ samples }) => samples);
      await expect.poll(stored, { timeout: 60_000 }).toEqual([all]);
      const rows = `SELECT count(*) || ' ' || count(DISTINCT ("take", "seq")) FROM "telemetryMessages"`;
      expect(await postgres.psql(database.split('/').at(-1) as string, rows)).toBe(`${all} ${all}`);
      const { recordings } = await last.datasets.get('s');
      expect(recordings.map(({ samples, missing }) => [samples, missing])).toEqual(
        names.map(() => [messages, 0]),
      );
      const states = () => Promise.all(names.map(async (name) => (await last.devices.get(name)).updateState));
      await expect.poll(states, { timeout: 30_000 }).toEqual(names.map(() => 'IDLE'));
    }, 400_000);
  }),
);

function startReplica(options: object): ChildProcess {
  const program = join(import.meta.dirname, 'kills', 'child.mjs');
  return spawn(process.execPath, [program, JSON.stringify(options)], { stdio: ['ignore', 'pipe', 'pipe'] });
}

async function replicaOf(
  child: ChildProcess,
): Promise<{ urls: { http: string }; ca: string; token?: string }> {
  let log = '';
  child.stderr?.on('data', (chunk) => {
    log += chunk;
  });
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  const ended = once(child, 'exit').then(() => Promise.reject(new Error(`the replica ended: ${log}`)));
  const [line] = await Promise.race([once(lines, 'line'), ended]);
  ended.catch(() => {});
  return JSON.parse(String(line));
}
