import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  acknowledgment,
  type Heard,
  type Property,
  packet,
  pingreq,
  properties,
  publish,
  subscribe,
  unsubscribe,
} from '../../support/mqtt-bytes.js';
import { assertCode, type Lab, malformed, type Peer, valuesOf } from '../../support/mqtt-lab.js';
import type { Statement } from './statement.js';

const payloads = (list: readonly Heard[]) => list.map(({ payload }) => payload);

/** Publishes to a new subscriber, and returns that subscriber with the message. */
async function delivered(
  lab: Lab,
  qos: number,
): Promise<{ topic: string; reader: Peer; heard: Heard; writer: Peer }> {
  const topic = lab.name();
  const reader = await lab.subscriber(topic, qos);
  const writer = await lab.connect();
  await writer.publish(topic, 'x', { qos });
  return { topic, reader, writer, heard: await reader.message() };
}

/** Sends a message to a session that does not acknowledge it. `again` reconnects to that session. */
async function interrupted(
  lab: Lab,
  qos: number,
  count = 1,
): Promise<{
  topic: string;
  reader: Peer;
  writer: Peer;
  sent: Heard[];
  again: (more?: readonly Property[]) => Promise<Peer>;
}> {
  const [topic, clientId] = [lab.name(), lab.name()];
  const reader = await lab.subscriber(topic, qos, lab.kept(clientId));
  const writer = await lab.connect();
  for (let i = 0; i < count; i++) await writer.publish(topic, String(i), { qos });
  const sent = await reader.messages(count);
  const again = (more: readonly Property[] = []) => lab.connect(lab.kept(clientId, { properties: more }));
  return { topic, reader, writer, sent, again };
}

/** Sections 4.1 to 4.4: session state, transport, and delivery. */
const delivery: Statement[] = [
  {
    v4: '4.1.0-1 4.1.0-2',
    v5: '4.1.0-1',
    says: 'A session lasts at least until its connection ends.',
    async check(lab) {
      const topic = lab.name();
      const list: Property[] = lab.version === 5 ? [['sessionExpiry', 0]] : [];
      const peer = await lab.connect({ properties: list });
      await peer.subscribe([[topic, 1]]);
      const writer = await lab.connect();
      await writer.publish(topic, 'unacknowledged', { qos: 1 });
      await lab.wait(1500);
      await writer.publish(topic, 'x', { qos: 1 });
      assert.deepEqual(payloads(await peer.messages(2)), ['unacknowledged', 'x']);
    },
  },
  {
    v5: '4.1.0-2',
    says: 'A session is discarded once its connection has ended and its expiry interval has passed.',
    async check(lab) {
      const [topic, clientId] = [lab.name(), lab.name()];
      const options = (seconds: number) => ({
        clientId,
        clean: false,
        properties: [['sessionExpiry', seconds]] as Property[],
      });
      const peer = await lab.connect(options(300));
      await peer.subscribe([[topic, 1]]);
      await peer.leave();
      // DISCONNECT may shorten the interval of CONNECT.
      for (const [seconds, shorter] of [
        [1, []],
        [300, [['sessionExpiry', 1]]],
      ] as [number, Property[]][]) {
        const { peer: brief } = await lab.dial(options(300));
        await brief.leave();
        const early = await lab.dial(options(seconds));
        assert.equal(early.connack.sessionPresent, true);
        await early.peer.leave(0, shorter);
        await lab.wait(2100);
        const late = await lab.dial(options(0));
        assert.equal(late.connack.sessionPresent, false);
        await late.peer.leave();
      }
    },
  },
  {
    v5: '4.2-1 4.2.0-1',
    v4: '7.1.1-1',
    says: 'The broker supports an ordered, lossless transport.',
    async check(lab) {
      const topic = lab.name();
      const peer = await lab.subscriber(topic);
      const wanted = Array.from({ length: 2000 }, (_, i) => String(i));
      peer.send(...wanted.map((payload) => publish(lab.version, topic, payload)));
      assert.deepEqual(payloads(await peer.messages(wanted.length)), wanted);
    },
  },
  {
    v4: '4.3.1-1',
    v5: '4.3.1-1',
    says: 'A message at QoS 0 is sent with QoS 0 and without DUP.',
    async check(lab) {
      const { heard } = await delivered(lab, 0);
      assert.deepEqual([heard.qos, heard.dup], [0, false]);
    },
  },
  {
    v4: '4.3.2-1',
    v5: '4.3.2-1 4.3.2-2 4.3.2-3',
    says: 'At QoS 1, the broker uses an unused packet identifier and sends PUBLISH without DUP. The message counts as unacknowledged until PUBACK arrives.',
    async check(lab) {
      const { topic, reader, writer, sent, again } = await interrupted(lab, 1, 3);
      assert.deepEqual(
        sent.map(({ qos, dup }) => [qos, dup]),
        Array(3).fill([1, false]),
      );
      assert.equal(new Set(sent.map(({ id }) => id)).size, 3);
      await reader.acknowledge(sent[1]!);
      await reader.ping();
      reader.vanish();
      const second = await again();
      assert.deepEqual(payloads(await second.messages(2)), ['0', '2']);
      await second.nothing();
      await writer.publish(topic, 'new', { qos: 1 });
      const next = await second.message();
      assert.ok(!sent.filter((_, i) => i !== 1).some(({ id }) => id === next.id));
    },
  },
  {
    v4: '4.3.2-2',
    v5: '4.3.2-4 4.3.2-5',
    says: 'At QoS 1, the broker answers PUBLISH with PUBACK. After that, a PUBLISH with the same packet identifier is a new message, even if DUP is set.',
    async check(lab) {
      const topic = lab.name();
      const reader = await lab.subscriber(topic, 0);
      const writer = await lab.connect();
      for (const [payload, dup] of [
        ['one', false],
        ['two', false],
        ['three', true],
      ] as const)
        assert.equal((await writer.publish(topic, payload, { qos: 1, id: 9, dup }))?.id, 9);
      assert.deepEqual(payloads(await reader.messages(3)), ['one', 'two', 'three']);
    },
  },
  {
    v4: '4.3.3-1',
    v5: '4.3.3-1 4.3.3-2 4.3.3-3 4.3.3-4 4.3.3-5 4.3.3-6',
    says: 'At QoS 2, the broker uses an unused packet identifier and sends PUBLISH without DUP. PUBLISH counts as unacknowledged until PUBREC arrives, which the broker answers with PUBREL. PUBREL counts as unacknowledged until PUBCOMP arrives. After PUBREL, the broker never resends PUBLISH.',
    async check(lab) {
      const { reader, sent, again } = await interrupted(lab, 2, 3);
      assert.deepEqual(
        sent.map(({ qos, dup }) => [qos, dup]),
        Array(3).fill([2, false]),
      );
      assert.equal(new Set(sent.map(({ id }) => id)).size, 3);
      const [done, received, open] = sent as [Heard, Heard, Heard];
      await reader.acknowledge(done);
      reader.send(acknowledgment('pubrec', received.id));
      assert.equal((await reader.next('pubrel')).id, received.id);
      await reader.ping();
      reader.vanish();
      for (let i = 0; i < 2; i++) {
        const second = await again();
        assert.equal((await second.next('pubrel')).id, received.id);
        const repeated = await second.message();
        assert.deepEqual([repeated.id, repeated.dup, repeated.payload], [open.id, true, '2']);
        await second.nothing();
        second.vanish();
      }
      const third = await again();
      await third.next('pubrel');
      third.send(acknowledgment('pubcomp', received.id));
      await third.ping();
      third.vanish();
      const last = await again();
      await last.message();
      await last.nothing();
      assert.ok(!last.heard.some(({ name }) => name === 'pubrel'));
    },
  },
  {
    v5: '4.3.3-7 4.3.3-13',
    says: 'After its PUBLISH has been sent, a QoS 2 message no longer expires, and the broker must complete its exchange.',
    async check(lab) {
      const [topic, clientId] = [lab.name(), lab.name()];
      const reader = await lab.subscriber(topic, 2, lab.kept(clientId));
      const writer = await lab.connect();
      // Long enough for a busy broker to send the messages before they expire.
      const list: Property[] = [['messageExpiry', 3]];
      for (const payload of ['0', '1']) await writer.publish(topic, payload, { qos: 2, properties: list });
      const [zero, one] = await reader.messages(2);
      reader.send(acknowledgment('pubrec', zero!.id));
      await reader.next('pubrel');
      reader.vanish();
      await lab.wait(4100);
      const again = await lab.connect(lab.kept(clientId));
      assert.equal((await again.next('pubrel')).id, zero!.id);
      again.send(acknowledgment('pubcomp', zero!.id));
      const repeated = await again.message();
      assert.deepEqual([repeated.id, repeated.payload, repeated.dup], [one!.id, '1', true]);
      await again.acknowledge(repeated);
      await again.nothing();
    },
  },
  {
    v4: '4.3.3-2',
    v5: '4.3.3-8 4.3.3-10 4.3.3-11 4.3.3-12',
    says: 'At QoS 2, the broker answers each PUBLISH with PUBREC, even a repeated one, but delivers the message only once. It answers PUBREL with PUBCOMP. After that, a PUBLISH with the same packet identifier is a new message.',
    async check(lab) {
      const [topic, clientId] = [lab.name(), lab.name()];
      const reader = await lab.subscriber(topic, 0);
      const writer = await lab.connect(lab.kept(clientId));
      const send = async (peer: Peer, payload: string, dup = false) => {
        peer.send(publish(lab.version, topic, payload, { qos: 2, id: 3, dup }));
        assert.equal((await peer.next('pubrec')).id, 3);
      };
      const release = async (peer: Peer) => {
        peer.send(acknowledgment('pubrel', 3));
        assert.equal((await peer.next('pubcomp')).id, 3);
      };
      await send(writer, 'one');
      await send(writer, 'one', true);
      writer.vanish();
      const again = await lab.connect(lab.kept(clientId));
      await send(again, 'one', true);
      await release(again);
      await send(again, 'two');
      await release(again);
      assert.deepEqual(payloads(await reader.messages(2)), ['one', 'two']);
      await reader.nothing();
    },
  },
  {
    v5: '4.3.3-9',
    says: 'After a PUBREC with a code of 0x80 or above, a PUBLISH with the same packet identifier is a new message.',
    async check(lab) {
      const topic = lab.name();
      const reader = await lab.subscriber(topic, 0);
      const writer = await lab.connect();
      writer.send(publish(5, '$SYS/broker/version', 'x', { qos: 2, id: 5 }));
      assert.ok((await writer.next('pubrec')).code >= 0x80);
      assert.equal((await writer.publish(topic, 'accepted', { qos: 2, id: 5 }))?.name, 'pubcomp');
      assert.equal((await reader.message()).payload, 'accepted');
    },
  },
  {
    v4: '4.4.0-1',
    v5: '4.4.0-1',
    says: 'Only on reconnection, the broker resends unacknowledged PUBLISH and PUBREL packets with their original packet identifiers.',
    async check(lab) {
      const { reader, sent, again } = await interrupted(lab, 2, 2);
      reader.send(acknowledgment('pubrec', sent[0]!.id));
      await reader.next('pubrel');
      await lab.wait(1200);
      await reader.nothing();
      assert.equal(reader.heard.filter(({ name }) => name === 'pubrel').length, 1);
      reader.vanish();
      const second = await again();
      assert.equal((await second.next('pubrel')).id, sent[0]!.id);
      assert.equal((await second.message()).id, sent[1]!.id);
      await second.nothing();
    },
  },
  {
    v5: '4.4.0-2',
    says: 'A PUBACK or PUBREC with a code of 0x80 or above acknowledges the message, which is not sent again.',
    async check(lab) {
      for (const [qos, name] of [
        [1, 'puback'],
        [2, 'pubrec'],
      ] as const) {
        const { reader, sent, again } = await interrupted(lab, qos);
        reader.send(acknowledgment(name, sent[0]!.id, 0x83));
        await reader.ping();
        assert.ok(!reader.heard.some((heard) => heard.name === 'pubrel'));
        reader.vanish();
        const second = await again();
        await second.nothing();
        assert.ok(!second.heard.some((heard) => heard.name === 'pubrel'));
      }
    },
  },
  {
    v4: '4.5.0-1',
    v5: '4.5.0-1',
    says: 'The broker adds an accepted message to the session of every client with a matching subscription.',
    async check(lab) {
      const topic = lab.name();
      const ids = [lab.name(), lab.name(), lab.name()];
      for (const [i, filter] of [topic, `${topic}/#`, `+/#`].entries()) await lab.away(filter, 1, ids[i]!);
      const writer = await lab.connect();
      await writer.publish(topic, 'for all', { qos: 1 });
      for (const id of ids) {
        const peer = await lab.connect(lab.kept(id));
        for (;;) if ((await peer.message()).topic === topic) break;
        await peer.unsubscribe('+/#');
        await peer.leave(0, lab.version === 5 ? [['sessionExpiry', 0]] : []);
      }
    },
  },
  {
    v4: '4.5.0-2',
    v5: '4.5.0-2',
    says: 'A client acknowledges every PUBLISH according to its QoS.',
    untested: 'client',
  },
  {
    v4: '4.6.0-1 4.6.0-2 4.6.0-3 4.6.0-4',
    v5: '4.6.0-1 4.6.0-2 4.6.0-3 4.6.0-4',
    says: 'A client resends and acknowledges messages in order.',
    untested: 'client',
  },
  {
    v4: '4.6.0-5 4.6.0-6',
    v5: '4.6.0-5 4.6.0-6',
    says: 'For each topic and QoS, the broker delivers a publisher’s messages in order, even when it resends them. It also sends acknowledgments in order.',
    async check(lab) {
      const [topic, clientId] = [lab.name(), lab.name()];
      const reader = await lab.subscriber(`${topic}/#`, 2, lab.kept(clientId));
      const writer = await lab.connect();
      const wanted = Array.from({ length: 30 }, (_, i) => i);
      const qosOf = (i: number) => i % 3;
      writer.send(
        ...wanted.map((i) =>
          publish(lab.version, `${topic}/${i % 2}`, String(i), { qos: qosOf(i), id: i + 1 }),
        ),
      );
      const acknowledged: number[] = [];
      for (const i of wanted) if (qosOf(i) === 1) acknowledged.push((await writer.next('puback')).id);
      assert.deepEqual(
        acknowledged,
        wanted.filter((i) => qosOf(i) === 1).map((i) => i + 1),
      );
      const received: number[] = [];
      for (const i of wanted) if (qosOf(i) === 2) received.push((await writer.next('pubrec')).id);
      assert.deepEqual(
        received,
        wanted.filter((i) => qosOf(i) === 2).map((i) => i + 1),
      );
      const inOrder = (list: readonly Heard[], all: readonly number[]) => {
        for (const name of ['0', '1']) {
          for (const qos of [0, 1, 2]) {
            const of = list.filter((each) => each.topic === `${topic}/${name}` && each.qos === qos);
            assert.deepEqual(
              payloads(of),
              all.filter((i) => String(i % 2) === name && qosOf(i) === qos).map(String),
            );
          }
        }
      };
      inOrder(await reader.messages(wanted.length), wanted);
      reader.vanish();
      const again = await lab.connect(lab.kept(clientId));
      const repeated = wanted.filter((i) => qosOf(i) > 0);
      inOrder(await again.messages(repeated.length), repeated);
    },
  },
];

/** Topics, and filters with the topics that each filter matches. */
const topics = ['a', 'a/b', 'a/b/c', 'a/', '/a', '/', 'A', 'a//b', 'é', 'e\u0301', ' a', 'a '];
const matching: [filter: string, matches: string[]][] = [
  ['#', topics],
  ['+', ['a', 'A', 'é', 'e\u0301', ' a', 'a ']],
  ['a/#', ['a', 'a/b', 'a/b/c', 'a/', 'a//b']],
  ['a/+', ['a/b', 'a/']],
  ['+/b', ['a/b']],
  ['+/+', ['a/b', 'a/', '/a', '/']],
  ['/+', ['/a', '/']],
  ['+/', ['a/', '/']],
  ['/#', ['/a', '/']],
  ['a/+/b', ['a//b']],
  ['a/b/+', ['a/b/c']],
  ['+/b/#', ['a/b', 'a/b/c']],
  ['a', ['a']],
  ['A', ['A']],
  ['é', ['é']],
  ['a//b', ['a//b']],
];

/** Subscribes to each filter below a separate topic, publishes to all topics, and compares. */
async function checkMatching(
  lab: Lab,
  filters: readonly (readonly [string, readonly string[]])[],
): Promise<void> {
  const base = lab.name();
  const writer = await lab.connect();
  const readers = await Promise.all(filters.map(([filter]) => lab.subscriber(`${base}/${filter}`, 0)));
  for (const topic of topics) await writer.publish(`${base}/${topic}`, '', { qos: 1 });
  for (const [i, [filter, matches]] of filters.entries()) {
    await readers[i]!.ping();
    const heard = readers[i]!.heard.filter(({ name }) => name === 'publish').map(({ topic }) => topic);
    assert.deepEqual(
      heard,
      matches.map((topic) => `${base}/${topic}`),
      filter,
    );
  }
}

/** Asserts that SUBSCRIBE and UNSUBSCRIBE with each filter end the connection. */
async function failing(lab: Lab, filters: readonly string[]): Promise<void> {
  for (const filter of filters) {
    const codes = [...malformed, 0x8f];
    await lab.breaks(subscribe(lab.version, 1, [[filter, 0]]), codes);
    await lab.breaks(unsubscribe(lab.version, 1, [filter]), codes);
  }
}

/** Sections 4.7 and 4.8: topics and shared subscriptions. */
const naming: Statement[] = [
  {
    v4: '4.7.1-1',
    v5: '4.7.0-1',
    says: 'Wildcards are allowed in filters, but not in topics.',
    async check(lab) {
      for (const topic of ['+', '#', 'a/+/b', 'a/#'])
        await lab.breaks(publish(lab.version, topic, 'x'), [...malformed, 0x90]);
    },
  },
  {
    v4: '4.7.1-2',
    v5: '4.7.1-1',
    says: '# is allowed only as the last level of a filter, and must be the whole level.',
    async check(lab) {
      await checkMatching(
        lab,
        matching.filter(([filter]) => filter.includes('#')),
      );
      await failing(lab, ['a#', 'a/b#', '#/a', 'a/#/b', '##', '#a']);
    },
  },
  {
    v4: '4.7.1-3',
    v5: '4.7.1-2',
    says: '+ is allowed at any level of a filter, and must be the whole level.',
    async check(lab) {
      await checkMatching(
        lab,
        matching.filter(([filter]) => filter.includes('+')),
      );
      await failing(lab, ['a+', '+a', 'a/b+', '++', 'a/+b/c']);
    },
  },
  {
    v4: '4.7.2-1',
    v5: '4.7.2-1',
    says: 'A filter that starts with a wildcard does not match a topic that starts with $.',
    async check(lab) {
      const reader = await lab.connect();
      const { codes } = await reader.subscribe([
        ['#', 0],
        ['+/#', 0],
        ['+/broker/version', 0],
      ]);
      await reader.ping();
      assert.ok(!reader.heard.some(({ topic }) => topic.startsWith('$')));
      assert.deepEqual(codes, [0, 0, 0]);
      const other = await lab.subscriber('$SYS/broker/version');
      assert.equal((await other.message()).topic, '$SYS/broker/version');
    },
  },
  {
    v4: '4.7.3-1',
    v5: '4.7.3-1',
    says: 'Topics and filters have at least one character.',
    async check(lab) {
      await lab.breaks(publish(lab.version, '', 'x'), [...malformed, 0x90]);
      await failing(lab, ['']);
    },
  },
  {
    v4: '4.7.3-2',
    v5: '4.7.3-2',
    says: 'Topics and filters do not contain U+0000.',
    async check(lab) {
      await lab.breaks(publish(lab.version, 'a\0b', 'x'), [...malformed, 0x90]);
      await failing(lab, ['a\0b', '\0', 'a/\0/#']);
    },
  },
  {
    v4: '4.7.3-3',
    v5: '4.7.3-3',
    says: 'Topics and filters have at most 65,535 bytes.',
    untested: 'format',
  },
  {
    v4: '4.7.3-4',
    v5: '4.7.3-4',
    says: 'The broker compares topics and filters without normalizing them.',
    check: (lab) =>
      checkMatching(
        lab,
        matching.filter(([filter]) => !/[+#]/.test(filter)),
      ),
  },
  {
    v5: '4.8.2-1',
    says: 'A shared subscription starts with $share/ and a name of at least one character. Each message is sent to one of its clients.',
    async check(lab) {
      const topic = lab.name();
      const readers = [await lab.connect(), await lab.connect(), await lab.connect()];
      for (const reader of readers) await reader.subscribe([[`$share/g/${topic}/+`, 1]]);
      const other = await lab.subscriber(`$share/h/${topic}/#`, 1);
      const plain = await lab.subscriber(`${topic}/a`, 1);
      for (const each of [...readers, other, plain]) each.acknowledging = true;
      const writer = await lab.connect();
      const wanted = Array.from({ length: 30 }, (_, i) => String(i));
      for (const payload of wanted) await writer.publish(`${topic}/a`, payload, { qos: 1 });
      for (const reader of [...readers, other, plain]) await reader.ping();
      const got = (reader: Peer) => payloads(reader.heard.filter(({ name }) => name === 'publish'));
      assert.deepEqual(got(other), wanted);
      assert.deepEqual(got(plain), wanted);
      const all = readers.flatMap(got);
      assert.deepEqual(
        all.sort((a, b) => Number(a) - Number(b)),
        wanted,
      );
      await failing(lab, ['$share//a']);
    },
  },
  {
    v5: '4.8.2-2',
    says: 'A share name contains no /, + or #, and is followed by / and a filter.',
    check: (lab) =>
      failing(lab, [
        '$share/+/a',
        '$share/#/a',
        '$share/g+/a',
        '$share/g',
        '$share/g/',
        '$share/',
        '$share/g/a#',
      ]),
  },
  {
    v5: '4.8.2-3',
    says: 'A message on a shared subscription is delivered with at most the QoS granted to its client.',
    async check(lab) {
      for (const granted of [0, 1, 2]) {
        const topic = lab.name();
        const reader = await lab.connect();
        const { codes } = await reader.subscribe([[`$share/g/${topic}`, granted]]);
        assert.deepEqual(codes, [granted]);
        const writer = await lab.connect();
        for (const qos of [0, 1, 2]) {
          await writer.publish(topic, 'x', { qos });
          assert.equal((await reader.message()).qos, Math.min(qos, granted));
        }
      }
    },
  },
  {
    v5: '4.8.2-4 4.8.2-5',
    says: 'If the delivery of a QoS 2 message on a shared subscription is interrupted, it is completed when that client reconnects. The message is sent to no other client.',
    async check(lab) {
      const [topic, clientId] = [lab.name(), lab.name()];
      const filter = `$share/g/${topic}`;
      const chosen = await lab.connect(lab.kept(clientId));
      await chosen.subscribe([[filter, 2]]);
      const writer = await lab.connect();
      await writer.publish(topic, 'one', { qos: 2 });
      await writer.publish(topic, 'two', { qos: 2 });
      const [one, two] = await chosen.messages(2);
      const other = await lab.connect();
      await other.subscribe([[filter, 2]]);
      chosen.send(acknowledgment('pubrec', one!.id));
      await chosen.next('pubrel');
      chosen.vanish();
      await lab.wait(100);
      await other.nothing();
      const again = await lab.connect(lab.kept(clientId));
      assert.equal((await again.next('pubrel')).id, one!.id);
      assert.equal((await again.message()).id, two!.id);
      // The session ends with the message unacknowledged.
      await again.leave(0, [['sessionExpiry', 0]]);
      await lab.wait(100);
      await other.nothing();
    },
  },
  {
    v5: '4.8.2-6',
    says: 'If a client rejects a message on a shared subscription, the broker discards the message instead of sending it to another client.',
    async check(lab) {
      const topic = lab.name();
      const readers = [await lab.connect(), await lab.connect()];
      for (const reader of readers) await reader.subscribe([[`$share/g/${topic}`, 2]]);
      const writer = await lab.connect();
      for (const [qos, name] of [
        [1, 'puback'],
        [2, 'pubrec'],
      ] as const) {
        await writer.publish(topic, `at ${qos}`, { qos });
        for (const reader of readers) await reader.ping();
        const found = readers.flatMap((reader) =>
          reader.heard.filter((each) => each.payload === `at ${qos}`).map((heard) => ({ reader, heard })),
        );
        assert.equal(found.length, 1);
        found[0]!.reader.send(acknowledgment(name, found[0]!.heard.id, 0x80));
        await found[0]!.reader.ping();
        for (const reader of readers) await reader.ping();
        const count = readers.flatMap(({ heard }) =>
          heard.filter((each) => each.payload === `at ${qos}`),
        ).length;
        assert.equal(count, 1);
      }
    },
  },
  {
    v4: '4.8.0-1',
    v5: '4.13.1-1',
    says: 'A protocol violation ends only the connection on which it occurred.',
    async check(lab) {
      const bystander = await lab.connect();
      const codes = [...malformed, 0x94, 0x90, 0x8f];
      for (const bytes of [
        packet(0x00),
        packet(0x20, 0, 0),
        packet(0x90, 0, 1, 0),
        packet(0xb0, 0, 1),
        packet(0xd0),
        packet(0x40, 1),
        packet(0x62, 0),
        packet(0xc0, 0),
        Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 1]),
      ])
        await lab.breaks(bytes, codes);
      if (lab.version === 5) {
        // Properties that do not exist, are not allowed in the packet, or occur twice.
        for (const list of [
          Buffer.from([2, 0x7f, 0]),
          properties([['sessionExpiry', 1]]),
          properties([
            ['contentType', 'a'],
            ['contentType', 'b'],
          ]),
          properties([['payloadFormat', 2]]),
          Buffer.from([9, 1, 1]),
        ])
          await lab.breaks(packet(0x30, lab.name(), list), codes);
        await lab.refuses(lab.hello({ properties: [['receiveMaximum', 0]] }));
        await lab.refuses(lab.hello({ properties: [['maximumPacket', 0]] }));
        await lab.refuses(lab.hello({ properties: [['requestProblem', 2]] }));
        await lab.refuses(lab.hello({ properties: [['authData', Buffer.from('x')]] }));
        await lab.breaks(subscribe(5, 1, [['a', 0]], [['subscriptionId', 0]]));
        await lab.breaks(packet(0x40, 0, 1, 0x01), codes);
      }
      await bystander.ping();
    },
  },
  {
    v4: '4.8.0-2',
    says: 'If a transient error occurs while the broker processes a packet, it ends the connection on which the packet arrived.',
    untested: 'test/platform/broker-suite.ts',
  },
];

/** Sections 4.12, 4.13, 6 and 7: authentication, errors, WebSocket, and conformance. */
const rest: Statement[] = [
  {
    v5: '4.12.0-1',
    says: 'An Authentication Method that the broker does not support is rejected with 0x8C or 0x87, and the connection ends.',
    async check(lab) {
      const { peer, connack } = await lab.dial({ properties: [['authMethod', 'unknown']] });
      assertCode(connack.code, [0x8c, 0x87]);
      await peer.ended();
    },
  },
  {
    v5: '4.12.0-2 4.12.0-3 4.12.0-4 4.12.0-5 4.12.1-1 4.12.1-2',
    says: 'All AUTH packets on a connection use the Authentication Method in its CONNECT. The broker supports no Authentication Method.',
    untested: 'absent',
  },
  {
    v5: '4.12.0-6',
    says: 'Without an Authentication Method in CONNECT, the broker sends no AUTH, and CONNACK contains no Authentication Method.',
    async check(lab) {
      const { peer, connack } = await lab.dial();
      assert.deepEqual(valuesOf(connack, 'authMethod'), []);
      await peer.ping();
      assert.ok(!peer.heard.some(({ name }) => name === 'auth'));
    },
  },
  {
    v5: '4.12.0-7',
    says: 'Without an Authentication Method in CONNECT, a client sends no AUTH; an AUTH ends the connection.',
    async check(lab) {
      await lab.breaks(packet(0xf0, 0x19, properties([['authMethod', 'x']])));
      await lab.breaks(packet(0xf0));
    },
  },
  {
    v5: '4.13.2-1',
    says: 'After a CONNACK or DISCONNECT with a code of 0x80 or above, the connection is closed.',
    async check(lab) {
      const { peer, connack } = await lab.dial({ username: 'nobody', password: 'wrong' });
      assert.ok(connack.code >= 0x80);
      await peer.ended();
      await lab.breaks(publish(5, 'a/#', 'x'), [...malformed, 0x90]);
    },
  },
  {
    v4: '6.0.0-1',
    v5: '6.0.0-1',
    says: 'Over WebSocket, packets are sent in binary data frames; any other data frame ends the connection.',
    async check(lab) {
      const socket = await lab.webSocket();
      socket.send(lab.hello());
      const [, binary] = (await once(socket, 'message')) as [Buffer, boolean];
      assert.equal(binary, true);
      const closed = once(socket, 'close');
      socket.send('text');
      await closed;
    },
  },
  {
    v4: '6.0.0-2',
    v5: '6.0.0-2',
    says: 'Over WebSocket, a frame may contain several packets or parts of packets.',
    async check(lab) {
      const { createWebSocketStream } = await import('ws');
      const socket = await lab.webSocket();
      const peer = lab.use(createWebSocketStream(socket));
      const topic = lab.name();
      const bytes = Buffer.concat([
        lab.hello(),
        subscribe(lab.version, 1, [[topic, 0]]),
        publish(lab.version, topic, 'x'),
        pingreq,
      ]);
      for (const byte of bytes.subarray(0, 40)) socket.send(Buffer.from([byte]));
      socket.send(bytes.subarray(40, -3));
      socket.send(bytes.subarray(-3));
      assert.equal((await peer.message()).payload, 'x');
      await peer.next('pingresp');
    },
  },
  {
    v4: '6.0.0-4',
    v5: '6.0.0-4',
    says: 'Over WebSocket, the broker selects the subprotocol mqtt.',
    async check(lab) {
      assert.equal((await lab.webSocket(['other', 'mqtt'])).protocol, 'mqtt');
    },
  },
  {
    v4: '6.0.0-3',
    v5: '6.0.0-3',
    says: 'Over WebSocket, a client offers the subprotocol mqtt.',
    untested: 'client',
  },
  {
    v4: '7.0.0-1',
    says: 'A server that connects to other servers also conforms as a client.',
    untested: 'client',
  },
  {
    v4: '7.0.0-2',
    says: 'The broker requires no extensions outside the MQTT specification.',
    async check(lab) {
      const topic = lab.name();
      const peer = await lab.subscriber(topic, 2);
      await peer.publish(topic, 'x', { qos: 2 });
      await peer.acknowledge(await peer.message());
      await peer.leave();
    },
  },
  { v4: '7.1.2-1', says: 'A client supports an ordered, lossless transport.', untested: 'client' },
];

/** Chapters 4 to 7. */
export const behavior: Statement[] = [...delivery, ...naming, ...rest];
