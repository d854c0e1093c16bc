import { once } from 'node:events';
import { connect as connectSocket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { filterCovers, isFilter, topicMatcher } from '../../src/lib/platform/broker/topics.js';
import type { Delivery, Source } from '../../src/lib/stream/message.js';
import { connectBoard } from '../support/board.js';
import { connect } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { fc, runs } from '../support/property.js';

let own: TestPlatform;
beforeAll(async () => {
  own = await testPlatform({
    plain: { port: 0 },
    boards: { host: '127.0.0.1', port: 0, publish: ['iotkit/#'], subscribe: ['iotkit/actors/#'] },
  });
});
afterAll(() => own.stop());

const boardPort = () => Number(own.platform.urls.boards?.split(':').at(-1));
const operator = () => connect(own.platform.urls.mqtt ?? '', { username: 'operator', password: own.token });
/** Reads the deliveries of a source one by one. */
function reading(source: Source) {
  const batches = source[Symbol.asyncIterator]();
  let held: readonly Delivery[] = [];
  return async (): Promise<Delivery> => {
    while (held.length === 0) {
      const { value, done } = await batches.next();
      if (done) throw new Error('the source has ended');
      held = value;
    }
    const [first, ...rest] = held;
    held = rest;
    return first!;
  };
}
const textOf = ({ message }: Delivery) => Buffer.from(message.payload).toString();
const state = async (promise: Promise<unknown>, ms = 60) =>
  Promise.race([
    promise.then(
      () => 'done',
      () => 'failed',
    ),
    new Promise((resolve) => setTimeout(resolve, ms, 'waits')),
  ]);

describe('a source in the broker’s process', () => {
  it('delays the publisher’s PUBACK until its message is acked', async () => {
    const source = await own.platform.streams.openSource('held/+', { overflow: 'wait' });
    const next = reading(source);
    const publisher = await operator();
    const published = publisher.publishAsync('held/1', 'one', { qos: 1 });
    const delivery = await next();
    expect([textOf(delivery), delivery.message.topic, delivery.message.qos]).toEqual(['one', 'held/1', 1]);
    expect(await state(published)).toBe('waits');
    delivery.ack();
    await published;
    await source.close();
    await publisher.endAsync(true);
  });

  it('allows more than one message in flight', async () => {
    const source = await own.platform.streams.openSource('many', { overflow: 'wait' });
    const next = reading(source);
    const publisher = await operator();
    const published = Promise.all(
      Array.from({ length: 50 }, (_, i) => publisher.publishAsync('many', `${i}`, { qos: 1 })),
    );
    const taken: Delivery[] = [];
    while (taken.length < 50) taken.push(await next());
    expect(taken.map(textOf)).toEqual(Array.from({ length: 50 }, (_, i) => `${i}`));
    for (const delivery of taken) delivery.ack();
    await published;
    await source.close();
    await publisher.endAsync(true);
  });

  it('sends no PUBACK for a nacked message, so the publisher sends it again', async () => {
    const source = await own.platform.streams.openSource('again', { overflow: 'wait' });
    const next = reading(source);
    const publisher = await connect(own.platform.urls.mqtt ?? '', {
      ...{ username: 'operator', password: own.token, clientId: 'again', clean: false, reconnectPeriod: 20 },
    });
    const published = publisher.publishAsync('again', 'once more', { qos: 1 });
    (await next()).nack();
    const second = await next();
    expect(textOf(second)).toBe('once more');
    second.ack();
    await published;
    await source.close();
    await publisher.endAsync(true);
  });

  it('waits for every reader except those whose filter does not match', async () => {
    const [first, second, other] = await Promise.all(
      ['two/#', 'two/+', 'other/#'].map((filter) => own.platform.streams.openSource(filter)),
    );
    const publisher = await operator();
    const published = publisher.publishAsync('two/1', 'x', { qos: 1 });
    (await reading(first!)()).ack();
    expect(await state(published)).toBe('waits');
    (await reading(second!)()).ack();
    await published;
    await Promise.all([first, second, other].map((source) => source!.close()));
    await publisher.endAsync(true);
  });

  it('receives everything from a client that exceeds its window and leaves immediately, but not its will', async () => {
    const source = await own.platform.streams.openSource('iotkit/#', { overflow: 'wait' });
    const next = reading(source);
    const text = (value: string) => Buffer.concat([Buffer.from([0, value.length]), Buffer.from(value)]);
    const packet = (head: number, ...parts: Buffer[]) => {
      const body = Buffer.concat(parts);
      return Buffer.concat([Buffer.from([head, body.length]), body]);
    };
    const socket = connectSocket({ host: '127.0.0.1', port: boardPort() });
    // MQTT 3.1.1, a clean session, a name and a password, and a will at QoS 0 (section 3.1.2.3).
    const flags = Buffer.from([4, 0xc6, 0, 0]);
    const fields = ['hasty', 'iotkit/will', 'gone', 'any', 'any'].map(text);
    socket.write(packet(0x10, text('MQTT'), flags, ...fields));
    await once(socket, 'data');
    const messages = Array.from({ length: 3000 }, (_, i) => `${i}`);
    const published = messages.map((message) => packet(0x30, text('iotkit/a'), Buffer.from(message)));
    socket.end(Buffer.concat([...published, packet(0xe0)]));
    await once(socket, 'close');
    const taken: string[] = [];
    while (taken.length < messages.length) {
      const delivery = await next();
      taken.push(textOf(delivery));
      delivery.ack();
    }
    expect(taken).toEqual(messages);
    expect(await state(next())).toBe('waits');
    await source.close();
  });

  it('starts with retained messages, and releases unacked ones when it is closed', async () => {
    const publisher = await operator();
    await publisher.publishAsync('kept/1', 'retained', { qos: 1, retain: true });
    const source = await own.platform.streams.openSource('kept/#');
    const next = reading(source);
    const first = await next();
    expect([textOf(first), first.message.retain]).toEqual(['retained', true]);
    const published = publisher.publishAsync('kept/2', 'never acked', { qos: 0 });
    await next();
    await published;
    await source.close();
    await expect(next()).rejects.toThrow('ended');
    await publisher.endAsync(true);
  });

  it.each([
    ['drop', 'acknowledges and counts messages that do not fit', 'done', 48],
    ['wait', 'blocks its publisher when it is full', 'waits', 0],
  ] as const)('with overflow %s, %s', async (overflow, _, expected, dropped) => {
    const source = await own.platform.streams.openSource(`full/${overflow}`, { overflow, queue: 2 });
    const publisher = await operator();
    const published = Array.from({ length: 50 }, () =>
      publisher.publishAsync(`full/${overflow}`, 'x', { qos: 1 }),
    );
    if (expected === 'done') await published.at(-1);
    else expect(await state(published.at(-1)!, 300)).toBe(expected);
    expect(source.dropped).toBe(dropped);
    const next = reading(source);
    for (let left = 50 - dropped; left > 0; left--) (await next()).ack();
    await Promise.all(published);
    await source.close();
    await publisher.endAsync(true);
  });
});

describe('an expected reader', () => {
  it('receives messages sent before it connected and while it was gone', async () => {
    const { streams } = own.platform;
    streams.expect('late', 'late/#');
    const publisher = await operator();
    const first = publisher.publishAsync('late/1', 'first', { qos: 1 });
    const other = await streams.openSource('late/#');
    expect(await state(first)).toBe('waits');
    const take = async () => {
      const source = await streams.openSource('late/#', { name: 'late' });
      const delivery = await reading(source)();
      delivery.ack();
      (await reading(other)()).ack();
      await source.close();
      return textOf(delivery);
    };
    expect(await take()).toBe('first');
    await first;
    const second = publisher.publishAsync('late/2', 'second', { qos: 1 });
    expect(await state(second)).toBe('waits');
    expect(await take()).toBe('second');
    await second;
    await publisher.publishAsync('elsewhere', 'does not wait', { qos: 1 });
    await Promise.all([other.close(), publisher.endAsync(true)]);
  });
});

describe('a sink in the broker’s process', () => {
  it('resolves when local readers have acked, and also reaches subscribers', async () => {
    const source = await own.platform.streams.openSource('chain/#', { overflow: 'wait' });
    const sink = await own.platform.streams.openSink('chain/own');
    const subscriber = await operator();
    const heard = new Promise<string>((resolve) =>
      subscriber.on('message', (topic, payload) => resolve(`${topic} ${payload}`)),
    );
    await subscriber.subscribeAsync('chain/#', { qos: 1 });
    const written = sink.write([{ topic: '', payload: Buffer.from('hello') }]);
    const delivery = await reading(source)();
    expect(await state(written)).toBe('waits');
    delivery.ack();
    await written;
    expect(await heard).toBe('chain/own hello');
    await Promise.all([source.close(), sink.close(), subscriber.endAsync(true)]);
  });
});

describe('the listener for boards', () => {
  it('accepts MQTT 3.1 with any password, and payloads with a trailing NUL', async () => {
    const source = await own.platform.streams.openSource('iotkit/#');
    const board = await connectBoard(boardPort(), 'aa:bb:cc:00:00:01', 'anything');
    const sent = board.sendAcknowledged('iotkit/sensor', '0xBC,26.31,41.2,low');
    const delivery = await reading(source)();
    expect(textOf(delivery)).toBe('0xBC,26.31,41.2,low\0');
    delivery.ack();
    await sent;
    await source.close();
    board.end();
  });

  it('delivers only the topics meant for boards', async () => {
    const board = await connectBoard(boardPort());
    expect(await board.subscribe('iotkit/actors/#')).toBe(0);
    expect(await board.subscribe('iotkit/#')).toBe(128);
    const publisher = await operator();
    await publisher.publishAsync('iotkit/actors/servo2', '0.5', { qos: 1 });
    await expect
      .poll(() => board.received.map(({ topic, payload }) => `${topic} ${payload}`))
      .toEqual(['iotkit/actors/servo2 0.5']);
    await publisher.endAsync(true);
    board.end();
  });

  it.each(['elsewhere/x', 'aiot/v1/dev/reported'])('rejects messages on %s', async (topic) => {
    const board = await connectBoard(boardPort());
    board.send(topic, 'x');
    await board.closed;
  });

  it('acknowledges and drops messages on $SYS/x', async () => {
    const reader = await operator();
    const topics: string[] = [];
    reader.on('message', (topic) => topics.push(topic));
    await reader.subscribeAsync(['$SYS/x', 'iotkit/+']);
    const board = await connectBoard(boardPort());
    await board.sendAcknowledged('$SYS/x', 'x');
    await board.sendAcknowledged('iotkit/sensor', 'x');
    await expect.poll(() => topics).toEqual(['iotkit/sensor']);
    await reader.endAsync(true);
    board.end();
  });

  it('is the only listener that requires no token', async () => {
    const plain = Number(own.platform.urls.mqtt?.split(':').at(-1));
    await expect(connectBoard(plain)).rejects.toThrow('CONNACK 4');
  });
});

describe('a topic filter', () => {
  it.each([
    ['a/b', 'a/b', true],
    ['a/b', 'a/c', false],
    ['a/+', 'a/b', true],
    ['a/+', 'a', false],
    ['a/+', 'a/', true],
    ['a/+', 'a/b/c', false],
    ['a/#', 'a', true],
    ['a/#', 'a/b/c', true],
    ['a/#', 'ab', false],
    ['#', 'a/b', true],
    ['#', '$SYS/x', false],
    ['+/x', '$SYS/x', false],
    ['+/+', '/x', true],
    ['+', '/x', false],
    ['$SYS/#', '$SYS/x', true],
  ])('%s matches %s: %s', (filter, topic, fits) => {
    expect(topicMatcher(filter)(topic)).toBe(fits);
  });

  it.each([
    ['', false],
    ['a/#/b', false],
    ['a#', false],
    ['a+/b', false],
    ['+/a/#', true],
    ['/', true],
  ])('"%s" is valid: %s', (text, is) => expect(isFilter(text)).toBe(is));

  it('covers another only if it matches every topic that the other matches', () => {
    const level = fc.constantFrom('a', 'b', '$x', '');
    const topic = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join('/'));
    const filter = fc
      .tuple(fc.array(fc.oneof(level, fc.constant('+')), { maxLength: 3 }), fc.boolean())
      .map(([levels, rest]) => [...levels, ...(rest ? ['#'] : [])].join('/'))
      .filter((text) => text !== '');
    fc.assert(
      fc.property(filter, filter, topic, (allowed, wanted, at) => {
        if (!filterCovers(allowed, wanted) || !topicMatcher(wanted)(at)) return;
        expect(topicMatcher(allowed)(at)).toBe(true);
      }),
      { numRuns: runs(3000) },
    );
    expect(filterCovers('iotkit/actors/#', 'iotkit/actors/servo2')).toBe(true);
    expect(filterCovers('iotkit/actors/#', 'iotkit/actors/#')).toBe(true);
    expect(filterCovers('iotkit/+', 'iotkit/+')).toBe(true);
    expect(filterCovers('iotkit/+', 'iotkit/#')).toBe(false);
  });
});
