import assert from 'node:assert/strict';
import {
  acknowledgment,
  counted,
  disconnect,
  packet,
  pingreq,
  properties,
  publish,
  subscribe,
  u16,
  unsubscribe,
} from '../../support/mqtt-bytes.js';
import { headOf, type Lab } from '../../support/mqtt-lab.js';
import type { Statement } from './statement.js';

/**
 * Byte sequences that are not UTF-8: a stray continuation byte, an overlong slash, half a surrogate pair, a truncated character, and a
 * code point above U+10FFFF.
 */
const illFormed = [
  Buffer.from([0x61, 0x80]),
  Buffer.from([0xc0, 0xaf]),
  Buffer.from([0xed, 0xa0, 0x80]),
  Buffer.from([0xe2, 0x82]),
  Buffer.from([0xf4, 0x90, 0x80, 0x80]),
];

const withNull = Buffer.from([0x61, 0, 0x62]);

/** Sends this text wherever packets contain strings; each attempt must end the connection. */
async function brokenBy(lab: Lab, text: Buffer): Promise<void> {
  const { version } = lab;
  await lab.refuses(lab.hello({ clientId: text }), [0x81, 0x82, 0x85]);
  await lab.refuses(lab.hello({ will: { topic: text } }), [0x81, 0x82, 0x90]);
  await lab.breaks(publish(version, text, 'x'), [0x81, 0x82, 0x90]);
  await lab.breaks(subscribe(version, 1, [[text, 0]]), [0x81, 0x82, 0x8f]);
  await lab.breaks(unsubscribe(version, 1, [text]), [0x81, 0x82, 0x8f]);
}

/** Sends packets whose reserved bits have invalid values; each must end the connection. */
async function withWrongFlags(lab: Lab): Promise<void> {
  const { version } = lab;
  const wrong = (bytes: Buffer, flags: number) =>
    Buffer.concat([Buffer.from([(bytes[0]! & 0xf0) | flags]), bytes.subarray(1)]);
  await lab.refuses(wrong(lab.hello(), 1));
  for (const bytes of [
    wrong(acknowledgment('puback', 1), 1),
    wrong(acknowledgment('pubrec', 1), 2),
    wrong(acknowledgment('pubrel', 1), 0),
    wrong(acknowledgment('pubcomp', 1), 8),
    wrong(subscribe(version, 1, [['a', 0]]), 3),
    wrong(unsubscribe(version, 1, ['a']), 10),
    wrong(pingreq, 4),
    wrong(disconnect(version), 1),
  ])
    await lab.breaks(bytes);
}

/** Chapters 1 and 2: data representation and packet format. */
export const format: Statement[] = [
  {
    v4: '1.5.3-1',
    v5: '1.5.4-1',
    says: 'A string that is not well-formed UTF-8, or encodes a surrogate, ends the connection.',
    async check(lab) {
      for (const text of illFormed) await brokenBy(lab, text);
      const topic = `${lab.name()}/é漢😀\ufffd\u{10fffd}`;
      const peer = await lab.subscriber(topic);
      await peer.publish(topic, 'kept');
      assert.equal((await peer.message()).topic, topic);
    },
  },
  {
    v4: '1.5.3-2',
    v5: '1.5.4-2',
    says: 'A string that contains U+0000 ends the connection.',
    check: (lab) => brokenBy(lab, withNull),
  },
  {
    v4: '1.5.3-3',
    v5: '1.5.4-3',
    says: 'EF BB BF in a string is read as U+FEFF and never removed.',
    async check(lab) {
      const topic = lab.name();
      const peer = await lab.connect();
      await peer.subscribe([
        [topic, 0],
        [`\ufeff${topic}`, 0],
        [`${topic}/\ufeff`, 0],
      ]);
      for (const each of [`\ufeff${topic}`, `${topic}/\ufeff`, `${topic}/`, `\ufeff${topic}/`])
        await peer.publish(each);
      const heard = await peer.messages(2);
      assert.deepEqual(
        heard.map((each) => each.topic),
        [`\ufeff${topic}`, `${topic}/\ufeff`],
      );
      await peer.nothing();
    },
  },
  {
    v5: '1.5.5-1',
    says: 'A variable byte integer is encoded in as few bytes as possible.',
    async check(lab) {
      // The decoder rejects longer encodings in properties; the Remaining Length is checked at each boundary.
      const topic = lab.name();
      const peer = await lab.subscriber(topic);
      const around = topic.length + 3;
      for (const length of [127, 128, 16_383, 16_384]) {
        await peer.publish(topic, 'x'.repeat(length - around));
        const { size, lengthBytes } = await peer.message();
        assert.equal(size - 1 - lengthBytes, length);
        assert.equal(lengthBytes, length < 128 ? 1 : length < 16_384 ? 2 : 3);
      }
    },
  },
  {
    v5: '1.5.7-1',
    says: 'A string pair that is not well-formed UTF-8, or contains U+0000, ends the connection.',
    async check(lab) {
      for (const bad of [illFormed[0]!, illFormed[2]!, withNull]) {
        for (const pair of [
          [counted(bad), counted('value')],
          [counted('key'), counted(bad)],
        ]) {
          const list = Buffer.concat([Buffer.from([38]), ...pair]);
          const bytes = Buffer.concat([Buffer.from([list.length]), list]);
          await lab.breaks(packet(0x30, counted(lab.name()), bytes));
        }
      }
    },
  },
  {
    v4: '2.2.2-1',
    v5: '2.1.3-1',
    says: 'Reserved bits of the first byte have their fixed values in every packet that the broker sends; in MQTT 5, other values from a client end the connection.',
    async check(lab) {
      const topic = lab.name();
      const peer = await lab.subscriber(topic, 2);
      await peer.publish(topic, '', { qos: 1 });
      await peer.publish(topic, '', { qos: 2 });
      for (const heard of await peer.messages(2)) await peer.acknowledge(heard);
      await peer.unsubscribe(topic);
      await peer.ping();
      const names = new Set(peer.heard.map(({ name }) => name));
      for (const name of [
        'connack',
        'suback',
        'puback',
        'pubrec',
        'pubcomp',
        'pubrel',
        'unsuback',
        'pingresp',
      ] as const)
        assert.ok(names.has(name), name);
      for (const { name, flags } of peer.heard)
        if (name !== 'publish') assert.equal(flags, name === 'pubrel' ? 2 : 0, name);
      if (lab.version === 5) await withWrongFlags(lab);
    },
  },
  {
    v4: '2.2.2-2',
    says: 'Invalid values of the reserved bits end the connection.',
    check: withWrongFlags,
  },
  {
    v4: '2.3.1-1',
    v5: '2.2.1-3',
    says: 'SUBSCRIBE, UNSUBSCRIBE, and PUBLISH above QoS 0 have a packet identifier other than 0; an identifier of 0 ends the connection.',
    async check(lab) {
      const { version } = lab;
      await lab.breaks(publish(version, lab.name(), 'x', { qos: 1, id: 0 }));
      await lab.breaks(publish(version, lab.name(), 'x', { qos: 2, id: 0 }));
      await lab.breaks(subscribe(version, 0, [['a', 0]]));
      await lab.breaks(unsubscribe(version, 0, ['a']));
    },
  },
  {
    v4: '2.3.1-2',
    says: 'A client assigns an unused packet identifier to each new packet.',
    untested: 'client',
  },
  { v4: '2.3.1-3', says: 'A client that resends a packet keeps its packet identifier.', untested: 'client' },
  {
    v4: '2.3.1-4',
    v5: '2.2.1-4',
    says: 'The broker assigns an unused packet identifier other than 0 to each new PUBLISH above QoS 0.',
    async check(lab) {
      const topic = lab.name();
      const reader = await lab.subscriber(topic, 2);
      const writer = await lab.connect();
      const send = async (count: number) => {
        for (let i = 0; i < count; i++) await writer.publish(topic, String(i), { qos: 1 + (i % 2) });
        return reader.messages(count);
      };
      const first = await send(8);
      const ids = new Set(first.map(({ id }) => id));
      assert.equal(ids.size, 8);
      assert.ok(!ids.has(0));
      for (const heard of first.slice(0, 4)) {
        await reader.acknowledge(heard);
        ids.delete(heard.id);
      }
      for (const { id } of await send(8)) {
        assert.ok(id > 0 && !ids.has(id), `${id} is in use`);
        ids.add(id);
      }
    },
  },
  {
    v4: '2.3.1-5',
    v5: '2.2.1-2',
    says: 'PUBLISH at QoS 0 has no packet identifier.',
    async check(lab) {
      const topic = lab.name();
      const peer = await lab.subscriber(topic);
      await peer.publish(topic, 'payload');
      const { body } = await peer.message();
      const list = lab.version === 5 ? properties([]) : Buffer.alloc(0);
      assert.deepEqual(body, Buffer.concat([counted(topic), list, Buffer.from('payload')]));
    },
  },
  {
    v4: '2.3.1-6',
    v5: '2.2.1-5',
    says: 'PUBACK, PUBREC, PUBREL and PUBCOMP carry the packet identifier of the PUBLISH that they belong to.',
    async check(lab) {
      const topic = lab.name();
      const peer = await lab.subscriber(topic, 2);
      for (const id of [1, 256, 65_535]) {
        assert.equal((await peer.publish(topic, '', { qos: 1, id }))?.id, id);
        peer.send(publish(lab.version, topic, '', { qos: 2, id }));
        assert.equal((await peer.next('pubrec')).id, id);
        peer.send(acknowledgment('pubrel', id));
        assert.equal((await peer.next('pubcomp')).id, id);
      }
      for (const heard of await peer.messages(6)) {
        if (heard.qos !== 2) continue;
        peer.send(acknowledgment('pubrec', heard.id));
        assert.equal((await peer.next('pubrel')).id, heard.id);
      }
    },
  },
  {
    v4: '2.3.1-7',
    v5: '2.2.1-6',
    says: 'SUBACK and UNSUBACK carry the packet identifier of the SUBSCRIBE or UNSUBSCRIBE that they answer.',
    async check(lab) {
      const peer = await lab.connect();
      for (const id of [1, 256, 65_535]) {
        peer.send(subscribe(lab.version, id, [[lab.name(), 0]]));
        assert.equal((await peer.next('suback')).id, id);
        peer.send(unsubscribe(lab.version, id, ['a']));
        assert.equal((await peer.next('unsuback')).id, id);
      }
    },
  },
  {
    v5: '2.2.2-1',
    says: 'A packet without properties has a property length of 0.',
    async check(lab) {
      const topic = lab.name();
      const peer = await lab.subscriber(topic);
      await peer.publish(topic, 'x');
      const { body } = await peer.message();
      assert.equal(body[2 + topic.length], 0);
      await lab.breaks(packet(0x82, u16(1)));
      await lab.breaks(packet(headOf('publish', 0), counted(topic)));
    },
  },
];
