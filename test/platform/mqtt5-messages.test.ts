import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { generate } from 'mqtt-packet';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/lib/core/time.js';
import { connect } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { hello, publish, type RawMqtt } from '../support/raw-mqtt.js';
import {
  connectFive,
  connectFour,
  heardPayload,
  killed,
  messagesSoFar,
  subscribed,
} from '../support/raw-mqtt5.js';

let own: TestPlatform;
afterEach(() => own.stop());

/** Time that tests let pass, ms. */
let passed = 0;
const clock = { ...systemClock, now: () => Date.now() + passed };
const start = async (options: Parameters<typeof testPlatform>[0] = {}) => {
  passed = 0;
  own = await testPlatform({ clock, plain: { port: 0 }, ...options });
};
const kept = { sessionExpiryInterval: 3600 };
/** Creates an offline subscriber with a persistent session. */
const awayReader = async (filter: string, more: object = {}) => {
  const { raw } = await connectFive(own, { clientId: 'reader', clean: false, properties: kept });
  await subscribed(raw, { topic: filter, qos: 2, ...more });
  raw.say({ cmd: 'disconnect', reasonCode: 0 } as never);
  await raw.closed;
};
const readerBack = async (more: object = {}) =>
  (await connectFive(own, { clientId: 'reader', clean: false, properties: { ...kept, ...more } })).raw;
/** Publishes at QoS 1, and returns the reason code. */
const acknowledgedBy = async (raw: RawMqtt, more: object) => {
  raw.say(publish({ qos: 1, messageId: 9, ...more }));
  return (await raw.hear('puback'))?.reasonCode;
};

describe('properties of a message', () => {
  const properties = {
    payloadFormatIndicator: true,
    contentType: 'text/plain',
    responseTopic: 'answers/1',
    correlationData: Buffer.from([0, 1, 255]),
    userProperties: { a: ['1', '2'], '': 'empty', ä: 'ö' },
  };

  it('reach subscribers unchanged at each QoS, and 3.1.1 subscribers get the message without them', async () => {
    await start();
    const { raw: five } = await connectFive(own, { clientId: 'five' });
    const four = await connectFour(own, { clientId: 'four' });
    for (const raw of [five, four]) await subscribed(raw, { topic: 't', qos: 2 });
    const { raw: writer } = await connectFive(own, { clientId: 'writer' });
    for (const qos of [0, 1, 2]) {
      writer.say(publish({ topic: 't', payload: `${qos}`, qos, messageId: qos, properties }));
      const heard = await five.hear('publish');
      expect([String(heard?.payload), heard?.qos, heard?.properties]).toEqual([`${qos}`, qos, properties]);
      expect(await four.hear('publish')).toMatchObject({ qos, topic: 't' });
    }
    const [first] = (await messagesSoFar(four)).map(({ payload }) => String(payload));
    expect(first).toBe('0');
    for (const { socket } of [five, four, writer]) socket.destroy();
  });

  it('keep the order of user properties', async () => {
    await start();
    const { raw } = await connectFive(own);
    await subscribed(raw, { topic: 't' });
    const chunks: Buffer[] = [];
    raw.socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    const pair = (name: string, value: string) => [0x26, 0, 1, name.charCodeAt(0), 0, 1, value.charCodeAt(0)];
    const pairs = [...pair('b', '1'), ...pair('a', '2'), ...pair('b', '3')];
    raw.say(Buffer.from([0x30, 4 + pairs.length, 0, 1, 116, pairs.length, ...pairs]));
    await raw.hear('publish');
    expect(Buffer.concat(chunks).includes(Buffer.from(pairs))).toBe(true);
    raw.socket.destroy();
  });

  it('are stored with queued and retained messages when the platform is killed', async () => {
    await start();
    await awayReader('t/+');
    const { raw: writer } = await connectFive(own, { clientId: 'writer' });
    for (const [index, retain] of [false, true].entries())
      expect(await acknowledgedBy(writer, { topic: `t/${index}`, payload: 'x', retain, properties })).toBe(0);
    await killed(own);
    const raw = await readerBack();
    for (const index of [0, 1]) {
      expect(await raw.hear('publish')).toMatchObject({ topic: `t/${index}`, retain: false, properties });
    }
    const { raw: late } = await connectFive(own, { clientId: 'late' });
    await subscribed(late, { topic: 't/#', qos: 1 });
    expect(await late.hear('publish')).toMatchObject({ topic: 't/1', retain: true, properties });
    for (const { socket } of [raw, late]) socket.destroy();
  });

  it('grant no rights: a response topic is subject to the scopes of requester and responder', async () => {
    await start();
    const { token = '' } = (await own.client.tokens.create({
      ...{ name: 'lab', role: 'operator', scopes: ['stream:lab/#'] },
    })) as { token?: string };
    const { raw: all } = await connectFive(own, { clientId: 'all' });
    const { raw: lab } = await connectFive(own, { clientId: 'lab', password: Buffer.from(token) });
    await subscribed(all, { topic: 'lab/ask', qos: 1 });
    await subscribed(lab, { topic: 'lab/ask', qos: 1 });
    const request = { topic: 'lab/ask', properties: { responseTopic: 'hall/answers' } };
    for (const asking of [lab, all]) expect(await acknowledgedBy(asking, request)).toBe(0);
    for (const each of [all, lab]) {
      const heard = await messagesSoFar(each);
      expect(heard.map(({ properties }) => properties?.responseTopic)).toEqual(Array(2).fill('hall/answers'));
    }
    // The response topic alone permits neither reading the response nor sending one.
    const filters = ['hall/answers', '$share/g/hall/answers'].map((topic) => ({ topic, qos: 1 }));
    expect(await subscribed(lab, filters)).toEqual([0x87, 0x87]);
    expect(await acknowledgedBy(lab, { topic: 'hall/answers' })).toBe(0x87);
    expect(await acknowledgedBy(all, { topic: 'hall/answers' })).toBe(0x10);
    expect((await messagesSoFar(lab)).length).toBe(2);
    for (const { socket } of [all, lab]) socket.destroy();
  });

  it('are headers for routes in the platform, in both directions', async () => {
    await start();
    const source = await own.platform.streams.openSource('t/+', {});
    const { raw } = await connectFive(own);
    await subscribed(raw, { topic: 'out' });
    raw.say(publish({ topic: 't/1', properties: { ...properties, messageExpiryInterval: 100 } }));
    for await (const [delivery] of source) {
      expect(Object.fromEntries(delivery?.message.headers ?? [])).toMatchObject({
        'content-type': 'text/plain',
        'mqtt-response-topic': 'answers/1',
        'mqtt-message-expiry-interval': '100',
        a: '2',
      });
      delivery?.ack();
      break;
    }
    const sink = await own.platform.streams.openSink('out');
    const headers = [
      ['trace', '7'],
      ['mqtt-message-expiry-interval', '60'],
    ] as const;
    await sink.write([{ topic: '', payload: Buffer.from('y'), headers }]);
    const heard = await raw.hear('publish');
    expect(heard?.properties).toEqual({ userProperties: { trace: '7' }, messageExpiryInterval: 60 });
    await Promise.all([source.close(), sink.close()]);
    raw.socket.destroy();
  });
});

describe('topic aliases', () => {
  it('of a publisher replace its topics until it disconnects', async () => {
    await start();
    const { raw } = await connectFive(own);
    await subscribed(raw, { topic: 't/+' });
    const alias = { properties: { topicAlias: 5 } };
    raw.say(publish({ topic: 't/1', payload: 'one', ...alias }));
    raw.say(publish({ topic: '', payload: 'two', ...alias }));
    raw.say(publish({ topic: 't/2', payload: 'three', ...alias }));
    raw.say(publish({ topic: '', payload: 'four', ...alias }));
    const heard = [];
    for (let n = 0; n < 4; n++) heard.push(await raw.hear('publish'));
    expect(heard.map((each) => `${each?.topic} ${each?.payload}`)).toEqual([
      ...['t/1 one', 't/1 two', 't/2 three', 't/2 four'],
    ]);
    // The publisher's aliases are independent of the subscriber's.
    expect(heard.every((each) => each?.properties?.topicAlias === undefined)).toBe(true);
    raw.socket.destroy();
    const { raw: again } = await connectFive(own);
    again.say(publish({ topic: '', ...alias }));
    expect(await again.hear('disconnect')).toMatchObject({ reasonCode: 0x82 });
  });

  it('are used for a subscriber up to its maximum', async () => {
    await start();
    const { raw } = await connectFive(own, { properties: { topicAliasMaximum: 1 } });
    await subscribed(raw, { topic: 't/+', qos: 1 });
    for (const [topic, qos] of [
      ['t/1', 0],
      ['t/1', 1],
      ['t/2', 0],
      ['t/1', 0],
    ] as const)
      raw.say(publish({ topic, qos, messageId: 4 }));
    const heard = [];
    for (let n = 0; n < 4; n++) heard.push(await raw.hear('publish'));
    expect(heard.map((each) => [each?.topic, each?.properties?.topicAlias])).toEqual([
      ['t/1', 1],
      ['', 1],
      ['t/2', undefined],
      ['', 1],
    ]);
    raw.socket.destroy();
  });
});

describe('the message expiry interval', () => {
  it('counts down, and drops a queued message when it ends, even if the platform was killed', async () => {
    await start();
    await awayReader('t/+');
    const { raw: writer } = await connectFive(own, { clientId: 'writer' });
    for (const [topic, messageExpiryInterval] of [
      ['t/short', 1],
      ['t/long', 100],
    ] as const)
      await acknowledgedBy(writer, { topic, properties: { messageExpiryInterval } });
    passed += 1300;
    const raw = await readerBack();
    const [heard] = await messagesSoFar(raw);
    expect(heard?.topic).toBe('t/long');
    expect(heard?.properties?.messageExpiryInterval).toBeLessThan(100);
    expect(heard?.properties?.messageExpiryInterval).toBeGreaterThan(90);
    raw.say({ cmd: 'puback', messageId: heard?.messageId ?? 0, reasonCode: 0 } as never);
    raw.say({ cmd: 'disconnect', reasonCode: 0 } as never);
    await raw.closed;
    for (const [topic, messageExpiryInterval] of [
      ['t/short', 1],
      ['t/long', 100],
    ] as const)
      await acknowledgedBy(writer, { topic, properties: { messageExpiryInterval } });
    await killed(own, async () => {
      passed += 1300;
    });
    const again = await readerBack();
    expect((await messagesSoFar(again)).map(({ topic }) => topic)).toEqual(['t/long']);
    again.socket.destroy();
  });

  it('deletes a retained message, even after a restart', async () => {
    await start();
    const { raw: writer } = await connectFive(own, { clientId: 'writer' });
    const retain = (topic: string, messageExpiryInterval: number) =>
      acknowledgedBy(writer, { topic, retain: true, properties: { messageExpiryInterval } });
    await retain('t/1', 60);
    await retain('t/2', 600);
    const read = async () => {
      const { raw } = await connectFive(own, { clientId: 'late' });
      await subscribed(raw, { topic: 't/#' });
      const topics = (await messagesSoFar(raw)).map(({ topic }) => topic);
      raw.socket.destroy();
      return topics;
    };
    expect(await read()).toEqual(['t/1', 't/2']);
    passed += 60_300;
    expect(await read()).toEqual(['t/2']);
    await own.restart();
    expect(await read()).toEqual(['t/2']);
  });

  it('also applies to 3.1.1 subscribers', async () => {
    await start();
    const four = await connectFour(own, { clientId: 'four', clean: false });
    await subscribed(four, { topic: 't', qos: 1 });
    four.say({ cmd: 'disconnect' });
    await four.closed;
    const { raw: writer } = await connectFive(own, { clientId: 'writer' });
    await acknowledgedBy(writer, { topic: 't', properties: { messageExpiryInterval: 1 } });
    passed += 1300;
    const back = await connectFour(own, { clientId: 'four', clean: false });
    expect(await messagesSoFar(back)).toEqual([]);
    for (const { socket } of [back, writer]) socket.destroy();
  });
});

describe('reason codes of acknowledgments', () => {
  it('inform a publisher that there are no subscribers', async () => {
    await start();
    const { raw } = await connectFive(own);
    expect(await acknowledgedBy(raw, { topic: 'none' })).toBe(0x10);
    raw.say(publish({ topic: 'none', qos: 2, messageId: 1 }));
    expect(await raw.hear('pubrec')).toMatchObject({ reasonCode: 0x10 });
    await subscribed(raw, { topic: 'some' });
    expect(await acknowledgedBy(raw, { topic: 'some' })).toBe(0);
    // The publisher's own subscription matches, although No Local excludes it.
    await subscribed(raw, { topic: 'own', nl: true });
    expect(await acknowledgedBy(raw, { topic: 'own' })).toBe(0);
    raw.socket.destroy();
  });

  it('reject a message without ending the connection', async () => {
    await start({ brokerLimits: { payloadBytes: 1000, retainedMessages: 1 } });
    const { raw } = await connectFive(own);
    expect(await acknowledgedBy(raw, { topic: '$SYS/x' })).toBe(0x87);
    raw.say(publish({ topic: '$SYS/x', qos: 2, messageId: 1 }));
    expect(await raw.hear('pubrec')).toMatchObject({
      reasonCode: 0x87,
      properties: { reasonString: 'not allowed' },
    });
    expect(await acknowledgedBy(raw, { payload: Buffer.alloc(1001) })).toBe(0x97);
    expect(await acknowledgedBy(raw, { topic: 'r/1', retain: true })).toBe(0x10);
    expect(await acknowledgedBy(raw, { topic: 'r/2', retain: true })).toBe(0x97);
    expect(await acknowledgedBy(raw, { topic: 'r/2', retain: false })).toBe(0x10);
    raw.socket.destroy();
  });

  it('have no text for a client that did not request problem information', async () => {
    await start();
    const { raw } = await connectFive(own, { properties: { requestProblemInformation: false } });
    raw.say(publish({ topic: '$SYS/x', qos: 1, messageId: 1 }));
    const told = await raw.hear('puback');
    expect(told).toMatchObject({ reasonCode: 0x87 });
    expect(told?.properties).toBeUndefined();
    raw.socket.destroy();
  });

  it('report unknown packet ids, and tolerate acknowledgments that need no response', async () => {
    await start();
    const { raw } = await connectFive(own);
    raw.say({ cmd: 'pubrel', messageId: 5, reasonCode: 0 } as never);
    expect(await raw.hear('pubcomp')).toMatchObject({ messageId: 5, reasonCode: 0x92 });
    raw.say({ cmd: 'pubrec', messageId: 6, reasonCode: 0 } as never);
    expect(await raw.hear('pubrel')).toMatchObject({ messageId: 6, reasonCode: 0x92 });
    for (const cmd of ['puback', 'pubcomp']) raw.say({ cmd, messageId: 7, reasonCode: 0 } as never);
    expect(await messagesSoFar(raw)).toEqual([]);
    raw.socket.destroy();
  });

  it('of a subscriber end a delivery: a rejected message is not sent again', async () => {
    await start();
    const { raw } = await connectFive(own, { clientId: 'reader', clean: false, properties: kept });
    await subscribed(raw, { topic: 't', qos: 2 });
    raw.say(publish({ topic: 't', qos: 2, messageId: 3 }));
    const heard = await raw.hear('publish');
    raw.say({ cmd: 'pubrec', messageId: heard?.messageId ?? 0, reasonCode: 0x97 } as never);
    expect((await messagesSoFar(raw)).length).toBe(1);
    expect(raw.packets.some(({ cmd }) => cmd === 'pubrel')).toBe(false);
    raw.socket.destroy();
    await raw.closed;
    const again = await readerBack();
    expect(await messagesSoFar(again)).toEqual([]);
    again.socket.destroy();
  });
});

describe('a topic that begins with $', () => {
  it('is acknowledged and dropped: MQTT 3.1.1 has no reason codes', async () => {
    await start();
    const four = await connectFour(own, { clientId: 'four' });
    await subscribed(four, { topic: '$x/#', qos: 2 });
    for (const topic of ['$SYS/broker/version', '$x/y']) {
      for (const qos of [0, 1, 2]) four.say(publish({ topic, qos, messageId: qos, retain: true }));
      expect(await four.hear('puback')).toMatchObject({ messageId: 1 });
      expect(await four.hear('pubrec')).toMatchObject({ messageId: 2 });
      four.say({ cmd: 'pubrel', messageId: 2 } as never);
      expect(await four.hear('pubcomp')).toMatchObject({ messageId: 2 });
    }
    expect(await messagesSoFar(four)).toEqual([]);
    const late = await connectFour(own, { clientId: 'late' });
    await subscribed(late, { topic: '$x/#' });
    expect(await messagesSoFar(late)).toEqual([]);
    for (const { socket } of [four, late]) socket.destroy();
  });
});

describe('DUP', () => {
  const writes = async (payloads: string[]) => {
    const writer = await connect(own.platform.urls.mqtt ?? '', { username: 'u', password: own.token });
    for (const payload of payloads) await writer.publishAsync('t', payload, { qos: 1 });
    await writer.endAsync();
  };
  const heardBy = async (raw: RawMqtt) =>
    (await messagesSoFar(raw)).map(({ payload, dup }) => `${payload}${dup ? ' again' : ''}`);

  it('is not set after a restart for messages that were never sent', async () => {
    await start();
    await awayReader('t');
    await writes(['a', 'b']);
    await own.restart();
    const raw = await readerBack({ receiveMaximum: 1 });
    expect(await heardBy(raw)).toEqual(['a']);
    await own.restart();
    const again = await readerBack();
    expect(await heardBy(again)).toEqual(['a again', 'b']);
    again.socket.destroy();
  });

  it('is not set after a kill for messages that arrived while the client was offline', async () => {
    await start();
    await awayReader('t');
    await writes(['a', 'b']);
    await killed(own);
    // The second start reads the log that the first one rewrote.
    await killed(own);
    const raw = await readerBack({ receiveMaximum: 1 });
    expect(await heardBy(raw)).toEqual(['a']);
    raw.socket.destroy();
    await raw.closed;
    await writes(['c']);
    await killed(own);
    const again = await readerBack();
    expect(await heardBy(again)).toEqual(['a again', 'b', 'c']);
    again.socket.destroy();
  });

  it('is set after a kill for all messages that may have been sent to a connected client', async () => {
    await start();
    await awayReader('t');
    await writes(['a', 'b']);
    await readerBack({ receiveMaximum: 1 });
    await killed(own);
    await writes(['c']);
    await killed(own);
    const again = await readerBack();
    expect(await heardBy(again)).toEqual(['a again', 'b again', 'c']);
    again.socket.destroy();
  });
});

describe('packets sent together', () => {
  it('are handled in order: a subscription gets the retained message published before it', async () => {
    await start();
    const four = await connectFour(own, { clientId: 'four' });
    const { raw: five } = await connectFive(own, { clientId: 'five' });
    for (const [index, raw] of [four, five].entries()) {
      const topic = `kept/${index}`;
      const request = { cmd: 'subscribe', messageId: 9, subscriptions: [{ topic, qos: 1 }] };
      raw.say(
        publish({ topic, qos: 1, messageId: 1, payload: 'one', retain: true }),
        publish({ topic, qos: 0, payload: 'two', retain: true }),
        request as never,
        publish({ topic, qos: 0, payload: 'three' }),
        { cmd: 'unsubscribe', messageId: 10, unsubscriptions: [topic] } as never,
        publish({ topic, qos: 1, messageId: 2, payload: 'four' }),
      );
      await raw.hear('unsuback');
      const heard = (await messagesSoFar(raw)).map(({ payload, retain }) => [String(payload), retain]);
      expect(heard).toEqual([
        ['two', true],
        ['three', false],
      ]);
    }
    for (const { socket } of [four, five]) socket.destroy();
  });

  it('are handled even if the connection closes immediately', async () => {
    await start();
    await awayReader('elsewhere');
    const raw = await readerBack();
    raw.say(
      publish({ topic: 't', qos: 1, messageId: 1, payload: 'before', retain: true }),
      { cmd: 'subscribe', messageId: 9, subscriptions: [{ topic: 't', qos: 1 }] } as never,
      { cmd: 'disconnect', reasonCode: 0 } as never,
    );
    raw.socket.end();
    await raw.closed;
    const writer = await connect(own.platform.urls.mqtt ?? '', { username: 'u', password: own.token });
    await writer.publishAsync('t', 'after', { qos: 1 });
    await writer.endAsync();
    const again = await readerBack();
    await expect
      .poll(async () => (await messagesSoFar(again)).map(({ payload }) => String(payload)))
      .toContain('after');
    again.socket.destroy();
  });
});

describe('the receive maximum', () => {
  it('of a subscriber limits the messages in flight to it, at QoS 1 and 2 together', async () => {
    await start();
    const { raw } = await connectFive(own, { properties: { receiveMaximum: 2 } });
    await subscribed(raw, { topic: 't', qos: 2 });
    const writer = await connect(own.platform.urls.mqtt ?? '', { username: 'u', password: own.token });
    for (const qos of [1, 2, 1, 1] as const) await writer.publishAsync('t', `${qos}`, { qos });
    await writer.publishAsync('t', 'free', { qos: 0 });
    // QoS 0 is not limited.
    await expect
      .poll(async () => (await messagesSoFar(raw)).map(({ payload }) => String(payload)))
      .toEqual(['1', '2', 'free']);
    const so = await messagesSoFar(raw);
    const [one, two] = so.map(({ messageId }) => messageId);
    raw.say({ cmd: 'pubrec', messageId: two, reasonCode: 0 } as never);
    expect(await raw.hear('pubrel')).toMatchObject({ messageId: two });
    expect((await messagesSoFar(raw)).length).toBe(3);
    raw.say({ cmd: 'puback', messageId: one, reasonCode: 0 } as never);
    expect((await messagesSoFar(raw)).length).toBe(4);
    raw.say({ cmd: 'pubcomp', messageId: two, reasonCode: 0 } as never);
    expect((await messagesSoFar(raw)).length).toBe(5);
    raw.socket.destroy();
    await writer.endAsync(true);
  });

  it('of the broker ends a connection that exceeds it', async () => {
    await start({ brokerLimits: { incoming: 3 } });
    const { raw, connack } = await connectFive(own);
    expect(connack.properties?.receiveMaximum).toBe(3);
    for (let messageId = 1; messageId <= 4; messageId++) raw.say(publish({ qos: 2, messageId }));
    expect(await raw.hear('disconnect')).toMatchObject({ reasonCode: 0x93 });
  });

  it('is reported to a client that still sends when the connection ends', async () => {
    await start({ brokerLimits: { incoming: 1 } });
    const errors: Error[] = [];
    const chunks: Buffer[] = [];
    const port = Number(new URL(own.platform.urls.mqtt ?? '').port);
    const socket = connectTcp({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('error', (error) => errors.push(error)).on('data', (chunk: Buffer) => chunks.push(chunk));
    const form = { protocolVersion: 5 };
    const who = { username: 'u', password: Buffer.from(own.token) };
    socket.write(generate(hello({ protocolVersion: 5, ...who }), form));
    for (const messageId of [1, 2]) socket.write(generate(publish({ qos: 2, messageId }), form));
    await once(socket, 'end');
    for (let n = 0; n < 3; n++) {
      socket.write(Buffer.from([0x62, 2, 0, 1]));
      await delay(50);
    }
    expect(errors).toEqual([]);
    expect(Buffer.concat(chunks).includes(Buffer.from([0xe0]))).toBe(true);
    socket.end();
    await once(socket, 'close');
  });
});

describe('the maximum packet size of a subscriber', () => {
  it('drops a message that is too large for that subscriber only, and its queue continues', async () => {
    await start();
    const { raw: small } = await connectFive(own, {
      ...{ clientId: 'small', properties: { maximumPacketSize: 200 } },
    });
    const { raw: large } = await connectFive(own, { clientId: 'large' });
    for (const raw of [small, large]) await subscribed(raw, { topic: 't', qos: 1 });
    const { raw: writer } = await connectFive(own, { clientId: 'writer' });
    for (const qos of [0, 1] as const) {
      for (const payload of ['before', 'x'.repeat(300), 'behind'])
        writer.say(publish({ topic: 't', payload, qos, messageId: 1 }));
    }
    await writer.hear('puback');
    await expect.poll(async () => (await messagesSoFar(large)).length).toBe(6);
    const payloads = (await messagesSoFar(small)).map(({ payload }) => String(payload));
    expect(payloads).toEqual(['before', 'behind', 'before', 'behind']);
    for (const { socket } of [small, large, writer]) socket.destroy();
  });
});

describe('a slow subscriber', () => {
  it('does not slow down others, even if it acknowledges messages but never catches up', async () => {
    await start();
    const { raw: slow } = await connectFive(own, {
      ...{ clientId: 'slow', properties: { receiveMaximum: 1 } },
    });
    await subscribed(slow, { topic: 't', qos: 1 });
    let ended = false;
    const trickle = (async () => {
      while (!ended) {
        const message = await slow.hear('publish');
        await delay(100);
        if (message) slow.say({ cmd: 'puback', messageId: message.messageId, reasonCode: 0 } as never);
      }
    })();
    const swift = await connect(own.platform.urls.mqtt ?? '', { username: 'u', password: own.token });
    let count = 0;
    swift.on('message', () => count++);
    await swift.subscribeAsync('t', { qos: 0 });
    const writer = await connect(own.platform.urls.mqtt ?? '', { username: 'u', password: own.token });
    const total = 4000;
    const begun = performance.now();
    await Promise.all(Array.from({ length: total }, () => writer.publishAsync('t', 'x', { qos: 1 })));
    // At the pace of the slow subscriber, this would take 400 seconds.
    await expect.poll(() => count, { timeout: 60_000 }).toBe(total);
    expect(performance.now() - begun).toBeLessThan(60_000);
    ended = true;
    slow.socket.destroy();
    await trickle;
    await Promise.all([swift.endAsync(true), writer.endAsync(true)]);
  });
});

it('a 3.1.1 subscriber gets the payload of an MQTT 5 message, and vice versa', async () => {
  await start();
  const four = await connectFour(own, { clientId: 'four' });
  const { raw: five } = await connectFive(own, { clientId: 'five' });
  for (const raw of [four, five]) await subscribed(raw, { topic: 't', qos: 1 });
  four.say(publish({ topic: 't', qos: 1, messageId: 1, payload: 'from 3.1.1' }));
  for (const raw of [four, five]) expect(await heardPayload(raw)).toBe('from 3.1.1');
  five.say(publish({ topic: 't', payload: 'from 5', properties: { userProperties: { a: 'b' } } }));
  for (const raw of [four, five]) expect(await heardPayload(raw)).toBe('from 5');
  for (const { socket } of [four, five]) socket.destroy();
});
