import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { deliveriesOf, type Message, type Source } from '../../src/lib/stream/message.js';
import { openSink, openSource } from '../../src/lib/stream/open.js';
import { tail } from '../../src/lib/stream/tail/tail.js';
import { startBroker, type TestBroker } from '../support/broker.js';
import { freePort } from '../support/free-port.js';

const closing: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const open of closing.splice(0).reverse()) await open.close();
});

async function broker(options: Parameters<typeof startBroker>[0] = {}): Promise<TestBroker> {
  const started = await startBroker(options);
  closing.push(started);
  return started;
}

async function take(source: Source, count: number): Promise<Message[]> {
  const messages: Message[] = [];
  for await (const { message, ack } of deliveriesOf(source)) {
    messages.push(message);
    ack();
    if (messages.length === count) break;
  }
  return messages;
}

describe('an MQTT stream', () => {
  it('transfers messages in order, with their QoS', async () => {
    const { port } = await broker();
    const source = await openSource(`mqtt://127.0.0.1:${port}/a/#`);
    const sink = await openSink(`mqtt://127.0.0.1:${port}`);
    closing.push(source, sink);
    const taking = take(source, 200);
    const payloads = Array.from({ length: 200 }, (_, i) => String(i));
    await Promise.all(payloads.map((text) => sink.write([{ topic: 'a/b', payload: Buffer.from(text) }])));
    const messages = await taking;
    expect(messages.map(({ payload }) => String(payload))).toEqual(payloads);
    expect(messages[0]).toMatchObject({ topic: 'a/b', qos: 1, source: `mqtt://127.0.0.1:${port}` });
  });

  it('acknowledges a message only after its delivery is acknowledged', async () => {
    let acked = 0;
    const { port, aedes } = await broker();
    aedes.on('ack', () => acked++);
    const source = await openSource(`mqtt://127.0.0.1:${port}/t`);
    const sink = await openSink(`mqtt://127.0.0.1:${port}/t`);
    closing.push(source, sink);
    const iterator = deliveriesOf(source);
    await sink.write([{ topic: 't', payload: Buffer.from('one') }]);
    const { value } = await iterator.next();
    await delay(50);
    expect(acked).toBe(0);
    value?.ack();
    value?.ack();
    await expect.poll(() => acked).toBe(1);
  });

  it('drops and counts messages that a slow reader does not read, then continues', async () => {
    const { port } = await broker();
    const source = await openSource(`mqtt://127.0.0.1:${port}/t`, { queue: 5 });
    const sink = await openSink(`mqtt://127.0.0.1:${port}/t`);
    closing.push(source, sink);
    for (let i = 0; i < 40; i++) await sink.write([{ topic: 't', payload: Buffer.from(String(i)) }]);
    // The broker is blocked first, for two seconds.
    await expect.poll(() => source.dropped, { timeout: 30_000 }).toBe(35);
    const iterator = deliveriesOf(source);
    const next = async () => {
      const { value } = await iterator.next();
      value?.ack();
      return String(value?.message.payload);
    };
    expect([await next(), await next(), await next(), await next(), await next()]).toEqual([...'01234']);
    await sink.write([{ topic: 't', payload: Buffer.from('later') }]);
    expect(await next()).toBe('later');
  });

  it('survives a broker restart', async () => {
    // A port that no connection can take while the broker is down.
    const port = await freePort();
    const first = await startBroker({ port });
    const states: string[] = [];
    const source = await openSource(`mqtt://127.0.0.1:${port}/t`, { onState: (state) => states.push(state) });
    closing.push(source);
    await first.close();
    const subscribed = new Promise<void>((resolve) => {
      void broker({ port, prepare: (aedes) => aedes.once('subscribe', () => resolve()) });
    });
    await subscribed;
    const sink = await openSink(`mqtt://127.0.0.1:${port}/t`);
    closing.push(sink);
    const taking = take(source, 1);
    await sink.write([{ topic: 't', payload: Buffer.from('again') }]);
    expect(String((await taking)[0]?.payload)).toBe('again');
    await source.close();
    expect(states).toEqual(['disconnected', 'connected']);
  });

  it('reports an unreachable broker within two seconds', async () => {
    const { port } = await startBroker().then(async (b) => {
      await b.close();
      return b;
    });
    const started = Date.now();
    await expect(openSource(`mqtt://ann:secret@127.0.0.1:${port}/t`)).rejects.toMatchObject({
      code: 'AIOT_BROKER_UNREACHABLE',
      endpoint: `mqtt://127.0.0.1:${port}`,
      retryable: true,
      message: expect.not.stringContaining('secret'),
    });
    expect(Date.now() - started).toBeLessThan(2000);
  });

  it('gives up on a server that does not respond', async () => {
    const mute = createServer(() => {}).listen(0, '127.0.0.1');
    await new Promise((resolve) => mute.once('listening', resolve));
    const { port } = mute.address() as { port: number };
    await expect(openSource(`mqtt://127.0.0.1:${port}/t`, { connectTimeoutMs: 200 })).rejects.toMatchObject({
      code: 'AIOT_BROKER_UNREACHABLE',
      message: expect.stringMatching(/200 ms|connack timeout/),
    });
    mute.close();
  });

  it('reports a denied login, subscription or publication', async () => {
    const { port } = await broker({
      prepare: (aedes) => {
        aedes.authenticate = (_client, username, _password, done) => {
          if (username === 'ann') done(null, true);
          else done(Object.assign(new Error('no'), { returnCode: 5 as never }), false);
        };
        aedes.authorizeSubscribe = (_client, subscription, done) =>
          done(null, subscription.topic === 'x' ? null : subscription);
        aedes.authorizePublish = (_client, packet, done) =>
          done(packet.topic === 'x' ? new Error('no') : null);
      },
    });
    const refused = { code: 'AIOT_BROKER_REFUSED' };
    await expect(openSource(`mqtt://bob@127.0.0.1:${port}/t`)).rejects.toMatchObject(refused);
    // The user in the URL is accepted; only the topic is rejected.
    await expect(openSource(`mqtt://ann@127.0.0.1:${port}/x`)).rejects.toMatchObject({
      ...refused,
      message: expect.stringContaining('subscribe'),
    });
    await expect(openSource(`mqtt://127.0.0.1:${port}/x`, { username: 'ann' })).rejects.toMatchObject({
      ...refused,
      message: `mqtt://127.0.0.1:${port} does not permit this client to subscribe to x`,
    });
    const sink = await openSink(`mqtt://127.0.0.1:${port}/x`, { username: 'ann' });
    closing.push(sink);
    await expect(sink.write([{ topic: 'x', payload: Buffer.from('1') }])).rejects.toMatchObject(refused);
  });
});

describe('following a stream', () => {
  it('ends after the given time and reports the number of messages', async () => {
    const { port } = await broker();
    const url = `mqtt://127.0.0.1:${port}/t`;
    await expect(tail({ urls: [url], forMs: 100 }, { show: () => {} })).resolves.toEqual({
      messages: 0,
      seen: 0,
      checked: 0,
      missing: [],
      missingTexts: [],
      dropped: 0,
      failed: 0,
      ended: 'for',
    });
    await expect(tail({ urls: [url], count: 3, timeoutMs: 100 }, { show: () => {} })).rejects.toMatchObject({
      code: 'AIOT_TIMEOUT',
      exit: 124,
    });
    await expect(
      tail({ urls: [url], signal: AbortSignal.timeout(1000) }, { show: () => {} }),
    ).resolves.toMatchObject({
      ended: 'interrupted',
      seen: 0,
    });
    const counted = tail({ urls: [url], count: 3, signal: AbortSignal.timeout(1000) }, { show: () => {} });
    await expect(counted).rejects.toMatchObject({
      code: 'AIOT_INTERRUPTED',
      message: 'stopped after 0 messages',
    });
  });
});
