import { describe, expect, it } from 'vitest';
import {
  incompatibilities,
  largestSchema,
  parseSchema,
  SchemaError,
  type SchemaType,
} from '../../src/lib/formats/schemas/schema.js';

/** Parses a schema, and compares it with a variant. Returns `ok`, or the reason why it cannot be used. */
async function judge(type: SchemaType, text: string, variant = text): Promise<string> {
  try {
    const schema = await parseSchema({ type, text, references: [] });
    const next = await parseSchema({ type, text: variant, references: [] });
    incompatibilities('FULL', next, [{ version: 1, schema }]);
    return 'ok';
  } catch (error) {
    if (error instanceof SchemaError) return error.message;
    throw error;
  }
}

const list = <T>(count: number, make: (i: number) => T) => Array.from({ length: count }, (_, i) => make(i));
const record = (fields: object[]) => JSON.stringify({ type: 'record', name: 'R', fields });

/** A default at depth 40 of records that both contain both. */
const twins = () => {
  const twin = (name: string, ...more: object[]) => ({
    ...{ type: 'record', name },
    fields: [{ name: 'n', type: ['int', 'A', ...more] }],
  });
  const type = twin('A', twin('B'));
  const value = list(40, () => 0).reduce<unknown>((inner) => ({ n: inner }), 'no');
  (type.fields[0]!.type[2] as ReturnType<typeof twin>).fields[0]!.type.push('B');
  return record([{ name: 'f', type, default: value }]);
};

const symbols = list(12_000, (i) => `S${i}`);
const manyEnums = (all: string[]) =>
  record(
    list(3000, (i) => ({ name: `f${i}`, type: i === 0 ? { type: 'enum', name: 'E', symbols: all } : 'E' })),
  );
const manyRecords = (type: string) => {
  const one = (i: number) => ({ type: 'record', name: `M${i}`, fields: [{ name: 'x', type }] });
  return JSON.stringify({ type: 'array', items: list(1500, one) });
};

const referring = (definition: object) =>
  JSON.stringify({
    $defs: { big: definition },
    properties: Object.fromEntries(list(3000, (i) => [`p${i}`, { $ref: '#/$defs/big' }])),
  });
const words = list(10_000, (i) => `word${i}`);
const anchors = JSON.stringify({
  allOf: list(8000, () => ({ $ref: '#last' })),
  $defs: { z: { $anchor: 'last' } },
});
const doubled = (last: object) =>
  JSON.stringify({
    ...{ $ref: '#/$defs/d0' },
    $defs: Object.fromEntries(
      list(40, (i) => {
        const next = { $ref: `#/$defs/d${i + 1}` };
        return [`d${i}`, i === 39 ? last : { anyOf: [next, { allOf: [next] }] }];
      }),
    ),
  });

const unknown = `{"type":"object",${list(12_000, (i) => `"x${i}":0`).join(',')},"allOf":[${list(7000, () => '{"$ref":"#"}').join(',')}]}`;
const parts = (first: object, make: (i: number) => object) =>
  JSON.stringify({ type: 'object', allOf: [first, ...list(4000, make)] });
const types = JSON.stringify({
  $schema: 'http://json-schema.org/draft-04/schema#',
  properties: Object.fromEntries(list(3000, (i) => [`p${i}`, { $ref: '#/definitions/t' }])),
  definitions: { t: { type: list(15_000, () => 'string') } },
});

const proto = (body: string) => `syntax = "proto3";\n${body}`;
const oneofs = proto(`message M {${list(1900, (i) => `oneof o${i}{bool b${i}=${i + 1};}`).join('')}}`);

describe('schemas made to be slow', () => {
  it('parses 200 JSON Schemas within 2 s', { timeout: 60_000 }, async () => {
    await judge('JSON', '{}');
    const began = process.cpuUsage();
    for (let i = 0; i < 200; i++)
      expect(await judge('JSON', JSON.stringify({ title: `t${i}`, type: 'integer' }))).toBe('ok');
    expect(process.cpuUsage(began).user / 1e6).toBeLessThan(2);
  });

  it.each<[string, SchemaType, string, string?]>([
    ['a default that fits no branch of recursive records', 'AVRO', twins()],
    ['a large enum in many fields', 'AVRO', manyEnums(symbols), manyEnums(['S0'])],
    ['a union of many records', 'AVRO', manyRecords('int'), manyRecords('string')],
    ['many line breaks', 'PROTOBUF', `${'\n'.repeat(250_000)}message M {}`],
    ['many spaces', 'PROTOBUF', `a${' '.repeat(250_000)}!`],
    ['many imports', 'PROTOBUF', proto(list(12_000, (i) => `import "a${i}";`).join(''))],
    ['many oneofs', 'PROTOBUF', oneofs],
    ['many fields', 'PROTOBUF', proto(`message M {${list(1900, (i) => `bool b${i}=${i + 1};`).join('')}}`)],
    [
      'too many fields',
      'PROTOBUF',
      proto(`message M {${list(12_000, (i) => `bool b${i}=${i + 1};`).join('')}}`),
    ],
    [
      'many reserved numbers',
      'PROTOBUF',
      proto(
        `message M {reserved ${list(30_000, (i) => 3000 + i).join(',')};${list(1900, (i) => `bool b${i}=${i + 1};`).join('')}}`,
      ),
    ],
    ['many messages', 'PROTOBUF', proto(list(1900, (i) => `message M${i} {M0 a=1;}`).join(''))],
    ['a descriptor of deeply nested messages', 'PROTOBUF', Buffer.alloc(180_000, 0x22).toString('base64')],
    ['a large enum behind many references', 'JSON', referring({ enum: words })],
    ['a large list of required properties', 'JSON', referring({ required: words })],
    ['a large "not"', 'JSON', referring({ not: { enum: words } })],
    [
      'many properties',
      'JSON',
      referring({ properties: Object.fromEntries(words.map((word) => [word, {}])) }),
    ],
    ['an anchor of many references', 'JSON', anchors],
    ['unknown keywords behind many references', 'JSON', unknown],
    ['requirements of many parts', 'JSON', parts({ required: words }, (i) => ({ required: [`r${i}`] }))],
    [
      'patterns of many parts',
      'JSON',
      parts(
        { patternProperties: Object.fromEntries(words.slice(0, 7000).map((word) => [word, {}])) },
        (i) => ({
          patternProperties: { [`r${i}`]: {} },
        }),
      ),
    ],
    ['types in a large list', 'JSON', types, types.replaceAll('string', 'number')],
    [
      'an enum of the writer behind many references',
      'JSON',
      referring({ enum: words }),
      referring({ type: 'string' }).replaceAll('{"$ref":"#/$defs/big"}', '{"type":"string"}'),
    ],
    [
      'exclusive alternatives',
      'JSON',
      referring({ oneOf: list(1500, (i) => ({ const: i })) }),
      referring({ oneOf: list(1501, (i) => ({ const: i })) }),
    ],
    ['alternatives that double', 'JSON', doubled({ type: 'integer' }), doubled({ type: 'string' })],
  ])('%s: answers within 2 s', { timeout: 60_000 }, async (_, type, text, variant) => {
    expect(text.length).toBeLessThan(largestSchema);
    // CPU time, because other programs may use the machine.
    const began = process.cpuUsage();
    const result = await judge(type, text, variant);
    expect(process.cpuUsage(began).user / 1e6, result).toBeLessThan(2);
  });
});
