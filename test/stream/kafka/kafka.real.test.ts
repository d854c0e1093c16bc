import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { collectGarbage } from '../../../src/lib/core/process.js';
import { deliveriesOf, type Header, type Message } from '../../../src/lib/stream/message.js';
import { openSink, openSource } from '../../../src/lib/stream/open.js';
import { type KafkaBroker, kafkaPeer, kcat, kcatWrite, startKafka } from '../../support/kafka.js';
import { describeReal } from '../../support/real.js';

let broker: KafkaBroker;
let url: string;

/** Returns all messages currently in a topic, as read by our reader. */
async function all(topic: string, query = ''): Promise<Message[]> {
  const source = await openSource(`${url}/${topic}?from=beginning&until=end${query}`);
  const messages: Message[] = [];
  for await (const { message } of deliveriesOf(source)) messages.push(message);
  await source.close();
  return messages;
}

async function write(topic: string, texts: string[], query = ''): Promise<void> {
  const sink = await openSink(`${url}/${topic}${query}`);
  await sink.write(texts.map((text) => ({ topic: '', payload: Buffer.from(text) })));
  await sink.close();
}

const texts = (messages: Message[]) => messages.map(({ payload }) => Buffer.from(payload).toString());
const numbers = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => `${from + index}`);

describeReal('kafka', 'a Kafka stream with a real broker', () => {
  beforeAll(async () => {
    broker = await startKafka();
    url = `kafka://${broker.address}`;
  }, 60_000);
  afterAll(() => broker?.stop());

  it('returns bytes, key, headers, time and position as written', async () => {
    const headers: Header[] = [
      ['unit', '°C'],
      ['unit', 'again'],
      ['raw', Buffer.from([0xff, 0])],
    ];
    const sink = await openSink(`${url}/round-trip`);
    const before = Date.now();
    await sink.write([
      {
        topic: '',
        payload: Buffer.from([0, 255, 1]),
        key: Buffer.from('dev-1'),
        headers,
        time: 1_600_000_000_123,
      },
      { topic: '', payload: new Uint8Array(0) },
      { topic: '', payload: new Uint8Array(0), key: Buffer.from('dev-1'), tombstone: true },
    ]);
    await sink.close();
    const [first, empty, tombstone] = await all('round-trip');
    expect(first).toEqual({
      topic: 'round-trip',
      payload: Buffer.from([0, 255, 1]),
      key: Buffer.from('dev-1'),
      headers,
      time: 1_600_000_000_123,
      position: '0:0',
      source: url,
    });
    expect(empty?.payload).toHaveLength(0);
    expect(empty?.tombstone).toBeUndefined();
    expect(empty?.time).toBeGreaterThanOrEqual(before);
    expect(tombstone).toMatchObject({ tombstone: true, position: '0:2' });
  });

  it.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'])(
    'writes %s compression that kcat reads',
    async (codec) => {
      const lines = numbers(0, 3000).map((n) => `{"deviceID": "${n}", "temperature": 25.22}`);
      await write(`ours-${codec}`, lines, `?compression=${codec}`);
      expect(kcat(broker.address, `ours-${codec}`, '%s\n')).toBe(`${lines.join('\n')}\n`);
    },
  );

  it.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'])(
    'reads %s compression written by kcat',
    async (codec) => {
      const lines = numbers(0, 3000).map((n) => `{"deviceID": "${n}", "temperature": 25.22}`);
      await broker.createTopic(`theirs-${codec}`);
      kcatWrite(broker.address, `theirs-${codec}`, `${lines.join('\n')}\n`, '-z', codec);
      expect(texts(await all(`theirs-${codec}`))).toEqual(lines);
    },
  );

  it('partitions keys as kcat does with the Java partitioner, and keeps the order per key', async () => {
    await broker.createTopic('ours-keyed', 7);
    await broker.createTopic('theirs-keyed', 7);
    const keyed = numbers(0, 500).map((n) => [`key-${Number(n) % 41}`, n] as const);
    const sink = await openSink(`${url}/ours-keyed`);
    await Promise.all(
      keyed.map(([key, n]) => sink.write([{ topic: '', payload: Buffer.from(n), key: Buffer.from(key) }])),
    );
    await sink.close();
    kcatWrite(
      broker.address,
      'theirs-keyed',
      keyed.map(([key, n]) => `${key}|${n}\n`).join(''),
      ...['-K', '|', '-X', 'partitioner=murmur2_random'],
    );
    const lines = (topic: string) => kcat(broker.address, topic, '%p %k %s\n').split('\n').sort();
    expect(lines('ours-keyed')).toEqual(lines('theirs-keyed'));
    const perKey = new Map<string, number>();
    for (const message of await all('ours-keyed')) {
      const key = Buffer.from(message.key ?? []).toString();
      const n = Number(Buffer.from(message.payload));
      expect(n).toBeGreaterThan(perKey.get(key) ?? -1);
      perKey.set(key, n);
    }
  });

  it('starts at the beginning, the latest message, an offset or a time', async () => {
    const sink = await openSink(`${url}/begins`);
    for (const n of numbers(0, 10)) {
      await sink.write([{ topic: '', payload: Buffer.from(n), time: 1_700_000_000_000 + Number(n) * 1000 }]);
    }
    const read = async (query: string) => texts(await all('begins', query));
    expect(await read('&from=beginning')).toHaveLength(10);
    expect(await read('&from=7')).toEqual(['7', '8', '9']);
    expect(await read('&from=100')).toEqual([]);
    expect(await read('&from=2023-11-14T22:13:25Z')).toEqual(['5', '6', '7', '8', '9']);
    const source = await openSource(`${url}/begins`);
    const next = source[Symbol.asyncIterator]().next();
    await sink.write([{ topic: '', payload: Buffer.from('new') }]);
    expect((await next).value.map(({ message }: { message: Message }) => message.position)).toEqual(['0:10']);
    await source.close();
    await sink.close();
  });

  it('creates no consumer group when reading without one', async () => {
    await write('no-group', ['a']);
    expect(await all('no-group')).toHaveLength(1);
    const admin = kafkaPeer(broker.address).admin();
    await admin.connect();
    const { groups } = await admin.listGroups();
    await admin.disconnect();
    expect(groups).toEqual([]);
  });

  it('skips messages of an aborted transaction', async () => {
    await broker.createTopic('transactions');
    const producer = kafkaPeer(broker.address).producer({
      transactionalId: 'tx',
      idempotent: true,
      maxInFlightRequests: 1,
    });
    await producer.connect();
    for (const [text, commit] of [
      ['kept', true],
      ['thrown away', false],
      ['kept too', true],
    ] as const) {
      const transaction = await producer.transaction();
      await transaction.send({ topic: 'transactions', messages: [{ value: text }] });
      await (commit ? transaction.commit() : transaction.abort());
    }
    await producer.disconnect();
    expect(texts(await all('transactions'))).toEqual(['kept', 'kept too']);
  });

  it('splits an oversized batch, and rejects a message that is too large on its own', async () => {
    await broker.createTopic('small', 1, { 'max.message.bytes': '20000' });
    const sink = await openSink(`${url}/small`);
    const payloads = numbers(0, 100).map((n) => Buffer.from(n.padEnd(1000, '.')));
    await sink.write(payloads.map((payload) => ({ topic: '', payload })));
    await expect(sink.write([{ topic: '', payload: Buffer.alloc(30_000) }])).rejects.toMatchObject({
      code: 'AIOT_STREAM_MESSAGE_REFUSED',
    });
    await sink.write([{ topic: '', payload: Buffer.from('after it') }]);
    await sink.close();
    expect(texts(await all('small'))).toEqual([...payloads.map(String), 'after it']);
  });

  it('reads a topic as a group, and continues where the group stopped', async () => {
    await broker.createTopic('shared', 2);
    const open = () => openSource(`${url}/shared?group=g1&from=beginning&session=6s`);
    await write('shared', numbers(0, 1000));
    await write('shared', numbers(1000, 2000));
    const first = await open();
    const seen: string[] = [];
    for await (const batch of first) {
      for (const { message, ack } of batch) {
        seen.push(Buffer.from(message.payload).toString());
        ack();
      }
      if (seen.length >= 2000) break;
    }
    await first.close();
    expect(new Set(seen).size).toBe(2000);
    await write('shared', ['later']);
    const second = await open();
    const again = [];
    for await (const { message, ack } of deliveriesOf(second)) {
      again.push(Buffer.from(message.payload).toString());
      ack();
      break;
    }
    await second.close();
    expect(again).toEqual(['later']);
  }, 30_000);

  it('commits up to the lowest unacked message, and redelivers from there to the next member', async () => {
    await broker.createTopic('unacked', 1);
    await write('unacked', numbers(0, 10));
    const open = () => openSource(`${url}/unacked?group=g2&from=beginning&session=6s`);
    const first = await open();
    let got = 0;
    for await (const { message, ack } of deliveriesOf(first)) {
      if (Buffer.from(message.payload).toString() !== '4') ack();
      if (++got === 10) break;
    }
    await first.close();
    const second = await open();
    const again: string[] = [];
    for await (const { message, ack } of deliveriesOf(second)) {
      again.push(Buffer.from(message.payload).toString());
      ack();
      if (again.length === 6) break;
    }
    await second.close();
    expect(again).toEqual(['4', '5', '6', '7', '8', '9']);
  }, 30_000);

  it('redelivers to the same member from a nacked message onward', async () => {
    await broker.createTopic('nacked', 1);
    await write('nacked', numbers(0, 5));
    const source = await openSource(`${url}/nacked?group=g3&from=beginning`);
    const seen: string[] = [];
    for await (const { message, ack, nack } of deliveriesOf(source)) {
      const text = Buffer.from(message.payload).toString();
      if (text === '2' && !seen.includes('2')) nack();
      else ack();
      seen.push(text);
      if (seen.length >= 8) break;
    }
    await source.close();
    expect(seen).toEqual(['0', '1', '2', '3', '4', '2', '3', '4']);
  }, 30_000);

  it('loses nothing that was written before the first commit of a new group', async () => {
    await broker.createTopic('early', 1);
    const first = await openSource(`${url}/early?group=g4&session=6s`);
    await first.close();
    await write('early', ['while nobody read']);
    const second = await openSource(`${url}/early?group=g4&session=6s`);
    const { value } = await second[Symbol.asyncIterator]().next();
    expect(texts(value.map(({ message }: { message: Message }) => message))).toEqual(['while nobody read']);
    await second.close();
  }, 30_000);

  it.each([
    ['kafka://127.0.0.1:1/t', 'AIOT_BROKER_UNREACHABLE'],
    ['kafka://127.0.0.1:99999/t', 'AIOT_STREAM_URL'],
    ['URL/', 'AIOT_STREAM_URL'],
    ['URL/not%20a%20topic', 'AIOT_STREAM_URL'],
    ['URL/nobody-made-it', 'AIOT_STREAM_TOPIC_NOT_FOUND'],
    ['URL/t?compresion=gzip', 'AIOT_STREAM_URL'],
    ['URL/t?from=yesterday', 'AIOT_STREAM_URL'],
  ])('rejects %s with %s', async (address, code) => {
    await expect(openSource(address.replace('URL', url), { connectTimeoutMs: 3000 })).rejects.toMatchObject({
      code,
    });
  });

  it('limits the memory use of a reader while its messages are not read', async () => {
    await broker.createTopic('flood', 1);
    const sink = await openSink(`${url}/flood`);
    const payload = Buffer.alloc(100_000, 1);
    for (let round = 0; round < 80; round++) await sink.write(Array(10).fill({ topic: '', payload }));
    await sink.close();
    const held = () => {
      collectGarbage();
      return process.memoryUsage().external;
    };
    const before = held();
    const source = await openSource(`${url}/flood?from=beginning&until=end`);
    // Messages are fetched ahead up to a limit. After that, nothing is fetched, no matter how long the reader
    // waits.
    const grown = async () => {
      const then = held();
      await delay(500);
      return held() - then;
    };
    await expect.poll(grown, { timeout: 10_000, interval: 1 }).toBeLessThan(1_000_000);
    // The topic contains 80 MB.
    expect(held() - before).toBeLessThan(40_000_000);
    let count = 0;
    for await (const batch of source) count += batch.length;
    await source.close();
    expect(count).toBe(800);
  }, 30_000);
});
