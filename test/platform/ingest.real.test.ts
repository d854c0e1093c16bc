import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { Agent, request } from 'undici';
import { afterEach, expect, it } from 'vitest';
import type { RegistryClient } from '../../src/lib/api/client.js';
import type { Desired } from '../../src/lib/device/protocol/messages.js';
import {
  type IngestPlan,
  planIngest,
  startSharedIngest,
} from '../../src/lib/platform/broker/ingest-engines.js';
import { createFigures } from '../../src/lib/platform/broker/metrics.js';
import { migrations } from '../../src/lib/platform/store/migrations.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny } from '../support/bundle.js';
import { kafkaPeer, startKafka } from '../support/kafka.js';
import { mosquittoPub } from '../support/mosquitto.js';
import { connect } from '../support/mqtt.js';
import { natsClient, startNatsWithMqtt } from '../support/nats.js';
import { replicaRoles, type TestPlatform, testPlatform } from '../support/platform.js';
import { describeReal } from '../support/real.js';
import { type Replicas, report, sample, startReplicas } from '../support/replicas.js';
import { oneWave } from '../support/rollout.js';
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

async function metricsOf({ platform, ca, token }: TestPlatform): Promise<string> {
  const dispatcher = new Agent({ connect: { ca } });
  const headers = { authorization: `Bearer ${token}` };
  try {
    return await (await request(`${platform.urls.http}/metrics`, { dispatcher, headers })).body.text();
  } finally {
    await dispatcher.close();
  }
}

/** Counts the messages of a shared log while storing is held up, and afterwards. */
async function countBacklog(shared: NonNullable<IngestPlan['shared']>, send: () => Promise<void>) {
  let store = () => {};
  const held = new Promise<void>((resolve) => {
    store = resolve;
  });
  const ingest = await startSharedIngest(shared, {
    ...{ ingest: () => held, figures: createFigures(), log: pino({ level: 'silent' }) },
  });
  endings.push(() => ingest.close());
  await send();
  await expect.poll(() => ingest.backlog(), { timeout: 30_000 }).toBe(3);
  store();
  await expect.poll(() => ingest.backlog(), { timeout: 30_000 }).toBe(0);
}

describeReal('nats-server', 'the backlog in JetStream', () => {
  it('counts messages until they are stored, and is a metric', async () => {
    nats = await startNatsWithMqtt();
    const device = await connect(nats.mqtt, { clientId: 'dev' });
    endings.push(() => device.endAsync());
    await countBacklog(planIngest({ broker: nats.broker }, 'counted')!.shared!, async () => {
      for (let seq = 1; seq <= 3; seq++)
        await device.publishAsync('aiot/v1/dev/telemetry/s', sample(seq), { qos: 1 });
    });
    own = await testPlatform({ engines: { broker: nats.broker } });
    const metric = async () => /^aiot_ingest_backlog_messages (\d+)$/m.exec(await metricsOf(own!))?.[1];
    await expect.poll(metric, { timeout: 20_000 }).toBe('0');
    // The gauge disappears with the server, because an unknown backlog is not zero.
    await nats.stop();
    nats = undefined;
    await expect.poll(metric, { timeout: 20_000 }).toBe(undefined);
  });
});

describeReal('kafka', 'the backlog in Kafka', () => {
  it('counts records until they are stored and committed', async () => {
    const kafka = await startKafka();
    endings.push(() => kafka.stop());
    await kafka.createTopic('aiot', 2);
    const producer = kafkaPeer(kafka.address).producer();
    await producer.connect();
    endings.push(() => producer.disconnect());
    await countBacklog(
      planIngest({ ingest: `kafka://${kafka.address}/aiot` }, 'counted')!.shared!,
      async () => {
        for (let seq = 1; seq <= 3; seq++) {
          const messages = [{ key: 'aiot/v1/dev/telemetry/s', value: sample(seq) }];
          await producer.send({ topic: 'aiot', acks: -1, messages });
        }
      },
    );
  }, 120_000);
});

describeReal('nats-server', 'three replicas that share the messages of NATS', () =>
  describeReal('postgres', 'on PostgreSQL', () => {
    it('lose nothing and store nothing twice when two of them are killed', async () => {
      nats = await startNatsWithMqtt();
      const { mqtt, broker } = nats;
      const group = await startReplicas({ broker }, endings);
      const { last } = group;
      const leaders = async () => (await last.status()).replicas.flatMap(({ leads }) => leads).sort();
      await expect.poll(leaders, { timeout: 20_000 }).toEqual([...replicaRoles, 'broker'].sort());
      expect((await last.status()).replicas.map(({ self }) => self)).toEqual([false, false, true]);
      await speakAndKill(group, async (name, acknowledged) => {
        const device = await connect(mqtt, { clientId: name });
        for (let seq = 1; seq <= messages; seq++) {
          await device.publishAsync(`aiot/v1/${name}/telemetry/s`, sample(seq), { qos: 1 });
          acknowledged();
        }
        const report = { t: 1, type: 'virtual', state: 'IDLE', rollout: null, model: null, floor: 0 };
        const more = { download: null, golden: null, error: null };
        const text = JSON.stringify({ ...report, ...more });
        await device.publishAsync(`aiot/v1/${name}/reported`, text, { qos: 1, retain: true });
        await device.endAsync();
      });
      const states = () => Promise.all(names.map(async (name) => (await last.devices.get(name)).updateState));
      await expect.poll(states, { timeout: 30_000 }).toEqual(names.map(() => 'IDLE'));
    }, 400_000);
  }),
);

describeReal('kafka', 'three replicas that share a Kafka topic', () =>
  describeReal('postgres', 'on PostgreSQL', () => {
    it('lose nothing and store nothing twice when two of them are killed', async () => {
      const kafka = await startKafka();
      endings.push(() => kafka.stop());
      await kafka.createTopic('aiot', 4);
      const group = await startReplicas({ ingest: `kafka://${kafka.address}/aiot` }, endings);
      const { last } = group;
      expect((await last.status()).engines).toMatchObject({ broker: 'embedded', ingest: 'kafka' });
      const producer = kafkaPeer(kafka.address).producer();
      await producer.connect();
      endings.push(() => producer.disconnect());
      const send = (key: string | null, value: string | null) =>
        producer.send({ topic: 'aiot', acks: -1, messages: [{ key, value }] });
      // Records that are not messages of a device are skipped. Otherwise, they would block their partition.
      await send(null, sample(1));
      await send('plant/temperature', '21');
      await send(`aiot/v1/${names[0]}/telemetry/s`, null);
      const admin = kafkaPeer(kafka.address).admin();
      await admin.connect();
      endings.push(() => admin.disconnect());
      const groupId = async () =>
        (await admin.listGroups()).groups.find((one) => one.groupId.startsWith('aiot-ingest-'))?.groupId ??
        '';
      const members = async () => (await admin.describeGroups([await groupId()])).groups[0]?.members.length;
      await expect.poll(members, { timeout: 60_000 }).toBe(3);
      await speakAndKill(group, async (name, acknowledged) => {
        for (let seq = 1; seq <= messages; seq++) {
          await send(`aiot/v1/${name}/telemetry/s`, sample(seq));
          acknowledged();
        }
      });
      const unread = async () => {
        const [committed] = await admin.fetchOffsets({ groupId: await groupId(), topics: ['aiot'] });
        const ends = await admin.fetchTopicOffsets('aiot');
        return ends.map(({ partition, high }) => {
          const at = committed?.partitions.find((one) => one.partition === partition)?.offset ?? -1;
          return Number(high) - Number(at);
        });
      };
      await expect.poll(unread, { timeout: 30_000 }).toEqual([0, 0, 0, 0]);
    }, 400_000);
  }),
);

describeReal('nats-server', 'three replicas of one version', () =>
  describeReal('postgres', 'on PostgreSQL', () => {
    it('are replaced one at a time by the next version, while messages flow and a rollout continues', async () => {
      nats = await startNatsWithMqtt();
      const { mqtt, broker } = nats;
      const group = await startReplicas({ broker }, endings);
      const { children, clients, start, query } = group;
      const schema = () => query('SELECT "version" FROM "aiotSchema"');
      expect(Number(await schema())).toBe(migrations.length);
      for (const name of names)
        await provisionDevice({
          client: group.first,
          name,
          type: 'virtual',
          out: join(group.folder, name),
        });
      const { name: pushed, version, sequence, digest } = await pushTiny(group.first, group.key);
      let replaced = 0;
      let done = false;
      let sent = 0;
      const speaking = names.map(async (name, at) => {
        const device = await connect(mqtt, { clientId: name });
        device.on('message', async (_topic, payload) => {
          if (payload.length === 0) return;
          const wish = JSON.parse(String(payload)) as Desired;
          // A third of the devices finish before the first replacement, a third between the first two, and a third after them.
          await expect.poll(() => replaced, { timeout: 300_000 }).toBeGreaterThanOrEqual(at % 3);
          const running = { name: pushed, version, sequence, digest };
          const golden = { vectors: 3, passed: 3 };
          for (const [state, more] of [
            ['DOWNLOADING', {}] as const,
            ['COMMITTED', { model: running, golden }] as const,
          ])
            await report(device, name, { state, rollout: wish.rollout, ...more });
        });
        await device.subscribeAsync(`aiot/v1/${name}/desired`, { qos: 1 });
        await report(device, name, { state: 'IDLE', rollout: null });
        for (let seq = 1; !done; seq++) {
          await device.publishAsync(`aiot/v1/${name}/telemetry/s`, sample(seq), { qos: 1 });
          sent++;
          await delay(50);
        }
        return device;
      });
      const { id } = await group.first.rollouts.start(oneWave({ name: pushed, version, sequence }));
      for (let at = 0; at < 3; at++) {
        const next = await start('next');
        // Both versions serve requests, although the first replica of the next version has migrated the database.
        expect(Number(await schema())).toBe(migrations.length + 1);
        for (const client of clients.slice(at)) expect((await client.status()).ready).toBe(true);
        const exited = once(children[at] as ChildProcess, 'exit');
        children[at]?.kill('SIGTERM');
        expect((await exited)[0]).toBe(0);
        replaced++;
        const flowing = sent;
        await expect.poll(() => sent, { timeout: 60_000 }).toBeGreaterThan(flowing + names.length);
        expect((await next.status()).ready).toBe(true);
      }
      const last = clients.at(-1) as RegistryClient;
      await expect.poll(async () => (await last.rollouts.get(id)).state, { timeout: 120_000 }).toBe('done');
      expect((await last.rollouts.devices(id)).map(({ state }) => state)).toEqual(
        names.map(() => 'committed'),
      );
      done = true;
      for (const device of await Promise.all(speaking)) await device.endAsync();
      const samples = async () => (await last.datasets.list()).map((set) => set.samples);
      await expect.poll(samples, { timeout: 60_000 }).toEqual([sent]);
      expect(await group.stored()).toBe(`${sent} ${sent}`);
      const { recordings } = await last.datasets.get('s');
      expect(recordings.map((take) => take.missing)).toEqual(names.map(() => 0));
    }, 600_000);
  }),
);

const names = Array.from({ length: 8 }, (_, i) => `dev-${i}`);
/** Number of messages of each device. */
const messages = 150;

/**
 * Lets all devices send at the same time, and kills two replicas meanwhile.
 * @param speak sends a device's messages, and reports each one that the broker has acknowledged
 */
async function speakAndKill(
  { children, first, last, stored, folder }: Replicas,
  speak: (name: string, acknowledged: () => void) => Promise<void>,
): Promise<void> {
  for (const name of names)
    await provisionDevice({ client: first, name, type: 'virtual', out: join(folder, name) });
  let count = 0;
  const kill = async (index: number, after: number) => {
    await expect.poll(() => count, { timeout: 60_000 }).toBeGreaterThan(after);
    children[index]?.kill('SIGKILL');
  };
  const acknowledged = () => {
    count++;
  };
  const all = names.length * messages;
  const speaking = names.map((name) => speak(name, acknowledged));
  await Promise.all([...speaking, kill(0, all / 4), kill(1, all / 2)]);
  const samples = async () => (await last.datasets.list()).map((set) => set.samples);
  await expect.poll(samples, { timeout: 60_000 }).toEqual([all]);
  expect(await stored()).toBe(`${all} ${all}`);
  const { recordings } = await last.datasets.get('s');
  expect(recordings.map((take) => [take.samples, take.missing])).toEqual(names.map(() => [messages, 0]));
}
