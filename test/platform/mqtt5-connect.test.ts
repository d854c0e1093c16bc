import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/lib/core/time.js';
import { connect } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { hello, publish, rawMqtt } from '../support/raw-mqtt.js';
import {
  connectFive,
  connectFour,
  heardPayload,
  killed,
  logged,
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
const url = () => own.platform.urls.mqtt ?? '';
const never = 0xffff_ffff;

describe('an MQTT 5 CONNACK', () => {
  it('announces the broker’s features and limits', async () => {
    await start();
    const { raw, connack } = await connectFive(own, { properties: { sessionExpiryInterval: never } });
    expect(connack).toMatchObject({ reasonCode: 0, sessionPresent: false });
    // Wildcards, subscription identifiers and shared subscriptions are available unless the broker says otherwise.
    expect(connack.properties).toEqual({
      sessionExpiryInterval: 30 * 86_400,
      receiveMaximum: 1000,
      maximumPacketSize: 1024 ** 2 + 64 * 1024,
      topicAliasMaximum: 32,
    });
    raw.socket.destroy();
  });

  it.each([
    [16, ['receiveMaximum', 'maximumPacketSize', 'topicAliasMaximum']],
    [15, ['receiveMaximum', 'maximumPacketSize']],
    [12, ['receiveMaximum']],
  ])(
    'includes as many limits as fit in the client’s maximum packet size of %d bytes',
    async (size, names) => {
      await start();
      const { raw, connack } = await connectFive(own, { properties: { maximumPacketSize: size } });
      expect(connack.reasonCode).toBe(0);
      expect(Object.keys(connack.properties ?? {}).sort()).toEqual([...names].sort());
      raw.socket.destroy();
    },
  );

  it('rejects a client whose maximum packet size is too small for the required properties', async () => {
    await start();
    for (const more of [{ properties: { maximumPacketSize: 7 } }, { clientId: '', size: 40 }]) {
      const maximumPacketSize = 'size' in more ? more.size : 7;
      const { raw, connack } = await connectFive(own, { ...more, properties: { maximumPacketSize } });
      expect(connack).toMatchObject({ reasonCode: 0x95 });
      expect(connack.properties).toBeUndefined();
      expect(await raw.closed).toBe(true);
      expect(raw.packets.map(({ cmd }) => cmd)).toEqual(['connack']);
    }
  });

  it('is not sent to a client that accepts less than five bytes', async () => {
    await start();
    const raw = await rawMqtt(url(), { version: 5 });
    const who = { username: 'u', password: Buffer.from(own.token) };
    raw.say(hello({ ...who, protocolVersion: 5, properties: { maximumPacketSize: 4 } }));
    expect(await raw.closed).toBe(true);
    expect(raw.packets).toEqual([]);
  });

  it('omits the reason string if it exceeds the client’s maximum packet size', async () => {
    await start();
    // A will with an empty topic is refused before the client is known.
    const connack = async (maximumPacketSize: number) => {
      const will = { topic: 'w/#', payload: Buffer.from('x'), qos: 0, retain: false };
      return (await connectFive(own, { properties: { maximumPacketSize }, will })).connack;
    };
    expect(await connack(100)).toMatchObject({
      reasonCode: 0x81,
      properties: { reasonString: 'an invalid topic' },
    });
    const short = await connack(12);
    expect(short.reasonCode).toBe(0x81);
    expect(short.properties).toBeUndefined();
  });

  it('assigns an identifier to a client without one, which the client can use to return', async () => {
    await start();
    const properties = { sessionExpiryInterval: 60 };
    const { raw, connack } = await connectFive(own, { clientId: '', properties });
    const assigned = connack.properties?.assignedClientIdentifier ?? '';
    expect(assigned).toMatch(/^[0-9a-f-]{36}$/);
    raw.socket.destroy();
    await raw.closed;
    const again = await connectFive(own, { clientId: assigned, clean: false, properties });
    expect(again.connack.sessionPresent).toBe(true);
    expect(again.connack.properties).not.toHaveProperty('assignedClientIdentifier');
    again.raw.socket.destroy();
  });

  it('sets a shorter keep-alive interval where the broker limits it', async () => {
    await start({ brokerLimits: { keepAliveSeconds: 1 } });
    const { raw, connack } = await connectFive(own, { keepalive: 120 });
    expect(connack.properties?.serverKeepAlive).toBe(1);
    expect(await raw.hear('disconnect')).toMatchObject({ reasonCode: 0x8d });
    const patient = await connectFive(own, { clientId: 'patient', keepalive: 1 });
    expect(patient.connack.properties).not.toHaveProperty('serverKeepAlive');
    patient.raw.socket.destroy();
  });

  it.each([
    ['a wrong token', { password: Buffer.from('wrong') }, 0x86],
    ['a client identifier of 257 characters', { clientId: 'x'.repeat(257) }, 0x85],
    ['an authentication method', { properties: { authenticationMethod: 'SCRAM-SHA-1' } }, 0x8c],
    [
      'a will that the client may not publish',
      { will: { topic: '$SYS/x', payload: Buffer.from('x'), qos: 0, retain: false } },
      0x87,
    ],
    ['a receive maximum of 0', { properties: { receiveMaximum: 0 } }, 0x82],
    ['a maximum packet size of 0', { properties: { maximumPacketSize: 0 } }, 0x82],
    ['a property that CONNECT does not have', { properties: { topicAlias: 1 } }, 0x81],
    ['a repeated property', { properties: { receiveMaximum: [1, 2] } }, 0x82],
    [
      'a will with a wildcard in its response topic',
      {
        will: {
          ...{ topic: 'w', payload: Buffer.from('x'), qos: 0, retain: false },
          properties: { responseTopic: 'a/#' },
        },
      },
      0x82,
    ],
  ])('refuses with a reason code: %s', async (_, more, reasonCode) => {
    await start();
    const { raw, connack } = await connectFive(own, more);
    expect(connack).toMatchObject({ reasonCode, sessionPresent: false });
    expect(await raw.closed).toBe(true);
  });

  it.each([
    ['a flag property of 2', Buffer.from([0x17, 2]), 0x82],
    ['an unknown property', Buffer.from([0x7f, 1]), 0x81],
    ['a property that extends past its packet', Buffer.from([0x11, 0, 0]), 0x81],
    ['a user property with NUL', Buffer.from([0x26, 0, 1, 0, 0, 1, 65]), 0x81],
  ])('refuses %s', async (_, properties, reasonCode) => {
    await start();
    const body = Buffer.concat([
      Buffer.from([0, 4, 77, 81, 84, 84, 5, 2, 0, 0, properties.length]),
      properties,
      Buffer.from([0, 1, 65]),
    ]);
    const raw = await rawMqtt(url(), { version: 5 });
    raw.say(Buffer.concat([Buffer.from([0x10, body.length]), body]));
    expect(await raw.hear('connack')).toMatchObject({ reasonCode });
    expect(await raw.closed).toBe(true);
  });

  it('rejects bytes after the end of a CONNECT, in MQTT 5 by reason code', async () => {
    await start();
    const body = [0, 1, 65, 99];
    const five = await rawMqtt(url(), { version: 5 });
    five.say(Buffer.from([0x10, 15, 0, 4, 77, 81, 84, 84, 5, 2, 0, 0, 0, ...body]));
    expect(await five.hear('connack')).toMatchObject({ reasonCode: 0x81 });
    const four = await rawMqtt(url());
    four.say(Buffer.from([0x10, 14, 0, 4, 77, 81, 84, 84, 4, 2, 0, 0, ...body]));
    expect(await four.closed).toBe(true);
    expect(four.packets).toEqual([]);
  });
});

describe('the session expiry interval', () => {
  const leave = async (more: object, parting: object = {}) => {
    const { raw, connack } = await connectFive(own, { clientId: 'reader', clean: false, ...more });
    raw.say({ cmd: 'disconnect', reasonCode: 0, ...parting } as never);
    await raw.closed;
    return connack;
  };

  it('keeps a session for its duration, even across a restart, and no longer', async () => {
    await start();
    const expiry = (sessionExpiryInterval: number) => ({ properties: { sessionExpiryInterval } });
    expect(await leave(expiry(60))).toMatchObject({ sessionPresent: false });
    await own.restart();
    expect(await leave(expiry(1))).toMatchObject({ sessionPresent: true });
    passed += 1600;
    expect(await leave({})).toMatchObject({ sessionPresent: false });
    // Without the property, the session ends with the connection.
    expect(await leave({})).toMatchObject({ sessionPresent: false });
  });

  it('can be changed by DISCONNECT, but not from zero', async () => {
    await start();
    const more = { properties: { sessionExpiryInterval: 1 } };
    await leave(more, { properties: { sessionExpiryInterval: 60 } });
    passed += 1600;
    expect(await leave(more, { properties: { sessionExpiryInterval: 0 } })).toMatchObject({
      sessionPresent: true,
    });
    expect(await leave({ properties: { sessionExpiryInterval: 0 } })).toMatchObject({
      sessionPresent: false,
    });
    const { raw } = await connectFive(own);
    raw.say({ cmd: 'disconnect', reasonCode: 0, properties: { sessionExpiryInterval: 5 } } as never);
    expect(await raw.hear('disconnect')).toMatchObject({ reasonCode: 0x82 });
  });

  it('of zero ends a previously kept session, even if the platform is killed', async () => {
    await start();
    await leave({ properties: { sessionExpiryInterval: 60 } });
    const { connack } = await connectFive(own, { clientId: 'reader', clean: false });
    expect(connack.sessionPresent).toBe(true);
    await killed(own);
    expect(await leave({})).toMatchObject({ sessionPresent: false });
  });

  it('allows a session to change between MQTT 5 and 3.1.1', async () => {
    await start();
    const old = await connectFour(own, { clientId: 'reader', clean: false });
    await subscribed(old, { topic: 'q', qos: 1 });
    old.say({ cmd: 'disconnect' });
    await old.closed;
    const writer = await connect(url(), { username: 'u', password: own.token });
    await writer.publishAsync('q', 'while gone', { qos: 1 });
    const { raw, connack } = await connectFive(own, { clientId: 'reader', clean: false });
    expect(connack.sessionPresent).toBe(true);
    expect(await heardPayload(raw)).toBe('while gone');
    raw.socket.destroy();
    await writer.endAsync(true);
  });
});

describe('DISCONNECT from the broker', () => {
  it.each([
    ['a malformed packet', Buffer.from([0xc1, 0]), 0x81],
    ['a packet that clients must not send', Buffer.from([0x20, 2, 0, 0]), 0x82],
    ['AUTH without an authentication method', Buffer.from([0xf0, 2, 0x18, 0]), 0x82],
    ['a second CONNECT', Buffer.from([0x10, 14, 0, 4, 77, 81, 84, 84, 5, 2, 0, 0, 0, 0, 1, 65]), 0x82],
    ['a packet larger than announced', Buffer.from([0x30, 0x80, 0x80, 0x80, 0x01]), 0x95],
    ['a topic alias of 0', Buffer.from([0x30, 7, 0, 1, 97, 3, 0x23, 0, 0]), 0x94],
    ['a topic alias above the maximum', Buffer.from([0x30, 7, 0, 1, 97, 3, 0x23, 0, 33]), 0x94],
    ['an unknown topic alias', Buffer.from([0x30, 6, 0, 0, 3, 0x23, 0, 1]), 0x82],
    ['a subscription identifier from a client', Buffer.from([0x30, 6, 0, 1, 97, 2, 0x0b, 1]), 0x81],
    ['a duplicate of QoS 0', Buffer.from([0x38, 4, 0, 1, 97, 0]), 0x81],
    ['a packet id of 0', Buffer.from([0x32, 6, 0, 1, 97, 0, 0, 0]), 0x82],
    ['a PUBLISH at QoS 0 that is not allowed', Buffer.from([0x30, 7, 0, 4, 0x24, 83, 89, 83, 0]), 0x87],
    ['an empty topic filter', Buffer.from([0x82, 6, 0, 1, 0, 0, 0, 0]), 0x82],
    ['a subscription identifier of 0', Buffer.from([0x82, 9, 0, 1, 2, 0x0b, 0, 0, 1, 97, 0]), 0x82],
    ['reserved subscription options', Buffer.from([0x82, 7, 0, 1, 0, 0, 1, 97, 0xc0]), 0x81],
    ['an UNSUBSCRIBE with an empty filter', Buffer.from([0xa2, 5, 0, 1, 0, 0, 0]), 0x82],
    ['an unknown reason in an acknowledgment', Buffer.from([0x40, 3, 0, 1, 0x55]), 0x82],
    ['an unknown reason in DISCONNECT', Buffer.from([0xe0, 1, 0x8b]), 0x82],
  ])('reports why the connection ends: %s', async (_, bytes, reasonCode) => {
    await start();
    const { raw } = await connectFive(own);
    raw.say(bytes);
    const told = await raw.hear('disconnect');
    expect(told).toMatchObject({ reasonCode });
    expect(await raw.closed).toBe(true);
  });

  it('gives the reason: a session taken over, an expired keep-alive, or a stopping broker', async () => {
    await start();
    const { raw: first } = await connectFive(own, { clientId: 'same' });
    const { raw: second } = await connectFive(own, { clientId: 'same' });
    expect(await first.hear('disconnect')).toMatchObject({ reasonCode: 0x8e });
    const { raw: silent } = await connectFive(own, { clientId: 'silent', keepalive: 1 });
    expect(await silent.hear('disconnect')).toMatchObject({ reasonCode: 0x8d });
    const stopped = second.hear('disconnect');
    await own.restart();
    expect(await stopped).toMatchObject({ reasonCode: 0x8b });
  });

  it('reports lost access when a token is revoked', async () => {
    await start();
    const made = (await own.client.tokens.create({ name: 'thief', role: 'operator' })) as {
      id: string;
      token?: string;
    };
    const { raw } = await connectFive(own, { password: Buffer.from(made.token ?? '') });
    await own.client.tokens.revoke(made.id);
    expect(await raw.hear('disconnect')).toMatchObject({ reasonCode: 0x87 });
  });

  it('has a reason string only if the client accepts a packet that long', async () => {
    await start();
    const bad = Buffer.from([0xc1, 0]);
    const { raw } = await connectFive(own);
    raw.say(bad);
    expect((await raw.hear('disconnect'))?.properties?.reasonString).toBe('invalid header flags');
    const { raw: small } = await connectFive(own, { properties: { maximumPacketSize: 64 } });
    small.say(bad);
    expect((await small.hear('disconnect'))?.properties?.reasonString).toBe('invalid header flags');
    // This size is enough for the CONNACK without a reason string.
    const { raw: smaller } = await connectFive(own, { properties: { maximumPacketSize: 24 } });
    smaller.say(bad);
    expect(await smaller.hear('disconnect')).toMatchObject({ reasonCode: 0x81 });
    expect((smaller.packets.at(-1) as { properties?: object }).properties).toBeUndefined();
  });
});

describe('an MQTT 5 will', () => {
  const will = (delaySeconds: number, more: object = {}) => ({
    ...{ topic: 'gone', payload: Buffer.from('x'), qos: 1, retain: false },
    properties: { willDelayInterval: delaySeconds, ...more },
  });
  const watch = async () => {
    const { raw } = await connectFive(own, { clientId: 'watcher' });
    await subscribed(raw, { topic: 'gone', qos: 1 });
    return raw;
  };
  const client = (more: object) => connectFive(own, { clientId: 'client', clean: false, ...more });
  /** Lets time pass, and the broker look for wills whose delay is over, which it does twice a second. */
  const pass = (ms: number) => {
    passed += ms;
    return delay(1100);
  };
  const properties = { sessionExpiryInterval: 60 };

  it('waits for its delay, and has its own properties', async () => {
    await start();
    const watcher = await watch();
    const own5 = { contentType: 'text/plain', messageExpiryInterval: 50, userProperties: { a: '1' } };
    const { raw } = await client({ properties, will: will(1, own5) });
    const begun = performance.now();
    raw.socket.destroy();
    const told = await watcher.hear('publish');
    expect(performance.now() - begun).toBeGreaterThan(900);
    expect(told?.properties).toMatchObject({ contentType: 'text/plain', userProperties: { a: '1' } });
    expect(told?.properties?.messageExpiryInterval).toBeGreaterThan(40);
    watcher.socket.destroy();
  });

  it('is published when the session ends before the delay', async () => {
    await start();
    const watcher = await watch();
    // The session ends with its connection, after one second, or because a clean start takes it over.
    for (const sessionExpiryInterval of [0, 1]) {
      const { raw } = await client({ properties: { sessionExpiryInterval }, will: will(60) });
      raw.socket.destroy();
      expect(await watcher.hear('publish')).toMatchObject({ topic: 'gone' });
    }
    await client({ properties, will: will(60) });
    const { raw: again } = await client({ clean: true });
    expect(await watcher.hear('publish')).toMatchObject({ topic: 'gone' });
    for (const each of [again, watcher]) each.socket.destroy();
  });

  it('is not published if its client returns within the delay, with or without a clean start', async () => {
    await start();
    const watcher = await watch();
    for (const clean of [true, false]) {
      const { raw } = await client({ properties, will: will(30) });
      raw.socket.destroy();
      await raw.closed;
      const { raw: back } = await client({ properties, clean });
      await pass(31_000);
      expect(await messagesSoFar(watcher)).toEqual([]);
      back.say({ cmd: 'disconnect', reasonCode: 0 } as never);
      await back.closed;
    }
    watcher.socket.destroy();
  });

  it('is not published if its client returns in time or disconnects normally, but is if the client requests it', async () => {
    await start();
    const watcher = await watch();
    const { raw } = await client({ properties, will: will(30) });
    raw.socket.destroy();
    await raw.closed;
    const { raw: back } = await client({ properties, will: will(0) });
    back.say({ cmd: 'disconnect', reasonCode: 0 } as never);
    await back.closed;
    await pass(31_000);
    expect(await messagesSoFar(watcher)).toEqual([]);
    const { raw: last } = await client({ properties, will: will(0) });
    last.say({ cmd: 'disconnect', reasonCode: 4 } as never);
    expect(await watcher.hear('publish')).toMatchObject({ topic: 'gone' });
    watcher.socket.destroy();
  });

  it('waits across a kill of the platform, and is not published if its author has lost its rights', async () => {
    await start();
    const made = (await own.client.tokens.create({ name: 'left', role: 'operator' })) as {
      id: string;
      token?: string;
    };
    const left = await connectFive(own, {
      ...{ clientId: 'left', properties, will: { ...will(30), topic: 'gone/left', retain: true } },
      password: Buffer.from(made.token ?? ''),
    });
    const { raw } = await client({ properties, will: { ...will(30), retain: true } });
    for (const each of [left.raw, raw]) {
      each.socket.destroy();
      await each.closed;
    }
    await own.client.tokens.revoke(made.id);
    await logged(own);
    await killed(own);
    const { raw: watcher } = await connectFive(own, { clientId: 'watcher' });
    await subscribed(watcher, { topic: 'gone/#', qos: 1 });
    expect(await messagesSoFar(watcher)).toEqual([]);
    await pass(31_000);
    expect(await watcher.hear('publish')).toMatchObject({ topic: 'gone' });
    expect((await messagesSoFar(watcher)).map(({ topic }) => topic)).toEqual(['gone']);
    watcher.socket.destroy();
  });
});

describe('a packet of MQTT 3', () => {
  it('does not report a present session in MQTT 3.1, which has no such flag', async () => {
    await start();
    const old = { protocolId: 'MQIsdp', protocolVersion: 3, clientId: 'old', clean: false };
    const who = { username: 'u', password: Buffer.from(own.token) };
    for (let n = 0; n < 2; n++) {
      const raw = await rawMqtt(url());
      raw.say(hello({ ...old, ...who }));
      expect(await raw.hear('connack')).toMatchObject({ returnCode: 0, sessionPresent: false });
      raw.say({ cmd: 'disconnect' });
      await raw.closed;
    }
  });

  it('ends the connection if it acknowledges a message that awaits no such acknowledgment', async () => {
    await start();
    for (const cmd of ['puback', 'pubrec', 'pubcomp'] as const) {
      const raw = await connectFour(own);
      raw.say({ cmd, messageId: 7 } as never);
      expect(await raw.closed).toBe(true);
      expect(raw.packets.length).toBe(1);
    }
    const raw = await connectFour(own);
    await subscribed(raw, { topic: 'a/b', qos: 2 });
    raw.say(publish({ qos: 2, messageId: 1 }));
    const { messageId } = (await raw.hear('publish'))!;
    // A QoS 2 message is waiting for PUBREC.
    raw.say({ cmd: 'puback', messageId } as never);
    expect(await raw.closed).toBe(true);
  });
});
