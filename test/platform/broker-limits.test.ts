import { setTimeout as delay } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { afterEach, describe, expect, it } from 'vitest';
import { PublishRates } from '../../src/lib/platform/broker/limits.js';
import { isBehind } from '../../src/lib/platform/broker/outlet.js';
import type { Session } from '../../src/lib/platform/broker/sessions.js';
import type { PlatformOptions } from '../../src/lib/platform/options.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { connectDevice } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { hello, publish, type RawMqtt, rawMqtt } from '../support/raw-mqtt.js';
import { connectFive, connectFour, heardPayload, messagesSoFar, subscribed } from '../support/raw-mqtt5.js';

let own: TestPlatform;
afterEach(() => own.stop());

const start = async (options: Partial<PlatformOptions> = {}) => {
  own = await testPlatform({ plain: { port: 0 }, ...options });
};
const plain = () => own.platform.urls.mqtt ?? '';

/** A client that is connected throughout a test, and must not be affected by another client's limit. */
async function bystander(): Promise<{ isServed(): Promise<void>; raw: RawMqtt }> {
  const raw = await connectFour(own, { clientId: 'bystander' });
  await subscribed(raw, { topic: 'bystander' });
  let count = 0;
  return {
    raw,
    async isServed() {
      const payload = `${++count}`;
      raw.say(publish({ topic: 'bystander', payload }));
      expect(await heardPayload(raw)).toBe(payload);
    },
  };
}

async function metric(name: string): Promise<number> {
  const headers = { authorization: `Bearer ${own.token}` };
  const dispatcher = new Agent({ connect: { ca: own.ca } });
  const { body } = await request(`${own.platform.urls.http}/metrics`, { dispatcher, headers });
  const text = await body.text();
  await dispatcher.close();
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
}

describe('the bytes queued for all offline sessions', () => {
  it('are limited: offline sessions keep their newest message, and publishers are still acknowledged', async () => {
    // Only all five pairs of messages together exceed the limit, because the broker may add up the queues at any time.
    await start({ brokerLimits: { queuesBytes: 55_000 } });
    const watcher = await bystander();
    for (const version of [4, 5]) {
      const clientId = `offline ${version}`;
      const asked = { clientId, clean: false, properties: { sessionExpiryInterval: 600 } };
      const raw = version === 5 ? (await connectFive(own, asked)).raw : await connectFour(own, asked);
      await subscribed(raw, { topic: 'q/#', qos: 1 });
      raw.socket.destroy();
    }
    await subscribed(watcher.raw, { topic: 'q/#', qos: 1 });
    const four = await connectFour(own, { clientId: 'writer 4' });
    const five = (await connectFive(own, { clientId: 'writer 5' })).raw;
    let sent = 0;
    const write = async () => {
      const payload = `${++sent} ${'x'.repeat(3000)}`;
      four.say(publish({ topic: 'q/1', payload, qos: 1, messageId: sent }));
      await four.hear('puback');
      five.say(publish({ topic: 'q/2', payload, qos: 1, messageId: sent }));
      expect(await five.hear('puback')).toMatchObject({ reasonCode: 0 });
      for (let copy = 0; copy < 2; copy++)
        watcher.raw.say({ cmd: 'puback', messageId: (await watcher.raw.hear('publish'))?.messageId ?? 0 });
    };
    for (let n = 0; n < 5; n++) await write();
    // The broker adds up the queues every half second.
    await expect.poll(() => metric('aiot_mqtt_queued_bytes')).toBeGreaterThan(55_000);
    await write();
    await expect.poll(() => metric('aiot_mqtt_queued_messages')).toBe(2);
    expect(await metric('aiot_mqtt_dropped_total')).toBe(2 * 11);
    await watcher.isServed();
    const again = await connectFour(own, { clientId: 'offline 4', clean: false });
    expect((await messagesSoFar(again)).map(({ topic, payload }) => `${topic} ${`${payload}`[0]}`)).toEqual([
      'q/2 6',
    ]);
  });
});

describe('the length of a topic filter', () => {
  it('is limited: SUBACK has 0x8F in MQTT 5 and 128 in 3.1.1, and the connection continues', async () => {
    await start({ brokerLimits: { filterLength: 20 } });
    const watcher = await bystander();
    const [fits, long] = ['f'.repeat(20), 'f'.repeat(21)];
    const filters = [{ topic: fits }, { topic: long }, { topic: `$share/g/${'f'.repeat(12)}` }];
    const { raw: five } = await connectFive(own, { clientId: 'five' });
    expect(await subscribed(five, filters)).toEqual([0, 0x8f, 0x8f]);
    const four = await connectFour(own, { clientId: 'four' });
    expect(await subscribed(four, filters)).toEqual([0, 128, 128]);
    watcher.raw.say(publish({ topic: long }), publish({ topic: fits, payload: 'fits' }));
    for (const raw of [five, four]) expect(await heardPayload(raw)).toBe('fits');
    await watcher.isServed();
  });
});

describe('the levels of a topic', () => {
  it('are limited: PUBACK has 0x90 in MQTT 5, 3.1.1 connections end, and filters are refused', async () => {
    await start({ brokerLimits: { topicLevels: 5 } });
    const watcher = await bystander();
    const [fits, deep] = ['a/b/c/d/e', 'a/b/c/d/e/f'];
    const { raw: five } = await connectFive(own, { clientId: 'five' });
    expect(await subscribed(five, [{ topic: fits }, { topic: deep }, { topic: '////' }])).toEqual([
      0, 0x8f, 0,
    ]);
    five.say(publish({ topic: deep, qos: 1, messageId: 1 }));
    expect(await five.hear('puback')).toMatchObject({
      reasonCode: 0x90,
      properties: { reasonString: 'a topic has too many levels' },
    });
    five.say(publish({ topic: deep, qos: 2, messageId: 2 }));
    expect(await five.hear('pubrec')).toMatchObject({ reasonCode: 0x90 });
    five.say(publish({ topic: fits, payload: 'fits' }), publish({ topic: '////', payload: 'empty' }));
    expect([await heardPayload(five), await heardPayload(five)]).toEqual(['fits', 'empty']);
    five.say(publish({ topic: deep }));
    expect(await five.hear('disconnect')).toMatchObject({ reasonCode: 0x90 });
    const four = await connectFour(own, { clientId: 'four' });
    expect(await subscribed(four, { topic: deep })).toEqual([128]);
    four.say(publish({ topic: deep, qos: 1, messageId: 1 }));
    expect(await four.closed).toBe(true);
    await watcher.isServed();
  });

  it('are also limited in wills', async () => {
    await start({ brokerLimits: { topicLevels: 5 } });
    const will = { topic: 'a/b/c/d/e/f', payload: Buffer.from('x'), qos: 0, retain: false };
    const { connack } = await connectFive(own, { will });
    expect(connack).toMatchObject({ reasonCode: 0x90 });
    const { connack: fits } = await connectFive(own, { will: { ...will, topic: 'a/b/c/d/e' } });
    expect(fits).toMatchObject({ reasonCode: 0 });
  });
});

describe('a packet before authentication', () => {
  it.each([4, 5])(
    'has a size limit: MQTT %d clients are disconnected at the announced length',
    async (version) => {
      await start({ brokerLimits: { strangerBytes: 1000 } });
      const watcher = await bystander();
      const credentials = { username: 'u', password: Buffer.from(own.token), protocolVersion: version };
      const connect = async (bytes: number) => {
        const raw = await rawMqtt(plain(), version === 5 ? { version: 5 } : {});
        const will = { topic: 'w', payload: Buffer.alloc(bytes), qos: 0, retain: false };
        raw.say(hello({ ...credentials, clientId: `c${bytes}`, will }));
        return raw;
      };
      const accepted = await connect(500);
      expect(await accepted.hear('connack')).toMatchObject(
        version === 5 ? { reasonCode: 0 } : { returnCode: 0 },
      );
      const refused = await connect(1000);
      // The version of MQTT is not known yet, so there is no CONNACK with a reason.
      expect(await refused.hear('connack')).toBeNull();
      // The length alone is enough; the broker does not wait for the packet.
      const patient = await rawMqtt(plain());
      patient.say(Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]));
      expect(await patient.closed).toBe(true);
      // Authenticated clients may send more.
      accepted.say(publish({ topic: 'bystander', payload: 'x'.repeat(5000) }));
      expect(await heardPayload(watcher.raw)).toHaveLength(5000);
      await watcher.isServed();
    },
  );
});

describe('the sessions of a user', () => {
  const open = async (version: 4 | 5, clientId: string) => {
    const asked = { clientId, clean: false, properties: { sessionExpiryInterval: 600 } };
    if (version === 5) {
      const { raw, connack } = await connectFive(own, asked);
      return { raw, code: connack.reasonCode, isPresent: connack.sessionPresent };
    }
    const raw = await rawMqtt(plain());
    raw.say(hello({ username: 'u', password: Buffer.from(own.token), ...asked, properties: undefined }));
    const { returnCode, sessionPresent } = (await raw.hear('connack'))!;
    return { raw, code: returnCode, isPresent: sessionPresent };
  };

  it('are limited: the session that has been offline longest ends, and its client starts a new one', async () => {
    await start({ brokerLimits: { sessionsPerUser: 3 } });
    const watcher = await bystander();
    const offline = () => metric('aiot_mqtt_sessions\\{connected="false"\\}');
    for (const [index, [version, clientId]] of (
      [
        [4, 'oldest'],
        [5, 'older'],
        [4, 'old'],
      ] as const
    ).entries()) {
      const { raw, code } = await open(version, clientId);
      expect(code).toBe(0);
      raw.socket.destroy();
      await expect.poll(offline).toBe(index + 1);
      // The next session goes offline in a later millisecond.
      await delay(5);
    }
    const added = await open(5, 'new');
    expect([added.code, added.isPresent]).toEqual([0, false]);
    expect(await offline()).toBe(2);
    expect((await open(5, 'older')).isPresent).toBe(true);
    expect((await open(4, 'oldest')).isPresent).toBe(false);
    await watcher.isServed();
  });

  it('are rejected while all others are connected: 0x97 in MQTT 5, return code 3 in 3.1.1', async () => {
    await start({ brokerLimits: { sessionsPerUser: 2 } });
    const watcher = await bystander();
    const [first, second] = [await open(4, 'first'), await open(5, 'second')];
    expect((await open(5, 'third')).code).toBe(0x97);
    expect((await open(4, 'fourth')).code).toBe(3);
    // Neither the connected clients nor sessions without a limit are affected.
    for (const { raw } of [first, second]) {
      expect(await subscribed(raw, { topic: 'still' })).toEqual([0]);
      watcher.raw.say(publish({ topic: 'still', payload: 'connected' }));
      expect(await heardPayload(raw)).toBe('connected');
    }
    const { connack } = await connectFive(own, { clientId: 'brief' });
    expect(connack.reasonCode).toBe(0);
    first.raw.socket.destroy();
    await first.raw.closed;
    await expect.poll(async () => (await open(5, 'third')).code).toBe(0);
    await watcher.isServed();
  });
});

describe('topic aliases', () => {
  it('are limited, as CONNACK announces: MQTT 5 clients beyond the limit are disconnected with 0x94', async () => {
    await start({ brokerLimits: { topicAliases: 2 } });
    const watcher = await bystander();
    const { raw, connack } = await connectFive(own, { properties: { topicAliasMaximum: 5 } });
    expect(connack.properties?.topicAliasMaximum).toBe(2);
    await subscribed(raw, { topic: 'to/#' });
    // The broker itself assigns no more than its limit, although the client accepts five.
    for (const topic of ['to/1', 'to/2', 'to/3', 'to/1']) watcher.raw.say(publish({ topic }));
    await watcher.isServed();
    const heard = (await messagesSoFar(raw)).map(({ topic, properties }) => [topic, properties?.topicAlias]);
    expect(heard).toEqual([
      ['to/1', 1],
      ['to/2', 2],
      ['to/3', undefined],
      ['', 1],
    ]);
    const four = await connectFour(own, { clientId: 'four' });
    await subscribed(four, { topic: 'from' });
    raw.say(publish({ topic: 'from', payload: 'second', properties: { topicAlias: 2 } }));
    expect(await heardPayload(four)).toBe('second');
    raw.say(publish({ topic: 'from', payload: 'third', properties: { topicAlias: 3 } }));
    expect(await raw.hear('disconnect')).toMatchObject({ reasonCode: 0x94 });
    await raw.closed;
    expect((await messagesSoFar(four)).map(({ payload }) => String(payload))).toEqual(['second']);
    await watcher.isServed();
  });
});

describe('the publish rate', () => {
  /**
   * Sends `count` messages as fast as the socket accepts them. Returns the time until all have been delivered,
   * ms.
   */
  async function flood(raw: RawMqtt, reader: RawMqtt, count: number, qos: 0 | 1 | 2 = 0): Promise<number> {
    const begun = performance.now();
    for (let n = 1; n <= count; n++) {
      raw.say(publish({ topic: 'flood', payload: `${n}`, qos, ...(qos > 0 && { messageId: n }) }));
      if (qos === 2) raw.say({ cmd: 'pubrel', messageId: n });
    }
    for (let n = 1; n <= count; n++) expect(await heardPayload(reader)).toBe(`${n}`);
    return performance.now() - begun;
  }

  it.each([
    ['MQTT 3.1.1 at QoS 0', 4, 0],
    ['MQTT 3.1.1 at QoS 1', 4, 1],
    ['MQTT 5 at QoS 0', 5, 0],
    ['MQTT 5 at QoS 2', 5, 2],
  ] as const)('of a client using %s is limited without losing a message', async (_, version, qos) => {
    await start({ brokerLimits: { publishRateOfUser: 40, publishBurst: 20 } });
    const watcher = await bystander();
    const reader = await connectFour(own, { clientId: 'reader' });
    await subscribed(reader, { topic: 'flood' });
    const raw =
      version === 5
        ? (await connectFive(own, { clientId: 'fast' })).raw
        : await connectFour(own, { clientId: 'fast' });
    // 20 at once, and the other 80 at 40 per second, so that the metrics can be read several times meanwhile.
    const took = flood(raw, reader, 100, qos);
    await expect.poll(() => metric('aiot_mqtt_throttled_clients'), { interval: 20 }).toBe(1);
    // Meanwhile, another client is served immediately, because each client has its own rate.
    await watcher.isServed();
    expect(await took).toBeGreaterThan(1900);
    // The client is still connected, and no message was refused.
    raw.say({ cmd: 'pingreq' });
    expect(await raw.hear('pingresp')).not.toBeNull();
    const answers = raw.packets.filter(({ cmd }) => cmd !== 'connack' && cmd !== 'pingresp');
    expect(answers.filter((packet) => 'reasonCode' in packet && Number(packet.reasonCode) >= 0x80)).toEqual(
      [],
    );
    const done = { 0: 'none', 1: 'puback', 2: 'pubcomp' }[qos];
    expect(answers.filter(({ cmd }) => cmd === done)).toHaveLength(qos === 0 ? 0 : 100);
    expect(await metric('aiot_mqtt_throttled_clients')).toBe(0);
    expect(await metric('aiot_mqtt_throttled_seconds_total')).toBeGreaterThan(1.5);
    expect(await metric('aiot_mqtt_dropped_total')).toBe(0);
  });

  it('is not reset by reconnecting', async () => {
    await start({ brokerLimits: { publishRateOfUser: 20, publishBurst: 50 } });
    const reader = await connectFour(own, { clientId: 'reader' });
    await subscribed(reader, { topic: 'flood' });
    const first = await connectFour(own, { clientId: 'fast' });
    const begun = performance.now();
    await flood(first, reader, 50);
    first.socket.destroy();
    await first.closed;
    const second = await connectFour(own, { clientId: 'fast' });
    await flood(second, reader, 30);
    // 50 messages at once, and 30 at 20 per second, however long it takes to reconnect.
    expect(performance.now() - begun).toBeGreaterThan(1450);
  });

  it('is limited per device, across all of its connections', async () => {
    await start({ brokerLimits: { publishRateOfDevice: 100, publishBurst: 10 } });
    const out = `${own.folder}/dev`;
    await provisionDevice({ client: own.client, name: 'dev', type: 'virtual', out });
    const operator = await connectFour(own, { clientId: 'operator' });
    await subscribed(operator, { topic: 'aiot/v1/dev/log' });
    const clients = [
      await connectDevice(own.platform.urls.mqtts, out, { clientId: 'one' }),
      await connectDevice(own.platform.urls.mqtts, out, { clientId: 'two' }),
    ];
    const begun = performance.now();
    const line = JSON.stringify({ t: 1, level: 'info', text: 'x' });
    await Promise.all(
      clients.flatMap((client) =>
        Array.from({ length: 30 }, () => client.publishAsync('aiot/v1/dev/log', line, { qos: 1 })),
      ),
    );
    expect(performance.now() - begun).toBeGreaterThan(400);
    for (const client of clients) await client.endAsync(true);
  });

  it('does not make publishers wait for a subscriber whose acknowledgments are read late', async () => {
    await start({ brokerLimits: { publishRateOfUser: 20, publishBurst: 5 } });
    const { raw: both } = await connectFive(own, { clientId: 'both', properties: { receiveMaximum: 1 } });
    await subscribed(both, { topic: 'news', qos: 1 });
    for (let n = 0; n < 200; n++) both.say(publish({ topic: 'flood' }));
    await expect.poll(() => metric('aiot_mqtt_throttled_clients'), { interval: 20 }).toBe(1);
    const news = await own.platform.streams.openSink('news', { qos: 1 });
    await news.write(Array.from({ length: 2500 }, () => ({ topic: 'news', payload: Buffer.from('x') })));
    await news.close();
    const session = (throttled: boolean) =>
      ({ link: { roomy: true, throttled }, queued: 2500, lagging: false }) as unknown as Session;
    expect([isBehind(session(false)), isBehind(session(true))]).toEqual([true, false]);
  });

  it('does not delay the disconnection of a client that is slowed down', async () => {
    await start({ brokerLimits: { publishRateOfUser: 1, publishBurst: 1 } });
    const raw = await connectFour(own, { clientId: 'fast' });
    for (let n = 0; n < 50; n++) raw.say(publish({ topic: 'flood' }));
    await expect.poll(() => metric('aiot_mqtt_throttled_clients'), { interval: 20 }).toBe(1);
    // The same client connects again, and takes over the session.
    const again = await connectFour(own, { clientId: 'fast' });
    expect(await raw.closed).toBe(true);
    expect(await metric('aiot_mqtt_throttled_clients')).toBe(0);
    again.say({ cmd: 'pingreq' });
    expect(await again.hear('pingresp')).not.toBeNull();
  });

  it('allows the burst immediately, then the rate, and forgets idle clients', async () => {
    await start();
    let now = 0;
    const limits = {
      publishRateOfDevice: 10,
      publishRateOfUser: 0,
      publishRateOfBoards: 10,
      publishBurst: 5,
    };
    const rates = new PublishRates(limits, () => now);
    const client = { device: 'dev', key: 'device:dev:1', address: '10.0.0.1' };
    expect(rates.enter('user', client)).toBeNull();
    const rate = rates.enter('device', client)!;
    expect(Array.from({ length: 6 }, () => rate.count())).toEqual([0, 0, 0, 0, 0, 100]);
    now = 100;
    expect(rate.pauseMs()).toBe(0);
    expect(rate.count()).toBe(100);
    now = 10_000;
    expect(rate.pauseMs()).toBe(0);
    expect(Array.from({ length: 6 }, () => rate.count())).toEqual([0, 0, 0, 0, 0, 100]);
    // Boards at the same IP address share a rate, and a connected client is not forgotten.
    const board = rates.enter('board', client);
    expect(rates.enter('board', { ...client, key: 'board:other' })).toBe(board);
    rates.sweep();
    expect(rates.enter('device', client)).toBe(rate);
    rate.users = 0;
    rates.sweep();
    expect(rates.enter('device', client)).toBe(rate);
    rate.users = 0;
    now = 20_000;
    rates.sweep();
    expect(rates.enter('device', client)).not.toBe(rate);
  });
});
