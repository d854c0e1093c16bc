import { afterEach, describe, expect, it } from 'vitest';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { publish, type RawMqtt } from '../support/raw-mqtt.js';
import {
  connectFive,
  connectFour,
  heardPayload,
  killed,
  logged,
  messagesSoFar,
  subscribed,
} from '../support/raw-mqtt5.js';

let own: TestPlatform;
const open: RawMqtt[] = [];
afterEach(async () => {
  for (const { socket } of open.splice(0)) socket.destroy();
  await own.stop();
});

const start = async (options: Parameters<typeof testPlatform>[0] = {}) => {
  own = await testPlatform({ plain: { port: 0 }, ...options });
};
const five = async (clientId: string, more: object = {}) => {
  const { raw } = await connectFive(own, { clientId, ...more });
  open.push(raw);
  return raw;
};
const kept = { clean: false, properties: { sessionExpiryInterval: 3600 } };
const leave = async (raw: RawMqtt) => {
  raw.say({ cmd: 'disconnect', reasonCode: 0 } as never);
  await raw.closed;
};
/** Publishes numbered messages at QoS 1, each once the previous one is acknowledged. */
const publishAll = async (raw: RawMqtt, topic: string, count: number, more: object = {}) => {
  for (let n = 0; n < count; n++) {
    raw.say(publish({ topic, payload: `${n}`, qos: 1, messageId: 1, ...more }));
    await raw.hear('puback');
  }
};
const payloadsOf = async (raw: RawMqtt) => (await messagesSoFar(raw)).map(({ payload }) => String(payload));
const numbers = (...lists: string[][]) => lists.flat().sort((a, b) => Number(a) - Number(b));

describe('subscription options', () => {
  it('No Local excludes the subscriber’s own messages, unless another subscription matches too', async () => {
    await start();
    const one = await five('one');
    const other = await five('other');
    for (const raw of [one, other]) await subscribed(raw, { topic: 't/#', qos: 1, nl: true });
    await publishAll(one, 't/1', 1);
    expect(await payloadsOf(one)).toEqual([]);
    expect(await payloadsOf(other)).toEqual(['0']);
    await subscribed(one, { topic: 't/1', qos: 0 });
    await publishAll(one, 't/1', 1);
    expect((await messagesSoFar(one)).map(({ qos }) => qos)).toEqual([0]);
  });

  it('Retain As Published keeps the flag, even across a kill', async () => {
    await start();
    const reader = await five('reader', kept);
    await subscribed(reader, [
      { topic: 'as/+', qos: 1, rap: true },
      { topic: 'not/+', qos: 1 },
    ]);
    const writer = await five('writer');
    const flags = async (raw: RawMqtt) =>
      (await messagesSoFar(raw)).map(({ topic, retain }) => [topic, retain]);
    const all = async () => {
      for (const topic of ['as/1', 'not/1']) {
        for (const retain of [false, true]) await publishAll(writer, topic, 1, { retain });
      }
    };
    await all();
    const expected = [
      ['as/1', false],
      ['as/1', true],
      ['not/1', false],
      ['not/1', false],
    ];
    expect(await flags(reader)).toEqual(expected);
    for (const { messageId } of await messagesSoFar(reader))
      reader.say({ cmd: 'puback', messageId, reasonCode: 0 } as never);
    await leave(reader);
    await all();
    await killed(own);
    expect(await flags(await five('reader', kept))).toEqual(expected);
  });

  it('Retain Handling sends retained messages always, only for a new subscription, or never', async () => {
    await start();
    const raw = await five('one');
    await publishAll(raw, 'r', 1, { retain: true });
    const sentFor = async (rh: number) => {
      const before = (await messagesSoFar(raw)).length;
      await subscribed(raw, { topic: 'r', qos: 0, rh });
      return (await messagesSoFar(raw)).length - before;
    };
    expect([await sentFor(2), await sentFor(1), await sentFor(0), await sentFor(0)]).toEqual([0, 0, 1, 1]);
    raw.say({ cmd: 'unsubscribe', messageId: 1, unsubscriptions: ['r'] } as never);
    await raw.hear('unsuback');
    expect([await sentFor(1), await sentFor(1)]).toEqual([1, 0]);
    // Retained messages have the flag, regardless of Retain As Published.
    expect((await messagesSoFar(raw)).every(({ retain }) => retain)).toBe(true);
  });

  it('survive a kill of the platform', async () => {
    await start();
    await leave(
      await (async () => {
        const raw = await five('reader', kept);
        await subscribed(raw, { topic: 't', qos: 1, nl: true, rap: true }, { subscriptionIdentifier: 300 });
        return raw;
      })(),
    );
    await killed(own);
    const raw = await five('reader', kept);
    await publishAll(raw, 't', 1);
    const writer = await five('writer');
    await publishAll(writer, 't', 1, { retain: true });
    expect(await messagesSoFar(raw)).toMatchObject([
      { retain: true, properties: { subscriptionIdentifier: 300 } },
    ]);
  });
});

describe('subscription identifiers', () => {
  it('of all matching subscriptions arrive with a single message, retained messages included', async () => {
    await start();
    const raw = await five('reader');
    await publishAll(raw, 'a/b', 1, { retain: true });
    await subscribed(raw, { topic: 'a/#', qos: 1 }, { subscriptionIdentifier: 1 });
    await subscribed(raw, { topic: 'a/+', qos: 0 }, { subscriptionIdentifier: 268_435_455 });
    await subscribed(raw, { topic: 'a/b', qos: 0 });
    await publishAll(raw, 'a/b', 1);
    const ids = (await messagesSoFar(raw)).map(({ qos, retain, properties }) => {
      const found = [properties?.subscriptionIdentifier ?? []].flat() as number[];
      return [qos, retain, found.sort((x, y) => x - y)];
    });
    expect(ids).toEqual([
      [1, true, [1]],
      [0, true, [268_435_455]],
      [0, true, []],
      [1, false, [1, 268_435_455]],
    ]);
  });

  it('change with a new subscription to the same filter, and are stored with queued messages', async () => {
    await start();
    const raw = await five('reader', kept);
    for (const subscriptionIdentifier of [1, 2])
      await subscribed(raw, { topic: 't', qos: 1 }, { subscriptionIdentifier });
    await leave(raw);
    await publishAll(await five('writer'), 't', 1);
    await killed(own);
    expect(await messagesSoFar(await five('reader', kept))).toMatchObject([
      { properties: { subscriptionIdentifier: 2 } },
    ]);
  });
});

describe('reason codes', () => {
  it('of SUBACK and UNSUBACK are given for each filter', async () => {
    await start({ brokerLimits: { subscriptions: 3 } });
    const { token = '' } = (await own.client.tokens.create({
      ...{ name: 'lab', role: 'viewer', scopes: ['stream:lab/#'] },
    })) as { token?: string };
    const raw = await five('reader', { password: Buffer.from(token) });
    const filters = [
      ...['lab/1', 'hall/1', 'lab/x'.padEnd(5000, 'x'), '$share/g/lab/2', '$share/g/hall/1', '$share/g/#'],
      ...['lab/3', 'lab/4'],
    ];
    const codes = await subscribed(
      raw,
      filters.map((topic) => ({ topic, qos: 1 })),
    );
    expect(codes).toEqual([1, 0x87, 0x8f, 1, 0x87, 0x87, 1, 0x97]);
    const unsubscriptions = ['lab/1', 'lab/1', '$share/g/lab/2', '$share/other/lab/2'];
    raw.say({ cmd: 'unsubscribe', messageId: 2, unsubscriptions } as never);
    expect((await raw.hear('unsuback'))?.granted).toEqual([0, 0x11, 0, 0x11]);
  });

  it.each(['lab/#/x', 'lab+', '$share//lab/1', '$share/a+/lab/1', '$share/g/', '$share/g'])(
    'end the connection on the invalid filter %s',
    async (topic) => {
      await start();
      for (const packet of [
        { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 1, nl: false, rap: false, rh: 0 }] },
        { cmd: 'unsubscribe', messageId: 1, unsubscriptions: [topic] },
      ]) {
        const raw = await five('reader');
        raw.say(packet as never);
        expect(await raw.hear('disconnect')).toMatchObject({
          reasonCode: 0x82,
          properties: { reasonString: 'an invalid topic filter' },
        });
        await raw.closed;
      }
    },
  );

  it('reject a shared subscription with No Local by ending the connection', async () => {
    await start();
    const raw = await five('reader');
    raw.say({
      ...{ cmd: 'subscribe', messageId: 1 },
      subscriptions: [{ topic: '$share/g/t', qos: 1, nl: true, rap: false, rh: 0 }],
    } as never);
    expect(await raw.hear('disconnect')).toMatchObject({ reasonCode: 0x82 });
  });
});

describe('a shared subscription', () => {
  it.each([0, 1, 2])(
    'distributes messages among members (including MQTT 3.1.1 clients) at QoS %i',
    async (qos) => {
      await start();
      const members = [await five('a'), await five('b'), await connectFour(own, { clientId: 'c' })];
      open.push(members[2]!);
      for (const raw of members) await subscribed(raw, { topic: '$share/g/t/#', qos });
      const lone = await five('lone');
      await subscribed(lone, { topic: '$share/other/t/1', qos });
      const direct = await five('direct');
      await subscribed(direct, [
        { topic: 't/1', qos },
        { topic: '$share/third/t/1', qos },
      ]);
      const writer = await five('writer');
      for (let n = 0; n < 30; n++)
        writer.say(publish({ topic: 't/1', payload: `${n}`, qos, messageId: n + 1 }));
      await expect.poll(async () => (await payloadsOf(lone)).length).toBe(30);
      const heard = await Promise.all(members.map(payloadsOf));
      expect(heard.map(({ length }) => length)).toEqual([10, 10, 10]);
      expect(numbers(...heard)).toEqual(Array.from({ length: 30 }, (_, n) => `${n}`));
      // A member of one group may also be an ordinary subscriber. It then receives each message for both.
      expect((await payloadsOf(direct)).length).toBe(60);
    },
  );

  it('gets no retained messages when a member subscribes', async () => {
    await start();
    const raw = await five('a');
    await publishAll(raw, 't', 1, { retain: true });
    await subscribed(raw, { topic: '$share/g/t', qos: 1 });
    expect(await messagesSoFar(raw)).toEqual([]);
  });

  it('prefers members that can receive a message immediately', async () => {
    await start();
    const slow = await five('slow', { properties: { receiveMaximum: 1 } });
    const swift = await five('swift');
    for (const raw of [slow, swift]) await subscribed(raw, { topic: '$share/g/t', qos: 1 });
    await publishAll(await five('writer'), 't', 10);
    expect((await payloadsOf(slow)).length).toBe(1);
    expect((await payloadsOf(swift)).length).toBe(9);
  });

  it.each([
    ['whose session ends', {}],
    ['whose session stays', kept],
  ])('sends the unacknowledged messages of a member that leaves, %s, to others', async (_, more) => {
    await start();
    const leaving = await five('leaving', more);
    const staying = await five('staying', more);
    for (const raw of [leaving, staying]) await subscribed(raw, { topic: '$share/g/t', qos: 1 });
    const writer = await five('writer');
    await publishAll(writer, 't', 6);
    const before = await messagesSoFar(leaving);
    expect(before.length).toBe(3);
    leaving.say({ cmd: 'puback', messageId: before[0]?.messageId, reasonCode: 0 } as never);
    await messagesSoFar(leaving);
    leaving.socket.destroy();
    await expect.poll(async () => (await payloadsOf(staying)).length).toBe(5);
    const acknowledged = String(before[0]?.payload);
    expect(numbers(await payloadsOf(staying), [acknowledged])).toEqual(['0', '1', '2', '3', '4', '5']);
    // The messages now belong to the other member.
    const again = await five('leaving', more);
    expect(await messagesSoFar(again)).toEqual([]);
  });

  it('keeps a QoS 2 message for the member to which it was sent', async () => {
    await start();
    const leaving = await five('leaving', kept);
    const staying = await five('staying', kept);
    for (const raw of [leaving, staying]) await subscribed(raw, { topic: '$share/g/t', qos: 2 });
    const writer = await five('writer');
    for (const messageId of [1, 2]) {
      writer.say(publish({ topic: 't', payload: `${messageId}`, qos: 2, messageId }));
      await writer.hear('pubrec');
    }
    const [sent] = await payloadsOf(leaving);
    leaving.socket.destroy();
    await leaving.closed;
    expect((await payloadsOf(staying)).length).toBe(1);
    const back = await five('leaving', kept);
    expect(await payloadsOf(back)).toEqual([sent]);
  });

  it('queues messages for offline members, and the first one to return receives them all', async () => {
    await start();
    for (const name of ['a', 'b']) {
      const raw = await five(name, kept);
      await subscribed(raw, { topic: '$share/g/t', qos: 1 });
      await leave(raw);
    }
    await publishAll(await five('writer'), 't', 6);
    const first = await five('b', kept);
    await expect.poll(async () => (await payloadsOf(first)).length).toBe(6);
    expect(await payloadsOf(await five('a', kept))).toEqual([]);
    expect(numbers(await payloadsOf(first))).toEqual(['0', '1', '2', '3', '4', '5']);
  });

  it('loses no acknowledged message when the platform is killed, even if sessions of members end', async () => {
    await start();
    const away = await five('away', kept);
    await subscribed(away, { topic: '$share/g/t', qos: 1 });
    await leave(away);
    const passing = await five('passing');
    await subscribed(passing, { topic: '$share/g/t', qos: 1 });
    await publishAll(await five('writer'), 't', 5);
    const heard = await messagesSoFar(passing);
    expect(heard.length).toBe(5);
    for (const { messageId } of heard.slice(0, 2))
      passing.say({ cmd: 'puback', messageId, reasonCode: 0 } as never);
    await messagesSoFar(passing);
    await logged(own);
    await killed(own);
    const back = await five('away', kept);
    expect(await payloadsOf(back)).toEqual(['2', '3', '4']);
    // The message is recorded under the returned member, and its acknowledgments delete the record.
    for (const { messageId } of await messagesSoFar(back))
      back.say({ cmd: 'puback', messageId, reasonCode: 0 } as never);
    await messagesSoFar(back);
    await logged(own);
    await killed(own);
    expect(await payloadsOf(await five('away', kept))).toEqual([]);
  });

  it('keeps messages that moved between members across a kill', async () => {
    await start();
    const [one, two] = [await five('one', kept), await five('two', kept)];
    for (const raw of [one, two]) await subscribed(raw, { topic: '$share/g/t', qos: 1 });
    await publishAll(await five('writer'), 't', 4);
    one.socket.destroy();
    await expect.poll(async () => (await payloadsOf(two)).length).toBe(4);
    await logged(own);
    await killed(own);
    const back = await five('two', kept);
    expect(numbers(await payloadsOf(back))).toEqual(['0', '1', '2', '3']);
    expect(await payloadsOf(await five('one', kept))).toEqual([]);
  });

  it('passes unsent messages of a member that unsubscribes to the others', async () => {
    await start();
    const leaving = await five('leaving', { properties: { receiveMaximum: 1 } });
    await subscribed(leaving, { topic: '$share/g/t', qos: 1 });
    const writer = await five('writer');
    await publishAll(writer, 't', 3);
    const staying = await five('staying');
    await subscribed(staying, { topic: '$share/g/t', qos: 1 });
    leaving.say({ cmd: 'unsubscribe', messageId: 1, unsubscriptions: ['$share/g/t'] } as never);
    await leaving.hear('unsuback');
    expect(await heardPayload(staying)).toBe('1');
    expect(await heardPayload(staying)).toBe('2');
    expect(await payloadsOf(leaving)).toEqual(['0']);
  });

  it("redistributes a member's messages if its new token no longer covers the filter", async () => {
    await start();
    await own.client.users.add({ name: 'alice', role: 'viewer' });
    const passwordOf = async (scopes?: string[]) => {
      const request = { name: 't', owner: 'alice', ...(scopes && { scopes }) };
      const { token = '' } = (await own.client.tokens.create(request)) as { token?: string };
      return Buffer.from(token);
    };
    const names = ['$share/g/hall/#', '$share/g/lab/#'];
    const members = [await five('pc', { ...kept, password: await passwordOf() }), await five('other', kept)];
    for (const raw of members) {
      await subscribed(
        raw,
        names.map((topic) => ({ topic, qos: 1 })),
      );
      await leave(raw);
    }
    const writer = await five('writer');
    for (const topic of ['hall/1', 'lab/1']) await publishAll(writer, topic, 4);
    const narrowed = await five('pc', { ...kept, password: await passwordOf(['stream:lab/#']) });
    // It also receives the messages that waited for the other member, but only those within its scopes.
    await expect.poll(async () => (await payloadsOf(narrowed)).length).toBe(4);
    expect((await messagesSoFar(narrowed)).map(({ topic }) => topic)).toEqual(Array(4).fill('lab/1'));
    await leave(narrowed);
    await logged(own);
    await killed(own);
    const other = await five('other', kept);
    await expect.poll(async () => (await payloadsOf(other)).length).toBe(8);
    const heard = (await messagesSoFar(other)).map(({ topic, payload }) => `${topic} ${payload}`);
    expect(heard.sort()).toEqual(
      ['hall/1', 'lab/1'].flatMap((topic) => [0, 1, 2, 3].map((n) => `${topic} ${n}`)),
    );
  });
});
