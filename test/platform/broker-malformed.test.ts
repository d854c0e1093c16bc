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
  // Client input must never cause an internal error.
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
/** Builds a packet with the correct length from its first byte and its body. */
const packet = (head: number, ...body: (number | string | Buffer)[]) => {
  const bytes = Buffer.concat(
    body.map((part) => (typeof part === 'number' ? Buffer.from([part]) : text(part))),
  );
  return Buffer.concat([Buffer.from([head, bytes.length]), bytes]);
};
/** Encodes text as in MQTT, preceded by its length in two bytes. Bytes are left unchanged. */
const text = (part: string | Buffer) =>
  Buffer.isBuffer(part) ? part : Buffer.concat([Buffer.from([0, part.length]), Buffer.from(part)]);
const connectFlags = (flags: number, ...rest: (number | string)[]) =>
  packet(0x10, 'MQTT', 4, flags, 0, 0, 'id', ...rest);

describe('the broker, before CONNECT', () => {
  it.each([
    ['a PUBLISH', packet(0x30, 'a', 1)],
    ['a SUBSCRIBE', packet(0x82, 0, 1, 'a', 0)],
    ['a PINGREQ', packet(0xc0)],
    ['a DISCONNECT', packet(0xe0)],
    ['a CONNECT with flags in its header', packet(0x11, 'MQTT', 4, 2, 0, 0, 'id')],
    ['a CONNECT for an unknown protocol', packet(0x10, 'MQTX', 4, 2, 0, 0, 'id')],
    ['a CONNECT with its reserved flag', connectFlags(3)],
    ['a will of QoS 3', connectFlags(0x1e, 'will', 'x')],
    ['a will QoS without a will', connectFlags(0x0a)],
    ['a will on a filter', connectFlags(0x06, 'a/#', 'x')],
    ['a password without a user', connectFlags(0x42, 'secret')],
    ['bytes after the end of a CONNECT', packet(0x10, 'MQTT', 4, 2, 0, 0, 'id', 0)],
    ['a CONNECT that ends in its id', packet(0x10, 'MQTT', 4, 2, 0, 0, Buffer.from([0, 9, 65]))],
    ['an id that is not UTF-8', packet(0x10, 'MQTT', 4, 2, 0, 0, Buffer.from([0, 2, 0xc3, 0x28]))],
    ['an id with NUL', packet(0x10, 'MQTT', 4, 2, 0, 0, Buffer.from([0, 2, 65, 0]))],
    ['a length of five bytes', Buffer.from([0x10, 0x80, 0x80, 0x80, 0x80, 1])],
    ['a length of 256 MiB', Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f])],
    ['a packet type of 0', packet(0x00)],
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
  ])('closes the connection on %s', async (_, bytes) => {
    const raw = await rawMqtt(url());
    raw.say(bytes);
    expect(await raw.closed).toBe(true);
    expect(raw.packets).toEqual([]);
  });

  it('closes the connection on another protocol immediately, before the CONNECT timeout', async () => {
    const raw = await rawMqtt(url());
    raw.say(Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'));
    expect(await Promise.race([raw.closed, delay(5000, 'still open', { ref: false })])).toBe(true);
  });

  it.each([
    ['an unknown protocol version', packet(0x10, 'MQTT', 6, 2, 0, 0, 'id'), 1],
    ['an empty id for a persistent session', packet(0x10, 'MQTT', 4, 0, 0, 0, ''), 2],
    ['an empty id in MQTT 3.1', packet(0x10, 'MQIsdp', 3, 2, 0, 0, ''), 2],
    ['an id of 257 characters', hello({ clientId: 'x'.repeat(257) }), 2],
    ['no credentials', hello(), 4],
  ])('rejects a CONNECT with %s, with its return code', async (_, said, returnCode) => {
    const raw = await rawMqtt(url());
    raw.say(said);
    expect(await raw.hear('connack')).toMatchObject({ returnCode, sessionPresent: false });
    expect(await raw.closed).toBe(true);
  });
});

describe('the broker, after CONNECT', () => {
  it.each([
    ['a second CONNECT', packet(0x10, 'MQTT', 4, 2, 0, 0, 'id')],
    ['a PUBLISH of QoS 3', packet(0x36, 'a', 0, 1, 1)],
    ['a packet id of 0', packet(0x32, 'a', 0, 0, 1)],
    ['a topic that is longer than its packet', packet(0x30, Buffer.from([0, 9, 65]))],
    ['an empty topic', packet(0x30, '')],
    ['a topic with +', packet(0x30, 'a/+')],
    ['a topic with #', packet(0x30, '#')],
    ['a topic with NUL', packet(0x30, Buffer.from([0, 2, 65, 0]))],
    ['a topic that is not UTF-8', packet(0x30, Buffer.from([0, 2, 0xff, 0xfe]))],
    ['a topic with half a surrogate', packet(0x30, Buffer.from([0, 3, 0xed, 0xa0, 0x80]))],
    ['a SUBSCRIBE without filters', packet(0x82, 0, 1)],
    ['a SUBSCRIBE with the id 0', packet(0x82, 0, 0, 'a', 0)],
    ['a SUBSCRIBE with other flags', packet(0x80, 0, 1, 'a', 0)],
    ['a SUBSCRIBE with reserved flags', packet(0x83, 0, 1, 'a', 0)],
    ['a SUBSCRIBE with DUP', packet(0x8a, 0, 1, 'a', 0)],
    ['a SUBSCRIBE with an empty filter', packet(0x82, 0, 1, '', 0)],
    ['a SUBSCRIBE with reserved options', packet(0x82, 0, 1, 'a', 4)],
    ['a SUBSCRIBE of QoS 3', packet(0x82, 0, 1, 'a', 3)],
    ['a SUBSCRIBE that ends in its filter', packet(0x82, 0, 1, Buffer.from([0, 5, 65]))],
    ['an UNSUBSCRIBE without filters', packet(0xa2, 0, 1)],
    ['an UNSUBSCRIBE with other flags', packet(0xa0, 0, 1, 'a')],
    ['an UNSUBSCRIBE with reserved flags', packet(0xa6, 0, 1, 'a')],
    ['an UNSUBSCRIBE with an empty filter', packet(0xa2, 0, 1, '')],
    ['an UNSUBSCRIBE with the id 0', packet(0xa2, 0, 0, 'a')],
    ['a PUBACK of one byte', packet(0x40, 1)],
    ['a PUBACK with flags', packet(0x41, 0, 1)],
    ['a PUBACK of a message that was never sent', packet(0x40, 0, 7)],
    ['a PUBREC of a message that was never sent', packet(0x50, 0, 7)],
    ['a PUBCOMP of a message that was never sent', packet(0x70, 0, 7)],
    ['a PUBREL without its flags', packet(0x60, 0, 1)],
    ['a PUBREL with reserved flags', packet(0x63, 0, 1)],
    ['a PUBREL with the id 0', packet(0x62, 0, 0)],
    ['a PINGREQ with a body', packet(0xc0, 1)],
    ['a DISCONNECT with a body', packet(0xe0, 0)],
    ['a PINGREQ with flags', packet(0xc1)],
    ['a DISCONNECT with flags', packet(0xe1)],
    ['a CONNACK', packet(0x20, 0, 0)],
    ['a SUBACK', packet(0x90, 0, 1, 0)],
    ['a PINGRESP', packet(0xd0)],
    ['a packet type of 15', packet(0xf0)],
    ['a length of five bytes', Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 1])],
    ['a PUBLISH that announces 2 MiB', Buffer.from([0x30, 0x80, 0x80, 0x80, 0x01])],
  ])('closes the connection on %s', async (_, bytes) => {
    const raw = await letIn();
    raw.say(bytes);
    expect(await raw.closed).toBe(true);
    expect(raw.packets.length).toBe(1);
  });

  it('publishes the will on a DISCONNECT with flags, which is invalid', async () => {
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
  it('accepts DUP on resent packets, and client IDs of 23 or more characters', async () => {
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

describe('the broker, on unusual packets', () => {
  it('completes the release of a message that it does not know, because PUBCOMP may have been lost', async () => {
    const raw = await letIn();
    raw.say(packet(0x62, 0, 9), packet(0xc0));
    expect(await raw.hear('pubcomp')).toMatchObject({ messageId: 9 });
    expect(await raw.hear('pingresp')).not.toBeNull();
    raw.socket.destroy();
  });

  it('drops a PUBLISH under $SYS', async () => {
    const raw = await letIn();
    raw.say({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '$SYS/x', qos: 0 }] });
    await raw.hear('suback');
    raw.say(packet(0x30, '$SYS/x', 1), packet(0xc0));
    expect(await raw.hear('pingresp')).not.toBeNull();
    expect(raw.packets.map(({ cmd }) => cmd)).toEqual(['connack', 'suback', 'pingresp']);
    raw.socket.destroy();
  });

  it('tolerates acknowledgments of messages that were never sent in MQTT 3.1, whose clients repeat theirs', async () => {
    const raw = await letIn({ protocolId: 'MQIsdp', protocolVersion: 3 });
    raw.say(packet(0x40, 0, 7), packet(0x70, 0, 7), packet(0x50, 0, 7));
    expect(await raw.hear('pubrel')).toMatchObject({ messageId: 7 });
    raw.socket.destroy();
  });

  it('treats a repeated id before the QoS 2 release as the same message', async () => {
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

  it('rejects filters beyond its limits one by one', async () => {
    const raw = await letIn();
    const topics = ['ok/+', 'x'.repeat(5000), '/'.repeat(200), '+/+'];
    raw.say({ cmd: 'subscribe', messageId: 1, subscriptions: topics.map((topic) => ({ topic, qos: 1 })) });
    expect(await raw.hear('suback')).toMatchObject({ granted: [1, 128, 128, 1] });
    raw.socket.destroy();
  });

  it.each(['a/#/b', 'a+', '#a', '$share/g/', '$share//a'])(
    'closes the connection on the invalid filter %s',
    async (topic) => {
      for (const packet of [
        {
          cmd: 'subscribe',
          messageId: 1,
          subscriptions: [
            { topic: 'ok', qos: 1 },
            { topic, qos: 1 },
          ],
        },
        { cmd: 'unsubscribe', messageId: 1, unsubscriptions: ['ok', topic] },
      ]) {
        const raw = await letIn();
        raw.say(packet as never);
        expect(await raw.closed).toBe(true);
        expect(raw.packets.map(({ cmd }) => cmd)).toEqual(['connack']);
      }
    },
  );

  it('responds to 20,000 filters in a packet: grants up to the limit, and logs one line', async () => {
    const raw = await letIn();
    const before = lines.length;
    const subscriptions = Array.from({ length: 20_000 }, (_, i) => ({ topic: `${i}`, qos: 0 as const }));
    raw.say({ cmd: 'subscribe', messageId: 1, subscriptions });
    const answer = await raw.hear('suback');
    expect(answer?.granted.filter((code) => code === 0).length).toBe(1000);
    expect(answer?.granted.length).toBe(20_000);
    expect(lines.slice(before)).toMatchObject([{ msg: 'rejected a subscription', count: 19_000 }]);
    raw.socket.destroy();
  });

  it('sends retained messages once for a filter repeated 20,000 times, without delaying others', async () => {
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

  it('interleaves many filters over many retained messages with requests of other clients', async () => {
    const writer = await connect(url(), { username: 'u', password: own.token });
    const raw = await letIn();
    // Each filter is compared with all 2,000 messages; only the last one matches a message.
    const topics = [...Array.from({ length: 999 }, (_, i) => `+/+/${i}`), 'kept/+'];
    raw.say(
      { cmd: 'subscribe', messageId: 1, subscriptions: topics.map((topic) => ({ topic, qos: 0 as const })) },
      packet(0xc0),
    );
    await raw.hear('suback');
    await writer.publishAsync('others', 'x', { qos: 1 });
    expect(await raw.hear('pingresp')).not.toBeNull();
    // The PUBLISH and the PINGREQ are answered before the search for retained messages is complete.
    expect(raw.packets.some(({ cmd }) => cmd === 'publish')).toBe(false);
    expect(await raw.hear('publish')).toMatchObject({ topic: 'kept/0', retain: true });
    raw.socket.destroy();
    await writer.endAsync(true);
  });
});
