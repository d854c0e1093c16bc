import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type BrokerLimits, createOutbox, type Outbox } from '../../../src/lib/stream/mqtt/outbox.js';
import { Frames } from '../../../src/lib/stream/mqtt/packets.js';
import { type FakeWire, fakeWire } from './fake-wire.js';

let outbox: Outbox;
beforeEach(() => {
  vi.useFakeTimers();
  outbox = createOutbox('mqtt://h');
});
afterEach(() => {
  vi.useRealTimers();
});

/** A connection that the broker has accepted. */
function connected(limits: BrokerLimits = {}, sessionPresent = false): FakeWire {
  const wire = fakeWire(outbox);
  outbox.opened(wire, sessionPresent);
  outbox.ready(limits);
  return wire;
}
function lose(wire: FakeWire): void {
  wire.open = false;
  outbox.closed(wire);
}
const messages = (qos: 0 | 1 | 2, ...payloads: string[]) =>
  payloads.map((payload) => ({ topic: 't', payload: Buffer.from(payload), qos }));
/** The result of a write, once there is one. */
function ending(written: Promise<void>): { now?: string } {
  const end: { now?: string } = {};
  written.then(
    () => {
      end.now = 'arrived';
    },
    (error: { code: string }) => {
      end.now = error.code;
    },
  );
  return end;
}
const settled = () => vi.advanceTimersByTimeAsync(0);

describe('the outbox of an MQTT sink', () => {
  it.each([
    [1, ['puback']],
    [2, ['pubrec', 'pubcomp']],
  ] as const)('resolves a write with its last acknowledgment at QoS %i', async (qos, answers) => {
    const wire = connected();
    const end = ending(outbox.write(messages(qos, 'a', 'b')));
    expect(wire.take()).toEqual(['p1 a', 'p2 b']);
    for (const id of [1, 2]) {
      await settled();
      expect(end.now).toBeUndefined();
      for (const answer of answers) wire.answer(answer, id);
    }
    await settled();
    expect(end.now).toBe('arrived');
    await outbox.idle();
  });

  it('resends QoS 0 messages that the system did not accept', async () => {
    const first = connected();
    const end = ending(outbox.write(messages(0, 'a', 'b')));
    expect(first.take()).toEqual(['p0 a', 'p0 b']);
    lose(first);
    const second = connected();
    expect(second.take()).toEqual(['p0 a', 'p0 b']);
    first.handOver();
    await settled();
    expect(end.now).toBeUndefined();
    second.handOver();
    await settled();
    expect(end.now).toBe('arrived');
  });

  it('continues when a congested connection is free again', () => {
    const wire = connected();
    wire.congested = true;
    void outbox.write(messages(1, 'a'));
    expect(wire.take()).toEqual([]);
    wire.congested = false;
    wire.onDrain?.();
    expect(wire.take()).toEqual(['p1 a']);
  });

  it('fails only the write that exceeds a packet limit lowered on reconnect', async () => {
    const large = 'x'.repeat(100);
    const first = connected({ maximumPacketSize: 1000 });
    const refused = ending(outbox.write(messages(1, 'a', large)));
    const others = ending(outbox.write(messages(1, 'b', 'c')));
    first.take();
    lose(first);
    const second = connected({ maximumPacketSize: 50 });
    await settled();
    expect(refused.now).toBe('AIOT_STREAM_MESSAGE_REFUSED');
    // The first message of the rejected write was sent before the limit was exceeded.
    expect(second.take()).toEqual(['p1 a', 'p3 b', 'p4 c']);
    second.answer('puback', 3);
    second.answer('puback', 4);
    await settled();
    expect(others.now).toBe('arrived');
  });

  it.each([true, false])(
    'respects a Receive Maximum lowered on reconnect (session present: %s)',
    async (present) => {
      const names = Array.from({ length: 50 }, (_, index) => `m${index}`);
      const first = connected({ receiveMaximum: 60 });
      const end = ending(outbox.write(messages(1, ...names)));
      expect(first.take()).toHaveLength(50);
      void outbox.write(messages(1, 'behind')).catch(() => {});
      lose(first);
      const second = connected({ receiveMaximum: 10 }, present);
      const seen: string[] = [];
      for (let id = 1; id <= 50; id++) {
        seen.push(...second.take());
        expect(seen.length - id).toBeLessThan(10);
        second.answer('puback', id);
      }
      await settled();
      expect(end.now).toBe('arrived');
      const mark = present ? 'P' : 'p';
      expect(seen.slice(0, 50)).toEqual(names.map((name, index) => `${mark}${index + 1} ${name}`));
      expect([...seen, ...second.take()].slice(50)).toEqual([`${mark}51 behind`]);
    },
  );

  it('resends PUBREL for messages that the broker has, regardless of the Receive Maximum', async () => {
    const first = connected();
    const end = ending(outbox.write(messages(2, 'a', 'b', 'c')));
    first.answer('pubrec', 1);
    first.answer('pubrec', 2);
    lose(first);
    const second = connected({ receiveMaximum: 1 }, true);
    expect(second.take()).toEqual(['r1', 'r2']);
    // The broker no longer knows the id (0x92), because it received our PUBREL but its PUBCOMP was lost.
    second.answer('pubcomp', 1, 0x92);
    second.answer('pubcomp', 2);
    expect(second.take()).toEqual(['P3 c']);
    second.answer('pubrec', 3);
    second.answer('pubcomp', 3);
    await settled();
    expect(end.now).toBe('arrived');
  });

  it('sends a message as new if it was not resent before the session was lost', () => {
    const first = connected();
    void outbox.write(messages(2, 'a', 'b'));
    lose(first);
    lose(connected({ receiveMaximum: 1 }));
    expect(connected({}, true).take()).toEqual(['P1 a', 'p2 b']);
  });

  it('frees the id of an abandoned QoS 2 message before reusing it', async () => {
    const first = connected();
    const end = ending(outbox.write(messages(2, 'lost')));
    const stalled = vi.advanceTimersByTimeAsync(31_000);
    await stalled;
    expect(end.now).toBe('AIOT_BROKER_UNREACHABLE');
    lose(first);
    const second = connected({}, true);
    // The message is not resent, because its writer may have written it again, and its id is not reused yet.
    expect(second.take()).toEqual(['r1']);
    const round = async (count: number) => {
      for (let left = count; left > 0; left -= 1000) {
        const written = outbox.write(messages(1, ...Array.from({ length: Math.min(left, 1000) }, () => 'm')));
        const ids = second.take().map((sent) => Number(/^p(\d+)/.exec(sent)?.[1]));
        expect(ids).not.toContain(1);
        for (const id of ids) second.answer('puback', id);
        await written;
      }
    };
    await round(65_534);
    void outbox.write(messages(2, 'next'));
    expect(second.take()).toEqual(['p2 next']);
    second.answer('pubcomp', 1);
    await round(65_533);
    void outbox.write(messages(2, 'free'));
    expect(second.take()).toEqual(['p1 free']);
  });

  it('forgets an abandoned QoS 2 message with its session, and an abandoned QoS 1 message on reconnect', async () => {
    const first = connected();
    const ends = [ending(outbox.write(messages(2, 'a'))), ending(outbox.write(messages(1, 'b')))];
    await vi.advanceTimersByTimeAsync(31_000);
    expect(ends.map(({ now }) => now)).toEqual(['AIOT_BROKER_UNREACHABLE', 'AIOT_BROKER_UNREACHABLE']);
    lose(first);
    const second = connected({}, true);
    expect(second.take()).toEqual(['r1']);
    lose(second);
    expect(connected().take()).toEqual([]);
  });

  it('does not time out while acknowledgments arrive', async () => {
    const wire = connected();
    const end = ending(outbox.write(messages(1, 'a', 'b', 'c')));
    for (const id of [1, 2]) {
      await vi.advanceTimersByTimeAsync(20_000);
      wire.answer('puback', id);
    }
    await vi.advanceTimersByTimeAsync(29_000);
    expect(end.now).toBeUndefined();
    await vi.advanceTimersByTimeAsync(2000);
    expect(end.now).toBe('AIOT_BROKER_UNREACHABLE');
  });

  it('rejects the oldest message after three disconnects, and continues with the others', async () => {
    const refused = ending(outbox.write(messages(1, 'bad')));
    const other = ending(outbox.write(messages(1, 'good')));
    for (let times = 0; times < 3; times++) {
      outbox.trying();
      lose(connected());
      outbox.over();
    }
    await settled();
    expect(refused.now).toBe('AIOT_BROKER_REFUSED');
    const wire = connected();
    expect(wire.take()).toEqual(['p2 good']);
    wire.answer('puback', 2);
    await settled();
    expect(other.now).toBe('arrived');
  });

  it('distinguishes an unreachable broker from one that disconnects', async () => {
    const end = ending(outbox.write(messages(1, 'a')));
    for (let times = 0; times < 6; times++) {
      outbox.trying();
      lose(connected());
      outbox.over();
      // The next attempt finds no broker.
      outbox.trying();
      outbox.over();
    }
    await settled();
    expect(end.now).toBeUndefined();
    outbox.end();
    await settled();
    expect(end.now).toBe('AIOT_BROKER_UNREACHABLE');
  });

  it('fails only the write that the broker rejects, with its reason', async () => {
    const wire = connected();
    const written = outbox.write(messages(1, 'a'));
    const other = ending(outbox.write(messages(1, 'b')));
    wire.answer('puback', 1, 135);
    await expect(written).rejects.toMatchObject({
      code: 'AIOT_BROKER_REFUSED',
      message: 'mqtt://h rejects messages published to t: not authorized (0x87)',
    });
    wire.answer('puback', 2);
    await settled();
    expect(other.now).toBe('arrived');
  });

  it('announces aliases again on each connection, and none for a message that is too large', async () => {
    const sent: string[] = [];
    const wired = (limits: BrokerLimits) => {
      const wire = fakeWire(outbox);
      wire.send = (bytes) => {
        const frames = new Frames();
        frames.push(Buffer.from(bytes));
        while (frames.next()) {
          const { buffer, from, to } = frames;
          const topicEnd = from + 2 + buffer.readUInt16BE(from);
          // The packet id, the length of the properties, and the property with the alias.
          const alias = buffer[topicEnd + 2] === 3 ? buffer.readUInt16BE(topicEnd + 4) : 0;
          sent.push(`${buffer.toString('utf8', from + 2, topicEnd)} ${alias}`);
          expect(to).toBeGreaterThan(topicEnd);
        }
      };
      outbox.opened(wire, false);
      outbox.ready(limits);
      return wire;
    };
    const write = (topic: string, payload = 'x') =>
      outbox.write([{ topic, payload: Buffer.from(payload), qos: 1 }]).catch(() => {});
    const first = wired({ topicAliasMaximum: 2, maximumPacketSize: 50 });
    void write('plant/large', 'x'.repeat(100));
    void write('plant/a');
    void write('plant/b');
    void write('plant/c');
    void write('plant/a');
    void write('t');
    expect(sent.splice(0)).toEqual(['plant/a 1', 'plant/b 2', 'plant/c 0', ' 1', 't 0']);
    lose(first);
    const second = wired({ topicAliasMaximum: 1 });
    expect(sent.splice(0)).toEqual(['plant/a 1', 'plant/b 0', 'plant/c 0', ' 1', 't 0']);
    lose(second);
    wired({});
    expect(sent).toEqual(['plant/a 0', 'plant/b 0', 'plant/c 0', 'plant/a 0', 't 0']);
    outbox.end();
    await settled();
  });

  it('does not blame a message for connections that the broker ends for its own reasons', async () => {
    const end = ending(outbox.write(messages(1, 'a')));
    const dismiss = (code: number) => {
      outbox.trying();
      const wire = connected();
      outbox.dismissed?.({ code });
      lose(wire);
      outbox.over();
    };
    // First "server shutting down", then "topic name invalid".
    for (let times = 0; times < 6; times++) dismiss(139);
    await settled();
    expect(end.now).toBeUndefined();
    for (let times = 0; times < 3; times++) dismiss(144);
    await settled();
    expect(end.now).toBe('AIOT_BROKER_REFUSED');
  });
});
