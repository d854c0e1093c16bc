import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import tls from 'node:tls';
import type { IClientOptions } from 'mqtt';
import { afterEach, describe, expect, it } from 'vitest';
import { createClient, type RegistryClient } from '../../src/lib/api/client.js';
import { generateKeyPair } from '../../src/lib/core/crypto.js';
import { systemClock } from '../../src/lib/core/time.js';
import { visitorOf } from '../../src/lib/platform/broker/limits.js';
import { certificateRequest, deviceCertificate, selfSignedCa } from '../../src/lib/provision/certificates.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { connect, connectDevice } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { ask } from '../support/raw-http.js';
import { hello, type RawMqtt, rawMqtt } from '../support/raw-mqtt.js';

let own: TestPlatform;
afterEach(() => own.stop());

const start = async (options: Parameters<typeof testPlatform>[0] = {}) => {
  own = await testPlatform({ plain: { port: 0 }, ...options });
};
const plain = () => own.platform.urls.mqtt ?? '';
const operator = (more: IClientOptions = {}) =>
  connect(plain(), { username: 'u', password: own.token, ...more });
async function letIn(more: object = {}): Promise<RawMqtt> {
  const raw = await rawMqtt(plain());
  raw.say(hello({ username: 'u', password: Buffer.from(own.token), ...more }));
  expect(await raw.hear('connack')).toMatchObject({ returnCode: 0 });
  return raw;
}
const subscribeTo = async (raw: RawMqtt, topic: string, qos: 0 | 1 | 2 = 0) => {
  raw.say({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos }] });
  await raw.hear('suback');
};
const device = async (name: string) => {
  const out = join(own.folder, name);
  await provisionDevice({ client: own.client, name, type: 'virtual', out });
  return out;
};

describe('certificates over MQTT', () => {
  it('are rejected from another CA, outside their validity, or without a registered device', async () => {
    await start();
    await device('dev');
    const pki = (file: string) => readFile(join(own.folder, 'data', 'pki', file), 'utf8');
    const ours = { certificate: await pki('ca.crt'), key: await pki('ca.key') };
    const caName = /CN=([^,\n]+)/.exec(
      new (await import('node:crypto')).X509Certificate(ours.certificate).subject,
    )?.[1];
    const key = generateKeyPair().privatePem;
    const csr = await certificateRequest(key, 'dev');
    const named = { csr, name: 'dev', id: own.client ? (await own.client.devices.get('dev')).id : '' };
    const [now, year] = [Date.now(), 366 * 86_400_000];
    const foreign = generateKeyPair().privatePem;
    const namesake = { key: foreign, certificate: await selfSignedCa(foreign, caName ?? '', now) };
    const forged: Record<string, { cert: string; key: string }> = {
      'signed by itself': { key, cert: await selfSignedCa(key, 'dev', now) },
      'of another CA by the same name': { key, cert: await deviceCertificate(namesake, named, now) },
      ended: { key, cert: await deviceCertificate(ours, named, now - 3 * year) },
      'not begun': { key, cert: await deviceCertificate(ours, named, now + year) },
      'of our CA, and of no device': { key, cert: await deviceCertificate(ours, named, now) },
      'of a name that is none': { key, cert: await deviceCertificate(ours, { ...named, name: '*' }, now) },
      "the server's": { key: await pki('server.key'), cert: await pki('server.crt') },
      "the CA's": { key: ours.key, cert: ours.certificate },
    };
    for (const [what, identity] of Object.entries(forged)) {
      const tried = connect(own.platform.urls.mqtts, {
        ca: own.ca,
        ...identity,
        username: 'u',
        password: own.token,
      });
      await expect(tried, what).rejects.toThrow(/Not authorized/);
    }
    // Without the key of the certificate, the handshake fails.
    const stolen = await readFile(join(own.folder, 'dev', 'device.crt'), 'utf8');
    await expect(connect(own.platform.urls.mqtts, { ca: own.ca, cert: stolen, key })).rejects.toThrow();
    expect((await own.client.devices.get('dev')).state).toBe('provisioned');
  });
});

describe('a will', () => {
  it.each([
    ['of another device', 'aiot/v1/other/presence'],
    ['that is a command to its own device', 'aiot/v1/dev/command'],
    ['outside the protocol', 'sensors/1'],
    ['below $SYS', '$SYS/broker/version'],
  ])('%s is rejected', async (_, topic) => {
    await start();
    const will = { topic, payload: Buffer.from('{}'), qos: 1 as const, retain: false };
    const out = await device('dev');
    await expect(connectDevice(own.platform.urls.mqtts, out, { will })).rejects.toThrow(/Not authorized/);
  });

  it('is published after one and a half times the keep-alive without traffic, and not before', async () => {
    await start();
    const watcher = await letIn({ clientId: 'watcher' });
    await subscribeTo(watcher, 'gone/#');
    const will = { topic: 'gone/raw', payload: Buffer.from('x'), qos: 0, retain: false };
    const begun = performance.now();
    const raw = await letIn({ keepalive: 1, will });
    await raw.closed;
    expect(performance.now() - begun).toBeGreaterThan(1499);
    expect(await watcher.hear('publish')).toMatchObject({ topic: 'gone/raw' });
  });

  it('is not published if its client lost access; presence is still updated', async () => {
    await start();
    const out = await device('dev');
    const watcher = await letIn({ clientId: 'watcher' });
    await subscribeTo(watcher, '#');
    const { id, token = '' } = (await own.client.tokens.create({ name: 'thief', role: 'operator' })) as {
      id: string;
      token?: string;
    };
    const last = {
      topic: 'aiot/v1/dev/command',
      payload: Buffer.from('{"last":1}'),
      qos: 1 as const,
      retain: false,
    };
    const thief = await connect(plain(), { username: 'u', password: token, will: last });
    const stolen = await connectDevice(own.platform.urls.mqtts, out, {
      will: { ...last, topic: 'aiot/v1/dev/telemetry/s' },
    });
    await stolen.publishAsync('aiot/v1/dev/presence', '{"online":true,"t":1}', { qos: 1, retain: true });
    await Promise.all([
      ...[thief, stolen].map((each) => new Promise<void>((resolve) => each.once('close', () => resolve()))),
      own.client.tokens.revoke(id),
      own.client.devices.act('dev', 'revoke'),
    ]);
    // The device is reported as offline nevertheless.
    const heard = [await watcher.hear('publish'), await watcher.hear('publish')];
    expect(heard.map((each) => `${each?.topic} ${each?.payload}`)).toEqual([
      'aiot/v1/dev/presence {"online":true,"t":1}',
      expect.stringMatching(/^aiot\/v1\/dev\/presence .*"online":false/),
    ]);
    watcher.say({ cmd: 'pingreq' });
    await watcher.hear('pingresp');
    expect(watcher.packets.filter(({ cmd }) => cmd === 'publish').length).toBe(2);
    watcher.socket.destroy();
  });
});

describe('a wrong password over MQTT', () => {
  it('counts against its name and address only: it does not flood the log or lock out other clients', async () => {
    const lines: { level: number; msg: string; user?: string }[] = [];
    await start({ rates: { failures: 3 }, log: (line) => lines.push(JSON.parse(line)) });
    const guess = (username: string) =>
      connect(plain(), { username, password: `aiot_${'x'.repeat(43)}` }).catch(
        (error: Error) => error.message,
      );
    const codeOf = async (token: string, act: (client: RegistryClient) => Promise<unknown>) => {
      const client = createClient({ url: own.platform.urls.http, ca: own.ca, token });
      const told = act(client).then(
        () => 'let in',
        ({ code }: { code: string }) => code,
      );
      return told.finally(() => client.close());
    };
    for (let n = 0; n < 6; n++) expect(await guess('bad-board')).toMatch(/Bad username/);
    expect(await guess('other-board')).toMatch(/Bad username/);
    const told = lines.filter(({ msg }) => msg === 'rejected a token or secret').map(({ user }) => user);
    expect(told).toEqual(['bad-board', 'bad-board', 'other-board']);
    // From the same address, a claim is redeemed, a token is mistyped, and an operator connects via HTTP and MQTT.
    const { token: claim } = await own.client.claims.make({ name: 'newcomer', type: 'virtual' });
    const csr = await certificateRequest(generateKeyPair().privatePem, 'newcomer');
    expect(await codeOf('', (client) => client.claims.redeem(claim, csr))).toBe('let in');
    for (let n = 0; n < 3; n++)
      expect(await codeOf('wrong', (client) => client.status())).toBe('AIOT_TOKEN_INVALID');
    expect(await codeOf('wrong', (client) => client.status())).toBe('AIOT_RATE_LIMITED');
    expect(await codeOf(own.token, (client) => client.status())).toBe('let in');
    await (await operator()).endAsync(true);
    // Wrong claims have a separate limit, which has not been used up by the wrong tokens.
    const wrong = `${claim.slice(0, -4)}${claim.endsWith('AAAA') ? 'BAAA' : 'AAAA'}`;
    const redeem = () => codeOf('', (client) => client.claims.redeem(wrong, csr));
    for (let n = 0; n < 3; n++) expect(await redeem()).toBe('AIOT_CLAIM_INVALID');
    expect(await redeem()).toBe('AIOT_RATE_LIMITED');
  });
});

describe('a session', () => {
  it('delivers nothing outside the narrower scopes of a new token, even if already queued', async () => {
    await start();
    await own.client.users.add({ name: 'alice', role: 'viewer' });
    const tokenOf = async (scopes?: string[]) => {
      const made = await own.client.tokens.create({
        name: 't',
        owner: 'alice',
        ...(scopes ? { scopes } : {}),
      });
      return (made as { token?: string }).token ?? '';
    };
    const wide = await connect(plain(), {
      clientId: 'pc',
      clean: false,
      username: 'u',
      password: await tokenOf(),
    });
    await wide.subscribeAsync(['lab/1', 'hall/1'], { qos: 1 });
    await wide.endAsync();
    const writer = await operator();
    for (const topic of ['hall/1', 'lab/1', 'hall/1']) await writer.publishAsync(topic, 'x', { qos: 1 });
    const narrow = await letIn({
      clientId: 'pc',
      clean: false,
      password: Buffer.from(await tokenOf(['stream:lab/#'])),
    });
    for (const topic of ['hall/1', 'lab/1']) await writer.publishAsync(topic, 'y', { qos: 1 });
    const heard = [await narrow.hear('publish'), await narrow.hear('publish')];
    expect(heard.map((each) => `${each?.topic} ${each?.payload}`)).toEqual(['lab/1 x', 'lab/1 y']);
    narrow.socket.destroy();
    await writer.endAsync(true);
  });

  it('expires when unused; beyond the limit, the longest-unused session is evicted', async () => {
    const boards = { host: '127.0.0.1', port: 0, publish: ['in/#'], subscribe: ['out/#'] };
    let passed = 0;
    const clock = { ...systemClock, now: () => Date.now() + passed };
    await start({ boards, clock, brokerLimits: { sessionExpiryMs: 60_000, sessionsOfBoards: 2 } });
    const board = async (clientId: string) => {
      const raw = await rawMqtt(own.platform.urls.boards ?? '');
      raw.say(hello({ clientId, clean: false }));
      const { sessionPresent } = (await raw.hear('connack'))!;
      raw.say({ cmd: 'disconnect' });
      await raw.closed;
      return sessionPresent;
    };
    expect([await board('a'), await board('a'), await board('b')]).toEqual([false, true, false]);
    // Two of the three sessions are kept; the session of `a` was unused for the longest time.
    expect([await board('c'), await board('b'), await board('c')]).toEqual([false, true, true]);
    expect(await board('a')).toBe(false);
    passed += 61_000;
    expect([await board('b'), await board('c')]).toEqual([false, false]);
  });

  it('limits its queue by messages and by bytes, including topics', async () => {
    await start({ brokerLimits: { queueMessages: 5, queueBytes: 8000 } });
    const reader = await letIn({ clientId: 'reader', clean: false });
    await subscribeTo(reader, 'q/#', 1);
    reader.socket.destroy();
    const writer = await operator();
    for (let n = 0; n < 9; n++) await writer.publishAsync('q/1', `${n}`, { qos: 1 });
    const again = await letIn({ clientId: 'reader', clean: false });
    for (let n = 4; n < 9; n++) expect(String((await again.hear('publish'))?.payload)).toBe(`${n}`);
    again.socket.destroy();
    await new Promise((resolve) => setTimeout(resolve, 100));
    for (let n = 0; n < 4; n++) await writer.publishAsync(`q/${'x'.repeat(3000)}`, `${n}`, { qos: 1 });
    const last = await letIn({ clientId: 'reader', clean: false });
    const payloads = [await last.hear('publish'), await last.hear('publish')].map((each) =>
      String(each?.payload),
    );
    expect(payloads).toEqual(['2', '3']);
    last.socket.destroy();
    await writer.endAsync(true);
  });
});

describe('retained messages', () => {
  it('are limited in number and bytes, topics included; messages beyond the limits are delivered, but not retained', async () => {
    await start({ brokerLimits: { retainedMessages: 3, retainedBytes: 5000 } });
    const writer = await operator();
    const watcher = await letIn({ clientId: 'watcher' });
    await subscribeTo(watcher, 'r/#');
    const keep = (topic: string, payload: string) =>
      writer.publishAsync(topic, payload, { qos: 1, retain: true });
    for (const name of ['r/1', 'r/2', `r/${'x'.repeat(6000)}`, 'r/3', 'r/4']) await keep(name, 'x');
    await keep('r/1', 'changed');
    await keep('r/2', '');
    await keep('r/5', 'x');
    for (let n = 0; n < 8; n++) await watcher.hear('publish');
    const later = await letIn({ clientId: 'later' });
    await subscribeTo(later, 'r/#');
    later.say({ cmd: 'pingreq' });
    await later.hear('pingresp');
    const kept = later.packets.flatMap((each) =>
      each.cmd === 'publish' ? [`${each.topic} ${each.payload}`] : [],
    );
    expect(kept.sort()).toEqual(['r/1 changed', 'r/3 x', 'r/5 x']);
    for (const each of [watcher, later]) each.socket.destroy();
    await writer.endAsync(true);
  });

  it('wait for a new subscriber that reads slowly; at QoS 0 none is dropped', async () => {
    await start({ brokerLimits: { socketBytes: 64 * 1024 } });
    const writer = await operator();
    const count = 2000;
    const payload = 'x'.repeat(5000);
    const all = Array.from({ length: count }, (_, n) =>
      writer.publishAsync(`r/${n}`, payload, { qos: 1, retain: true }),
    );
    await Promise.all(all);
    const later = await letIn({ clientId: 'later' });
    await subscribeTo(later, 'r/#');
    later.socket.pause();
    await delay(300);
    later.socket.resume();
    const topics = new Set<string>();
    while (topics.size < count) topics.add((await later.hear('publish'))!.topic);
    expect(later.packets.filter(({ cmd }) => cmd === 'publish')).toHaveLength(count);
    later.socket.destroy();
    await writer.endAsync(true);
  });

  it('at QoS 1 leave room for other messages in the queue, and end when the client unsubscribes', async () => {
    await start({ brokerLimits: { queueMessages: 20 } });
    const writer = await operator();
    const count = 200;
    for (let n = 0; n < count; n++) await writer.publishAsync(`r/${n}`, 'x', { qos: 1, retain: true });
    const later = await letIn({ clientId: 'later', clean: false });
    await subscribeTo(later, 'r/#', 1);
    const first = (await later.hear('publish'))!;
    for (let n = 0; n < 5; n++) await writer.publishAsync(`r/live/${n}`, 'x', { qos: 1 });
    const topics = new Set<string>();
    const take = ({ topic, messageId = 0 }: typeof first) => {
      topics.add(topic);
      later.say({ cmd: 'puback', messageId });
    };
    take(first);
    while (topics.size < count + 5) take((await later.hear('publish'))!);
    const before = later.packets.length;
    await subscribeTo(later, 'r/#', 1);
    later.say({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['r/#'] });
    await later.hear('unsuback');
    const again = later.packets.slice(before).flatMap((each) => (each.cmd === 'publish' ? [each] : []));
    expect(again.length).toBeLessThan(20);
    for (const { messageId = 0 } of again) later.say({ cmd: 'puback', messageId });
    later.say({ cmd: 'pingreq' });
    await later.hear('pingresp');
    expect(later.packets.filter(({ cmd }) => cmd === 'publish')).toHaveLength(count + 5 + again.length);
    later.socket.destroy();
    await writer.endAsync(true);
  });
});

describe('a slow client', () => {
  it('is cut off if CONNECT or the TLS handshake takes too long, on each listener', async () => {
    await start({ wsPort: 0, brokerLimits: { connectMs: 700 } });
    const { mqtt = '', mqtts, wss = '' } = own.platform.urls;
    const tcp = (url: string) => connectTcp(Number(new URL(url).port), '127.0.0.1');
    const shaken = (url: string) =>
      tls.connect({ port: Number(new URL(url).port), host: '127.0.0.1', ca: own.ca });
    const half = tcp(mqtt);
    half.write(Buffer.from([0x10, 30, 0, 4, 77]));
    const { socket: upgraded } = await rawMqtt(wss, { ca: own.ca });
    const waits = { tcp: tcp(mqtt), tls: tcp(mqtts), wss: tcp(wss), half, upgraded };
    const silent = { ...waits, handshaken: shaken(mqtts), 'handshaken wss': shaken(wss) };
    const late = new Set(Object.keys(silent));
    for (const [name, socket] of Object.entries(silent)) {
      socket.on('error', () => {}).on('close', () => late.delete(name));
      socket.resume();
    }
    await expect.poll(() => [...late], { timeout: 8000 }).toEqual([]);
  });

  it('loses QoS 0 messages beyond its buffer, then its connection, if it stops reading; others continue', async () => {
    await start({ brokerLimits: { socketBytes: 256 * 1024, stalledMs: 1000 } });
    const slow = await letIn({ clientId: 'slow' });
    await subscribeTo(slow, 'big');
    slow.socket.pause();
    const swift = await operator();
    let count = 0;
    swift.on('message', () => count++);
    await swift.subscribeAsync('big', { qos: 0 });
    const writer = await operator();
    const payload = Buffer.alloc(64 * 1024);
    const begun = performance.now();
    for (let n = 0; n < 400; n++) await writer.publishAsync('big', payload, { qos: 1 });
    await expect.poll(() => count, { timeout: 20_000 }).toBe(400);
    expect(performance.now() - begun).toBeLessThan(20_000);
    // The broker cuts the connection although the client did not close it. The client notices this when it reads again.
    const cutOff = async () => /^aiot_mqtt_timed_out_total 1$/m.test((await ask(own, '/metrics')).text);
    await expect.poll(cutOff, { timeout: 9000 }).toBe(true);
    slow.socket.resume();
    await slow.closed;
    expect(slow.packets.filter(({ cmd }) => cmd === 'publish').length).toBeLessThan(300);
    for (const each of [swift, writer]) await each.endAsync(true);
  });

  it('is cut off if it sends DISCONNECT without reading its pending messages', async () => {
    await start({ brokerLimits: { stalledMs: 700 } });
    const slow = await letIn({ clientId: 'slow' });
    await subscribeTo(slow, 'big', 1);
    slow.socket.pause();
    const writer = await operator();
    const payload = Buffer.alloc(512 * 1024);
    for (let n = 0; n < 16; n++) await writer.publishAsync('big', payload, { qos: 1 });
    slow.say({ cmd: 'disconnect' });
    // The server has closed its side, so further bytes result in a reset.
    await expect
      .poll(
        () => {
          slow.socket.write(Buffer.from([0xc0, 0]));
          return slow.socket.destroyed;
        },
        { timeout: 8000, interval: 100 },
      )
      .toBe(true);
    await writer.endAsync(true);
  });
});

describe('connections from one address', () => {
  it('are counted before the handshake, and closed immediately beyond the limit', async () => {
    await start({ brokerLimits: { connectionsPerAddress: 4 } });
    const port = Number(new URL(own.platform.urls.mqtts).port);
    let open = 6;
    // They send nothing, so that no handshake begins.
    const held = Array.from({ length: open }, () => connectTcp(port, '127.0.0.1'));
    for (const socket of held)
      socket
        .on('error', () => {})
        .on('close', () => open--)
        .resume();
    await expect.poll(() => open, { timeout: 20_000 }).toBe(4);
    const outcome = () =>
      operator().then(
        (client) => client.endAsync(true).then(() => true),
        () => false,
      );
    expect(await outcome()).toBe(false);
    for (const socket of held) socket.destroy();
    await expect.poll(outcome, { timeout: 10_000 }).toBe(true);
  });

  it('are accepted again at the allowed rate', async () => {
    await start({ brokerLimits: { burstPerAddress: 2, ratePerAddress: 0.2 } });
    const outcome = () =>
      operator().then(
        (client) => client.endAsync(true).then(() => true),
        () => false,
      );
    expect([await outcome(), await outcome(), await outcome()]).toEqual([true, true, false]);
    await expect.poll(outcome, { timeout: 20_000, interval: 500 }).toBe(true);
  });

  it.each([
    ['203.0.113.7', '203.0.113.7'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2:ffff::1', '2001:db8:1:2::/64'],
    ['2001:0db8::1', '2001:db8:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['unknown', 'unknown'],
  ])('are counted by IPv4 address or IPv6 network: %s as %s', async (address, visitor) => {
    await start();
    expect(visitorOf(address)).toBe(visitor);
  });
});

describe('MQTT over WebSocket', () => {
  it('survives invalid frames, with or without a subprotocol', async () => {
    await start({ wsPort: 0 });
    const url = own.platform.urls.wss ?? '';
    for (const protocol of ['', 'Sec-WebSocket-Protocol: mqtt\r\n']) {
      const socket = tls.connect({ port: Number(new URL(url).port), host: '127.0.0.1', ca: own.ca });
      socket.on('error', () => {});
      await once(socket, 'secureConnect');
      socket.write(
        `GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n${protocol}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
      );
      await once(socket, 'data');
      socket.resume().write(Buffer.from([0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5]));
      await once(socket, 'close');
    }
    await (await connect(url, { ca: own.ca, username: 'u', password: own.token })).endAsync(true);
  });

  it('detects a lost connection, and publishes the will', async () => {
    await start({ wsPort: 0 });
    const watcher = await letIn({ clientId: 'watcher' });
    await subscribeTo(watcher, 'gone/#');
    const raw = await rawMqtt(own.platform.urls.wss ?? '', { ca: own.ca });
    const will = { topic: 'gone/ws', payload: Buffer.from('x'), qos: 0, retain: false };
    raw.say(hello({ username: 'u', password: Buffer.from(own.token), will }));
    await raw.hear('connack');
    raw.socket.destroy();
    expect(await watcher.hear('publish')).toMatchObject({ topic: 'gone/ws' });
    watcher.socket.destroy();
  });

  it('accepts 1 MiB frames from authenticated clients only', async () => {
    await start({ wsPort: 0 });
    const url = own.platform.urls.wss ?? '';
    const stranger = await rawMqtt(url, { ca: own.ca });
    const begun = performance.now();
    // The single frame is never completed. The time limit of a CONNECT would be 10 s.
    const long = Buffer.alloc(1024 ** 2);
    long.set([0x10, 0xff, 0x7f]);
    stranger.say(long);
    await stranger.closed;
    expect(performance.now() - begun).toBeLessThan(5000);
    const known = await connect(url, { ca: own.ca, username: 'u', password: own.token });
    await known.publishAsync('big', Buffer.alloc(1024 ** 2), { qos: 1 });
    await known.endAsync(true);
  });
});
