import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { decodeFetched } from '../../../src/lib/stream/kafka/source.js';
import { crc32c, writeBatch } from '../../../src/lib/stream/kafka/wire/record-batch.js';
import { fc, runs } from '../../support/property.js';

// kafkajs's own encoder and decoder of record batches, as an independent implementation of KIP-98.
const require = createRequire(import.meta.url);
const { RecordBatch } = require('kafkajs/src/protocol/recordBatch/v0/index.js');
const decodeBatch = require('kafkajs/src/protocol/recordBatch/v0/decoder.js');
const encodeRecord = require('kafkajs/src/protocol/recordBatch/record/v0/index.js');
const Decoder = require('kafkajs/src/protocol/decoder.js');
const Long = require('kafkajs/src/utils/long.js');

interface KafkajsRecord {
  offset: string;
  timestamp: string;
  key: Buffer | null;
  value: Buffer | null;
  headers: Record<string, Buffer>;
}

const base = 1_700_000_000_000;
const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((found) => Buffer.from(found));
/** Header values that are not UTF-8 stay bytes; in kafkajs they are always bytes. Names are unique, as in kafkajs. */
const headers = fc.uniqueArray(fc.tuple(fc.string({ minLength: 1, maxLength: 9 }), bytes(12)), {
  selector: ([name]) => name,
  maxLength: 4,
});
const record = fc.record({
  // The lengths of some values need more than one or two bytes as a varint.
  value: fc.oneof(
    fc.constant(null),
    bytes(80),
    fc.nat(20_000).map((length) => Buffer.alloc(length, 7)),
  ),
  key: fc.option(bytes(40), { nil: null }),
  // kafkajs keeps headers in an object, so it cannot read the names of members that every object has.
  headers: headers.filter((all) => all.every(([name]) => !(name in {}))),
  time: fc.integer({ min: base - 2 ** 40, max: base }),
});
const recordsOfAny = fc.array(record, { minLength: 1, maxLength: 30 });
// The codecs 0 (none) and 1 (gzip) are the only ones built into kafkajs.
const codec = fc.constantFrom(['none', 0] as const, ['gzip', 1] as const);
const hex = (found: Uint8Array | null) => found && Buffer.from(found).toString('hex');
const plain = (all: readonly (readonly [string, string | Uint8Array])[] = []) =>
  all.map(([name, value]) => [name, Buffer.from(value as string).toString('hex')]).sort();

describe('a record batch, compared with kafkajs', () => {
  it('is read by kafkajs as we wrote it, with producer id, epoch and sequence', async () => {
    await fc.assert(
      fc.asyncProperty(recordsOfAny, codec, fc.nat(2 ** 31 - 1), async (records, [name], sequence) => {
        const messages = records.map(({ value, key, headers: all, time }) => ({
          topic: 't',
          payload: value ?? Buffer.alloc(0),
          time,
          headers: all,
          ...(key === null ? {} : { key }),
          ...(value === null ? { tombstone: true as const } : {}),
        }));
        const batch = await writeBatch(messages, { id: 2n ** 40n, epoch: 3, sequence }, name, base);
        const read = await decodeBatch(new Decoder(batch));
        expect(read).toMatchObject({
          producerId: `${2 ** 40}`,
          producerEpoch: 3,
          firstSequence: sequence,
          lastOffsetDelta: records.length - 1,
          maxTimestamp: `${Math.max(...records.map(({ time }) => time))}`,
        });
        const found = (read.records as KafkajsRecord[]).map((one) => [
          one.offset,
          one.timestamp,
          hex(one.key),
          hex(one.value),
          plain(Object.entries(one.headers)),
        ]);
        expect(found).toEqual(
          records.map(({ value, key, headers: all, time }, index) => [
            `${index}`,
            `${time}`,
            hex(key),
            hex(value),
            plain(all),
          ]),
        );
      }),
      { numRuns: runs(60) },
    );
  });

  it('is read as kafkajs wrote it, with a matching checksum', async () => {
    await fc.assert(
      fc.asyncProperty(recordsOfAny, codec, fc.nat(2 ** 40), async (records, [, compression], first) => {
        const { time: firstTime } = records[0]!;
        const encoded = records.map(({ value, key, headers: all, time }, offsetDelta) =>
          encodeRecord({
            offsetDelta,
            timestampDelta: time - firstTime,
            key,
            value,
            headers: Object.fromEntries(all),
          }),
        );
        const { buffer } = await RecordBatch({
          compression,
          firstOffset: Long.fromValue(first),
          firstTimestamp: firstTime,
          maxTimestamp: base,
          lastOffsetDelta: records.length - 1,
          records: encoded,
        });
        expect(crc32c(buffer.subarray(21))).toBe(buffer.readUInt32BE(17));
        const found = [];
        const fetched = { topic: 't', partition: 4, errorCode: 0, end: 0, aborted: [], records: buffer };
        for await (const batch of decodeFetched(fetched, first, 'kafka://peer')) found.push(...batch);
        expect(
          found.map(
            ({ message: { position, time, key = null, payload, tombstone = false, headers: all } }) => [
              position,
              time,
              hex(key),
              hex(payload),
              tombstone,
              plain(all),
            ],
          ),
        ).toEqual(
          records.map(({ value, key, headers: all, time }, index) => [
            `4:${first + index}`,
            time,
            hex(key),
            hex(value ?? Buffer.alloc(0)),
            value === null,
            plain(all),
          ]),
        );
      }),
      { numRuns: runs(60) },
    );
  });
});
