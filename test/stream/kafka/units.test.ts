import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { createVirtualClock } from '../../../src/lib/loop/sense/time.js';
import { patiently } from '../../../src/lib/stream/kafka/connect.js';
import { Progress } from '../../../src/lib/stream/kafka/group.js';
import { createHandover } from '../../../src/lib/stream/kafka/handover.js';
import { kafkaSettings, topicsOf } from '../../../src/lib/stream/kafka/settings.js';
import { murmur2 } from '../../../src/lib/stream/kafka/sink.js';
import { ByteReader, ByteWriter } from '../../../src/lib/stream/kafka/wire/bytes.js';
import {
  batchHeader,
  crc32c,
  payloadsOf,
  RecordReader,
  writeBatch,
} from '../../../src/lib/stream/kafka/wire/record-batch.js';
import type { Delivery } from '../../../src/lib/stream/message.js';
import { parseStreamUrl } from '../../../src/lib/stream/url.js';
import { fc } from '../../support/property.js';

describe('Kafka integers and checksums', () => {
  it('are read back as written, up to 2^53', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (value) => {
        const written = new ByteWriter(4).int64(value).varint(Math.trunc(value / 4)).buffer;
        const reader = new ByteReader(written);
        expect([reader.int64(), reader.varint()]).toEqual([value, Math.trunc(value / 4) + 0]);
      }),
    );
  });

  it('are rejected if they do not end', () => {
    expect(() => new ByteReader(Buffer.alloc(12, 0xff)).varint()).toThrow(RangeError);
    expect(() => new ByteReader(Buffer.from([0x80])).varint()).toThrow(RangeError);
  });

  // From RFC 3720, appendix B.4, and the usual check value for 123456789.
  it.each([
    [Buffer.alloc(32), 0x8a9136aa],
    [Buffer.alloc(32, 0xff), 0x62a8ab43],
    [Buffer.from(Array.from({ length: 32 }, (_, index) => index)), 0x46dd794e],
    [Buffer.from('123456789'), 0xe3069283],
  ])('match the known CRC-32C of sample bytes', (bytes, crc) => {
    expect(crc32c(bytes)).toBe(crc);
  });

  // From the test of Apache Kafka's own client (UtilsTest.testMurmur2).
  it.each([
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ])('match the known murmur2 hash of %s', (text, hash) => {
    expect(murmur2(Buffer.from(text))).toBe(hash);
  });
});

describe('a record batch', () => {
  it('returns any messages, and detects truncation', async () => {
    const message = fc.record({
      topic: fc.constant('t'),
      payload: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      key: fc.option(
        fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
        { nil: undefined },
      ),
      time: fc.integer({ min: 0, max: 1_700_000_000_000 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(message, { minLength: 1, maxLength: 40 }), async (messages) => {
        const producer = { id: 7n, epoch: 1, sequence: 0 };
        const bytes = await writeBatch(messages, producer, 'none', 1_800_000_000_000);
        expect(batchHeader(bytes.subarray(0, -1), 0)).toBeUndefined();
        const header = batchHeader(bytes, 0)!;
        expect(header).toMatchObject({
          records: messages.length,
          lastOffset: messages.length - 1,
          producerId: 7n,
        });
        const reader = new RecordReader(bytes.subarray(61), header);
        for (const { payload, key, time } of messages) {
          reader.next();
          expect(reader).toMatchObject({ value: payload, key: key ?? null, time });
        }
      }),
    );
  });
});

it('a batch header that claims too many records causes no memory allocation', async () => {
  const bytes = await writeBatch(
    [{ topic: 't', payload: Buffer.from('x') }],
    { id: 7n, epoch: 1, sequence: 0 },
    'none',
    1_800_000_000_000,
  );
  const header = { ...batchHeader(bytes, 0)!, records: 500_000_000 };
  // Previously, this allocated four gigabytes.
  expect(() => payloadsOf(bytes.subarray(61), header, 0)).toThrow('fewer records than its header states');
});

describe('the committable offset', () => {
  it('is the lowest unacked offset, whatever the order of acks', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([...Array(20).keys()], { minLength: 0 }), (acked) => {
        const progress = new Progress();
        // Offsets have gaps, as in a compacted log.
        const pending = [...Array(20).keys()].map((index) => progress.deliver(100 + index * 3));
        for (const index of acked) pending[index]!.done = true;
        const lowest = pending.find(({ done }) => !done)?.offset ?? 158;
        expect(progress.due()).toBe(lowest > 100 ? lowest : undefined);
        progress.commit(lowest);
        expect(progress.due()).toBeUndefined();
      }),
    );
  });
});

describe('the handover to a reader', () => {
  it('has room again once its messages are taken, and delivers them before an error', async () => {
    const handover = createHandover(10);
    const batch = Array.from({ length: 10 }) as Delivery[];
    handover.push([batch], 10, 100);
    let room = false;
    void handover.whenRoom().then(() => {
      room = true;
    });
    await new Promise(setImmediate);
    expect(room).toBe(false);
    handover.end(new Error('gone'));
    const reader = handover[Symbol.asyncIterator]();
    expect((await reader.next()).value).toBe(batch);
    await expect(reader.next()).rejects.toThrow('gone');
    expect(room).toBe(true);
  });
});

describe('a broker that is not ready yet', () => {
  const { createErrorFromCode } = createRequire(import.meta.url)('kafkajs/src/protocol/error.js');
  const loading = 14;
  const groupAuthorizationFailed = 30;
  /** The outcome of work that is rejected `times` times with a response of Kafka, and the times of the attempts, ms. */
  async function attempts(code: number, times: number, readyTimeoutMs: number) {
    const clock = createVirtualClock();
    const at: number[] = [];
    const work = async () => {
      at.push(clock.now());
      if (at.length <= times) throw createErrorFromCode(code);
      return 'ready';
    };
    const outcome = await patiently({ readyTimeoutMs, signal: undefined }, 'kafka://k', work, clock).catch(
      (error: unknown) => error,
    );
    return { outcome, at };
  }

  it('is asked again with growing pauses', async () => {
    expect(await attempts(loading, 6, 60_000)).toEqual({
      outcome: 'ready',
      at: [0, 200, 600, 1400, 3000, 5000, 7000],
    });
  });

  it('is asked until the time limit', async () => {
    const { outcome, at } = await attempts(loading, 100, 3000);
    expect(outcome).toMatchObject({ code: 'AIOT_BROKER_UNREACHABLE', retryable: true });
    expect(at).toEqual([0, 200, 600, 1400, 3000]);
  });

  it('is asked once if it refuses', async () => {
    const { outcome, at } = await attempts(groupAuthorizationFailed, 100, 3000);
    expect(outcome).toMatchObject({ code: 'AIOT_BROKER_REFUSED' });
    expect(at).toEqual([0]);
  });
});

describe('a Kafka address', () => {
  it('contains brokers, topics and settings', () => {
    const url = parseStreamUrl(
      'kafkas://ana:p%3Aw@a,b:9093/one,two?group=g&compression=zstd&acks=1&from=7&timeout=5s',
    );
    expect(topicsOf(url)).toEqual(['one', 'two']);
    expect(kafkaSettings(url, {})).toMatchObject({
      brokers: ['a:9092', 'b:9093'],
      tls: true,
      username: 'ana',
      password: 'p:w',
      group: 'g',
      compression: 'zstd',
      acks: 1,
      idempotent: false,
      from: 7,
      timeoutMs: 5000,
    });
  });

  it.each([
    'kafka:///t',
    'kafka://a:0/t',
    'kafka://[::1]:9092/t',
    'kafka://a/t?acks=2',
    'kafka://a/t?compression=rar',
    'kafka://a/t?from=soon',
    'kafka://a/t?nothing=1',
  ])('is rejected: %s', (address) => {
    expect(() => kafkaSettings(parseStreamUrl(address), {})).toThrow(
      expect.objectContaining({ code: 'AIOT_STREAM_URL' }),
    );
  });
});
