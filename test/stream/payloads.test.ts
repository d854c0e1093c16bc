import { describe, expect, it } from 'vitest';
import { compileExpression } from '../../src/lib/stream/decode/expression.js';
import { batchHeader, payloadsOf, writeBatch } from '../../src/lib/stream/kafka/wire/record-batch.js';
import type { Message } from '../../src/lib/stream/message.js';
import { linesOf } from '../../src/lib/stream/tail/payloads.js';
import { printRaw } from '../../src/lib/stream/tail/print.js';
import { createSelector } from '../../src/lib/stream/tail/tail.js';
import { fc, runs } from '../support/property.js';

const texts = fc.oneof(
  fc
    .record({ temperature: fc.integer({ min: 60, max: 100 }), a: fc.constantFrom('x', 'y') })
    .map((value) => JSON.stringify(value)),
  fc.constantFrom(
    '',
    'no JSON',
    '[{"temperature":90}]',
    '{"temperature":{"a":1}}',
    '{"temperature":"90"}',
    '90',
  ),
);

/** Encodes messages as one Kafka batch that starts at offset 100. */
async function asBatch(payloads: string[], compression: 'none' | 'gzip' = 'none') {
  const messages = payloads.map((text, index) => ({
    topic: 't',
    payload: Buffer.from(text),
    ...(index % 3 === 0 ? { key: Buffer.from('k'), headers: [['h', 'v']] as const } : {}),
  }));
  const bytes = await writeBatch(messages, { id: 7n, epoch: 1, sequence: 0 }, compression, 1000);
  bytes.writeInt32BE(100, 4);
  return { records: bytes.subarray(61), header: batchHeader(bytes, 0)! };
}

const shownOf = (payload: string): { message: Message } => ({
  message: { topic: 't', payload: Buffer.from(payload), time: 0, source: '' },
});

describe('payloads without their messages', () => {
  it('are read from a Kafka batch, starting at an offset', async () => {
    const { records, header } = await asBatch(['a', '', 'b\nc', 'd']);
    expect(linesOf(payloadsOf(records, header, 102)).toString()).toBe('b\nc\nd\n');
    const again = await asBatch(['a', 'b']);
    expect(linesOf(payloadsOf(again.records, again.header, 0)).toString()).toBe('a\nb\n');
  });

  it('are rejected in a damaged batch', async () => {
    const { records, header } = await asBatch(['abc']);
    expect(() => payloadsOf(records.subarray(0, 5), header, 0)).toThrow(RangeError);
    expect(() => payloadsOf(Buffer.alloc(8), header, 0)).toThrow(RangeError);
  });

  it.each([
    undefined,
    'temperature > 80',
    'temperature > 80 and a = "x"',
    '(temperature + 1) * 2 >= 160 or a != "x"',
  ])('are selected by %s exactly as messages are, up to the count', async (where) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(texts, { minLength: 1, maxLength: 20 }),
        fc.integer({ min: 1, max: 25 }),
        async (payloads, room) => {
          const options = where === undefined ? {} : { where };
          const [long, short] = [await createSelector(options), await createSelector(options)];
          const chosen = (await long.select(payloads.map(shownOf))).slice(0, room);
          const { records, header } = await asBatch(payloads);
          const batch = payloadsOf(records, header, 0);
          const looked = await short.payloads!(batch, room);
          expect(linesOf(batch).toString()).toBe((printRaw(chosen) as Buffer).toString());
          if (chosen.length < room) {
            expect(looked).toBe(payloads.length);
            expect([short.failed, short.first]).toEqual([long.failed, long.first]);
          }
        },
      ),
      { numRuns: runs(60) },
    );
  });

  it('are used only for simple filters', async () => {
    for (const options of [
      { where: '$topic = "a"' },
      { where: 'a.b > 1' },
      { map: 'a' },
      { fields: ['a'] },
      { decode: 'json' as const },
    ]) {
      expect((await createSelector(options)).payloads).toBeUndefined();
    }
  });

  it.each([
    ['temperature > 80', ['temperature']],
    ['(a = "x" or b) and -1 < c', ['a', 'b', 'c']],
    ['-a < 1', undefined],
    ['a = "x" and b + 1 < 3', ['a', 'b']],
    ['a[0] = 1', undefined],
    ['$ > 1', undefined],
    ['$uppercase(a) = "B"', undefined],
  ])('are scanned only for the fields that %s reads', (text, reads) => {
    expect(compileExpression(text).reads).toEqual(reads);
  });
});
