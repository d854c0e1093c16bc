import { execFile } from 'node:child_process';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { generate, type Packet } from 'mqtt-packet';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { hello, publish, type RawMqtt, rawMqtt } from '../support/raw-mqtt.js';
import { describeReal, python } from '../support/real.js';

const long = process.env.AIOT_LONG === '1';
/** Number of connections to each listener. A failure names the seed of its connection. */
const rounds = { mqtt: long ? 20_000 : 300, mqtts: long ? 3000 : 60, wss: long ? 3000 : 60 };
const together = 20;

let own: TestPlatform;
const faults: string[] = [];
beforeAll(async () => {
  own = await testPlatform({
    ...{ plain: { port: 0 }, wsPort: 0 },
    // Client input may be rejected and logged, but must never cause an internal error.
    log: (line) => (JSON.parse(line).level >= 50 ? faults.push(line) : undefined),
  });
});
afterAll(() => own.stop());

/** Marsaglia's xorshift32; returns integers below `most`. */
function dice(seed: number) {
  let state = seed * 2_654_435_761 + 1;
  return (most: number) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % most;
  };
}
type Dice = ReturnType<typeof dice>;

/** A random conversation with all packet types that a client sends. */
function conversation(roll: Dice): Buffer[] {
  const topic = ['a', 'a/b', 'fuzz/$x', 'aiot/v1/nobody/telemetry/s'][roll(4)]!;
  const id = 1 + roll(3);
  const will = { topic, payload: Buffer.from('will'), qos: roll(3), retain: roll(2) === 1 };
  const packets = [
    publish({ topic, payload: 'x'.repeat(roll(300)), retain: roll(2) === 1 }),
    publish({ topic, qos: 1, messageId: id }),
    publish({ topic, qos: 2, messageId: id, dup: roll(2) === 1 }),
    ...(['puback', 'pubrec', 'pubrel', 'pubcomp'] as const).map((cmd) => ({ cmd, messageId: id })),
    {
      cmd: 'subscribe',
      messageId: id,
      subscriptions: [{ topic: ['#', 'a/+', topic][roll(3)], qos: roll(3) }],
    },
    { cmd: 'unsubscribe', messageId: id, unsubscriptions: [topic] },
    { cmd: 'pingreq' },
  ] as Parameters<typeof generate>[0][];
  const said = Array.from({ length: 1 + roll(12) }, () => packets[roll(packets.length)]!);
  const session = { clean: roll(2) === 1, clientId: `fuzz-${roll(20)}`, keepalive: roll(100) };
  const isFive = roll(2) === 1;
  const older = roll(5) === 0 ? { protocolId: 'MQIsdp', protocolVersion: 3 } : {};
  const first = hello({
    ...{ ...session, username: 'u', password: Buffer.from(own.token) },
    ...(roll(3) === 0 ? { will } : {}),
    ...(isFive ? { protocolVersion: 5, properties: connectProperties(roll) } : older),
  });
  const last = { cmd: 'disconnect', reasonCode: [0, 4][roll(2)]! } as const;
  return [first, ...said, ...(roll(2) === 1 ? [last] : [])].map((packet) =>
    generate(isFive ? withProperties(packet, roll) : packet, isFive ? { protocolVersion: 5 } : {}),
  );
}

function connectProperties(roll: Dice) {
  return {
    sessionExpiryInterval: [0, 1, 100, 0xffff_ffff][roll(4)],
    receiveMaximum: 1 + roll(5),
    topicAliasMaximum: roll(3),
    maximumPacketSize: [30, 200, 100_000][roll(3)],
  };
}

/** Adds properties to a packet, which only MQTT 5 has. */
function withProperties(packet: Packet, roll: Dice): Packet {
  if (packet.cmd === 'publish') {
    const properties = {
      ...(roll(2) === 1 && { topicAlias: 1 + roll(3) }),
      ...(roll(2) === 1 && { messageExpiryInterval: roll(3) }),
      userProperties: { a: 'b' },
    };
    return { ...packet, properties };
  }
  if (packet.cmd === 'subscribe') {
    const subscriptions = packet.subscriptions.map((each) => {
      const topic = roll(3) === 0 ? `$share/g/${each.topic}` : each.topic;
      return { ...each, topic, nl: roll(4) === 0, rap: roll(2) === 1, rh: roll(3) };
    });
    return { ...packet, subscriptions, properties: { subscriptionIdentifier: 1 + roll(300) } };
  }
  return /^pub(ack|rec|rel|comp)$/.test(packet.cmd) ? ({ reasonCode: 0, ...packet } as Packet) : packet;
}

/** Damages a conversation like a bad connection, a faulty program or an attacker. */
function mutated(packets: Buffer[], roll: Dice): Buffer {
  const said: Buffer[] = packets.map((bytes) => Buffer.from(bytes));
  for (let count = roll(4); count > 0; count--) {
    const at = roll(3) === 0 ? 0 : roll(said.length);
    const bytes = said[at]!;
    const place = roll(bytes.length);
    const kinds: (() => void)[] = [
      () => (bytes[place]! ^= 1 << roll(8)),
      () => (bytes[place] = [0, 0xff, 0x7f, 0x80][roll(4)]!),
      // A length that differs from the packet's.
      () => (bytes[1] = roll(256)),
      () => (said[at] = bytes.subarray(0, place)),
      () => (said[at] = Buffer.concat([bytes.subarray(0, place), noise(roll), bytes.subarray(place)])),
      () => said.splice(at, 1),
      () => said.splice(roll(said.length), 0, bytes),
      () => said.splice(at, 0, Buffer.from([roll(256), 0xff, 0xff, 0xff, roll(256)])),
    ];
    kinds[roll(kinds.length)]!();
    if (said.length === 0) said.push(noise(roll));
  }
  return Buffer.concat(said);
}

function noise(roll: Dice): Buffer {
  return Buffer.from(Array.from({ length: 1 + roll(200) }, () => roll(256)));
}

async function attack(url: string, seed: number): Promise<void> {
  const roll = dice(seed);
  const raw: RawMqtt = await rawMqtt(url, { ca: own.ca });
  // The responses are ignored, and may be incomplete.
  raw.socket.removeAllListeners('data');
  raw.socket.resume();
  const bytes = roll(6) === 0 ? noise(roll) : mutated(conversation(roll), roll);
  // Sometimes splits the bytes, because TCP does not preserve packet boundaries.
  for (let at = 0; at < bytes.length; ) {
    const length = roll(3) === 0 ? 1 + roll(20) : bytes.length;
    raw.say(bytes.subarray(at, at + length));
    at += length;
    if (roll(4) === 0) await new Promise(setImmediate);
  }
  await Promise.race([raw.closed, new Promise((resolve) => setTimeout(resolve, 5 + roll(20)))]);
  raw.socket.destroy();
  await raw.closed;
}

function heapUsed(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

describe('malformed packets', () => {
  it.each(['mqtt', 'mqtts', 'wss'] as const)(
    'over %s break nothing, cause no internal errors and leak no memory',
    async (door) => {
      const url = own.platform.urls[door] ?? '';
      const some = async (from: number, to: number) => {
        for (let at = from; at < to; at += together) {
          const seeds = Array.from({ length: Math.min(together, to - at) }, (_, i) => at + i);
          await Promise.all(seeds.map((seed) => attack(url, seed)));
          const context = `seeds ${at} to ${at + together}`;
          expect(faults, context).toEqual([]);
        }
      };
      await some(0, 40);
      const before = heapUsed();
      await some(40, 40 + rounds[door]);
      // Twenty sessions may have queued messages, but a leak would grow with each connection. The broker closes the last ones a bit later.
      await expect.poll(() => heapUsed() - before, { interval: 200 }).toBeLessThan(24 * 1024 ** 2);
      const witness = await connect(url, { ca: own.ca, username: 'u', password: own.token });
      const heard = new Promise((resolve) => witness.once('message', (topic) => resolve(topic)));
      await witness.subscribeAsync('still/here', { qos: 2 });
      await witness.publishAsync('still/here', 'x', { qos: 2 });
      expect(await heard).toBe('still/here');
      await witness.endAsync(true);
    },
    long ? 3_600_000 : 60_000,
  );

  it('leave the data on disk readable', async () => {
    await own.restart();
    expect(faults).toEqual([]);
  });
});

async function run(program: string, args: string[]) {
  return new Promise<{ code: number; out: string }>((resolve) => {
    const child = execFile(program, args, { timeout: 60_000 }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code ?? 1) : 0, out: stdout + stderr });
    });
    child.stdin?.end();
  });
}

describeReal('mosquitto', 'Mosquitto’s clients after fuzzing', () => {
  it('are served', async () => {
    const { port } = new URL(own.platform.urls.mqtts);
    const as = ['-h', '127.0.0.1', '-p', port, '--cafile', own.platform.ca, '-u', 'u', '-P', own.token];
    const told = await run('mosquitto_pub', [...as, '-q', '2', '-r', '-t', 'after/1', '-m', 'fine']);
    expect(told).toEqual({ code: 0, out: '' });
    const heard = await run('mosquitto_sub', [
      ...as,
      '-q',
      '2',
      '-t',
      'after/#',
      '-C',
      '1',
      '-W',
      '30',
      '-v',
    ]);
    expect(heard).toEqual({ code: 0, out: 'after/1 fine\n' });
  });
});

const paho = `
import sys, threading
import paho.mqtt.client as mqtt
port, ca, token = int(sys.argv[1]), sys.argv[2], sys.argv[3]
done = threading.Event()
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id='paho', clean_session=False)
client.username_pw_set('u', token)
client.tls_set(ca)
client.on_connect = lambda c, *_: c.subscribe('paho/#', 2)
client.on_subscribe = lambda c, *_: c.publish('paho/1', 'fine', 2)
def on_message(c, _, message):
    print(message.topic, message.payload.decode(), message.qos)
    c.disconnect()
client.on_message = on_message
client.connect('127.0.0.1', port, 10)
client.loop_forever(timeout=5)
`;

describeReal('platform', 'Eclipse Paho after fuzzing', () => {
  it('is served', async () => {
    const { port } = new URL(own.platform.urls.mqtts);
    const heard = await run(python('platform'), ['-c', paho, port, own.platform.ca, own.token]);
    expect(heard).toEqual({ code: 0, out: 'paho/1 fine 2\n' });
  });
});
