import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { KafkaProducer, murmur2 } from '../../../src/lib/stream/kafka/sink.js';
import { type FakeKafka, fakeKafka } from '../../support/fake-kafka.js';

/** A key for each of two partitions. */
const keys = [0, 1].map((partition) => {
  for (let at = 0; ; at++) {
    const key = Buffer.from(`${at}`);
    if ((murmur2(key) & 0x7fffffff) % 2 === partition) return key;
  }
});

const messages = (partition: number, ...payloads: string[]) =>
  payloads.map((payload) => ({ topic: 't', payload: Buffer.from(payload), key: keys[partition]! }));

function producerTo(kafka: FakeKafka): KafkaProducer {
  return new KafkaProducer(kafka.cluster, kafka.settings, 'kafka://fake');
}

it('a Kafka write resolves when every broker has stored its part, even if one fails meanwhile', async () => {
  const kafka = fakeKafka([1, 2]);
  let [failing, stored] = [3, false];
  kafka.before = async ({ node, payloads }) => {
    if (node === 1 && failing-- > 0) throw new Error('connection lost');
    if (node === 2 && payloads.includes('slow')) {
      await delay(400);
      stored = true;
    }
  };
  const producer = producerTo(kafka);
  const write = producer.write([...messages(0, 'fast'), ...messages(1, 'slow', 'slower')]);
  const later = [1, 2, 3].map(async (index) => {
    await delay(100 * index);
    await producer.write(messages(1, `later ${index}`));
  });
  await write;
  expect(stored).toBe(true);
  expect(kafka.logs.get(0)).toEqual(['fast']);
  await Promise.all(later);
  await producer.close();
  expect(kafka.logs.get(1)).toEqual(['slow', 'slower', 'later 1', 'later 2', 'later 3']);
  expect(kafka.most).toBe(1);
});

// Error 6: not the leader. Error 45: out of order, because the broker does not know this producer.
it.each([6, 45])(
  'a Kafka producer does not rewrite a stored partition after error %i of another partition',
  async (code) => {
    const kafka = fakeKafka([1, 1], 'idempotent=false');
    const idempotent = fakeKafka([1, 1]);
    for (const fake of [kafka, idempotent]) {
      let refusals = 2;
      fake.before = async ({ partition }) => {
        if (partition === 0 && refusals-- > 0) return code;
      };
      const producer = producerTo(fake);
      await producer.write([...messages(0, 'a', 'b'), ...messages(1, 'c')]);
      await producer.write([...messages(1, 'd'), ...messages(0, 'e')]);
      await producer.close();
      expect(Object.fromEntries(fake.logs)).toEqual({ 0: ['a', 'b', 'e'], 1: ['c', 'd'] });
    }
  },
);

it('a Kafka producer keeps sequence numbers when another write fails, so a lost response causes no duplicates', async () => {
  const kafka = fakeKafka([1, 2], 'timeout=2s');
  const producer = producerTo(kafka);
  await producer.write([...messages(0, 'before'), ...messages(1, 'before')]);
  kafka.before = async ({ partition }) => {
    if (partition === 0) throw new Error('connection lost');
  };
  kafka.after = async ({ partition }) => {
    if (partition === 1) throw new Error('the answer is lost');
  };
  const given = producer.write(messages(0, 'given up'));
  await delay(1000);
  const other = producer.write(messages(1, 'once'));
  await expect(given).rejects.toMatchObject({ code: 'AIOT_BROKER_UNREACHABLE' });
  kafka.before = async () => {};
  kafka.after = async () => {};
  await other;
  await Promise.all([producer.write(messages(0, 'after')), producer.write(messages(1, 'after'))]);
  await producer.close();
  expect(Object.fromEntries(kafka.logs)).toEqual({ 0: ['before', 'after'], 1: ['before', 'once', 'after'] });
});

it('a Kafka producer fails only the write to a rejected topic', async () => {
  const kafka = fakeKafka([1, 2]);
  kafka.before = async ({ partition }) => (partition === 0 ? 29 : undefined);
  const producer = producerTo(kafka);
  const refused = producer.write(messages(0, 'no'));
  const taken = producer.write(messages(1, 'yes'));
  await expect(refused).rejects.toMatchObject({ code: 'AIOT_BROKER_REFUSED' });
  await taken;
  await producer.close();
  expect(Object.fromEntries(kafka.logs)).toEqual({ 1: ['yes'] });
});

describe('a producer after a clock change', () => {
  const day = 86_400_000;
  afterEach(() => vi.restoreAllMocks());
  const setAhead = (ms: number) => {
    const now = Date.now.bind(Date);
    vi.spyOn(Date, 'now').mockImplementation(() => now() + ms);
  };

  // Error 32: the timestamp is out of range.
  it('resends messages rejected for a future timestamp once the clock is corrected', async () => {
    const kafka = fakeKafka([1]);
    const stamped: number[] = [];
    kafka.before = async ({ time }) => {
      stamped.push(time);
      return Math.abs(time - realNow()) > 3_600_000 ? 32 : undefined;
    };
    const realNow = Date.now.bind(Date);
    setAhead(day);
    const producer = producerTo(kafka);
    const write = producer.write(messages(0, 'a', 'b'));
    await delay(100);
    vi.restoreAllMocks();
    await write;
    await producer.write(messages(0, 'c'));
    await producer.close();
    expect(kafka.logs.get(0)).toEqual(['a', 'b', 'c']);
    expect(stamped[0]! - realNow()).toBeGreaterThan(day / 2);
  });

  it('still times out a write after the clock is set forward and back', async () => {
    const kafka = fakeKafka([1], 'timeout=500ms');
    kafka.before = async () => {
      throw new Error('connection lost');
    };
    setAhead(day);
    const producer = producerTo(kafka);
    const write = producer.write(messages(0, 'a'));
    vi.restoreAllMocks();
    await expect(write).rejects.toMatchObject({ code: 'AIOT_BROKER_UNREACHABLE' });
    await producer.close();
  });
});
