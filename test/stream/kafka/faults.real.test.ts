import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { deliveriesOf, type Source } from '../../../src/lib/stream/message.js';
import { openSink, openSource } from '../../../src/lib/stream/open.js';
import { type KafkaBroker, kcat, startKafka } from '../../support/kafka.js';
import { describeReal } from '../../support/real.js';

const total = process.env.AIOT_LONG === '1' ? 100_000 : 20_000;
const kills = process.env.AIOT_LONG === '1' ? 4 : 2;

let broker: KafkaBroker;

/** Kills and restarts the broker several times. */
async function outages(): Promise<void> {
  for (let kill = 0; kill < kills; kill++) {
    await delay(700);
    await broker.kill();
    await delay(500);
    await broker.start();
  }
}

/** Writes `total` numbers in batches of 100, with several writes in flight. */
async function writeAll(topic: string, query = ''): Promise<void> {
  const sink = await openSink(`kafka://${broker.address}/${topic}?timeout=60s${query}`);
  const under: Promise<void>[] = [];
  for (let at = 0; at < total; at += 100) {
    const batch = Array.from({ length: 100 }, (_, index) => ({
      topic: '',
      payload: Buffer.from(`${at + index}`),
    }));
    under.push(sink.write(batch));
    if (under.length >= 5) await under.shift();
    // Spreads the writes over the entire duration of the outages.
    await delay((3000 * kills) / (total / 100));
  }
  await Promise.all(under);
  await sink.close();
}

async function collect(source: Source, until: number): Promise<string[]> {
  const seen: string[] = [];
  for await (const { message, ack } of deliveriesOf(source)) {
    seen.push(Buffer.from(message.payload).toString());
    ack();
    if (Number(seen.at(-1)) === until) break;
  }
  return seen;
}

const everything = Array.from({ length: total }, (_, index) => `${index}`);

describeReal('kafka', 'a Kafka broker killed under load', () => {
  beforeAll(async () => {
    broker = await startKafka();
  }, 120_000);
  afterAll(() => broker?.stop());

  it('stores every message once and in order, and the reader continues', async () => {
    await broker.createTopic('killed');
    const states: string[] = [];
    const reader = await openSource(`kafka://${broker.address}/killed?from=beginning`, {
      onState: (state) => states.push(state),
    });
    const read = collect(reader, total - 1);
    await Promise.all([writeAll('killed'), outages()]);
    expect(kcat(broker.address, 'killed', '%s\n').split('\n').slice(0, -1)).toEqual(everything);
    expect(await read).toEqual(everything);
    await reader.close();
    expect(states).toContain('disconnected');
    expect(states.at(-1)).toBe('connected');
  }, 240_000);

  it('delivers every message to a group at least once', async () => {
    await broker.createTopic('killed-group');
    const member = await openSource(
      `kafka://${broker.address}/killed-group?group=g&from=beginning&session=6s`,
    );
    const read = collect(member, total - 1);
    await Promise.all([writeAll('killed-group'), outages()]);
    const seen = await read;
    await member.close();
    expect([...new Set(seen)].sort((a, b) => Number(a) - Number(b))).toEqual(everything);
  }, 240_000);

  it('returns the messages written since a given time, up to the end', async () => {
    const sink = await openSink(`kafka://${broker.address}/recent`);
    const now = Date.now();
    await sink.write(
      [10, 5, 1].map((minutes) => ({
        topic: '',
        payload: Buffer.from(`${minutes} minutes ago`),
        time: now - minutes * 60_000,
        headers: [['aiot-dedupe', `${minutes}`] as const],
      })),
    );
    const found: unknown[] = [];
    for await (const batch of sink.recent?.(now - 6 * 60_000) ?? [])
      found.push(...batch.map(({ headers }) => headers));
    await sink.close();
    expect(found).toEqual([[['aiot-dedupe', '5']], [['aiot-dedupe', '1']]]);
  });

  it('makes a write fail after a long outage, and accepts the next one', async () => {
    const sink = await openSink(`kafka://${broker.address}/given-up?timeout=2s`);
    await sink.write([{ topic: '', payload: Buffer.from('before') }]);
    await broker.kill();
    await expect(sink.write([{ topic: '', payload: Buffer.from('lost') }])).rejects.toMatchObject({
      code: 'AIOT_BROKER_UNREACHABLE',
      retryable: true,
    });
    await broker.start();
    await sink.write([{ topic: '', payload: Buffer.from('after') }]);
    await sink.close();
    expect(kcat(broker.address, 'given-up', '%s\n')).toBe('before\nafter\n');
  }, 120_000);
});

describeReal('kafka', 'a Kafka without a group coordinator', () => {
  let young: KafkaBroker;
  beforeAll(async () => {
    // The only broker cannot create a topic of offsets with two copies, so no coordinator becomes available.
    young = await startKafka({ properties: ['offsets.topic.replication.factor=2'] });
    await young.createTopic('numbers');
  }, 120_000);
  afterAll(() => young?.stop());

  const join = (readyTimeoutMs: number) =>
    openSource(`kafka://${young.address}/numbers?group=readers&from=beginning`, { readyTimeoutMs });

  it('makes a group wait, and fail with its response after the time limit', async () => {
    await expect(join(2000)).rejects.toMatchObject({
      code: 'AIOT_BROKER_UNREACHABLE',
      message: expect.stringContaining('The group coordinator is not available'),
      retryable: true,
    });
  }, 60_000);

  it('delivers messages to a group once the coordinator is available', async () => {
    const opening = join(120_000);
    // kafkajs's own retries of this response end after about a second.
    expect(await Promise.race([opening, delay(4000, 'waiting')])).toBe('waiting');
    await young.createTopic('__consumer_offsets', 1, { 'cleanup.policy': 'compact' });
    const source = await opening;
    const sink = await openSink(`kafka://${young.address}/numbers`);
    await sink.write([{ topic: '', payload: Buffer.from('7') }]);
    await sink.close();
    expect(await collect(source, 7)).toEqual(['7']);
    await source.close();
  }, 180_000);
});
