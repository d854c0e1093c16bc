import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { hello, publish, type RawMqtt, rawMqtt } from '../support/raw-mqtt.js';

let own: TestPlatform;
const lines: { level: number; msg: string; count?: number }[] = [];
beforeAll(async () => {
  own = await testPlatform({ plain: { port: 0 }, wsPort: 0, log: (line) => lines.push(JSON.parse(line)) });
});
afterAll(async () => {
  await own.stop();
  // What somebody sends is never a fault of ours.
  expect(lines.filter(({ level }) => level >= 50)).toEqual([]);
});

const url = () => own.platform.urls.mqtt ?? '';
const credentials = () => ({ username: 'u', password: Buffer.from(own.token) });
async function letIn(more: object = {}): Promise<RawMqtt> {
  const raw = await rawMqtt(url());
  raw.say(hello({ ...credentials(), ...more }));
  expect(await raw.hear('connack')).toMatchObject({ returnCode: 0 });
  return raw;
}
/** A packet by its first byte and what is behind its length, which is right. */
const packet = (head: number, ...body: (number | string | Buffer)[]) => {
  const bytes = Buffer.concat(
    body.map((part) => (typeof part === 'number' ? Buffer.from([part]) : text(part))),
  );
  return Buffer.concat([Buffer.from([head, bytes.length]), bytes]);
};
/** As MQTT has it: two bytes of length before it; bytes are as they are. */
const text = (part: string | Buffer) =>
  Buffer.isBuffer(part) ? part : Buffer.concat([Buffer.from([0, part.length]), Buffer.from(part)]);
const connectFlags = (flags: number, ...rest: (number | string)[]) =>
  packet(0x10, 'MQTT', 4, flags, 0, 0, 'id', ...rest);

describe('before CONNECT, the connection ends at', () => {
  it.each([
    ['a PUBLISH', packet(0x30, 'a', 1)],
    ['a SUBSCRIBE', packet(0x82, 0, 1, 'a', 0)],
    ['a PINGREQ', packet(0xc0)],
    ['a DISCONNECT', packet(0xe0)],
    ['a CONNECT with flags in its header', packet(0x11, 'MQTT', 4, 2, 0, 0, 'id')],
    ['a CONNECT of another protocol', packet(0x10, 'MQTX', 4, 2, 0, 0, 'id')],
    ['a CONNECT with its reserved flag', connectFlags(3)],
    ['a will of QoS 3', connectFlags(0x1e, 'will', 'x')],
    ['the QoS of a will that is none', connectFlags(0x0a)],
    ['a will on a filter', connectFlags(0x06, 'a/#', 'x')],
    ['a password without a user', connectFlags(0x42, 'secret')],
    ['a CONNECT that ends in its id', packet(0x10, 'MQTT', 4, 2, 0, 0, Buffer.from([0, 9, 65]))],
    ['an id that is no UTF-8', packet(0x10, 'MQTT', 4, 2, 0, 0, Buffer.from([0, 2, 0xc3, 0x28]))],
    ['an id with NUL', packet(0x10, 'MQTT', 4, 2, 0, 0, Buffer.from([0, 2, 65, 0]))],
    ['a length of five bytes', Buffer.from([0x10, 0x80, 0x80, 0x80, 0x80, 1])],
    ['a length of 256 MiB', Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f])],
    ['a packet type of 0', packet(0x00)],
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
  ])('%s', async (_, bytes) => {
    const raw = await rawMqtt(url());
    raw.say(bytes);
    expect(await raw.closed).toBe(true);
    expect(raw.packets).toEqual([]);
  });

  it('another protocol at once, not when the time for a CONNECT is over', async () => {
    const raw = await rawMqtt(url());
    raw.say(Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'));
    expect(await Promise.race([raw.closed, delay(5000, 'still open', { ref: false })])).toBe(true);
  });

  it.each([
    ['5, the version after ours', hello({ protocolVersion: 5 }), 1],
    ['6, that there is not', packet(0x10, 'MQTT', 6, 2, 0, 0, 'id'), 1],
    ['an empty id for a session that is to stay', packet(0x10, 'MQTT', 4, 0, 0, 0, ''), 2],
    ['an empty id in MQTT 3.1', packet(0x10, 'MQIsdp', 3, 2, 0, 0, ''), 2],
    ['an id of 257 characters', hello({ clientId: 'x'.repeat(257) }), 2],
    ['no credentials', hello(), 4],
  ])('a CONNECT with %s, which is answered with its return code', async (_, said, returnCode) => {
    const raw = await rawMqtt(url());
    raw.say(said);
    expect(await raw.hear('connack')).toMatchObject({ returnCode, sessionPresent: false });
    expect(await raw.closed).toBe(true);
  });
});

describe('after CONNECT, the connection ends at', () => {
  it.each([
    ['a second CONNECT', packet(0x10, 'MQTT', 4, 2, 0, 0, 'id')],
    ['a PUBLISH of QoS 3', packet(0x36, 'a', 0, 1, 1)],
    ['a packet id of 0', packet(0x32, 'a', 0, 0, 1)],
    ['a topic that is longer than its packet', packet(0x30, Buffer.from([0, 9, 65]))],
    ['an empty topic', packet(0x30, '')],
    ['a topic with +', packet(0x30, 'a/+')],
    ['a topic with #', packet(0x30, '#')],
    ['a topic with NUL', packet(0x30, Buffer.from([0, 2, 65, 0]))],
    ['a topic that is no UTF-8', packet(0x30, Buffer.from([0, 2, 0xff, 0xfe]))],
    ['a topic with half a surrogate', packet(0x30, Buffer.from([0, 3, 0xed, 0xa0, 0x80]))],
    ['a PUBLISH below $SYS', packet(0x30, '$SYS/broker/version', 1)],
    ['a SUBSCRIBE of nothing', packet(0x82, 0, 1)],
    ['a SUBSCRIBE with the id 0', packet(0x82, 0, 0, 'a', 0)],
    ['a SUBSCRIBE with other flags', packet(0x80, 0, 1, 'a', 0)],
    ['a SUBSCRIBE of QoS 3', packet(0x82, 0, 1, 'a', 3)],
    ['a SUBSCRIBE that ends in its filter', packet(0x82, 0, 1, Buffer.from([0, 5, 65]))],
    ['an UNSUBSCRIBE of nothing', packet(0xa2, 0, 1)],
    ['an UNSUBSCRIBE with other flags', packet(0xa0, 0, 1, 'a')],
    ['a PUBACK of one byte', packet(0x40, 1)],
    ['a PUBACK with flags', packet(0x41, 0, 1)],
    ['a PUBREL without its flags', packet(0x60, 0, 1)],
    ['a PINGREQ with flags', packet(0xc1)],
    ['a DISCONNECT with flags', packet(0xe1)],
    ['a CONNACK', packet(0x20, 0, 0)],
    ['a SUBACK', packet(0x90, 0, 1, 0)],
    ['a PINGRESP', packet(0xd0)],
    ['a packet type of 15', packet(0xf0)],
    ['a length of five bytes', Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 1])],
    ['a PUBLISH that announces 2 MiB', Buffer.from([0x30, 0x80, 0x80, 0x80, 0x01])],
  ])('%s', async (_, bytes) => {
    const raw = await letIn();
    raw.say(bytes);
    expect(await raw.closed).toBe(true);
    expect(raw.packets.length).toBe(1);
  });

  it('a DISCONNECT with flags, and its will is told: it was none', async () => {
    const watcher = await letIn({ clientId: 'watcher' });
    watcher.say({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'gone/#', qos: 0 }] });
    await watcher.hear('suback');
    const raw = await letIn({
      will: { topic: 'gone/raw', payload: Buffer.from('x'), qos: 0, retain: false },
    });
    raw.say(packet(0xe1));
    expect(await watcher.hear('publish')).toMatchObject({ topic: 'gone/raw' });
    watcher.socket.destroy();
  });
});

describe('MQTT 3.1', () => {
  it('has DUP on what is sent again, and ids of 23 characters and more', async () => {
    for (const clientId of ['x'.repeat(23), 'x'.repeat(64)]) {
      const raw = await letIn({ protocolId: 'MQIsdp', protocolVersion: 3, clientId });
      raw.say(publish({ qos: 2, messageId: 1 }));
      await raw.hear('pubrec');
      raw.say(packet(0x6a, 0, 1));
      expect(await raw.hear('pubcomp')).toMatchObject({ messageId: 1 });
      raw.say(packet(0x8a, 0, 2, 'a/b', 1));
      expect(await raw.hear('suback')).toMatchObject({ granted: [1] });
      raw.socket.destroy();
    }
  });
});

describe('what is odd, and allowed', () => {
  it('an acknowledgement of what was never sent changes nothing', async () => {
    const raw = await letIn();
    raw.say(packet(0x40, 0, 7), packet(0x70, 0, 7), packet(0x50, 0, 7));
    expect(await raw.hear('pubrel')).toMatchObject({ messageId: 7 });
    raw.say(packet(0x62, 0, 9), packet(0xc0));
    expect(await raw.hear('pubcomp')).toMatchObject({ messageId: 9 });
    expect(await raw.hear('pingresp')).not.toBeNull();
    raw.socket.destroy();
  });

  it('an id that comes again while QoS 2 waits for its release is the same message', async () => {
    const watcher = await letIn({ clientId: 'watcher' });
    watcher.say({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'once', qos: 2 }] });
    await watcher.hear('suback');
    const raw = await letIn();
    raw.say(publish({ topic: 'once', qos: 2, messageId: 3, payload: 'first' }));
    await raw.hear('pubrec');
    raw.say(publish({ topic: 'once', qos: 2, messageId: 3, payload: 'second' }));
    await raw.hear('pubrec');
    raw.say(packet(0x62, 0, 3));
    await raw.hear('pubcomp');
    raw.say(publish({ topic: 'once', qos: 2, messageId: 3, payload: 'third' }));
    await raw.hear('pubrec');
    const heard = [await watcher.hear('publish'), await watcher.hear('publish')];
    expect(heard.map((each) => String(each?.payload))).toEqual(['first', 'third']);
    for (const each of [raw, watcher]) each.socket.destroy();
  });

  it('filters that are none are refused one by one', async () => {
    const raw = await letIn();
    const topics = ['a/#/b', 'a+', '#a', 'ok/+', 'x'.repeat(5000), '/'.repeat(200), '+/+'];
    raw.say({ cmd: 'subscribe', messageId: 1, subscriptions: topics.map((topic) => ({ topic, qos: 1 })) });
    expect(await raw.hear('suback')).toMatchObject({ granted: [128, 128, 128, 1, 128, 128, 1] });
    raw.socket.destroy();
  });

  it('20,000 filters in a packet are answered: as many as it may have are granted, and one line is logged', async () => {
    const raw = await letIn();
    const before = lines.length;
    const subscriptions = Array.from({ length: 20_000 }, (_, i) => ({ topic: `${i}`, qos: 0 as const }));
    raw.say({ cmd: 'subscribe', messageId: 1, subscriptions });
    const answer = await raw.hear('suback');
    expect(answer?.granted.filter((code) => code === 0).length).toBe(1000);
    expect(answer?.granted.length).toBe(20_000);
    expect(lines.slice(before)).toMatchObject([{ msg: 'a subscription was refused', count: 19_000 }]);
    raw.socket.destroy();
  });

  it('one filter 20,000 times brings what is retained once, and does not hold up others', async () => {
    const writer = await connect(url(), { username: 'u', password: own.token });
    const all = Array.from({ length: 2000 }, (_, i) =>
      writer.publishAsync(`kept/${i}`, 'x', { qos: 1, retain: true }),
    );
    await Promise.all(all);
    const raw = await letIn();
    const subscriptions = Array.from({ length: 20_000 }, () => ({ topic: 'kept/#', qos: 0 as const }));
    raw.say({ cmd: 'subscribe', messageId: 1, subscriptions }, packet(0xc0));
    const begun = performance.now();
    await writer.publishAsync('others', 'x', { qos: 1 });
    expect(performance.now() - begun).toBeLessThan(2000);
    await raw.hear('pingresp');
    expect(raw.packets.filter(({ cmd }) => cmd === 'publish').length).toBe(2000);
    raw.socket.destroy();
    await writer.endAsync(true);
  });

  it('many filters over much that is retained are answered in turns with what others ask', async () => {
    const writer = await connect(url(), { username: 'u', password: own.token });
    const raw = await letIn();
    // Each looks at all 2,000 and finds none.
    const subscriptions = Array.from({ length: 1000 }, (_, i) => ({ topic: `+/+/${i}`, qos: 0 as const }));
    raw.say({ cmd: 'subscribe', messageId: 1, subscriptions }, packet(0xc0));
    await raw.hear('suback');
    await writer.publishAsync('others', 'x', { qos: 1 });
    // What it asks next comes when that is done, after what others asked.
    expect(raw.packets.some(({ cmd }) => cmd === 'pingresp')).toBe(false);
    expect(await raw.hear('pingresp')).not.toBeNull();
    raw.socket.destroy();
    await writer.endAsync(true);
  });
});
