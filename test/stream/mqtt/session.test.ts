import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { MqttClient } from 'mqtt';
import { afterEach, describe, expect, it } from 'vitest';
import { deliveriesOf, type Source } from '../../../src/lib/stream/message.js';
import { openAdmin, openSink, openSource } from '../../../src/lib/stream/open.js';
import { startBroker, type TestBroker } from '../../support/broker.js';

const closing: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const open of closing.splice(0).reverse()) await open.close();
});
const closed = <T extends { close(): Promise<void> }>(open: T): T => {
  closing.push(open);
  return open;
};
const broker = async (options: Parameters<typeof startBroker>[0] = {}): Promise<TestBroker> =>
  closed(await startBroker(options));

const texts = (count: number) => Array.from({ length: count }, (_, index) => String(index));
const messages = (payloads: string[], topic = 't') =>
  payloads.map((text) => ({ topic, payload: Buffer.from(text) }));

async function take(source: Source, count: number, ackEach = true): Promise<string[]> {
  const taken: string[] = [];
  for await (const { message, ack } of deliveriesOf(source)) {
    taken.push(String(message.payload));
    if (ackEach) ack();
    if (taken.length === count) break;
  }
  return taken;
}

describe('an MQTT session', () => {
  it('finds the internals of mqtt.js that it depends on', () => {
    // These are not in its types, so a new version may lack them.
    const client = new MqttClient(() => undefined as never, { manualConnect: true });
    expect(client).toHaveProperty('streamBuilder', expect.any(Function));
    expect(client.options).toHaveProperty('manualConnect', true);
    expect(client.sendPing).toBeTypeOf('function');
    expect(client.reschedulePing).toBeTypeOf('function');
  });

  it.each([0, 1, 2] as const)('carries messages in order at QoS %i', async (qos) => {
    const { port } = await broker();
    const source = closed(await openSource(`mqtt://127.0.0.1:${port}/t?qos=${qos}`));
    const sink = closed(await openSink(`mqtt://127.0.0.1:${port}/t?qos=${qos}`));
    const taking = take(source, 500);
    await Promise.all([sink.write(messages(texts(250))), sink.write(messages(texts(500).slice(250)))]);
    expect(await taking).toEqual(texts(500));
  });

  it('uses the QoS of the URL, then of the message, then 1', async () => {
    const { port } = await broker();
    const source = closed(await openSource(`mqtt://127.0.0.1:${port}/t`, { qos: 2 }));
    const iterator = deliveriesOf(source);
    const arrives = async (url: string, qos: 0 | 1 | 2 | undefined) => {
      const sink = await openSink(url);
      await sink.write([{ topic: 't', payload: Buffer.from('x'), qos }]);
      await sink.close();
      const { value } = await iterator.next();
      value?.ack();
      return value?.message.qos;
    };
    const url = `mqtt://127.0.0.1:${port}/t`;
    expect(await arrives(url, undefined)).toBe(1);
    expect(await arrives(url, 0)).toBe(0);
    expect(await arrives(url, 2)).toBe(2);
    expect(await arrives(`${url}?qos=1`, 0)).toBe(1);
  });

  it('loses nothing with a slow reader if overflow is set to wait', async () => {
    const { port } = await broker();
    const source = closed(
      await openSource(`mqtt://127.0.0.1:${port}/t?qos=0`, { queue: 10, overflow: 'wait' }),
    );
    const sink = closed(await openSink(`mqtt://127.0.0.1:${port}/t?qos=0`));
    await sink.write(messages(texts(2000)));
    const taken: string[] = [];
    for await (const batch of source) {
      expect(batch.length).toBeLessThanOrEqual(10);
      for (const { message } of batch) taken.push(String(message.payload));
      if (taken.length === 2000) break;
      if (taken.length % 500 === 0) await delay(20);
    }
    expect(taken).toEqual(texts(2000));
    expect(source.dropped).toBe(0);
  });

  it('drops nothing for a briefly slow reader, but drops messages for one that has stopped', async () => {
    const { port } = await broker();
    const source = closed(await openSource(`mqtt://127.0.0.1:${port}/t?qos=0`, { queue: 10 }));
    const sink = closed(await openSink(`mqtt://127.0.0.1:${port}/t?qos=0`));
    const taken: string[] = [];
    const batches = source[Symbol.asyncIterator]();
    await sink.write(messages(texts(2000)));
    while (taken.length < 2000) {
      await delay(taken.length < 100 ? 20 : 0);
      const { value = [] } = await batches.next();
      for (const { message } of value) taken.push(String(message.payload));
    }
    expect(taken).toEqual(texts(2000));
    expect(source.dropped).toBe(0);
    await sink.write(messages(texts(2000)));
    await expect.poll(() => source.dropped, { timeout: 30_000 }).toBe(1990);
    expect((await batches.next()).value).toHaveLength(10);
  });

  it('keeps many unacknowledged messages in flight', async () => {
    let acked = 0;
    const { port, aedes } = await broker();
    aedes.on('ack', () => acked++);
    const source = closed(await openSource(`mqtt://127.0.0.1:${port}/t`, { overflow: 'wait' }));
    const sink = closed(await openSink(`mqtt://127.0.0.1:${port}/t`));
    await sink.write(messages(texts(300)));
    const held = [];
    for await (const delivery of deliveriesOf(source)) if (held.push(delivery) === 300) break;
    expect(acked).toBe(0);
    for (const { ack } of held) ack();
    await expect.poll(() => acked).toBe(300);
  });

  it('resumes by client id and redelivers only unacked messages', async () => {
    const { port } = await broker();
    const url = `mqtt://127.0.0.1:${port}/t?qos=1&clientId=b1&clean=false`;
    const first = await openSource(url);
    const sink = closed(await openSink(`mqtt://127.0.0.1:${port}/t`));
    await sink.write(messages(texts(4)));
    let count = 0;
    for await (const { ack } of deliveriesOf(first)) {
      if (++count <= 2) ack();
      if (count === 4) break;
    }
    await first.close();
    await sink.write(messages(['4']));
    const second = closed(await openSource(url));
    expect(await take(second, 3)).toEqual(['2', '3', '4']);
  });

  it('does not redeliver messages that the reader has not acknowledged after a reconnect', async () => {
    const { port, aedes } = await broker();
    const states: string[] = [];
    const onState = (state: string) => states.push(state);
    const source = closed(
      await openSource(`mqtt://127.0.0.1:${port}/t?clientId=b2&clean=false`, { onState }),
    );
    const sink = closed(await openSink(`mqtt://127.0.0.1:${port}/t`));
    await sink.write(messages(['a', 'b']));
    const iterator = deliveriesOf(source);
    const held = [(await iterator.next()).value!, (await iterator.next()).value!];
    let acked = 0;
    aedes.on('ack', () => acked++);
    const { clients } = aedes as unknown as { clients: Record<string, { conn: Socket }> };
    clients.b2?.conn.destroy();
    await expect.poll(() => states).toContain('connected');
    await delay(300);
    for (const { ack } of held) ack();
    await expect.poll(() => acked).toBe(2);
    await sink.write(messages(['c']));
    expect(String((await iterator.next()).value?.message.payload)).toBe('c');
  });

  it.each([
    ['clean=false without a client id', '?clean=false', 'needs a clientId'],
    ['an invalid QoS', '?qos=3', 'qos'],
    ['an unknown setting', '?quos=1', 'quos'],
    ['an unknown version', '?version=4', 'version'],
    ['a group with a slash', '?group=a/b', 'group'],
  ])('is rejected with %s', async (_, query, named) => {
    await expect(openSource(`mqtt://127.0.0.1:1/t${query}`)).rejects.toMatchObject({
      code: 'AIOT_STREAM_URL',
      message: expect.stringContaining(named),
    });
  });

  it('is rejected with an invalid topic filter', async () => {
    const { port } = await broker();
    await expect(openSource(`mqtt://127.0.0.1:${port}/a/#/b`)).rejects.toMatchObject({
      code: 'AIOT_STREAM_URL',
      message: expect.stringContaining('"a/#/b"'),
    });
  });

  it('uses the requested version, and falls back from MQTT 5 by default', async () => {
    const versions: unknown[] = [];
    const { port } = await broker({
      prepare: (aedes) => {
        aedes.preConnect = (_client, packet, done) => {
          versions.push(`${packet.protocolId} ${packet.protocolVersion}`);
          done(null, true);
        };
      },
    });
    const url = `mqtt://127.0.0.1:${port}/t`;
    await (await openSource(`${url}?version=3.1`)).close();
    await (await openSource(`${url}?version=3.1.1`)).close();
    await (await openSource(url)).close();
    expect(versions).toEqual(['MQIsdp 3', 'MQTT 4', 'MQTT 5', 'MQTT 4']);
    await expect(openSource(`${url}?version=5`, { connectTimeoutMs: 3000 })).rejects.toMatchObject({
      code: 'AIOT_BROKER_REFUSED',
      message: `mqtt://127.0.0.1:${port} does not support MQTT 5`,
      next: expect.stringContaining('Remove version=5'),
    });
  });

  it('ends with the reason when another client takes it over', async () => {
    // CONNACK, SUBACK with the packet's id, and DISCONNECT with reason 142 (MQTT 5, sections 3.2, 3.9, 3.14).
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => {
        socket.write(Buffer.from([0x20, 3, 0, 0, 0]));
        socket.once('data', (packet: Buffer) => {
          socket.write(Buffer.from([0x90, 4, packet[2]!, packet[3]!, 0, 1]));
          socket.end(Buffer.from([0xe0, 1, 142]));
        });
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const source = closed(await openSource(`mqtt://127.0.0.1:${port}/t?clientId=same`));
    await expect(deliveriesOf(source).next()).rejects.toMatchObject({
      code: 'AIOT_BROKER_REFUSED',
      message: expect.stringContaining('same client id, same'),
    });
    server.close();
  });

  it('reports a server that does not use MQTT', async () => {
    const server = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')).listen(
      0,
      '127.0.0.1',
    );
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    await expect(openSource(`mqtt://127.0.0.1:${port}/t`)).rejects.toMatchObject({
      code: 'AIOT_BROKER_UNREACHABLE',
      message: expect.stringContaining('does not speak MQTT'),
      next: expect.stringContaining('ws://'),
    });
    server.close();
  });
});

describe('the admin client of an MQTT broker', () => {
  it('checks each feature in turn', async () => {
    const { port } = await broker();
    const admin = closed(await openAdmin(`mqtt://127.0.0.1:${port}`));
    const results = await admin.check({});
    const states = Object.fromEntries(results.map(({ what, state }) => [what, state]));
    expect(states).toMatchObject({ connects: 'ok', 'QoS 0': 'ok', 'QoS 1': 'ok', 'QoS 2': 'ok' });
    expect(states).toMatchObject({ wildcards: 'ok', retained: 'ok', sessions: 'ok', headers: 'no' });
  });

  it('reports an unreachable broker', async () => {
    const { port, close } = await startBroker();
    await close();
    const admin = closed(await openAdmin(`mqtt://127.0.0.1:${port}`));
    expect(await admin.check({})).toEqual([
      { what: 'connects', state: 'failed', detail: expect.stringContaining('ECONNREFUSED') },
    ]);
  });

  it('lists topics with their rates', async () => {
    const { port, aedes } = await broker();
    const sink = closed(await openSink(`mqtt://127.0.0.1:${port}/t`));
    await sink.write([{ topic: 'kept', payload: Buffer.from('x'), retain: true }]);
    const admin = closed(await openAdmin(`mqtt://127.0.0.1:${port}`));
    const subscribed = new Promise<void>((resolve) => aedes.once('subscribe', () => resolve()));
    const hearing = admin.topics({ listenMs: 1200 });
    await subscribed;
    await sink.write(messages([...texts(6), ...texts(6)], 'live'));
    const topics = await hearing;
    expect(topics.map(({ topic, rate, byteRate }) => ({ topic, rate, byteRate }))).toEqual([
      { topic: 'kept', rate: 0, byteRate: 0 },
      { topic: 'live', rate: 10, byteRate: 10 },
    ]);
  });
});
