import { join } from 'node:path';
import { headers, type NatsConnection } from 'nats';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { type KafkaBroker, kcat, startKafka } from '../support/kafka.js';
import { connectDevice } from '../support/mqtt.js';
import { type NatsServer, natsClient, startNats } from '../support/nats.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { describeReal } from '../support/real.js';

interface Sent {
  id: string;
  event: 'raise' | 'clear';
  alarm: string;
  open: number;
  incidents: { device: string; message: string }[];
}

/** A platform with an alarm on two devices, whose incidents are sent to the address. */
async function watched(url: string): Promise<TestPlatform> {
  const own = await testPlatform();
  const { client, folder } = own;
  for (const name of ['oven-1', 'oven-2'])
    await provisionDevice({ client, name, type: 'linux', out: join(folder, name) });
  await client.alarmTargets.add({ name: 'bus', url, allowPrivate: true, groupMs: 0 });
  await client.alarms.create({
    name: 'hot',
    where: 'temperature > 80',
    stream: 'motors',
    severity: 'critical',
  });
  return own;
}

async function send({ platform, folder }: TestPlatform, name: string, temperature: number): Promise<void> {
  const device = await connectDevice(platform.urls.mqtts, join(folder, name));
  const payload = JSON.stringify({ t: Date.now(), temperature });
  await device.publishAsync(`aiot/v1/${name}/telemetry/motors`, payload, { qos: 1 });
  await device.endAsync();
}

/** Each message once, because a message may be delivered twice. */
const once = (sent: readonly Sent[]) => [...new Map(sent.map((each) => [each.id, each])).values()];

/** Sends the beginnings and ends of two incidents, and expects them at the target. */
async function expectIncidents(own: TestPlatform, received: () => Sent[] | Promise<Sent[]>): Promise<void> {
  const seen = async () =>
    once(await received()).map(({ event, incidents }) => [
      event,
      incidents.map(({ device }) => device).sort(),
    ]);
  await send(own, 'oven-1', 90);
  await expect.poll(seen, { timeout: 20_000 }).toEqual([['raise', ['oven-1']]]);
  await send(own, 'oven-2', 95);
  await send(own, 'oven-1', 70);
  await expect.poll(async () => (await seen()).length, { timeout: 20_000 }).toBe(3);
  expect((await seen()).slice(1)).toEqual(
    expect.arrayContaining([
      ['raise', ['oven-2']],
      ['clear', ['oven-1']],
    ]),
  );
  const [first] = await received();
  expect(first).toMatchObject({
    ...{ alarm: 'hot', open: 1 },
    incidents: [{ message: 'temperature > 80: temperature=90' }],
  });
}

describeReal('kafka', 'incidents sent to Kafka', () => {
  let kafka: KafkaBroker;
  let own: TestPlatform;
  beforeAll(async () => {
    kafka = await startKafka();
    await kafka.createTopic('alarms');
    own = await watched(`kafka://${kafka.address}/alarms`);
  }, 180_000);
  afterAll(async () => {
    await own?.stop();
    await kafka?.stop();
  });
  const lines = () =>
    kcat(kafka.address, 'alarms', '%k\\t%h\\t%s\\n')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.split('\t'));
  const received = () => lines().map(([, , value = '']) => JSON.parse(value) as Sent);

  it('arrive in the topic with the key of the alarm, even after an outage of Kafka', async () => {
    await expectIncidents(own, received);
    expect(new Set(lines().map(([key]) => key))).toEqual(new Set(['hot']));
    expect(lines()[0]?.[1]).toBe(`aiot-id=${received()[0]?.id}`);
    await kafka.kill();
    await send(own, 'oven-2', 60);
    const failures = async () => (await own.client.alarmTargets.list())[0]?.failures;
    await expect.poll(failures, { timeout: 30_000 }).toBeGreaterThan(0);
    await kafka.start();
    await expect.poll(() => once(received()).length, { timeout: 40_000 }).toBe(4);
    expect(once(received()).at(-1)).toMatchObject({ event: 'clear', open: 0 });
  }, 120_000);
});

describeReal('nats', 'incidents sent to NATS', () => {
  let server: NatsServer;
  let judge: NatsConnection;
  let own: TestPlatform;
  const sent: { value: Sent; id: string }[] = [];
  beforeAll(async () => {
    server = await startNats();
    judge = await natsClient(server);
    const manager = await judge.jetstreamManager();
    await manager.streams.add({ name: 'alarms', subjects: ['alarms.>'] });
    const consumer = await judge.jetstream().consumers.get('alarms');
    void (async () => {
      for await (const message of await consumer.consume())
        sent.push({ value: message.json(), id: (message.headers ?? headers()).get('aiot-id') });
    })().catch(() => {});
    own = await watched(`${server.url}/alarms.ovens`);
  }, 60_000);
  afterAll(async () => {
    await own?.stop();
    await judge?.close();
    await server?.stop();
  });

  it('arrive on the subject with their ids', async () => {
    await expectIncidents(own, () => sent.map(({ value }) => value));
    for (const { value, id } of sent) expect(id).toBe(value.id);
  }, 60_000);
});
