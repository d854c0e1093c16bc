import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { connect } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { hello, publish, rawMqtt } from '../support/raw-mqtt.js';
import { connectFive, killed, messagesSoFar, subscribed } from '../support/raw-mqtt5.js';

let own: TestPlatform;
afterEach(() => own.stop());

const url = () => own.platform.urls.mqtt ?? '';
const start = async () => {
  own = await testPlatform({ plain: { port: 0 } });
};
const comeIn = async (more: object = {}) => {
  const raw = await rawMqtt(url());
  const who = { username: 'u', password: Buffer.from(own.token), clientId: 'reader', clean: false };
  raw.say(hello({ ...who, ...more }));
  const answer = await raw.hear('connack');
  return { raw, present: answer?.sessionPresent };
};
const writer = () => connect(url(), { username: 'u', password: own.token });

describe('a session at packet level', () => {
  it('resumes QoS 2 after a restart: received messages are released and not sent again', async () => {
    await start();
    const { raw } = await comeIn();
    raw.say({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'q', qos: 2 }] });
    await raw.hear('suback');
    const made = await writer();
    for (const payload of ['one', 'two']) await made.publishAsync('q', payload, { qos: 2 });
    await made.endAsync();
    const [one, two] = [await raw.hear('publish'), await raw.hear('publish')];
    raw.say({ cmd: 'pubrec', messageId: one?.messageId ?? 0 });
    expect(await raw.hear('pubrel')).toMatchObject({ messageId: one?.messageId });
    // A client's acknowledgments are written with a short delay.
    await new Promise((resolve) => setTimeout(resolve, 300));
    raw.socket.destroy();
    await own.restart();
    const { raw: again, present } = await comeIn();
    expect(present).toBe(true);
    expect(await again.hear('publish')).toMatchObject({ messageId: two?.messageId, dup: true, qos: 2 });
    expect(again.packets.filter(({ cmd }) => cmd === 'pubrel')).toMatchObject([
      { messageId: one?.messageId },
    ]);
    again.say(
      { cmd: 'pubcomp', messageId: one?.messageId ?? 0 },
      { cmd: 'pubrec', messageId: two?.messageId ?? 0 },
    );
    expect(await again.hear('pubrel')).toMatchObject({ messageId: two?.messageId });
    again.say({ cmd: 'pubcomp', messageId: two?.messageId ?? 0 }, { cmd: 'pingreq' });
    await again.hear('pingresp');
    again.socket.destroy();
    const { raw: last } = await comeIn();
    last.say({ cmd: 'pingreq' });
    await last.hear('pingresp');
    expect(last.packets.map(({ cmd }) => cmd)).toEqual(['connack', 'pingresp']);
    last.socket.destroy();
  });

  it('is taken over by the same client ID: the old connection closes, its will is sent, nothing is lost', async () => {
    await start();
    const { raw: watcher } = await comeIn({ clientId: 'watcher', clean: true });
    watcher.say({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'gone', qos: 0 }] });
    await watcher.hear('suback');
    const will = { topic: 'gone', payload: Buffer.from('x'), qos: 0, retain: false };
    const { raw: before } = await comeIn({ will });
    before.say({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'q', qos: 1 }] });
    await before.hear('suback');
    const made = await writer();
    await made.publishAsync('q', 'not acknowledged', { qos: 1 });
    await before.hear('publish');
    // Several clients connect at once. They take over the session one after another, and the last one keeps it.
    const all = await Promise.all([1, 2, 3].map(() => comeIn()));
    // A client that was disconnected before its turn has received nothing.
    expect(all.map(({ present }) => present)).toContain(true);
    expect(all.map(({ present }) => present)).not.toContain(false);
    expect(await before.closed).toBe(true);
    expect(await watcher.hear('publish')).toMatchObject({ topic: 'gone' });
    await made.publishAsync('q', 'behind', { qos: 1 });
    await expect.poll(() => all.filter(({ raw }) => !raw.socket.destroyed).length).toBe(1);
    const left = all.find(({ raw }) => !raw.socket.destroyed)!.raw;
    const heard = [await left.hear('publish'), await left.hear('publish')];
    expect(heard.map((each) => `${each?.payload} ${each?.dup}`)).toEqual([
      'not acknowledged true',
      'behind false',
    ]);
    for (const each of [left, watcher]) each.socket.destroy();
    await made.endAsync(true);
  });

  it.each([23, 64])('survives a restart with MQTT 3.1 and a client ID of %i characters', async (length) => {
    await start();
    const old = { protocolId: 'MQIsdp', protocolVersion: 3, clientId: 'b'.repeat(length) };
    const { raw } = await comeIn(old);
    raw.say({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'q', qos: 1 }] });
    await raw.hear('suback');
    raw.say({ cmd: 'disconnect' });
    await raw.closed;
    const { raw: said } = await comeIn({ clientId: 'writer', clean: true });
    said.say(publish({ topic: 'q', qos: 1, messageId: 1 }));
    await said.hear('puback');
    said.socket.destroy();
    await own.restart();
    const { raw: again, present } = await comeIn(old);
    // MQTT 3.1 has no such flag; the byte is reserved.
    expect(present).toBe(false);
    expect(await again.hear('publish')).toMatchObject({ topic: 'q', qos: 1 });
    again.socket.destroy();
  });
});

it('a session whose client was connected at a crash expires across further restarts', async () => {
  await start();
  await connectFive(own, { clientId: 'reader', clean: false, properties: { sessionExpiryInterval: 3 } });
  await killed(own);
  const restarted = Date.now();
  while (Date.now() - restarted < 3100) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await killed(own);
  }
  const { connack } = await connectFive(own, { clientId: 'reader', clean: false });
  expect(connack.sessionPresent).toBe(false);
});

describe('a session log from a version without MQTT 5', () => {
  it('opens with its sessions, subscriptions, queued and retained messages, and wills', async () => {
    await start();
    const { raw: probe } = await comeIn();
    probe.say({ cmd: 'disconnect' });
    await probe.closed;
    await killed(own, async () => {
      const folder = join(own.folder, 'data', 'broker');
      const name = (await readdir(folder)).sort().at(-1) ?? '';
      const key = /"s":"([^"]+:reader)"/.exec(await readFile(join(folder, name), 'utf8'))?.[1] ?? '';
      await writeFile(join(folder, name), earlierLog(key, Date.now()));
    });
    const { raw: reader, present } = await comeIn();
    expect(present).toBe(true);
    const queued = await messagesSoFar(reader);
    expect(queued.map(({ topic, payload, qos, retain }) => [topic, String(payload), qos, retain])).toEqual([
      ['a/1', 'first', 1, false],
      ['a/3', 'ümlaut', 2, false],
    ]);
    // The reader had received this message, and its packet identifier is still in use.
    expect(reader.packets.filter(({ cmd }) => cmd === 'pubrel')).toMatchObject([{ messageId: 4 }]);
    // The client's own QoS 2 message 77 was stored, so a repetition is not delivered again.
    reader.say(publish({ topic: 'a/5', payload: 'again', qos: 2, messageId: 77, dup: true }));
    expect(await reader.hear('pubrec')).toMatchObject({ messageId: 77 });
    expect(await messagesSoFar(reader)).toHaveLength(2);
    const { raw: five } = await connectFive(own, { clientId: 'five' });
    await subscribed(five, { topic: '#', qos: 2 });
    const kept = await messagesSoFar(five);
    expect(kept.map(({ topic, payload, qos, retain }) => [topic, String(payload), qos, retain])).toEqual([
      ['kept/1', 'value', 1, true],
      ['wills/1', 'gone', 1, true],
    ]);
    const made = await writer();
    await made.publishAsync('a/6', 'new', { qos: 2 });
    await made.endAsync();
    expect(await reader.hear('publish')).toMatchObject({ topic: 'a/6', qos: 1 });
    // The MQTT 5 client has its own subscription to the same topics.
    expect((await five.hear('publish'))?.topic).toBe('a/6');
    for (const each of [reader, five]) each.socket.destroy();
  });
});

/**
 * The session log of the last version without MQTT 5: messages without properties and expiry, subscriptions without options, sessions
 * without an expiry, receivers without a shared subscription, and wills without a token and a delay. As in earlier versions, the first
 * lines have no checksum.
 */
function earlierLog(key: string, now: number): string {
  const encoded = (text: string) => Buffer.from(text).toString('base64');
  const records = [
    { k: 'session', s: key, off: now - 60_000 },
    { k: 'sub', s: key, f: [['a/+', 1]] },
    {
      k: 'sub',
      s: key,
      f: [
        ['a/3', 2],
        ['b', 0],
      ],
    },
    { k: 'unsub', s: key, f: ['b'] },
    { k: 'message', n: 1, m: ['kept/1', encoded('value'), 1, true], to: [], r: true },
    { k: 'message', n: 2, m: ['a/1', encoded('first'), 1, false], to: [[key, 1, 1]] },
    { k: 'message', n: 3, m: ['a/2', encoded('done'), 1, false], to: [[key, 1, 2]] },
    { k: 'done', s: key, n: 3 },
    { k: 'message', n: 4, m: ['a/3', encoded('ümlaut'), 2, false], to: [[key, 2, 3]] },
    { k: 'message', n: 5, m: ['a/3', encoded('received'), 2, false], to: [[key, 2, 4]] },
    { k: 'received', s: key, n: 5 },
    { k: 'message', n: 6, m: ['x', encoded('own'), 2, false], to: [], from: [key, 77] },
    { k: 'session', s: `${key}-ended`, off: null },
    { k: 'end', s: `${key}-ended` },
    { k: 'will', s: `${key}-lost`, m: ['wills/1', encoded('gone'), 1, true] },
    { k: 'will', s: `${key}-well`, m: ['wills/2', encoded('unused'), 1, true] },
    { k: 'will', s: `${key}-well`, m: null },
  ];
  const lines = records.map((record, index) => {
    const json = JSON.stringify(record);
    if (index < 2) return json;
    return `${json.slice(0, -1)},"c":"${crc32(json).toString(16).padStart(8, '0')}"}`;
  });
  return `${lines.join('\n')}\n`;
}
