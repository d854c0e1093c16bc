import assert from 'node:assert/strict';
import {
  acknowledgment,
  type Heard,
  type Property,
  packet,
  publish,
  retainAsPublished,
  retainHandling,
  u16,
} from '../../support/mqtt-bytes.js';
import { assertCode, type Lab, malformed, type Peer, propertyOf, valuesOf } from '../../support/mqtt-lab.js';
import type { Statement } from './statement.js';

/** Reason codes of PUBACK and PUBREC in MQTT 5 (tables 3-4 and 3-5). */
const receivedCodes = [0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];

/** Delivers one message with these properties to a new subscriber. */
async function forwarded(lab: Lab, properties: Property[], payload = 'x'): Promise<Heard> {
  const topic = lab.name();
  const reader = await lab.subscriber(topic, 1);
  const writer = await lab.connect();
  await writer.publish(topic, payload, { qos: 1, properties });
  return reader.message();
}

/** Creates a session that has received a message but not acknowledged it, and returns a function that reconnects to it. */
async function interrupted(lab: Lab, qos: number): Promise<{ first: Heard; again: () => Promise<Peer> }> {
  const [topic, clientId] = [lab.name(), lab.name()];
  const reader = await lab.subscriber(topic, qos, lab.kept(clientId));
  await (await lab.connect()).publish(topic, 'x', { qos });
  const first = await reader.message();
  reader.vanish();
  return { first, again: () => lab.connect(lab.kept(clientId)) };
}

/** Returns the retained messages of a topic as received by a new subscriber. */
async function retained(lab: Lab, topic: string): Promise<Heard[]> {
  const reader = await lab.subscriber(topic, 2);
  await reader.ping();
  return reader.heard.filter(({ name }) => name === 'publish');
}

/** PUBLISH: DUP, QoS and RETAIN (3.3.1). */
const flags: Statement[] = [
  {
    v4: '3.3.1-1',
    v5: '3.3.1-1',
    says: 'A resent PUBLISH has DUP set.',
    async check(lab) {
      for (const qos of [1, 2]) {
        const { first, again } = await interrupted(lab, qos);
        assert.equal(first.dup, false);
        const second = await (await again()).message();
        assert.deepEqual([second.id, second.dup, second.qos, second.payload], [first.id, true, qos, 'x']);
      }
    },
  },
  {
    v4: '3.3.1-2',
    v5: '3.3.1-2',
    says: 'A PUBLISH at QoS 0 never has DUP set.',
    async check(lab) {
      const topic = lab.name();
      const reader = await lab.subscriber(topic, 0);
      const writer = await lab.connect();
      await writer.publish(topic, 'x', { qos: 1, dup: true });
      const heard = await reader.message();
      assert.deepEqual([heard.qos, heard.dup], [0, false]);
    },
  },
  {
    v4: '3.3.1-3',
    v5: '3.3.1-3',
    says: 'The DUP flag of an incoming PUBLISH is not passed on to subscribers.',
    async check(lab) {
      const topic = lab.name();
      const reader = await lab.subscriber(topic, 2);
      const writer = await lab.connect();
      for (const qos of [1, 2]) {
        await writer.publish(topic, 'x', { qos, dup: true });
        const heard = await reader.message();
        assert.deepEqual([heard.qos, heard.dup], [qos, false]);
      }
    },
  },
  {
    v4: '3.3.1-4',
    v5: '3.3.1-4',
    says: 'A PUBLISH with both QoS bits set ends the connection.',
    check: (lab) => lab.breaks(publish(lab.version, lab.name(), 'x', { qos: 3 })),
  },
  {
    v4: '3.3.1-5',
    v5: '3.3.1-5',
    says: 'A message with RETAIN set is stored with its QoS, and replaces the retained message on its topic.',
    async check(lab) {
      const topic = lab.name();
      const writer = await lab.connect();
      for (const qos of [1, 0, 2]) {
        await writer.publish(topic, `at ${qos}`, { qos, retain: true });
        const kept = await retained(lab, topic);
        assert.deepEqual(
          kept.map((each) => `${each.payload}, ${each.qos}`),
          [`at ${qos}, ${qos}`],
        );
      }
    },
  },
  {
    v4: '3.3.1-6',
    says: 'When a client subscribes, the broker sends the retained message on each matching topic.',
    async check(lab) {
      const topic = lab.name();
      const writer = await lab.connect();
      for (const each of ['a', 'b', 'a']) {
        await writer.publish(`${topic}/${each}`, `${each} old`, { retain: true });
        await writer.publish(`${topic}/${each}`, `${each} new`, { retain: true });
      }
      const kept = await retained(lab, `${topic}/+`);
      assert.deepEqual(kept.map(({ payload }) => payload).sort(), ['a new', 'b new']);
    },
  },
  {
    v4: '3.3.1-7',
    says: 'A message at QoS 0 with RETAIN set discards the previous retained message on its topic.',
    async check(lab) {
      const topic = lab.name();
      const writer = await lab.connect();
      await writer.publish(topic, 'before', { qos: 2, retain: true });
      await writer.publish(topic, 'after', { qos: 0, retain: true });
      assert.deepEqual(
        (await retained(lab, topic)).map(({ payload }) => payload),
        ['after'],
      );
    },
  },
  {
    v4: '3.3.1-8',
    says: 'A retained message sent because of a new subscription has RETAIN set.',
    async check(lab) {
      const topic = lab.name();
      const writer = await lab.connect();
      await writer.publish(topic, 'x', { qos: 1, retain: true });
      assert.deepEqual(
        (await retained(lab, topic)).map(({ retain }) => retain),
        [true],
      );
    },
  },
  {
    v4: '3.3.1-9',
    v5: '3.3.1-12',
    says: 'A message for an existing subscription (without Retain As Published) does not have RETAIN set.',
    async check(lab) {
      const topic = lab.name();
      const reader = await lab.subscriber(topic, 1);
      const writer = await lab.connect();
      for (const retain of [true, false]) {
        await writer.publish(topic, 'x', { qos: 1, retain });
        assert.equal((await reader.message()).retain, false);
      }
    },
  },
  {
    v4: '3.3.1-10',
    v5: '3.3.1-6',
    says: 'An empty message with RETAIN set is delivered to subscribers, and removes the retained message from its topic.',
    async check(lab) {
      const topic = lab.name();
      const writer = await lab.connect();
      await writer.publish(topic, 'kept', { qos: 1, retain: true });
      const reader = await lab.subscriber(topic, 1);
      assert.equal((await reader.message()).payload, 'kept');
      await writer.publish(topic, '', { qos: 1, retain: true });
      const heard = await reader.message();
      assert.deepEqual([heard.payload, heard.retain], ['', false]);
      assert.deepEqual(await retained(lab, topic), []);
    },
  },
  {
    v4: '3.3.1-11',
    v5: '3.3.1-7',
    says: 'An empty message is never retained.',
    async check(lab) {
      const topic = lab.name();
      const writer = await lab.connect();
      for (const qos of [0, 1, 2]) await writer.publish(topic, '', { qos, retain: true });
      assert.deepEqual(await retained(lab, topic), []);
    },
  },
  {
    v4: '3.3.1-12',
    v5: '3.3.1-8',
    says: 'A message without RETAIN is not retained, and does not change the retained message on its topic.',
    async check(lab) {
      const topic = lab.name();
      const writer = await lab.connect();
      await writer.publish(topic, 'not kept', { qos: 1 });
      assert.deepEqual(await retained(lab, topic), []);
      await writer.publish(topic, 'kept', { qos: 1, retain: true });
      await writer.publish(topic, 'not kept', { qos: 1 });
      await writer.publish(topic, '', { qos: 1 });
      assert.deepEqual(
        (await retained(lab, topic)).map(({ payload }) => payload),
        ['kept'],
      );
    },
  },
  {
    v5: '3.3.1-9',
    says: 'With Retain Handling 0, the broker sends matching retained messages in response to every SUBSCRIBE.',
    async check(lab) {
      const topic = lab.name();
      const peer = await lab.connect();
      await peer.publish(topic, 'kept', { qos: 1, retain: true });
      for (let i = 0; i < 2; i++) {
        await peer.subscribe([[topic, retainHandling(0)]]);
        const heard = await peer.message();
        assert.deepEqual([heard.payload, heard.retain], ['kept', true]);
      }
    },
  },
  {
    v5: '3.3.1-10',
    says: 'With Retain Handling 1, the broker sends matching retained messages only if the subscription is new.',
    async check(lab) {
      const topic = lab.name();
      const peer = await lab.connect();
      await peer.publish(topic, 'kept', { qos: 1, retain: true });
      await peer.subscribe([[topic, retainHandling(1)]]);
      assert.equal((await peer.message()).payload, 'kept');
      await peer.subscribe([[topic, retainHandling(1) | 1]]);
      await peer.nothing();
      await peer.unsubscribe(topic);
      await peer.subscribe([[topic, retainHandling(1)]]);
      assert.equal((await peer.message()).payload, 'kept');
    },
  },
  {
    v5: '3.3.1-11',
    says: 'With Retain Handling 2, the broker sends no retained messages in response to SUBSCRIBE.',
    async check(lab) {
      const topic = lab.name();
      const peer = await lab.connect();
      await peer.publish(topic, 'kept', { qos: 1, retain: true });
      await peer.subscribe([[topic, retainHandling(2)]]);
      await peer.nothing();
    },
  },
  {
    v5: '3.3.1-13',
    says: 'With Retain As Published, the broker forwards RETAIN unchanged.',
    async check(lab) {
      const topic = lab.name();
      const reader = await lab.subscriber(topic, 0);
      await reader.subscribe([[topic, 1 | retainAsPublished]]);
      const writer = await lab.connect();
      for (const retain of [true, false]) {
        await writer.publish(topic, 'x', { qos: 1, retain });
        assert.equal((await reader.message()).retain, retain);
      }
    },
  },
];

/** PUBLISH: topic and properties (3.3.2). */
const header: Statement[] = [
  {
    v4: '3.3.2-1',
    v5: '3.3.2-1',
    says: 'The topic is the first field of PUBLISH, and is valid UTF-8.',
    async check(lab) {
      await lab.breaks(packet(0x30));
      await lab.breaks(packet(0x30, Buffer.from([0, 9, 0x61])));
      await lab.breaks(packet(0x32, u16(1)));
    },
  },
  {
    v4: '3.3.2-2',
    v5: '3.3.2-2',
    says: 'The broker rejects a PUBLISH whose topic contains a wildcard.',
    async check(lab) {
      const topic = lab.name();
      const reader = await lab.subscriber(`${topic}/#`);
      for (const bad of [`${topic}/+`, `${topic}/#`, `${topic}/a+`])
        await lab.breaks(publish(lab.version, bad, 'x'), [...malformed, 0x90]);
      await reader.nothing();
    },
  },
  {
    v4: '3.3.2-3',
    v5: '3.3.2-3',
    says: 'The topic of a PUBLISH sent to a subscriber matches the subscriber’s filter.',
    async check(lab) {
      const topic = lab.name();
      const reader = await lab.subscriber(`${topic}/+/c`);
      for (const each of ['a/c', 'b/c', 'a/b', 'a/b/c', 'c', '/c']) await reader.publish(`${topic}/${each}`);
      const heard = await reader.messages(3);
      assert.deepEqual(
        heard.map((each) => each.topic),
        ['a/c', 'b/c', '/c'].map((each) => `${topic}/${each}`),
      );
      await reader.nothing();
    },
  },
  {
    v5: '3.3.2-4',
    says: 'The Payload Format Indicator reaches all subscribers unaltered.',
    async check(lab) {
      for (const value of [0, 1])
        assert.equal(
          propertyOf(await forwarded(lab, [['payloadFormat', value]]), 'payloadFormat') ?? 0,
          value,
        );
    },
  },
  {
    v5: '3.3.2-5',
    says: 'A message is deleted if its expiry interval passes before its delivery begins.',
    async check(lab) {
      const [topic, clientId] = [lab.name(), lab.name()];
      await lab.away(topic, 1, clientId);
      const writer = await lab.connect();
      await writer.publish(topic, 'expires', { qos: 1, properties: [['messageExpiry', 1]] });
      await writer.publish(topic, 'stays', { qos: 1, properties: [['messageExpiry', 100]] });
      await writer.publish(`${topic}/kept`, 'expires', {
        ...{ qos: 1, retain: true },
        properties: [['messageExpiry', 1]],
      });
      await lab.wait(2100);
      const reader = await lab.connect(lab.kept(clientId));
      assert.equal((await reader.message()).payload, 'stays');
      await reader.nothing();
      assert.deepEqual(await retained(lab, `${topic}/kept`), []);
    },
  },
  {
    v5: '3.3.2-6',
    says: 'The expiry interval sent to a subscriber is the received interval minus the time that the message waited.',
    async check(lab) {
      const [topic, clientId] = [lab.name(), lab.name()];
      const begun = Date.now();
      const direct = await forwarded(lab, [['messageExpiry', 1000]]);
      const first = propertyOf(direct, 'messageExpiry') as number;
      assert.ok(first >= 999 - Math.floor((Date.now() - begun) / 1000) && first <= 1000, `${first}`);
      await lab.away(topic, 1, clientId);
      const writer = await lab.connect();
      const properties: Property[] = [['messageExpiry', 1000]];
      const sent = Date.now();
      await writer.publish(topic, 'x', { qos: 1, properties });
      await writer.publish(`${topic}/kept`, 'x', { qos: 1, retain: true, properties });
      await lab.wait(1500);
      // Brokers may count whole seconds of their clock. On a busy machine, the message waits longer than 1.5 seconds.
      const assertExpiry = (message: Heard) => {
        const expiry = propertyOf(message, 'messageExpiry') as number;
        const least = 1000 - Math.ceil((Date.now() - sent) / 1000);
        assert.ok(expiry >= least && expiry <= 999, `${expiry} is not between ${least} and 999`);
      };
      const reader = await lab.connect(lab.kept(clientId));
      assertExpiry(await reader.message());
      const [kept] = await retained(lab, `${topic}/kept`);
      assertExpiry(kept!);
    },
  },
  {
    v5: '3.3.2-7',
    says: 'A topic alias is valid only on the connection on which it was set.',
    async check(lab) {
      const [topic, clientId] = [lab.name(), lab.name()];
      const peer = await lab.connect(lab.kept(clientId));
      await peer.publish(topic, 'x', { properties: [['alias', 1]] });
      await peer.publish('', 'x', { properties: [['alias', 1]] });
      await peer.leave();
      const again = await lab.connect(lab.kept(clientId));
      await lab.breaks(publish(5, '', 'x', { properties: [['alias', 1]] }), [...malformed, 0x94], again);
    },
  },
  {
    v5: '3.3.2-8',
    says: 'A topic alias is never 0; a topic alias of 0 ends the connection.',
    check: (lab) =>
      lab.breaks(publish(5, lab.name(), 'x', { properties: [['alias', 0]] }), [0x94, ...malformed]),
  },
  {
    v5: '3.3.2-9',
    says: 'A topic alias above the server’s Topic Alias Maximum ends the connection with 0x94.',
    async check(lab) {
      const { peer, connack } = await lab.dial();
      const most = (propertyOf(connack, 'aliasMaximum') as number | undefined) ?? 0;
      assert.ok(most < 65_535);
      await lab.breaks(publish(5, lab.name(), 'x', { properties: [['alias', most + 1]] }), [0x94], peer);
    },
  },
  { v5: '3.3.2-10', says: 'A client accepts all topic aliases up to its maximum.', untested: 'client' },
  {
    v5: '3.3.2-12',
    says: 'The broker accepts all topic aliases up to its maximum. Each can be reassigned to another topic.',
    async check(lab) {
      const { peer, connack } = await lab.dial();
      const most = propertyOf(connack, 'aliasMaximum') as number | undefined;
      assert.ok(most !== undefined && most > 0, 'topic aliases are supported');
      const topic = lab.name();
      await peer.subscribe(`${topic}/#`);
      const send = (name: string, alias: number) =>
        peer.send(publish(5, name, 'x', { properties: [['alias', alias]] }));
      for (const alias of [1, most]) {
        for (const name of ['a', 'b']) {
          send(`${topic}/${name}`, alias);
          send('', alias);
          const heard = await peer.messages(2);
          assert.deepEqual(
            heard.map((each) => each.topic),
            [`${topic}/${name}`, `${topic}/${name}`],
          );
          assert.deepEqual(valuesOf(heard[1]!, 'alias'), []);
        }
      }
    },
  },
  {
    v5: '3.3.2-13',
    says: 'The response topic is UTF-8.',
    check: (lab) =>
      lab.breaks(
        publish(5, lab.name(), 'x', { properties: [['responseTopic', Buffer.from([0x61, 0xff])]] }),
        [...malformed, 0x90],
      ),
  },
  {
    v5: '3.3.2-14',
    says: 'The response topic contains no wildcards.',
    async check(lab) {
      for (const bad of ['a/+', '#'])
        await lab.breaks(publish(5, lab.name(), 'x', { properties: [['responseTopic', bad]] }), [
          ...malformed,
          0x90,
        ]);
    },
  },
  {
    v5: '3.3.2-15',
    says: 'The response topic reaches all subscribers unaltered.',
    async check(lab) {
      const heard = await forwarded(lab, [['responseTopic', 'answers/é/1']]);
      assert.equal(propertyOf(heard, 'responseTopic'), 'answers/é/1');
    },
  },
  {
    v5: '3.3.2-16',
    says: 'Correlation data reaches all subscribers unaltered.',
    async check(lab) {
      const data = Buffer.from([0, 255, 128, 1, 10, 13]);
      const heard = await forwarded(lab, [
        ['responseTopic', 'a'],
        ['correlationData', data],
      ]);
      assert.deepEqual(propertyOf(heard, 'correlationData'), data);
    },
  },
  {
    v5: '3.3.2-17 3.3.2-18',
    says: 'User properties reach all subscribers unaltered and in order.',
    async check(lab) {
      const pairs = [
        ['b', '1'],
        ['a', ''],
        ['b', '2'],
        ['', 'é😀'],
        ['b', '1'],
        ['__proto__', 'x'],
      ] as const;
      const heard = await forwarded(
        lab,
        pairs.map((pair) => ['user', pair]),
      );
      assert.deepEqual(valuesOf(heard, 'user'), pairs);
    },
  },
  {
    v5: '3.3.2-19',
    says: 'The content type is UTF-8.',
    check: (lab) =>
      lab.breaks(publish(5, lab.name(), 'x', { properties: [['contentType', Buffer.from([0x61, 0xff])]] })),
  },
  {
    v5: '3.3.2-20',
    says: 'The content type reaches all subscribers unaltered.',
    async check(lab) {
      const heard = await forwarded(lab, [['contentType', 'text/plain; charset=é']]);
      assert.equal(propertyOf(heard, 'contentType'), 'text/plain; charset=é');
    },
  },
];

/** PUBLISH: the broker's actions (3.3.4, in MQTT 3.1.1 also 3.3.5). */
const actions: Statement[] = [
  {
    v4: '3.3.4-1',
    v5: '3.3.4-1',
    says: 'The broker answers a PUBLISH at QoS 1 with PUBACK and at QoS 2 with PUBREC. It does not answer a PUBLISH at QoS 0.',
    async check(lab) {
      const peer = await lab.connect();
      peer.send(publish(lab.version, lab.name(), 'x'));
      await peer.ping();
      peer.send(publish(lab.version, lab.name(), 'x', { qos: 1, id: 7 }));
      assert.equal((await peer.next('puback')).id, 7);
      peer.send(publish(lab.version, lab.name(), 'x', { qos: 2, id: 8 }));
      assert.equal((await peer.next('pubrec')).id, 8);
      assert.deepEqual(
        peer.heard.map(({ name }) => name),
        ['connack', 'pingresp', 'puback', 'pubrec'],
      );
    },
  },
  {
    v4: '3.3.5-1',
    v5: '3.3.4-2',
    says: 'A message that matches several subscriptions of a client is delivered with the highest QoS of these subscriptions.',
    async check(lab) {
      const topic = lab.name();
      const reader = await lab.connect();
      await reader.subscribe([
        [`${topic}/a`, 0],
        [`${topic}/+`, 2],
        [`${topic}/#`, 1],
      ]);
      const writer = await lab.connect();
      for (const qos of [2, 1]) {
        await writer.publish(`${topic}/a`, 'x', { qos });
        await reader.ping();
        const heard = reader.heard.filter(({ name }) => name === 'publish').splice(-1);
        assert.deepEqual(
          heard.map((each) => each.qos),
          [qos],
        );
        for (const each of heard) await reader.acknowledge(each);
      }
    },
  },
  {
    v4: '3.3.5-2',
    says: 'An unauthorized PUBLISH is either acknowledged normally or ends the connection.',
    async check(lab) {
      const peer = await lab.connect();
      peer.send(publish(4, '$SYS/broker/version', 'x', { qos: 1 }));
      await Promise.race([peer.ended(), peer.next('puback').catch(() => peer.ended())]);
    },
  },
  {
    v5: '3.3.4-3 3.3.4-4',
    says: 'A message contains the subscription identifiers of all matching subscriptions of the client that have one.',
    async check(lab) {
      const topic = lab.name();
      const reader = await lab.connect();
      await reader.subscribe([[`${topic}/a`, 0]], [['subscriptionId', 1]]);
      await reader.subscribe([[`${topic}/+`, 0]], [['subscriptionId', 268_435_455]]);
      await reader.subscribe([[`${topic}/#`, 0]]);
      await reader.publish(`${topic}/a`);
      await reader.ping();
      const heard = reader.heard.filter(({ name }) => name === 'publish');
      const ids = heard.flatMap((each) => valuesOf(each, 'subscriptionId')) as number[];
      assert.deepEqual(
        ids.sort((a, b) => a - b),
        [1, 268_435_455],
      );
      await reader.publish(topic);
      assert.deepEqual(
        valuesOf(reader.heard.filter(({ name }) => name === 'publish').at(-1)!, 'subscriptionId'),
        [],
      );
    },
  },
  {
    v5: '3.3.4-5',
    says: 'If the broker sends a copy for each subscription, each copy contains only the identifier of its own subscription.',
    async check(lab) {
      const topic = lab.name();
      const reader = await lab.connect();
      await reader.subscribe([[`${topic}/a`, 0]], [['subscriptionId', 5]]);
      await reader.subscribe([[`${topic}/b`, 0]], [['subscriptionId', 6]]);
      for (const [name, id] of [
        ['a', 5],
        ['b', 6],
      ] as const) {
        await reader.publish(`${topic}/${name}`);
        assert.deepEqual(valuesOf(await reader.message(), 'subscriptionId'), [id]);
      }
      // Replacing a subscription also replaces its identifier.
      await reader.subscribe([[`${topic}/a`, 0]], [['subscriptionId', 7]]);
      await reader.publish(`${topic}/a`);
      assert.deepEqual(valuesOf(await reader.message(), 'subscriptionId'), [7]);
    },
  },
  {
    v5: '3.3.4-6',
    says: 'A PUBLISH from a client contains no subscription identifier; otherwise, the connection ends.',
    check: (lab) => lab.breaks(publish(5, lab.name(), 'x', { properties: [['subscriptionId', 1]] })),
  },
  {
    v5: '3.3.4-7',
    says: 'A client with more unacknowledged QoS 1 and 2 messages than the server’s Receive Maximum is disconnected with 0x93.',
    async check(lab) {
      const { peer, connack } = await lab.dial();
      const most = propertyOf(connack, 'receiveMaximum');
      assert.ok(typeof most === 'number' && most < 65_535, 'a Receive Maximum is announced');
      const topic = lab.name();
      const each = (id: number) => publish(5, topic, '', { qos: 2, id });
      peer.send(...Array.from({ length: most }, (_, i) => each(i + 1)));
      for (let i = 0; i < most; i++) await peer.next('pubrec');
      await lab.breaks(each(most + 1), [0x93], peer);
    },
  },
  {
    v5: '3.3.4-8',
    says: 'A client that has used up its send quota still sends packets other than PUBLISH.',
    untested: 'client',
  },
  {
    v5: '3.3.4-9 4.9.0-1 4.9.0-2',
    says: 'The broker never has more unacknowledged QoS 1 and 2 messages in flight than the client’s Receive Maximum. Its initial send quota is at least 1.',
    async check(lab) {
      for (const most of [1, 3]) {
        const topic = lab.name();
        const reader = await lab.subscriber(topic, 2, { properties: [['receiveMaximum', most]] });
        const writer = await lab.connect();
        for (let i = 0; i < 8; i++) await writer.publish(topic, String(i), { qos: 1 + (i % 2) });
        const heard = await reader.messages(most);
        await reader.nothing();
        for (let i = most; i < 8; i++) {
          await reader.acknowledge(heard.shift()!);
          heard.push(await reader.message());
          await reader.nothing();
        }
        assert.equal(heard.at(-1)?.payload, '7');
        // PUBREC does not complete an exchange, unless it refuses the message.
        const two = heard.find(({ qos }) => qos === 2)!;
        await writer.publish(topic, '8', { qos: 1 });
        reader.send(acknowledgment('pubrec', two.id));
        await reader.next('pubrel');
        await reader.nothing();
        reader.send(acknowledgment('pubcomp', two.id));
        assert.equal((await reader.message()).payload, '8');
      }
    },
  },
  {
    v5: '3.3.4-10 4.9.0-3',
    says: 'When the client’s Receive Maximum is used up, the broker still processes and answers all other packets.',
    async check(lab) {
      const topic = lab.name();
      const reader = await lab.subscriber(topic, 1, { properties: [['receiveMaximum', 1]] });
      const writer = await lab.connect();
      for (let i = 0; i < 3; i++) await writer.publish(topic, String(i), { qos: 1 });
      await reader.message();
      await reader.ping();
      assert.deepEqual((await reader.subscribe([[lab.name(), 1]])).codes, [1]);
      await reader.unsubscribe('a');
      assert.equal((await reader.publish(lab.name(), 'x', { qos: 2 }))?.name, 'pubcomp');
      await reader.nothing();
    },
  },
];

/**
 * Returns the size of the largest acknowledgment that a client with this Maximum Packet Size receives when its messages are
 * refused.
 */
async function acknowledgedWithin(lab: Lab, provoke: (peer: Peer) => Promise<Heard | null>): Promise<void> {
  const { connack } = await lab.dial();
  const most = connack.size + 8;
  const peer = await lab.connect({ properties: [['maximumPacket', most]] });
  const heard = await provoke(peer);
  assert.ok(heard, 'an acknowledgment');
  for (const { name, size } of peer.heard)
    assert.ok(size <= most, `${name} has ${size} bytes, ${most} are permitted`);
}

const unknownId = 4242;

/** Sends a PUBREL for an unknown packet identifier, and returns the PUBCOMP. */
async function unknownRelease(peer: Peer): Promise<Heard> {
  peer.send(acknowledgment('pubrel', unknownId));
  return peer.next('pubcomp');
}

/** Sends a PUBREC for an unknown packet identifier, and returns the PUBREL. */
async function unknownReceipt(peer: Peer): Promise<Heard> {
  peer.send(acknowledgment('pubrec', unknownId));
  return peer.next('pubrel');
}

/** PUBACK, PUBREC, PUBREL and PUBCOMP (3.4 to 3.7). */
const acknowledgments: Statement[] = [
  {
    v5: '3.4.2-1',
    says: 'PUBACK uses only the reason codes in the specification’s table for PUBACK.',
    async check(lab) {
      const peer = await lab.connect();
      for (const topic of [lab.name(), '$SYS/broker/version']) {
        const done = await peer.publish(topic, 'x', { qos: 1 });
        assertCode(done!.code, receivedCodes);
      }
    },
  },
  {
    v5: '3.4.2-2 3.4.2-3',
    says: 'PUBACK contains no reason string or user property that would make it larger than the client’s Maximum Packet Size.',
    check: (lab) => acknowledgedWithin(lab, (peer) => peer.publish('$SYS/broker/version', 'x', { qos: 1 })),
  },
  {
    v5: '3.5.2-1',
    says: 'PUBREC uses only the reason codes in the specification’s table for PUBREC.',
    async check(lab) {
      const peer = await lab.connect();
      for (const topic of [lab.name(), '$SYS/broker/version']) {
        peer.send(publish(5, topic, 'x', { qos: 2, id: peer.id() }));
        assertCode((await peer.next('pubrec')).code, receivedCodes);
      }
    },
  },
  {
    v5: '3.5.2-2 3.5.2-3',
    says: 'PUBREC contains no reason string or user property that would make it larger than the client’s Maximum Packet Size.',
    check: (lab) => acknowledgedWithin(lab, (peer) => peer.publish('$SYS/broker/version', 'x', { qos: 2 })),
  },
  {
    v4: '3.6.1-1',
    v5: '3.6.1-1',
    says: 'The flags of PUBREL are 0010; other flags end the connection.',
    async check(lab) {
      for (const flagBits of [0, 1, 3, 6, 10]) await lab.breaks(packet(0x60 | flagBits, u16(1)));
      const topic = lab.name();
      const reader = await lab.subscriber(topic, 2);
      await reader.publish(topic, 'x', { qos: 2 });
      const { id } = await reader.message();
      reader.send(acknowledgment('pubrec', id));
      assert.equal((await reader.next('pubrel')).flags, 2);
    },
  },
  {
    v5: '3.6.2-1',
    says: 'The reason code of PUBREL is 0x00 or 0x92.',
    async check(lab) {
      const topic = lab.name();
      const peer = await lab.subscriber(topic, 2);
      assertCode((await unknownReceipt(peer)).code, [0x92]);
      await peer.publish(topic, 'x', { qos: 2 });
      const { id } = await peer.message();
      peer.send(acknowledgment('pubrec', id));
      assertCode((await peer.next('pubrel')).code, [0]);
    },
  },
  {
    v5: '3.6.2-2 3.6.2-3',
    says: 'PUBREL contains no reason string or user property that would make it larger than the client’s Maximum Packet Size.',
    check: (lab) => acknowledgedWithin(lab, unknownReceipt),
  },
  {
    v5: '3.7.2-1',
    says: 'The reason code of PUBCOMP is 0x00 or 0x92.',
    async check(lab) {
      const peer = await lab.connect();
      assertCode((await unknownRelease(peer)).code, [0x92]);
      assertCode((await peer.publish(lab.name(), 'x', { qos: 2 }))!.code, [0]);
    },
  },
  {
    v5: '3.7.2-2 3.7.2-3',
    says: 'PUBCOMP contains no reason string or user property that would make it larger than the client’s Maximum Packet Size.',
    check: (lab) => acknowledgedWithin(lab, unknownRelease),
  },
];

/** Sections 3.3 to 3.7. */
export const publishing: Statement[] = [...flags, ...header, ...actions, ...acknowledgments];
