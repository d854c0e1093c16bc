import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type KafkaBroker, kcat, startKafka } from '../support/kafka.js';
import { connect } from '../support/mqtt.js';
import { type NatsServer, natsClient, startNats } from '../support/nats.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { describeReal, python } from '../support/real.js';
import { recordAndLabel } from '../support/recording.js';

/** Publishes device messages as an operator. */
async function publish(own: TestPlatform, from: number, to: number): Promise<void> {
  const operator = { username: 'operator', password: own.token, ca: own.ca };
  const client = await connect(own.platform.urls.mqtts, operator);
  for (let seq = from; seq < to; seq++) {
    const payload = {
      t: 1_700_000_000_000 + seq,
      seq,
      recording: 'r',
      rateHz: 10,
      fields: { x: [seq], y: [1] },
    };
    const topic = `aiot/v1/d${seq % 2}/telemetry/imu`;
    await client.publishAsync(topic, JSON.stringify(payload), { qos: 1 });
  }
  await client.endAsync();
}
const label = (own: TestPlatform, recording: string) =>
  recordAndLabel(own, { stream: 'labelled', device: 'd0', recording });

interface Line {
  key: string;
  value: { payload?: { seq: number }; type?: string; id?: number };
}
const bySeq = (lines: Line[], key: string) =>
  lines.filter((line) => line.key === key).map(({ value }) => value.payload?.seq);
const range = (from: number, to: number, step: number) =>
  Array.from({ length: Math.ceil((to - from) / step) }, (_, i) => from + i * step);

describeReal('kafka', 'events relayed to Kafka', () => {
  let kafka: KafkaBroker;
  let own: TestPlatform;
  beforeAll(async () => {
    kafka = await startKafka();
    own = await testPlatform({ engines: { events: `kafka://${kafka.address}` } });
  }, 90_000);
  afterAll(async () => {
    await own?.stop();
    await kafka?.stop();
  });

  const read = (topic: string): Line[] =>
    kcat(kafka.address, topic, '%k\\t%s\\n')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        const tab = line.indexOf('\t');
        return { key: line.slice(0, tab), value: JSON.parse(line.slice(tab + 1)) };
      });

  it('arrive in order for each key, across a Kafka outage and a restart of the platform', async () => {
    await publish(own, 0, 50);
    await expect
      .poll(async () => (await own.client.status()).relay?.telemetry.sent, { timeout: 20_000 })
      .toBe(50);
    await expect.poll(async () => (await own.client.status()).relay?.events.behind).toBe(0);
    await kafka.kill();
    const started = Date.now();
    await publish(own, 50, 100);
    await label(own, 'r');
    // Publishing does not wait for Kafka.
    expect(Date.now() - started).toBeLessThan(5000);
    await own.restart();
    await kafka.start();
    await publish(own, 100, 120);
    // Some messages may arrive twice.
    const different = (all: ReturnType<typeof read>) =>
      new Set([...bySeq(all, 'd0'), ...bySeq(all, 'd1')]).size;
    await expect.poll(() => different(read('aiot.telemetry')), { timeout: 30_000 }).toBe(120);
    await expect
      .poll(() => read('aiot.events').some(({ value }) => value.type === 'data.label'), { timeout: 10_000 })
      .toBe(true);
    const told = read('aiot.telemetry');
    expect([...new Set(bySeq(told, 'd0'))]).toEqual(range(0, 120, 2));
    expect([...new Set(bySeq(told, 'd1'))]).toEqual(range(1, 120, 2));
    const page = await own.client.events.page({ from: 0, limit: 1000 });
    await expect
      .poll(() => new Set(read('aiot.events').map(({ value }) => value.id)).size)
      .toBe(page.events.length);
    const ids = read('aiot.events').map(({ value }) => value.id ?? 0);
    expect([...new Set(ids)]).toEqual(page.events.map(({ id }) => id));
    expect(kcat(kafka.address, 'aiot.events', '%h\\n').split('\n')[0]).toMatch(/aiot-dedupe=\w+\/event\/1,/);
    const { dispatcher } = await import('undici').then(({ Agent }) => ({
      dispatcher: new Agent({ connect: { ca: own.ca } }),
    }));
    const { request } = await import('undici');
    const metrics = await request(`${own.platform.urls.http}/metrics`, {
      ...{ dispatcher, headers: { authorization: `Bearer ${own.token}` } },
    });
    const text = await metrics.body.text();
    expect(text).toMatch(/^aiot_relay_connected 1$/m);
    expect(text).toMatch(/^aiot_relay_events_lag \d+$/m);
    await dispatcher.destroy();
  }, 90_000);
});

describeReal('nats', 'events relayed to NATS JetStream', () => {
  let nats: NatsServer;
  let own: TestPlatform;
  beforeAll(async () => {
    nats = await startNats();
    own = await testPlatform({ engines: { events: nats.url } });
  }, 30_000);
  afterAll(async () => {
    await own?.stop();
    await nats?.stop();
  });

  it('are stored once each, in a stream created for them', async () => {
    await publish(own, 0, 20);
    await expect
      .poll(async () => (await own.client.status()).relay?.telemetry.sent, { timeout: 10_000 })
      .toBe(20);
    await own.restart();
    await publish(own, 20, 30);
    await expect
      .poll(async () => (await own.client.status()).relay?.telemetry.sent, { timeout: 10_000 })
      .toBe(10);
    const peer = await natsClient(nats);
    const manager = await peer.jetstreamManager();
    const info = await manager.streams.info('AIOT', { subjects_filter: '>' });
    expect(info.config.subjects?.sort()).toEqual(['aiot.events', 'aiot.telemetry']);
    expect(info.state.subjects?.['aiot.telemetry']).toBe(30);
    const first = await manager.streams.getMessage('AIOT', { last_by_subj: 'aiot.telemetry' });
    expect(JSON.parse(new TextDecoder().decode(first.data))).toMatchObject({
      device: 'd1',
      payload: { seq: 29 },
    });
    await peer.close();
  }, 40_000);
});

describeReal('streams', 'webhooks verified by the standardwebhooks library', () => {
  it('have valid signatures for both the old and the new secret', async () => {
    const own = await testPlatform();
    const got: { headers: Record<string, unknown>; body: string }[] = [];
    const server = createServer(async (incoming, answer) => {
      let body = '';
      for await (const chunk of incoming) body += chunk;
      got.push({ headers: incoming.headers, body });
      answer.end();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const { webhook, secret } = await own.client.webhooks.add({
      url,
      allowPrivate: true,
      types: ['data.label'],
    });
    await label(own, 'one');
    await expect.poll(() => got.length).toBe(1);
    const rotated = await own.client.webhooks.rotate(webhook.id);
    await delay(200);
    await label(own, 'two');
    await expect.poll(() => got.length).toBe(2);
    const judge = `
import json, sys
from standardwebhooks import Webhook
for one in json.load(sys.stdin):
    print(json.dumps(Webhook(one["secret"]).verify(one["body"], one["headers"])["type"]))
`;
    const cases = [
      { secret, ...got[0] },
      { secret, ...got[1] },
      { secret: rotated.secret, ...got[1] },
    ];
    const judged = spawnSync(python('streams'), ['-c', judge], {
      input: JSON.stringify(cases),
      encoding: 'utf8',
    });
    expect(judged.stderr).toBe('');
    expect(judged.stdout.trim().split('\n')).toEqual(Array(3).fill('"data.label"'));
    server.close();
    await own.stop();
  }, 30_000);
});
