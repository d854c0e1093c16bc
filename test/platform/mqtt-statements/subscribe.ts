import assert from 'node:assert/strict';
import {
  acknowledgment,
  disconnect,
  type Heard,
  noLocal,
  type Property,
  packet,
  properties,
  publish,
  retainAsPublished,
  retainHandling,
  subscribe,
  u16,
  unsubscribe,
} from '../../support/mqtt-bytes.js';
import { assertCode, headOf, type Lab, malformed, type Peer, valuesOf } from '../../support/mqtt-lab.js';
import type { Statement } from './statement.js';

/** Valid filters beyond the broker’s limits. */
const tooLong = 'x'.repeat(60_000);
const tooDeep = '/'.repeat(300);

/** Reason codes of SUBACK, UNSUBACK and a server's DISCONNECT in MQTT 5 (tables 3-8, 3-9 and 3-10). */
const subackCodes = [0, 1, 2, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2];
const unsubackCodes = [0, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91];
const disconnectCodes = [
  0, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98,
  0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
];

const illFormed = Buffer.from([0x61, 0xed, 0xa0, 0x80]);

/** SUBSCRIBE and SUBACK (3.8, 3.9). */
const subscribing: Statement[] = [
  {
    v4: '3.8.1-1',
    v5: '3.8.1-1',
    says: 'The flags of SUBSCRIBE are 0010; other flags end the connection.',
    async check(lab) {
      const body = subscribe(lab.version, 1, [['a', 0]]).subarray(1);
      for (const flags of [0, 1, 3, 6, 10])
        await lab.breaks(Buffer.concat([Buffer.from([headOf('subscribe', flags)]), body]));
    },
  },
  {
    v4: '3.8.3-1',
    v5: '3.8.3-1',
    says: 'Filters in SUBSCRIBE are UTF-8.',
    check: (lab) => lab.breaks(subscribe(lab.version, 1, [[illFormed, 0]]), [...malformed, 0x8f]),
  },
  {
    v4: '3.8.3-2',
    says: 'A server that does not support wildcard subscriptions rejects filters with wildcards.',
    untested: 'supported',
  },
  {
    v4: '3.8.3-3',
    v5: '3.8.3-2',
    says: 'SUBSCRIBE contains at least one filter with its options; a SUBSCRIBE without filters ends the connection.',
    async check(lab) {
      await lab.breaks(subscribe(lab.version, 1, []));
      const list = lab.version === 5 ? properties([]) : Buffer.alloc(0);
      await lab.breaks(packet(0x82, u16(1), list, 'a'));
    },
  },
  {
    v5: '3.8.3-3',
    says: 'With No Local, a client does not receive the messages that it publishes.',
    async check(lab) {
      const topic = lab.name();
      const peer = await lab.connect();
      await peer.subscribe([[topic, 1 | noLocal]]);
      await peer.publish(topic, 'own', { qos: 1 });
      await peer.publish(topic, 'own', { qos: 0 });
      await peer.nothing();
      const writer = await lab.connect();
      await writer.publish(topic, 'of another', { qos: 1 });
      assert.equal((await peer.message()).payload, 'of another');
    },
  },
  {
    v5: '3.8.3-4',
    says: 'No Local on a shared subscription ends the connection.',
    check: (lab) => lab.breaks(subscribe(5, 1, [[`$share/g/${lab.name()}`, noLocal]]), [0x82]),
  },
  {
    v4: '3.8.3-4',
    v5: '3.8.3-5',
    says: 'Reserved option bits and QoS 3 in SUBSCRIBE end the connection.',
    async check(lab) {
      const wrong = lab.version === 4 ? [3, 4, 8, 16, 32, 64, 128] : [3, 64, 128, retainHandling(3)];
      for (const options of wrong) await lab.breaks(subscribe(lab.version, 1, [['a', options]]));
    },
  },
  {
    v4: '3.8.4-1 3.8.4-2',
    v5: '3.8.4-1 3.8.4-2',
    says: 'The broker answers SUBSCRIBE with a SUBACK that has the same packet identifier.',
    async check(lab) {
      const peer = await lab.connect();
      peer.send(subscribe(lab.version, 513, [[lab.name(), 1]]));
      assert.equal((await peer.next('suback')).id, 513);
    },
  },
  {
    v4: '3.8.4-3',
    v5: '3.8.4-3',
    says: 'A SUBSCRIBE with the filter of an existing subscription replaces it; in MQTT 3.1.1, the matching retained messages are sent again.',
    async check(lab) {
      const topic = lab.name();
      const peer = await lab.connect();
      await peer.publish(topic, 'kept', { qos: 1, retain: true });
      for (const qos of [1, 0, 1]) {
        await peer.subscribe([[topic, qos]]);
        const kept = await peer.message();
        assert.deepEqual([kept.payload, kept.qos, kept.retain], ['kept', qos, true]);
        await peer.publish(topic, 'live', { qos: 1 });
        const live = await peer.message();
        assert.deepEqual([live.payload, live.qos], ['live', qos]);
        await peer.nothing();
      }
    },
  },
  {
    v5: '3.8.4-4',
    says: 'With Retain Handling 0, a repeated SUBSCRIBE makes the broker send the retained messages again, without losing any other message.',
    async check(lab) {
      const topic = lab.name();
      const [reader, writer] = [await lab.connect(), await lab.connect()];
      reader.acknowledging = true;
      await writer.publish(`${topic}/kept`, 'kept', { qos: 1, retain: true });
      const again = () => reader.subscribe([[`${topic}/#`, 1 | retainAsPublished]]);
      await again();
      const wanted = Array.from({ length: 50 }, (_, i) => String(i));
      const flow = (async () => {
        for (const payload of wanted) await writer.publish(`${topic}/live`, payload, { qos: 1 });
      })();
      for (let i = 0; i < 5; i++) await again();
      await flow;
      await reader.ping();
      const heard = reader.heard.filter(({ name }) => name === 'publish').map(({ payload }) => payload);
      assert.equal(heard.filter((payload) => payload === 'kept').length, 6);
      assert.deepEqual(
        heard.filter((payload) => payload !== 'kept'),
        wanted,
      );
    },
  },
  {
    v4: '3.8.4-4',
    v5: '3.8.4-5',
    says: 'A SUBSCRIBE with several filters has the same effect as several SUBSCRIBEs, but is answered with one SUBACK.',
    async check(lab) {
      const topic = lab.name();
      const peer = await lab.connect();
      await peer.publish(`${topic}/a`, 'kept', { qos: 1, retain: true });
      const { codes } = await peer.subscribe([
        [`${topic}/a`, 0],
        [`${topic}/b`, 1],
        [`${topic}/b`, 2],
        [`${topic}/+`, 0],
      ]);
      assert.deepEqual(codes, [0, 1, 2, 0]);
      await peer.ping();
      assert.ok(peer.heard.filter(({ payload }) => payload === 'kept').length >= 1);
      await peer.publish(`${topic}/b`, 'x', { qos: 2 });
      assert.equal(peer.heard.filter(({ name }) => name === 'suback').length, 1);
      assert.ok(peer.heard.some(({ payload, qos }) => payload === 'x' && qos === 2));
    },
  },
  {
    v4: '3.8.4-5',
    v5: '3.8.4-6 3.8.4-7',
    says: 'SUBACK contains a code for each filter: the granted QoS or a failure.',
    async check(lab) {
      const peer = await lab.connect();
      const { codes } = await peer.subscribe([
        [lab.name(), 0],
        [tooLong, 1],
        [lab.name(), 2],
        [tooDeep, 0],
        [lab.name(), 1],
      ]);
      assert.deepEqual(
        codes.map((code) => (code < 0x80 ? code : 'failed')),
        [0, 'failed', 2, 'failed', 1],
      );
    },
  },
  {
    v4: '3.8.4-6',
    v5: '3.8.4-8',
    says: 'A message is delivered with its own QoS or the granted QoS, whichever is lower.',
    async check(lab) {
      for (const granted of [0, 1, 2]) {
        const topic = lab.name();
        const reader = await lab.subscriber(topic, granted);
        const writer = await lab.connect();
        for (const qos of [0, 1, 2]) {
          await writer.publish(topic, 'x', { qos });
          const heard = await reader.message();
          assert.equal(heard.qos, Math.min(granted, qos));
        }
        await reader.nothing();
      }
    },
  },
  {
    v5: '3.9.2-1 3.9.2-2',
    says: 'SUBACK contains no reason string or user property that would make it larger than the client’s Maximum Packet Size.',
    check: (lab) => answeredWithin(lab, (peer) => peer.subscribe([[tooDeep, 0]])),
  },
  {
    v4: '3.9.3-1',
    v5: '3.9.3-1',
    says: 'The codes in SUBACK are in the same order as the filters.',
    async check(lab) {
      const peer = await lab.connect();
      const wanted = [2, 0, 1, 1, 0, 2, 0];
      const { codes } = await peer.subscribe(wanted.map((qos) => [lab.name(), qos]));
      assert.deepEqual(codes, wanted);
    },
  },
  {
    v4: '3.9.3-2',
    v5: '3.9.3-2',
    says: 'SUBACK uses only the codes in the specification’s table for SUBACK.',
    async check(lab) {
      const peer = await lab.connect();
      const filters = [lab.name(), '$share/g/a', tooLong, tooDeep, `$share/g/${tooDeep}`];
      for (const filter of filters) {
        const { codes } = await peer.subscribe([[filter, 1]]);
        for (const code of codes) assertCode(code, lab.version === 4 ? [0, 1, 2, 0x80] : subackCodes);
      }
    },
  },
];

/**
 * Asserts that the response to a request, and everything else that is sent, fits into a small Maximum Packet
 * Size.
 */
async function answeredWithin(lab: Lab, request: (peer: Peer) => Promise<Heard>): Promise<void> {
  const { connack } = await lab.dial();
  const most = connack.size + 8;
  const peer = await lab.connect({ properties: [['maximumPacket', most]] });
  await request(peer);
  for (const { name, size } of peer.heard)
    assert.ok(size <= most, `${name} has ${size} bytes, ${most} are permitted`);
}

/** UNSUBSCRIBE, UNSUBACK and PINGREQ (3.10 to 3.12). */
const unsubscribing: Statement[] = [
  {
    v4: '3.10.1-1',
    v5: '3.10.1-1',
    says: 'The flags of UNSUBSCRIBE are 0010; other flags end the connection.',
    async check(lab) {
      const body = unsubscribe(lab.version, 1, ['a']).subarray(1);
      for (const flags of [0, 1, 3, 6, 10])
        await lab.breaks(Buffer.concat([Buffer.from([headOf('unsubscribe', flags)]), body]));
    },
  },
  {
    v4: '3.10.3-1',
    v5: '3.10.3-1',
    says: 'Filters in UNSUBSCRIBE are UTF-8.',
    check: (lab) => lab.breaks(unsubscribe(lab.version, 1, [illFormed]), [...malformed, 0x8f]),
  },
  {
    v4: '3.10.3-2',
    v5: '3.10.3-2',
    says: 'UNSUBSCRIBE contains at least one filter; an UNSUBSCRIBE without filters ends the connection.',
    check: (lab) => lab.breaks(unsubscribe(lab.version, 1, [])),
  },
  {
    v4: '3.10.4-1',
    v5: '3.10.4-1',
    says: 'The broker compares filters in UNSUBSCRIBE character by character, and deletes a subscription whose filter is identical.',
    async check(lab) {
      const topic = lab.name();
      const peer = await lab.connect();
      await peer.subscribe([
        [`${topic}/a`, 0],
        [`${topic}/+`, 0],
        [`${topic}/A`, 0],
      ]);
      await peer.unsubscribe(`${topic}/#`, `${topic}/+/`, `${topic.toUpperCase()}/a`, `${topic}/+`);
      await peer.publish(`${topic}/a`, 'still');
      await peer.publish(`${topic}/b`, 'no longer');
      await peer.publish(`${topic}/A`, 'still');
      assert.deepEqual(
        (await peer.messages(2)).map((each) => each.topic),
        [`${topic}/a`, `${topic}/A`],
      );
      await peer.nothing();
    },
  },
  {
    v4: '3.10.4-2',
    v5: '3.10.4-2',
    says: 'After UNSUBSCRIBE, no new messages that match the filter are queued for the client.',
    async check(lab) {
      const [topic, clientId] = [lab.name(), lab.name()];
      const peer = await lab.subscriber(topic, 1, lab.kept(clientId));
      await peer.unsubscribe(topic);
      const writer = await lab.connect();
      await writer.publish(topic, 'x', { qos: 1 });
      await peer.nothing();
      await peer.leave();
      await writer.publish(topic, 'x', { qos: 1 });
      await (await lab.connect(lab.kept(clientId))).nothing();
    },
  },
  {
    v4: '3.10.4-3',
    v5: '3.10.4-3',
    says: 'If a QoS 1 or 2 message is being delivered when UNSUBSCRIBE arrives, its delivery is completed.',
    async check(lab) {
      const [topic, clientId] = [lab.name(), lab.name()];
      const peer = await lab.subscriber(topic, 2, lab.kept(clientId));
      const writer = await lab.connect();
      await writer.publish(topic, 'one', { qos: 1 });
      await writer.publish(topic, 'two', { qos: 2 });
      const [, two] = await peer.messages(2);
      await peer.unsubscribe(topic);
      peer.send(acknowledgment('pubrec', two!.id));
      assert.equal((await peer.next('pubrel')).id, two!.id);
      peer.vanish();
      const again = await lab.connect(lab.kept(clientId));
      assert.equal((await again.next('pubrel')).id, two!.id);
      const one = await again.message();
      assert.deepEqual([one.payload, one.dup], ['one', true]);
    },
  },
  {
    v4: '3.10.4-4 3.10.4-5',
    v5: '3.10.4-4 3.10.4-5',
    says: 'The broker always answers UNSUBSCRIBE with an UNSUBACK that has the same packet identifier.',
    async check(lab) {
      const peer = await lab.connect();
      peer.send(unsubscribe(lab.version, 770, ['never subscribed']));
      assert.equal((await peer.next('unsuback')).id, 770);
    },
  },
  {
    v4: '3.10.4-6',
    v5: '3.10.4-6',
    says: 'An UNSUBSCRIBE with several filters has the same effect as several UNSUBSCRIBEs, but is answered with one UNSUBACK.',
    async check(lab) {
      const topic = lab.name();
      const peer = await lab.connect();
      await peer.subscribe(['a', 'b', 'c'].map((name) => [`${topic}/${name}`, 0]));
      await peer.unsubscribe(`${topic}/a`, `${topic}/x`, `${topic}/c`);
      for (const name of ['a', 'b', 'c']) await peer.publish(`${topic}/${name}`);
      assert.equal((await peer.message()).topic, `${topic}/b`);
      await peer.nothing();
      assert.equal(peer.heard.filter(({ name }) => name === 'unsuback').length, 1);
    },
  },
  {
    v5: '3.11.2-1 3.11.2-2',
    says: 'UNSUBACK contains no reason string or user property that would make it larger than the client’s Maximum Packet Size.',
    check: (lab) => answeredWithin(lab, (peer) => peer.unsubscribe('never subscribed')),
  },
  {
    v5: '3.11.3-1',
    says: 'The codes in UNSUBACK are in the same order as the filters.',
    async check(lab) {
      const topic = lab.name();
      const peer = await lab.connect();
      await peer.subscribe([
        [`${topic}/a`, 0],
        [`${topic}/b`, 0],
      ]);
      const { codes } = await peer.unsubscribe(`${topic}/x`, `${topic}/a`, `${topic}/a`, `${topic}/b`);
      assert.deepEqual(codes, [0x11, 0, 0x11, 0]);
    },
  },
  {
    v5: '3.11.3-2',
    says: 'UNSUBACK uses only the reason codes in the specification’s table for UNSUBACK.',
    async check(lab) {
      const peer = await lab.connect();
      for (const filter of ['a', '$share/g/a', tooLong, tooDeep])
        for (const code of (await peer.unsubscribe(filter)).codes) assertCode(code, unsubackCodes);
    },
  },
  {
    v4: '3.12.4-1',
    v5: '3.12.4-1',
    says: 'The broker answers PINGREQ with PINGRESP.',
    async check(lab) {
      const peer = await lab.connect();
      for (let i = 0; i < 3; i++) await peer.ping();
    },
  },
];

/** DISCONNECT (3.14) and AUTH (3.15). */
const ending: Statement[] = [
  {
    v5: '3.14.0-1',
    says: 'The broker sends DISCONNECT only after a CONNACK with a code below 0x80.',
    async check(lab) {
      for (const bytes of [
        lab.hello({ username: 'nobody', password: 'wrong' }),
        packet(0x10, 'MQTT', 5, 3),
        publish(5, 'a', 'x'),
        disconnect(5),
      ]) {
        const peer = await lab.open();
        peer.send(bytes);
        await peer.ended();
        assert.ok(!peer.heard.some(({ name }) => name === 'disconnect'));
      }
    },
  },
  {
    v4: '3.14.1-1',
    v5: '3.14.1-1',
    says: 'The flags of DISCONNECT are 0; other flags end the connection, and the will is published.',
    async check(lab) {
      const topic = lab.name();
      const watcher = await lab.subscriber(topic);
      const peer = await lab.connect({ will: { topic, payload: 'gone' } });
      await lab.breaks(packet(0xe1), [0x81], peer);
      assert.equal((await watcher.message()).payload, 'gone');
    },
  },
  {
    v5: '3.14.2-1',
    says: 'The broker’s DISCONNECT uses only the reason codes in the specification’s table for DISCONNECT.',
    async check(lab) {
      for (const bytes of [packet(0xf0), lab.hello(), publish(5, 'a/#', 'x'), subscribe(5, 0, [['a', 0]])])
        await lab.breaks(bytes, disconnectCodes);
    },
  },
  {
    v5: '3.14.2-2',
    says: 'The broker’s DISCONNECT contains no Session Expiry Interval.',
    async check(lab) {
      const clientId = lab.name();
      const first = await lab.connect(lab.kept(clientId));
      await lab.connect(lab.kept(clientId));
      await lab.broken(first, [0x8e]);
      const last = first.heard.at(-1)!;
      assert.deepEqual(valuesOf(last, 'sessionExpiry'), []);
    },
  },
  {
    v5: '3.14.2-3 3.14.2-4',
    says: 'DISCONNECT contains no reason string or user property that would make it larger than the client’s Maximum Packet Size.',
    async check(lab) {
      const { connack } = await lab.dial();
      const most = connack.size;
      const list: Property[] = [['maximumPacket', most]];
      for (const bytes of [packet(0xf0), publish(5, 'a/#', 'x'), lab.hello()]) {
        const peer = await lab.connect({ properties: list });
        await lab.breaks(bytes, disconnectCodes, peer);
        const last = peer.heard.at(-1)!;
        assert.ok(last.size <= most, `${last.size} bytes, ${most} are permitted`);
      }
    },
  },
  {
    v4: '3.14.4-1 3.14.4-2',
    says: 'After DISCONNECT, a client closes the connection and sends nothing more.',
    untested: 'client',
  },
  {
    v5: '3.14.4-1 3.14.4-2',
    says: 'After its DISCONNECT, the broker sends nothing more and closes the connection. It does not process packets that follow a client’s DISCONNECT.',
    async check(lab) {
      const topic = lab.name();
      const watcher = await lab.subscriber(topic);
      const peer = await lab.connect();
      peer.send(packet(0xf0, 0, 0), publish(5, topic, 'after an error'), packet(0xc0));
      await peer.ended();
      assert.equal(peer.heard.at(-1)?.name, 'disconnect');
      assert.equal(peer.heard.filter(({ name }) => name === 'disconnect').length, 1);
      const leaving = await lab.connect();
      leaving.send(disconnect(5), publish(5, topic, 'after DISCONNECT'), packet(0xc0));
      await leaving.ended();
      assert.deepEqual(
        leaving.heard.map(({ name }) => name),
        ['connack'],
      );
      await watcher.nothing();
    },
  },
  {
    v4: '3.14.4-3',
    v5: '3.14.4-3',
    says: 'On a normal DISCONNECT, the broker discards the will; with reason code 0x04 (MQTT 5), it publishes the will.',
    async check(lab) {
      const topic = lab.name();
      const watcher = await lab.subscriber(topic);
      const will = { topic, payload: 'gone' };
      const peer = await lab.connect({ will });
      await peer.leave();
      await watcher.nothing();
      if (lab.version === 4) return;
      const second = await lab.connect({ will });
      await second.leave(4);
      assert.equal((await watcher.message()).payload, 'gone');
    },
  },
  {
    v5: '3.15.1-1',
    says: 'The flags of AUTH are 0; other flags end the connection.',
    async check(lab) {
      const body = properties([['authMethod', 'x']]);
      await lab.breaks(packet(0xf1, 0x19, body));
      await lab.breaks(packet(0xf8, 0x18, body));
    },
  },
  {
    v5: '3.15.2-1 3.15.2-2 3.15.2-3',
    says: 'AUTH has a valid reason code, and no properties that would make it larger than the receiver’s Maximum Packet Size. The broker sends no AUTH.',
    untested: 'absent',
  },
];

/** Sections 3.8 to 3.15. */
export const asking: Statement[] = [...subscribing, ...unsubscribing, ...ending];
