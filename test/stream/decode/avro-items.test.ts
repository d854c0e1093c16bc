import { Type } from 'avsc';
import { describe, expect, it } from 'vitest';
import { requireItems } from '../../../src/lib/stream/decode/avro.js';

const reading = {
  ...{ type: 'record', name: 'Reading' },
  fields: [
    ...['boolean', 'int', 'long', 'float', 'double', 'string', 'bytes'].map((type) => ({ name: type, type })),
    { name: 'kind', type: { type: 'enum', name: 'Kind', symbols: ['a', 'b'] } },
    { name: 'id', type: { type: 'fixed', name: 'Id', size: 5 } },
    { name: 'list', type: { type: 'array', items: ['null', 'string', { type: 'array', items: 'double' }] } },
    { name: 'more', type: { type: 'map', values: ['null', 'long'] } },
    { name: 'next', type: ['null', 'Reading'] },
  ],
} as const;

describe('the items of an Avro payload', () => {
  it('match their stated count in any payload written by avsc', () => {
    const type = Type.forSchema(reading as never);
    for (let n = 0; n < 300; n++) {
      const bytes = type.toBuffer(type.random());
      expect(() => requireItems(type, bytes)).not.toThrow();
      // The whole payload was checked, because one byte less is too short.
      expect(() => requireItems(type, bytes.subarray(0, -1))).toThrow('the data ends too early');
    }
  });

  it('can come in blocks that state their size in bytes', () => {
    const type = Type.forSchema({ type: 'array', items: 'int' });
    const bytes = Buffer.from([3, 4, 2, 4, 2, 6, 0]);
    expect(type.fromBuffer(bytes)).toEqual([1, 2, 3]);
    expect(() => requireItems(type, bytes)).not.toThrow();
  });

  it.each<[what: string, schema: unknown, bytes: number[], why: string]>([
    [
      '2^53 items',
      { type: 'array', items: 'double' },
      [0xfe, 255, 255, 255, 255, 255, 255, 0x1f],
      'too early',
    ],
    [
      '2^34 nulls',
      { type: 'array', items: 'null' },
      [254, 255, 255, 255, 127, 0],
      'the item count exceeds the data',
    ],
    ['2^34 map keys', { type: 'map', values: 'null' }, [254, 255, 255, 255, 127, 0], 'too early'],
    ['an unterminated block', { type: 'array', items: 'null' }, [4], 'too early'],
    ['a string of negative length', 'string', [1], 'too early'],
    ['an unknown union branch', ['null', 'int'], [6], 'a branch'],
  ])('are rejected before they are allocated: %s', (_, schema, bytes, why) => {
    expect(() => requireItems(Type.forSchema(schema as never), Buffer.from(bytes))).toThrow(why);
  });
});
