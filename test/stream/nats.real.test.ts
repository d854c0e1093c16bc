import { setTimeout as delay } from 'node:timers/promises';
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { deliveriesOf, type Message, type StreamOptions } from '../../src/lib/stream/message.js';
import { openSink, openSource } from '../../src/lib/stream/open.js';
import { runCli } from '../support/cli.js';
import { type NatsServer, natsClient, startNats } from '../support/nats.js';
import { describeReal } from '../support/real.js';

const text = (payload: Uint8Array) => Buffer.from(payload).toString();
const bytes = (value: string) => Buffer.from(value);

/** Returns the first `count` messages of a source, which are acked before the source is closed. */
async function take(url: string, count: number, options: StreamOptions = {}): Promise<Message[]> {
  const source = await openSource(url, options);
  const messages: Message[] = [];
  for await (const { message, ack } of deliveriesOf(source)) {
    messages.push(message);
    ack();
    if (messages.length === count) break;
  }
  await source.close();
  return messages;
}

describeReal('nats', 'streams with a real nats-server', () => {
  let server: NatsServer;
  let judge: NatsConnection;
  beforeAll(async () => {
    server = await startNats();
    judge = await natsClient(server);
  });
  afterAll(async () => {
    await judge?.close();
    await server?.stop();
  });
  beforeEach(async () => {
    const manager = await judge.jetstreamManager();
    for await (const { config } of manager.streams.list()) await manager.streams.delete(config.name);
  });
  const makeStream = async (name: string, config: object = {}) =>
    (await judge.jetstreamManager()).streams.add({ name, subjects: [`${name}.>`], ...config });

  it('follow subjects with wildcards, and keep headers and bytes', async () => {
    const source = await openSource(`${server.url}/plant.*.temp`);
    const { headers } = await import('nats');
    const head = headers();
    head.append('Unit', 'C');
    head.append('Unit', 'K');
    judge.publish('plant.a.temp', Uint8Array.of(0, 255, 27), { headers: head });
    judge.publish('plant.a.b.temp', 'too deep');
    judge.publish('plant.b.temp', '21.5');
    const deliveries = deliveriesOf(source);
    const first = (await deliveries.next()).value?.message;
    const second = (await deliveries.next()).value?.message;
    await source.close();
    expect(first).toMatchObject({
      topic: 'plant.a.temp',
      payload: Buffer.of(0, 255, 27),
      headers: [
        ['Unit', 'C'],
        ['Unit', 'K'],
      ],
      source: server.url,
    });
    expect(second).toMatchObject({ topic: 'plant.b.temp', payload: bytes('21.5') });
    expect(second).not.toHaveProperty('headers');
  });

  it('deliver each message to one member of a queue group', async () => {
    const sources = await Promise.all(
      [1, 2].map(() => openSource(`${server.url}/jobs`, { group: 'workers' })),
    );
    for (let job = 0; job < 40; job++) judge.publish('jobs', `${job}`);
    await judge.flush();
    const got: string[][] = [[], []];
    const reading = sources.map(async (source, member) => {
      for await (const { message } of deliveriesOf(source)) got[member]?.push(text(message.payload));
    });
    await expect.poll(() => got.flat().length).toBeGreaterThanOrEqual(40);
    for (const source of sources) await source.close();
    await Promise.all(reading);
    expect(
      got
        .flat()
        .map(Number)
        .sort((a, b) => a - b),
    ).toEqual([...Array(40).keys()]);
    expect(got.every((seen) => seen.length > 0)).toBe(true);
  });

  it('read a stream from its beginning, a sequence, a time, or now', async () => {
    await makeStream('log');
    const js = judge.jetstream();
    for (let index = 1; index <= 3; index++) await js.publish(`log.${index}`, `${index}`);
    await delay(20);
    const time = Date.now();
    await delay(20);
    await js.publish('log.4', '4');
    const all = await take(`${server.url}/log.>?stream=log`, 4, { from: 'beginning' });
    expect(all.map(({ topic, payload, position }) => [topic, text(payload), position])).toEqual([
      ['log.1', '1', '1'],
      ['log.2', '2', '2'],
      ['log.3', '3', '3'],
      ['log.4', '4', '4'],
    ]);
    expect(Math.abs((all[3]?.time ?? 0) - time)).toBeLessThan(5000);
    expect((await take(`${server.url}/log.*`, 2, { from: 3 })).map(({ position }) => position)).toEqual([
      '3',
      '4',
    ]);
    expect((await take(`${server.url}/log.>`, 1, { from: { time } })).map(({ topic }) => topic)).toEqual([
      'log.4',
    ]);
    const source = await openSource(`${server.url}/log.>?jetstream=log`);
    await js.publish('log.5', '5');
    expect((await deliveriesOf(source).next()).value?.message.position).toBe('5');
    await source.close();
    const manager = await judge.jetstreamManager();
    await expect.poll(async () => (await manager.streams.info('log')).state.consumer_count).toBe(0);
  });

  it('read a stream to its current end, then stop', async () => {
    await makeStream('log');
    const js = judge.jetstream();
    for (const value of ['1', '2']) await js.publish('log.a', value);
    const read = async (url: string) => {
      const source = await openSource(url);
      const seen: string[] = [];
      for await (const { message } of deliveriesOf(source)) seen.push(text(message.payload));
      await source.close();
      return seen;
    };
    expect(await read(`${server.url}/log.>?until=end`)).toEqual(['1', '2']);
    expect(await read(`${server.url}/log.b?stream=log&until=end`)).toEqual([]);
  });

  it('work with the flags of tail, which does not consume a work queue', async () => {
    await makeStream('log');
    await judge.jetstream().publish('log.a', '{"temperature": 81}');
    const tail = (...flags: string[]) =>
      runCli(['stream', 'tail', `${server.url}/log.>`, '--jetstream', 'log', ...flags]);
    const { stdout, code } = await tail('--from', 'beginning', '--count', '1', '--format', 'raw');
    expect({ stdout, code }).toEqual({ stdout: '{"temperature": 81}\n', code: 0 });
    expect((await tail('--from', 'beginning', '--expect', 'temperature > 80', '--within', '5s')).code).toBe(
      0,
    );
    expect(
      (await tail('--from', 'beginning', '--expect', 'temperature > 90', '--within', '300ms')).code,
    ).toBe(124);
    expect((await tail('--from', 'beginning', '--never', 'temperature > 80', '--for', '5s')).code).toBe(6);
    await makeStream('jobs', { retention: 'workqueue' });
    const refused = await runCli(['stream', 'tail', `${server.url}/jobs.>`, '--jetstream', 'jobs']);
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('--durable NAME') });
  });

  it('report a missing stream, an unstored subject and an oversized message', async () => {
    await expect(openSource(`${server.url}/a?stream=nowhere`)).rejects.toMatchObject({
      code: 'AIOT_STREAM_TOPIC_NOT_FOUND',
    });
    await expect(openSource(`${server.url}/a`, { from: 'beginning' })).rejects.toMatchObject({
      code: 'AIOT_STREAM_TOPIC_NOT_FOUND',
      message: `${server.url}: no stream stores a`,
    });
    await makeStream('kept');
    const sink = await openSink(`${server.url}/other?stream=kept`);
    await expect(sink.write([{ topic: '', payload: bytes('x') }])).rejects.toMatchObject({
      code: 'AIOT_BROKER_REFUSED',
      message: `${server.url}: the stream kept stores kept.>, but not other`,
    });
    await expect(sink.write([{ topic: 'kept.a', payload: Buffer.alloc(2_000_000) }])).rejects.toMatchObject({
      code: 'AIOT_STREAM_MESSAGE_REFUSED',
    });
    await sink.close();
  });

  it('drop and count unread messages in a flood, or fail if they must not drop', async () => {
    const flood = async () => {
      for (let index = 0; index < 5000; index++) judge.publish('flood', 'x'.repeat(100));
      await judge.flush();
      await delay(200);
    };
    const dropping = await openSource(`${server.url}/flood`, { queue: 100 });
    const keeping = await openSource(`${server.url}/flood`, { queue: 100, overflow: 'wait' });
    await flood();
    await expect.poll(() => dropping.dropped, { timeout: 10_000 }).toBe(4900);
    const taken = deliveriesOf(keeping);
    await expect(
      (async () => {
        for (let index = 0; index < 5000; index++) await taken.next();
      })(),
    ).rejects.toMatchObject({ code: 'AIOT_STREAM_OVERFLOW' });
    await dropping.close();
    await keeping.close();
  });

  it('do not redeliver a message that is held longer than the ack wait', async () => {
    await makeStream('held');
    const manager = await judge.jetstreamManager();
    const { AckPolicy, nanos } = await import('nats');
    await manager.consumers.add('held', {
      durable_name: 'd',
      ack_policy: AckPolicy.Explicit,
      ack_wait: nanos(600),
    });
    await judge.jetstream().publish('held.a', 'one');
    const source = await openSource(`${server.url}?stream=held&durable=d`);
    const deliveries = deliveriesOf(source);
    const first = (await deliveries.next()).value;
    await delay(2000);
    const { num_redelivered } = await manager.consumers.info('held', 'd');
    expect(num_redelivered).toBe(0);
    first?.ack();
    await source.close();
    // The server handles acknowledgments apart from the connection's other messages.
    await expect.poll(async () => (await manager.consumers.info('held', 'd')).num_ack_pending).toBe(0);
  });

  it('redeliver unacked messages of a durable consumer after a nack and after its end', async () => {
    await makeStream('work');
    const js = judge.jetstream();
    for (let index = 1; index <= 4; index++) await js.publish('work.a', `${index}`);
    const url = `${server.url}/work.>?stream=work&durable=d1`;
    const source = await openSource(url);
    const deliveries = deliveriesOf(source);
    const one = (await deliveries.next()).value;
    const two = (await deliveries.next()).value;
    const three = (await deliveries.next()).value;
    one?.ack();
    two?.nack();
    three?.ack();
    await source.close();
    three?.nack();
    expect((await take(url, 2)).map(({ payload }) => text(payload)).sort()).toEqual(['2', '4']);
    const manager = await judge.jetstreamManager();
    await expect
      .poll(async () => {
        const { num_ack_pending, num_pending } = await manager.consumers.info('work', 'd1');
        return num_ack_pending + num_pending;
      })
      .toBe(0);
  });

  it('redeliver in-flight messages immediately after a durable consumer leaves', async () => {
    await makeStream('left');
    const js = judge.jetstream();
    const total = 3000;
    await Promise.all(Array.from({ length: total }, (_, n) => js.publish('left.a', `${n}`)));
    const url = `${server.url}/left.>?stream=left&durable=d1`;
    for (let visit = 0; visit < 5; visit++) {
      const source = await openSource(url);
      await source[Symbol.asyncIterator]().next();
      await source.close();
    }
    // Without a nack, the server would wait for 30 s.
    const all = await take(url, total);
    expect(new Set(all.map(({ payload }) => text(payload))).size).toBe(total);
  }, 25_000);

  it('write to a stream with acknowledgment, in order, and each message id once', async () => {
    await makeStream('kept');
    const sink = await openSink(`${server.url}/kept.a`);
    const numbers = [...Array(500).keys()];
    await Promise.all([
      sink.write(numbers.map((index) => ({ topic: '', payload: bytes(`${index}`) }))),
      sink.write(numbers.map((index) => ({ topic: 'kept.b', payload: bytes(`${index}`) }))),
    ]);
    const twice = { topic: 'kept.c', payload: bytes('x'), headers: [['Nats-Msg-Id', 'one'] as const] };
    await sink.write([twice, twice]);
    await sink.close();
    const messages = await take(`${server.url}/kept.>`, 1001, { from: 'beginning' });
    for (const topic of ['kept.a', 'kept.b']) {
      const own = messages.filter((message) => message.topic === topic);
      expect(own.map(({ payload }) => Number(text(payload)))).toEqual(numbers);
    }
    expect(messages.at(-1)).toMatchObject({ topic: 'kept.c', headers: [['Nats-Msg-Id', 'one']] });
    expect((await (await judge.jetstreamManager()).streams.info('kept')).state.messages).toBe(1001);
  });
});
