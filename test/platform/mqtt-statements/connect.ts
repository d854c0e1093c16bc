import assert from 'node:assert/strict';
import {
  counted,
  type Heard,
  type Property,
  packet,
  pingreq,
  properties,
  publish,
  subscribe,
  u16,
  unsubscribe,
} from '../../support/mqtt-bytes.js';
import {
  assertCode,
  hex,
  type Lab,
  malformed,
  type Peer,
  propertyOf,
  valuesOf,
} from '../../support/mqtt-lab.js';
import type { Statement } from './statement.js';

/** Reason codes of CONNACK in MQTT 5 (table 3-1). */
const connackCodes = [
  0, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a,
  0x9b, 0x9c, 0x9d, 0x9f,
];

/** The bytes of a CONNECT with arbitrary flags and payload. */
function rawConnect(lab: Lab, flags: number, ...payload: Buffer[]): Buffer {
  const list = lab.version === 5 ? properties([]) : Buffer.alloc(0);
  return packet(0x10, 'MQTT', lab.version, flags, u16(0), list, ...payload);
}

/** The fields of a will in the payload. */
function willFields(lab: Lab, topic: string): Buffer[] {
  return [lab.version === 5 ? properties([]) : Buffer.alloc(0), counted(topic), counted('gone')];
}

function credentialFields(lab: Lab): Buffer[] {
  return [counted(lab.parts.username), counted(lab.parts.password)];
}

/** Asserts that the CONNECT is refused with one of these codes, and that the connection is then closed. */
async function refusedWith(lab: Lab, codes: number[], options: Parameters<Lab['dial']>[0]): Promise<Heard> {
  const { peer, connack } = await lab.dial(options);
  assertCode(connack.code, codes);
  assert.equal(connack.sessionPresent, false);
  await peer.ended();
  assert.deepEqual(
    peer.heard.map(({ name }) => name),
    ['connack'],
  );
  return connack;
}

/** A CONNECT with wrong credentials. */
const stranger = { username: 'nobody', password: 'wrong' };
const credentialCodes = { 4: [4, 5], 5: [0x86, 0x87] } as const;

/** Connects a subscriber to a topic, and a client whose will is published there. */
async function withWill(
  lab: Lab,
  will: { qos?: number; retain?: boolean; properties?: readonly Property[] } = {},
  options: Parameters<Lab['dial']>[0] = {},
): Promise<{ topic: string; watcher: Peer; mortal: Peer }> {
  const topic = lab.name('/will');
  const watcher = await lab.subscriber(topic, 2);
  const mortal = await lab.connect({ ...options, will: { topic, payload: 'gone', ...will } });
  return { topic, watcher, mortal };
}

/** CONNECT: the fixed part and its flags (3.1.0 to 3.1.2). */
const request: Statement[] = [
  {
    v4: '3.1.0-1',
    v5: '3.1.0-1',
    says: 'The first packet on a connection is CONNECT; any other packet ends the connection.',
    async check(lab) {
      const { version } = lab;
      for (const bytes of [
        publish(version, 'a', 'x'),
        subscribe(version, 1, [['a', 0]]),
        unsubscribe(version, 1, ['a']),
        pingreq,
        packet(0xe0),
        packet(0x20, 0, 0),
      ]) {
        const peer = await lab.open();
        peer.send(bytes);
        await peer.ended();
        assert.deepEqual(peer.heard, []);
      }
    },
  },
  {
    v4: '3.1.0-2',
    v5: '3.1.0-2',
    says: 'A second CONNECT ends the connection.',
    check: (lab) => lab.breaks(lab.hello()),
  },
  {
    v4: '3.1.2-1',
    v5: '3.1.2-1',
    says: 'A CONNECT with a protocol name other than MQTT is rejected, and the connection ends.',
    async check(lab) {
      for (const name of ['MQTX', 'mqtt', 'MQTTT', '']) {
        const peer = await lab.open();
        peer.send(packet(0x10, name, lab.version, 0xc2, u16(0), lab.hello().subarray(12)));
        await peer.ended();
        for (const { code } of peer.heard) assertCode(code, [0x81, 0x82, 0x84]);
      }
    },
  },
  {
    v4: '3.1.2-2',
    v5: '3.1.2-2',
    says: 'An unsupported protocol level is answered with return code 1 (MQTT 5 permits 0x84), then the connection ends.',
    async check(lab) {
      const level = lab.version === 4 ? 2 : 6;
      const peer = await lab.open();
      peer.send(packet(0x10, 'MQTT', level, 2, u16(0), Buffer.alloc(1), counted('id')));
      await peer.ended();
      assert.deepEqual(
        peer.heard.map(({ name }) => name),
        ['connack'],
      );
      assertCode(peer.heard[0]!.code, lab.version === 4 ? [1] : [1, 0x84]);
    },
  },
  {
    v4: '3.1.2-3',
    v5: '3.1.2-3',
    says: 'A reserved connect flag other than 0 ends the connection.',
    async check(lab) {
      const fields = [counted(lab.name()), ...credentialFields(lab)];
      await lab.refuses(rawConnect(lab, 0xc3, ...fields));
      const peer = await lab.open();
      peer.send(rawConnect(lab, 0xc2, ...fields));
      assert.equal((await peer.next('connack')).code, 0);
    },
  },
  {
    v4: '3.1.2-4',
    v5: '3.1.2-5 3.1.2-6',
    says: 'Without Clean Session or Clean Start, the broker resumes the session for the client ID, or creates one if there is none.',
    async check(lab) {
      const [topic, clientId] = [lab.name(), lab.name()];
      const first = await lab.dial(lab.kept(clientId));
      assert.equal(first.connack.sessionPresent, false);
      await first.peer.subscribe([[topic, 1]]);
      await first.peer.leave();
      const second = await lab.dial(lab.kept(clientId));
      assert.equal(second.connack.sessionPresent, true);
      await second.peer.publish(topic, 'x', { qos: 1 });
      assert.equal((await second.peer.message()).payload, 'x');
    },
  },
  {
    v4: '3.1.2-5',
    says: 'While a client with a persistent session is offline, the broker stores QoS 1 and 2 messages for its subscriptions.',
    async check(lab) {
      const [topic, clientId] = [lab.name(), lab.name()];
      await lab.away(topic, 2, clientId);
      const writer = await lab.connect();
      await writer.publish(topic, 'one', { qos: 1 });
      await writer.publish(topic, 'two', { qos: 2 });
      const peer = await lab.connect(lab.kept(clientId));
      const heard = await peer.messages(2);
      assert.deepEqual(
        heard.map(({ payload, qos }) => `${payload} ${qos}`),
        ['one 1', 'two 2'],
      );
    },
  },
  {
    v4: '3.1.2-6',
    v5: '3.1.2-4',
    says: 'With Clean Session or Clean Start, the broker discards the existing session and starts a new one.',
    async check(lab) {
      const [topic, clientId] = [lab.name(), lab.name()];
      await lab.away(topic, 1, clientId);
      const writer = await lab.connect();
      await writer.publish(topic, 'lost', { qos: 1 });
      const { peer, connack } = await lab.dial({ clientId });
      assert.equal(connack.sessionPresent, false);
      await writer.publish(topic, 'no subscription', { qos: 1 });
      await peer.nothing();
      await peer.leave();
      const again = await lab.dial(lab.kept(clientId));
      assert.equal(again.connack.sessionPresent, false);
    },
  },
  {
    v4: '3.1.2-7',
    says: 'Retained messages outlive the session that published them.',
    async check(lab) {
      const topic = lab.name();
      const writer = await lab.connect();
      await writer.publish(topic, 'kept', { qos: 1, retain: true });
      await writer.leave();
      const reader = await lab.subscriber(topic, 1);
      assert.equal((await reader.message()).payload, 'kept');
    },
  },
  {
    v4: '3.1.2-8',
    v5: '3.1.2-7 3.1.2-8',
    says: 'The broker stores the will, and publishes it if the connection ends without a normal DISCONNECT (in MQTT 5, after the will delay).',
    async check(lab) {
      const { watcher, mortal } = await withWill(lab);
      await watcher.nothing();
      mortal.vanish();
      assert.equal((await watcher.message()).payload, 'gone');
      // A protocol error also ends the connection.
      const second = await withWill(lab);
      second.mortal.send(packet(0xf0));
      assert.equal((await second.watcher.message()).payload, 'gone');
    },
  },
  {
    v4: '3.1.2-9',
    v5: '3.1.2-9',
    says: 'With the will flag, the payload contains the will topic and message.',
    async check(lab) {
      await lab.refuses(rawConnect(lab, 0x06, counted(lab.name())));
      await lab.refuses(rawConnect(lab, 0x06, counted(lab.name()), ...willFields(lab, 'a').slice(0, 2)));
    },
  },
  {
    v4: '3.1.2-10',
    v5: '3.1.2-10',
    says: 'The broker removes the will once it is published, or once it receives a normal DISCONNECT.',
    async check(lab) {
      const clientId = lab.name();
      const { watcher, mortal } = await withWill(lab, {}, lab.kept(clientId));
      mortal.vanish();
      await watcher.message();
      const second = await lab.connect(lab.kept(clientId));
      second.vanish();
      const third = await lab.connect(lab.kept(clientId, { will: { topic: lab.name() } }));
      await third.leave();
      await watcher.nothing();
    },
  },
  {
    v4: '3.1.2-11',
    says: 'Without the will flag, will QoS and will retain are 0, and the payload contains no will.',
    async check(lab) {
      for (const flags of [0xca, 0xd2, 0xe2])
        await lab.refuses(rawConnect(lab, flags, counted(lab.name()), ...credentialFields(lab)));
      await lab.refuses(
        rawConnect(lab, 0xc2, counted(lab.name()), ...willFields(lab, 'a'), ...credentialFields(lab)),
        [0x81, 0x82, 0x86, 0x87],
      );
    },
  },
  {
    v4: '3.1.2-12',
    says: 'Without the will flag, the broker publishes no will.',
    async check(lab) {
      const clientId = lab.name();
      const { watcher, mortal } = await withWill(lab, {}, lab.kept(clientId));
      await mortal.leave();
      const peer = await lab.connect(lab.kept(clientId));
      peer.vanish();
      // The next connection begins once the broker has handled the end of this one.
      await lab.connect(lab.kept(clientId));
      await watcher.nothing();
    },
  },
  {
    v4: '3.1.2-13',
    v5: '3.1.2-11',
    says: 'Without the will flag, a will QoS other than 0 ends the connection.',
    async check(lab) {
      for (const flags of [0xca, 0xd2, 0xda])
        await lab.refuses(rawConnect(lab, flags, counted(lab.name()), ...credentialFields(lab)));
    },
  },
  {
    v4: '3.1.2-14',
    v5: '3.1.2-12',
    says: 'Will QoS is 0, 1 or 2; 3 ends the connection.',
    async check(lab) {
      const { topic } = await withWill(lab);
      await lab.refuses(
        rawConnect(lab, 0xde, counted(lab.name()), ...willFields(lab, topic), ...credentialFields(lab)),
      );
      for (const qos of [0, 1, 2]) {
        const { watcher, mortal } = await withWill(lab, { qos });
        mortal.vanish();
        assert.equal((await watcher.message()).qos, qos);
      }
    },
  },
  {
    v4: '3.1.2-15',
    v5: '3.1.2-13',
    says: 'Without the will flag, a will retain flag of 1 ends the connection.',
    check: (lab) => lab.refuses(rawConnect(lab, 0xe2, counted(lab.name()), ...credentialFields(lab))),
  },
  {
    v4: '3.1.2-16',
    v5: '3.1.2-14',
    says: 'Without will retain, the will is published as a non-retained message.',
    async check(lab) {
      const { topic, watcher, mortal } = await withWill(lab);
      mortal.vanish();
      assert.equal((await watcher.message()).retain, false);
      await (await lab.subscriber(topic)).nothing();
    },
  },
  {
    v4: '3.1.2-17',
    v5: '3.1.2-15',
    says: 'With will retain, the will is published as a retained message.',
    async check(lab) {
      const { topic, watcher, mortal } = await withWill(lab, { retain: true, qos: 1 });
      mortal.vanish();
      await watcher.message();
      const late = await (await lab.subscriber(topic)).message();
      assert.deepEqual([late.payload, late.retain], ['gone', true]);
    },
  },
  {
    v4: '3.1.2-18',
    v5: '3.1.2-16',
    says: 'Without the user name flag, the payload contains no user name.',
    async check(lab) {
      await lab.refuses(rawConnect(lab, 2, counted(lab.name()), counted('user')), [...malformed, 0x86, 0x87]);
    },
  },
  {
    v4: '3.1.2-19',
    v5: '3.1.2-17',
    says: 'With the user name flag, the payload contains a user name.',
    check: (lab) => lab.refuses(rawConnect(lab, 0x82, counted(lab.name()))),
  },
  {
    v4: '3.1.2-20',
    v5: '3.1.2-18',
    says: 'Without the password flag, the payload contains no password.',
    check: (lab) =>
      lab.refuses(rawConnect(lab, 0x82, counted(lab.name()), ...credentialFields(lab)), [
        ...malformed,
        0x86,
        0x87,
      ]),
  },
  {
    v4: '3.1.2-21',
    v5: '3.1.2-19',
    says: 'With the password flag, the payload contains a password.',
    check: (lab) => lab.refuses(rawConnect(lab, 0xc2, counted(lab.name()), counted('user'))),
  },
  {
    v4: '3.1.2-22',
    says: 'A password flag without the user name flag ends the connection.',
    check: (lab) => lab.refuses(rawConnect(lab, 0x42, counted(lab.name()), counted(lab.parts.password))),
  },
  {
    v4: '3.1.2-23',
    v5: '3.1.2-20',
    says: 'A client sends at least one packet, such as PINGREQ, in each keep-alive interval.',
    untested: 'client',
  },
  {
    v5: '3.1.2-21 3.2.2-21',
    says: 'A client uses the keep-alive interval that the server returns.',
    untested: 'client',
  },
  {
    v4: '3.1.2-24',
    v5: '3.1.2-22',
    says: 'A client that sends nothing for 1.5 times its keep-alive interval is disconnected, as if the network had failed.',
    async check(lab) {
      const { watcher, mortal } = await withWill(lab, {}, { keepAlive: 1 });
      // Often, because each pause of a busy machine must be shorter than 1.5 seconds.
      for (let i = 0; i < 8; i++) {
        await lab.wait(300);
        await mortal.ping();
      }
      assert.ok(mortal.open, 'PINGREQ keeps the connection open');
      await lab.broken(mortal, [0x8d]);
      assert.equal((await watcher.message()).payload, 'gone');
    },
  },
  {
    v5: '3.1.2-23',
    says: 'With a Session Expiry Interval above 0, the broker keeps the session after the connection ends. With 0 or no interval, it discards the session.',
    async check(lab) {
      for (const [seconds, kept] of [
        [60, true],
        [0xffff_ffff, true],
        [0, false],
        [null, false],
      ] as const) {
        const list: Property[] = seconds === null ? [] : [['sessionExpiry', seconds]];
        const clientId = lab.name();
        const peer = await lab.connect({ clientId, properties: list });
        await peer.leave();
        const { connack } = await lab.dial({ clientId, clean: false });
        assert.equal(connack.sessionPresent, kept, `expiry ${seconds}`);
      }
    },
  },
  {
    v5: '3.1.2-24 3.1.2-25',
    says: 'The broker sends no packet larger than the client’s Maximum Packet Size. It treats a larger message as delivered and discards it.',
    async check(lab) {
      const topic = lab.name();
      const clientId = lab.name();
      const options = { clientId, properties: [['maximumPacket', 200]] as Property[] };
      const small = await lab.subscriber(topic, 2, lab.kept(clientId, options));
      const writer = await lab.connect();
      for (const qos of [0, 1, 2]) await writer.publish(topic, 'x'.repeat(300), { qos });
      for (const qos of [0, 1, 2]) await writer.publish(topic, `fits ${qos}`, { qos });
      const heard = await small.messages(3);
      assert.deepEqual(
        heard.map(({ payload }) => payload),
        ['fits 0', 'fits 1', 'fits 2'],
      );
      for (const each of heard) await small.acknowledge(each);
      await small.nothing();
      await small.leave();
      const { peer, connack } = await lab.dial(lab.kept(clientId));
      assert.equal(connack.sessionPresent, true);
      await peer.nothing();
    },
  },
  {
    v5: '3.1.2-26 3.3.2-11',
    says: 'The broker sends no topic alias above the client’s Topic Alias Maximum.',
    async check(lab) {
      const topic = lab.name();
      const peer = await lab.subscriber(`${topic}/#`, 0, { properties: [['aliasMaximum', 2]] });
      const names = new Map<number, string>();
      for (let round = 0; round < 3; round++) {
        for (const each of ['a', 'b', 'c', 'd']) {
          await peer.publish(`${topic}/${each}`, each);
          const heard = await peer.message();
          const alias = propertyOf(heard, 'alias') as number | undefined;
          if (alias !== undefined) {
            assert.ok(alias >= 1 && alias <= 2, `alias ${alias}`);
            if (heard.topic !== '') names.set(alias, heard.topic);
          }
          assert.equal(heard.topic || names.get(alias ?? 0), `${topic}/${each}`);
        }
      }
    },
  },
  {
    v5: '3.1.2-27',
    says: 'The broker sends no topic alias to a client whose Topic Alias Maximum is absent or 0.',
    async check(lab) {
      for (const list of [[], [['aliasMaximum', 0]]] as Property[][]) {
        const topic = lab.name();
        const peer = await lab.subscriber(topic, 0, { properties: list });
        for (let i = 0; i < 3; i++) {
          await peer.publish(topic, 'x');
          const heard = await peer.message();
          assert.deepEqual([heard.topic, valuesOf(heard, 'alias')], [topic, []]);
        }
      }
    },
  },
  {
    v5: '3.1.2-28',
    says: 'Without Request Response Information, CONNACK contains no Response Information.',
    async check(lab) {
      for (const list of [[], [['requestResponse', 0]]] as Property[][]) {
        const { connack } = await lab.dial({ properties: list });
        assert.deepEqual(valuesOf(connack, 'responseInformation'), []);
      }
    },
  },
  {
    v5: '3.1.2-29',
    says: 'With Request Problem Information 0, only PUBLISH, CONNACK and DISCONNECT may contain a reason string or user properties.',
    async check(lab) {
      const peer = await lab.connect({ properties: [['requestProblem', 0]] });
      await peer.subscribe([
        ['/'.repeat(300), 0],
        [lab.name(), 0],
      ]);
      await peer.unsubscribe('not subscribed');
      await peer.publish('$SYS/broker/version', 'x', { qos: 1 });
      for (const heard of peer.heard) {
        if (['publish', 'connack', 'disconnect'].includes(heard.name)) continue;
        assert.deepEqual([valuesOf(heard, 'reason'), valuesOf(heard, 'user')], [[], []], heard.name);
      }
    },
  },
  {
    v5: '3.1.2-30',
    says: 'A client that sets an Authentication Method sends only AUTH or DISCONNECT before CONNACK.',
    untested: 'client',
  },
];

/** CONNECT: its payload (3.1.3). */
const payload: Statement[] = [
  {
    v4: '3.1.3-1',
    v5: '3.1.3-1',
    says: 'The fields of the payload have a fixed order: client ID, will, user name, password.',
    async check(lab) {
      const topic = lab.name();
      const watcher = await lab.subscriber(topic);
      const fields = [...willFields(lab, topic), ...credentialFields(lab)];
      const peer = await lab.open();
      peer.send(rawConnect(lab, 0xc6, counted(lab.name()), ...fields));
      assert.equal((await peer.next('connack')).code, 0);
      peer.vanish();
      assert.equal((await watcher.message()).payload, 'gone');
      const [name, secret] = credentialFields(lab);
      const swapped = await lab.open();
      swapped.send(rawConnect(lab, 0xc2, counted(lab.name()), secret!, name!));
      assertCode((await swapped.next('connack')).code, credentialCodes[lab.version]);
    },
  },
  {
    v4: '3.1.3-2',
    v5: '3.1.3-2',
    says: 'The client ID identifies the session.',
    async check(lab) {
      const [topic, one, two] = [lab.name(), lab.name(), lab.name()];
      await lab.away(topic, 1, one);
      const other = await lab.dial(lab.kept(two));
      assert.equal(other.connack.sessionPresent, false);
      await other.peer.publish(topic, 'for one', { qos: 1 });
      await other.peer.nothing();
      const peer = await lab.connect(lab.kept(one));
      assert.equal((await peer.message()).payload, 'for one');
    },
  },
  {
    v4: '3.1.3-3',
    v5: '3.1.3-3',
    says: 'The client ID is the first field of the payload, and is always present.',
    async check(lab) {
      await lab.refuses(rawConnect(lab, 2));
    },
  },
  {
    v4: '3.1.3-4',
    v5: '3.1.3-4',
    says: 'The client ID is UTF-8.',
    async check(lab) {
      await lab.refuses(lab.hello({ clientId: Buffer.from([0x61, 0xff]) }), [0x81, 0x82, 0x85]);
      await lab.connect({ clientId: `${lab.name()}é漢😀` });
    },
  },
  {
    v4: '3.1.3-5',
    v5: '3.1.3-5',
    says: 'The broker accepts client IDs of 1 to 23 letters and digits.',
    async check(lab) {
      for (const clientId of ['q', '0123456789abcdefghijklm', 'nopqrstuvwxyzABCDEFGHIJ', 'KLMNOPQRSTUVWXYZ'])
        await lab.connect({ clientId });
    },
  },
  {
    v4: '3.1.3-6',
    v5: '3.1.3-6 3.1.3-7',
    says: 'The broker assigns a unique ID to a client without an ID; in MQTT 5, CONNACK contains it.',
    async check(lab) {
      const one = await lab.dial({ clientId: '' });
      const two = await lab.dial({ clientId: '' });
      assert.deepEqual([one.connack.code, two.connack.code], [0, 0]);
      await Promise.all([one.peer.ping(), two.peer.ping()]);
      if (lab.version === 4) return;
      const ids = [one, two].map(({ connack }) => propertyOf(connack, 'assignedClientId'));
      assert.ok(ids.every((id) => typeof id === 'string' && id !== ''));
      assert.notEqual(ids[0], ids[1]);
      await one.peer.leave(0, [['sessionExpiry', 0]]);
    },
  },
  {
    v4: '3.1.3-7',
    says: 'A client without an ID sets Clean Session.',
    untested: 'client',
  },
  {
    v4: '3.1.3-8',
    says: 'An empty client ID without Clean Session is rejected with return code 2, and the connection ends.',
    async check(lab) {
      await refusedWith(lab, [2], { clientId: '', clean: false });
    },
  },
  {
    v4: '3.1.3-9',
    v5: '3.1.3-8',
    says: 'A client ID that is not allowed is rejected with return code 2 (MQTT 5: 0x85), and the connection ends.',
    async check(lab) {
      await refusedWith(lab, lab.version === 4 ? [2] : [0x85], { clientId: 'x'.repeat(5000) });
    },
  },
  {
    v5: '3.1.3-9',
    says: 'If the client reconnects to its session before the will delay has passed, the will is not published.',
    async check(lab) {
      const clientId = lab.name();
      const { watcher, mortal } = await withWill(lab, { properties: [['willDelay', 5]] }, lab.kept(clientId));
      mortal.vanish();
      await lab.wait(50);
      const { connack } = await lab.dial(lab.kept(clientId));
      assert.equal(connack.sessionPresent, true);
      await lab.wait(5500);
      await watcher.nothing();
    },
  },
  {
    v5: '3.1.3-10',
    says: 'The user properties of a will keep their order.',
    async check(lab) {
      const list: Property[] = [
        ['user', ['b', '1']],
        ['user', ['a', '2']],
        ['user', ['b', '3']],
        ['user', ['a', '2']],
      ];
      const { watcher, mortal } = await withWill(lab, { properties: list });
      mortal.vanish();
      assert.deepEqual(
        valuesOf(await watcher.message(), 'user'),
        list.map(([, value]) => value),
      );
    },
  },
  {
    v4: '3.1.3-10',
    v5: '3.1.3-11',
    says: 'The will topic is valid UTF-8 without wildcards; any other will topic ends the connection.',
    async check(lab) {
      await lab.refuses(lab.hello({ will: { topic: Buffer.from([0x61, 0xff]) } }), [0x81, 0x82, 0x90]);
      await lab.refuses(lab.hello({ will: { topic: `${lab.name()}/#` } }), [0x81, 0x82, 0x90]);
    },
  },
  {
    v4: '3.1.3-11',
    v5: '3.1.3-12',
    says: 'The user name is UTF-8.',
    check: (lab) => lab.refuses(lab.hello({ username: Buffer.from([0x61, 0xff]) }), [0x81, 0x82, 0x86, 0x87]),
  },
];

/** CONNECT: the broker's actions (3.1.4), and CONNACK (3.2). */
const answer: Statement[] = [
  {
    v4: '3.1.4-1',
    v5: '3.1.4-1',
    says: 'A malformed CONNECT ends the connection; in MQTT 3.1.1, the broker sends no CONNACK.',
    async check(lab) {
      const good = lab.hello();
      // Bytes after the password, inside the packet.
      const longer = Buffer.concat([good, Buffer.from('x')]);
      longer[1] = longer[1]! + 1;
      assert.ok(longer[1]! < 128);
      await lab.refuses(longer);
      const shorter = Buffer.from(good.subarray(0, -1));
      shorter[1] = shorter[1]! - 1;
      await lab.refuses(shorter);
      await lab.refuses(packet(0x10));
      await lab.refuses(packet(0x10, 'MQTT', lab.version));
    },
  },
  {
    v5: '3.1.4-2',
    says: 'A client that fails authentication is disconnected.',
    async check(lab) {
      await refusedWith(lab, [0x86, 0x87], stranger);
    },
  },
  {
    v4: '3.1.4-2',
    v5: '3.1.4-3',
    says: 'A second connection with the same client ID ends the first; in MQTT 5, the code is 0x8E (session taken over).',
    async check(lab) {
      const clientId = lab.name();
      const first = await lab.connect({ clientId });
      const second = await lab.connect({ clientId });
      await lab.broken(first, [0x8e]);
      await second.ping();
    },
  },
  {
    v4: '3.1.4-3',
    v5: '3.1.4-4',
    says: 'When a connection takes over a session, the broker applies its Clean Session or Clean Start flag.',
    async check(lab) {
      const [topic, clientId] = [lab.name(), lab.name()];
      await lab.subscriber(topic, 1, lab.kept(clientId));
      const kept = await lab.dial(lab.kept(clientId));
      assert.equal(kept.connack.sessionPresent, true);
      const clean = await lab.dial({ clientId });
      assert.equal(clean.connack.sessionPresent, false);
      await clean.peer.publish(topic, 'x', { qos: 1 });
      await clean.peer.nothing();
    },
  },
  {
    v4: '3.1.4-4',
    v5: '3.1.4-5',
    says: 'A valid CONNECT is answered with CONNACK and code 0.',
    async check(lab) {
      const { connack } = await lab.dial();
      assert.equal(connack.code, 0);
    },
  },
  {
    v4: '3.1.4-5',
    v5: '3.1.4-6',
    says: 'Packets that a client sends after a rejected CONNECT are not processed.',
    async check(lab) {
      const topic = lab.name();
      const watcher = await lab.subscriber(topic);
      const peer = await lab.open();
      peer.send(lab.hello(stranger), publish(lab.version, topic, 'refused', { retain: true }), pingreq);
      await peer.ended();
      assert.deepEqual(
        peer.heard.map(({ name }) => name),
        ['connack'],
      );
      await watcher.nothing();
      await (await lab.subscriber(topic)).nothing();
    },
  },
  {
    v4: '3.2.0-1',
    v5: '3.2.0-1',
    says: 'The first packet that the broker sends is CONNACK.',
    async check(lab) {
      const [topic, clientId] = [lab.name(), lab.name()];
      await lab.away(topic, 1, clientId);
      const writer = await lab.connect();
      await writer.publish(topic, 'queued', { qos: 1 });
      const peer = await lab.open();
      peer.send(lab.hello(lab.kept(clientId)), pingreq, subscribe(lab.version, 1, [[lab.name(), 0]]));
      await Promise.all([peer.next('pingresp'), peer.next('suback'), peer.message()]);
      assert.equal(peer.heard[0]?.name, 'connack');
    },
  },
  {
    v5: '3.2.0-2',
    says: 'The broker sends only one CONNACK per connection.',
    async check(lab) {
      const peer = await lab.connect();
      await lab.breaks(lab.hello(), malformed, peer);
      assert.equal(peer.heard.filter(({ name }) => name === 'connack').length, 1);
    },
  },
  {
    v5: '3.2.2-1',
    says: 'Bits 7 to 1 of the acknowledge flags are 0.',
    async check(lab) {
      const clientId = lab.name();
      for (const present of [0, 1]) {
        const { peer, connack } = await lab.dial(lab.kept(clientId));
        assert.equal(connack.body[0], present);
        await peer.leave();
      }
    },
  },
  {
    v4: '3.2.2-1',
    v5: '3.2.2-2',
    says: 'With Clean Session or Clean Start, Session Present is 0.',
    async check(lab) {
      const clientId = lab.name();
      await lab.away(lab.name(), 1, clientId);
      const { connack } = await lab.dial({ clientId });
      assert.deepEqual([connack.code, connack.sessionPresent], [0, false]);
    },
  },
  {
    v4: '3.2.2-2 3.2.2-3',
    v5: '3.2.2-3',
    says: 'Without Clean Session or Clean Start, Session Present is 1 if the broker has a session for the client ID, and 0 otherwise.',
    async check(lab) {
      const clientId = lab.name();
      for (const present of [false, true, true]) {
        const { peer, connack } = await lab.dial(lab.kept(clientId));
        assert.deepEqual([connack.code, connack.sessionPresent], [0, present]);
        await peer.leave();
      }
    },
  },
  {
    v5: '3.2.2-4 3.2.2-5',
    says: 'A client without a session disconnects if Session Present is 1; a client with a session discards it if Session Present is 0.',
    untested: 'client',
  },
  {
    v4: '3.2.2-4',
    v5: '3.2.2-6',
    says: 'In a CONNACK that rejects the connection, Session Present is 0.',
    async check(lab) {
      const clientId = lab.name();
      await lab.away(lab.name(), 1, clientId);
      await refusedWith(lab, [...credentialCodes[lab.version]], { ...lab.kept(clientId), ...stranger });
    },
  },
  {
    v4: '3.2.2-5',
    v5: '3.2.2-7',
    says: 'After a CONNACK that rejects the connection, the broker closes the connection.',
    async check(lab) {
      await refusedWith(lab, [...credentialCodes[lab.version]], stranger);
    },
  },
  {
    v4: '3.2.2-6',
    says: 'If no return code applies, the broker closes the connection without CONNACK.',
    async check(lab) {
      await lab.refuses(rawConnect(lab, 0x1e, counted(lab.name()), ...willFields(lab, 'a')));
    },
  },
  {
    v5: '3.2.2-8',
    says: 'CONNACK uses only the reason codes in the specification’s table for CONNACK.',
    async check(lab) {
      for (const options of [
        {},
        stranger,
        { clientId: 'x'.repeat(5000) },
        { will: { topic: '$SYS/broker/version' } },
        { properties: [['authMethod', 'unknown']] as Property[] },
      ]) {
        const { connack } = await lab.dial(options);
        assertCode(connack.code, connackCodes);
      }
    },
  },
  {
    v5: '3.2.2-9',
    says: 'A server that does not support QoS 1 or 2 announces its Maximum QoS.',
    async check(lab) {
      const { peer, connack } = await lab.dial();
      assert.deepEqual(valuesOf(connack, 'maximumQos'), []);
      const done = await peer.publish(lab.name(), 'x', { qos: 2 });
      assert.ok((done?.code ?? 0xff) < 0x80);
    },
  },
  {
    v5: '3.2.2-10',
    says: 'SUBSCRIBE may request QoS 0, 1 or 2, regardless of the Maximum QoS.',
    async check(lab) {
      const peer = await lab.connect();
      for (const qos of [0, 1, 2]) assert.ok((await peer.subscribe([[lab.name(), qos]])).codes[0]! <= qos);
    },
  },
  {
    v5: '3.2.2-11 3.2.2-14',
    says: 'A client sends no PUBLISH above the Maximum QoS, and no PUBLISH with RETAIN if Retain Available is 0.',
    untested: 'client',
  },
  {
    v5: '3.2.2-12',
    says: 'A CONNECT with a will QoS above the Maximum QoS is rejected.',
    untested: 'supported',
  },
  {
    v5: '3.2.2-13',
    says: 'A server that does not support retained messages rejects a CONNECT with will retain.',
    untested: 'supported',
  },
  {
    v5: '3.2.2-15',
    says: 'A client that exceeds the server’s Maximum Packet Size is disconnected with 0x95.',
    async check(lab) {
      const { peer, connack } = await lab.dial();
      const most = propertyOf(connack, 'maximumPacket');
      assert.ok(typeof most === 'number' && most > 0 && most < 8 * 1024 ** 2);
      const topic = lab.name();
      const room = most - (1 + 4 + 2 + topic.length + 1);
      await peer.publish(topic, 'x'.repeat(Math.min(room, 100_000)));
      await lab.breaks(publish(5, topic, 'x'.repeat(most)), [0x95], peer);
    },
  },
  {
    v5: '3.2.2-16',
    says: 'The assigned client ID belongs to no other session.',
    async check(lab) {
      const seen = new Set<unknown>();
      for (let i = 0; i < 5; i++) {
        const { connack } = await lab.dial({ clientId: '', properties: [['sessionExpiry', 5]] });
        seen.add(propertyOf(connack, 'assignedClientId'));
      }
      assert.equal(seen.size, 5);
      assert.ok(!seen.has(undefined));
    },
  },
  {
    v5: '3.2.2-17 3.2.2-18',
    says: 'A client sends no topic alias above the server’s Topic Alias Maximum, and none at all if that maximum is 0 or absent.',
    untested: 'client',
  },
  {
    v5: '3.2.2-19 3.2.2-20',
    says: 'CONNACK contains no reason string or user property that would make it larger than the client’s Maximum Packet Size.',
    async check(lab) {
      for (const most of [8, 16, 32, 64]) {
        const { connack } = await lab.dial({ ...stranger, properties: [['maximumPacket', most]] });
        assert.equal(hex(connack.code & 0x80), '0x80');
        const said = valuesOf(connack, 'reason').length + valuesOf(connack, 'user').length;
        assert.ok(said === 0 || connack.size <= most);
      }
    },
  },
  {
    v5: '3.2.2-22',
    says: 'Without a Server Keep Alive in CONNACK, the client’s keep-alive interval applies; otherwise, the Server Keep Alive applies.',
    async check(lab) {
      const { peer, connack } = await lab.dial({ keepAlive: 1 });
      const seconds = (propertyOf(connack, 'serverKeepAlive') as number | undefined) ?? 1;
      assert.equal(seconds, 1);
      await lab.broken(peer, [0x8d]);
    },
  },
];

/** Sections 3.1 and 3.2. */
export const connecting: Statement[] = [...request, ...payload, ...answer];
