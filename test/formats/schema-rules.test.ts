import { describe, expect, it } from 'vitest';
import {
  incompatibilities,
  parseSchema,
  SchemaError,
  type SchemaType,
} from '../../src/lib/formats/schemas/schema.js';

/** Reasons why a reader cannot read a writer's data. */
async function problems(type: SchemaType, reader: string, writer: string): Promise<string[]> {
  const parse = (text: string) => parseSchema({ type, text, references: [] });
  return incompatibilities('BACKWARD', await parse(reader), [{ version: 1, schema: await parse(writer) }]);
}

describe('schemas as clients receive them', () => {
  const record = (more: string) => `{"type":"record","name":"R","fields":[{"name":"f",${more}}]}`;
  const parse = (type: SchemaType, text: string) => parseSchema({ type, text, references: [] });
  const long = (last: string) => record(`"type":"long","default":${last}`);

  it.each<[string, SchemaType, string, string, boolean]>([
    ['layout', 'AVRO', long('5'), `${long('5').replaceAll(',', ' ,\n')} `, true],
    ['order of members', 'JSON', '{"minimum":1,"type":"number"}', '{"type":"number","minimum":1}', true],
    ['forms of a number', 'JSON', '{"minimum":1.50}', '{"minimum":15e-1}', true],
    ['large numbers', 'AVRO', long('9223372036854775807'), long('9223372036854775806'), false],
    ['numbers beyond doubles', 'JSON', '{"default":1e400}', '{"default":null}', false],
    ['numbers and texts', 'JSON', '{"default":1}', '{"default":"1e0"}', false],
    ['a bare name', 'AVRO', 'int', '"int"', true],
  ])('%s', async (_, type, one, other, equal) => {
    const [first, second] = [await parse(type, one), await parse(type, other)];
    expect(first.canonical === second.canonical).toBe(equal);
    expect(second.text).toBe(other);
  });

  it.each(['"https://example.com/meta"', '5', '{"toString":5}', '[]'])(
    'rejects the metaschema %s',
    async (meta) => {
      await expect(parse('JSON', `{"$schema":${meta}}`)).rejects.toThrow(SchemaError);
    },
  );
});

type Rule = [rule: string, writer: string, reads: string, fails: string, reason: string];

describe('Protobuf files', () => {
  const parse = (text: string, unit = '') =>
    parseSchema({ type: 'PROTOBUF', text, references: [{ name: 'unit.proto', text: unit }] });

  it.each<[string, string, string, boolean]>([
    ['layout', 'message M { int32 x = 1; }', 'message M {\n  int32 x=1; // =\n}', true],
    [
      'options of the file',
      'option java_package = "a"; message M {}',
      'option java_package = "b"; message M {}',
      false,
    ],
    ['JSON names', 'message M { int32 x = 1; }', 'message M { int32 x = 1 [json_name = "y"]; }', false],
  ])('%s', async (_, one, other, equal) => {
    const syntax = 'syntax = "proto3";';
    const [first, second] = [await parse(`${syntax} ${one}`), await parse(`${syntax} ${other}`)];
    expect(first.canonical === second.canonical).toBe(equal);
  });

  it('ignores signs in comments', async () => {
    expect((await parse(`syntax = "proto3"; /* ${'='.repeat(3000)} */ message M {}`)).type).toBe('PROTOBUF');
  });

  it.each(['api', 'descriptor', 'source_context', 'type', 'any'])("knows Google's file %s", async (name) => {
    const both = `import "google/protobuf/type.proto"; import "google/protobuf/${name}.proto";`;
    expect((await parse(`syntax = "proto3"; ${both} message M { google.protobuf.Type t = 1; }`)).type).toBe(
      'PROTOBUF',
    );
  });

  it('compares messages of references', async () => {
    const text = 'syntax = "proto3"; import "unit.proto"; message M { Unit u = 1; }';
    const unit = (type: string) => `syntax = "proto3"; message Unit { ${type} x = 1; }`;
    const schema = await parse(text, unit('int32'));
    const judge = async (type: string) =>
      incompatibilities('BACKWARD', await parse(text, unit(type)), [{ version: 1, schema }]);
    expect(await judge('int64')).toEqual([]);
    expect(await judge('string')).toEqual([expect.stringContaining('FIELD_KIND_CHANGED at Unit.x')]);
  });
});

describe('Protobuf', () => {
  const m = (body: string, more = '') => `syntax = "proto3"; message M { ${body} } ${more}`;
  const two = (body: string) => `syntax = "proto2"; message M { ${body} }`;
  const enumeration = 'enum E { A = 0; }';

  it.each<Rule>([
    [
      'integers',
      m('int32 x = 1;'),
      m('uint64 x = 1;'),
      m('sint32 x = 1;'),
      'FIELD_KIND_CHANGED at M.x: the number 1 is sint32, and int32 in the writer',
    ],
    [
      'zigzag integers',
      m('sint32 x = 1;'),
      m('sint64 x = 1;'),
      m('int64 x = 1;'),
      'FIELD_KIND_CHANGED at M.x',
    ],
    ['4 bytes', m('fixed32 x = 1;'), m('sfixed32 x = 1;'), m('float x = 1;'), 'FIELD_KIND_CHANGED at M.x'],
    ['8 bytes', m('fixed64 x = 1;'), m('sfixed64 x = 1;'), m('double x = 1;'), 'FIELD_KIND_CHANGED at M.x'],
    ['texts', m('string x = 1;'), m('bytes x = 1;'), m('int32 x = 1;'), 'FIELD_KIND_CHANGED at M.x'],
    [
      'enums',
      m('E x = 1;', enumeration),
      m('int32 x = 1;'),
      m('string x = 1;'),
      'is string, and E in the writer',
    ],
    [
      'names of fields',
      m('int32 x = 1;'),
      m('int32 y = 1;'),
      m('string y = 1;'),
      'FIELD_KIND_CHANGED at M.y',
    ],
    [
      'added fields',
      two('optional int32 x = 1;'),
      two('optional int32 x = 1; optional int32 y = 2;'),
      two('optional int32 x = 1; required int32 y = 2;'),
      'REQUIRED_FIELD_ADDED at M.y',
    ],
    [
      'required fields',
      two('required int32 x = 1;'),
      two('optional int32 x = 1;'),
      two('required int32 x = 2;'),
      'REQUIRED_FIELD_ADDED at M.x',
    ],
    [
      'removed fields',
      m('int32 x = 1; int32 y = 2;'),
      m('int32 x = 1;'),
      m('string y = 2;'),
      'FIELD_KIND_CHANGED at M.y',
    ],
    [
      'repeated texts',
      m('string x = 1;'),
      m('repeated string x = 1;'),
      m('repeated int32 x = 1;'),
      'FIELD_KIND_CHANGED at M.x',
    ],
    [
      'repeated numbers',
      m('int32 x = 1;'),
      m('optional int32 x = 1;'),
      m('repeated int32 x = 1;'),
      'FIELD_LABEL_CHANGED at M.x',
    ],
    [
      'maps',
      m('map<string, int32> x = 1;'),
      m('map<string, int64> x = 1;'),
      m('map<string, string> x = 1;'),
      'FIELD_KIND_CHANGED at M.x',
    ],
    [
      'messages of fields',
      m('N x = 1;', 'message N {}'),
      m('repeated N x = 1;', 'message N {}'),
      m('O x = 1;', 'message N {} message O {}'),
      'is O, and N in the writer',
    ],
    [
      'removed messages',
      m('int32 x = 1;', 'message N {}'),
      m('int32 x = 1;', 'message N {} message O {}'),
      m('int32 x = 1;'),
      'MESSAGE_REMOVED at N',
    ],
    [
      'nested messages',
      m('message N { int32 x = 1; }'),
      m('message N { int64 x = 1; }'),
      m('message N { string x = 1; }'),
      'FIELD_KIND_CHANGED at M.N.x',
    ],
    [
      'removed branches of a oneof',
      m('oneof o { int32 x = 1; int32 y = 2; }'),
      m('oneof o { int32 x = 1; int32 y = 2; int32 z = 3; }'),
      m('oneof o { int32 x = 1; }'),
      'ONEOF_FIELD_REMOVED at M.o.y',
    ],
    [
      'fields that become branches',
      m('int32 x = 1; int32 y = 2;'),
      m('oneof o { int32 x = 1; int32 z = 3; } int32 y = 2;'),
      m('oneof o { int32 x = 1; int32 y = 2; }'),
      'FIELDS_MOVED_TO_ONEOF at M.o',
    ],
  ])('%s', async (_, writer, reads, fails, reason) => {
    expect(await problems('PROTOBUF', reads, writer)).toEqual([]);
    expect(await problems('PROTOBUF', fails, writer)).toEqual([expect.stringContaining(reason)]);
  });
});

describe('JSON Schema', () => {
  const closed = (properties: object, more: object = {}) => ({
    properties,
    additionalProperties: false,
    ...more,
  });
  const integer = { type: 'integer' };
  const text = { type: 'string' };
  const tree = (value: object) => ({ type: 'object', properties: { value, next: { $ref: '#' } } });
  const [A, B, C] = [{ const: 'a' }, { const: 'b' }, { const: 'c' }];
  const draft4 = 'http://json-schema.org/draft-04/schema#';
  const kind = (value: string, properties: object) => ({
    ...{ type: 'object', required: ['kind'], properties: { kind: { const: value }, ...properties } },
  });
  const named = (x: object) => ({ $ref: '#/$defs/x', $defs: { x } });

  it.each<
    [rule: string, writer: object | boolean, reads: object | boolean, fails: object | boolean, reason: string]
  >([
    ['types', integer, { type: 'number' }, text, 'TYPE_NARROWED at /: the reader does not accept integer'],
    ['several types', text, { type: ['string', 'null'] }, { type: ['null', 'number'] }, 'TYPE_NARROWED'],
    ['any value', {}, true, false, 'NOT_ALLOWED'],
    ['enums', { enum: ['a', 'b'] }, { enum: ['c', 'b', 'a'] }, { enum: ['a'] }, 'ENUM_NARROWED'],
    ['constants', { const: 1 }, { enum: [1, 2] }, { const: 2 }, 'ENUM_NARROWED'],
    ['constants in enums', { const: 1 }, { const: 1, enum: [1, 2] }, { const: 1, enum: [2] }, 'NARROWED'],
    ['types of constants', { const: 1 }, integer, text, 'TYPE_NARROWED'],
    ['minimum', { type: 'number', minimum: 1 }, { minimum: 0 }, { minimum: 2 }, 'BOUND_NARROWED'],
    [
      'maximum',
      { type: 'number', maximum: 1 },
      { exclusiveMaximum: 2 },
      { exclusiveMaximum: 1 },
      'BOUND_NARROWED',
    ],
    [
      'multiples',
      { type: 'integer', multipleOf: 4 },
      { multipleOf: 2 },
      { multipleOf: 3 },
      'MULTIPLE_OF_NARROWED',
    ],
    [
      'lengths',
      { type: 'string', maxLength: 4 },
      { maxLength: 5 },
      { maxLength: 3 },
      'BOUND_NARROWED at /: maxLength is 3, and 4',
    ],
    ['patterns', { type: 'string', pattern: 'a' }, text, { pattern: 'b' }, 'PATTERN_CHANGED'],
    ['numbers of items', { type: 'array', minItems: 2 }, { minItems: 1 }, { minItems: 3 }, 'BOUND_NARROWED'],
    [
      'unique items',
      { type: 'array', uniqueItems: true },
      { uniqueItems: true },
      { uniqueItems: true, maxItems: 3 },
      'BOUND_NARROWED',
    ],
    [
      'items',
      { type: 'array', items: integer },
      { items: { type: 'number' } },
      { items: text },
      'TYPE_NARROWED at /items',
    ],
    [
      'first items',
      {
        $schema: 'https://json-schema.org/draft/2020-12/schema',
        type: 'array',
        prefixItems: [integer, text],
      },
      { $schema: 'https://json-schema.org/draft/2020-12/schema', prefixItems: [integer] },
      { $schema: 'https://json-schema.org/draft/2020-12/schema', prefixItems: [text] },
      'TYPE_NARROWED at /items',
    ],
    [
      'required properties',
      { type: 'object', required: ['x'] },
      { type: 'object' },
      { required: ['x', 'y'] },
      'REQUIRED_PROPERTY_ADDED at /: the reader requires y',
    ],
    [
      'properties',
      { type: 'object', properties: { x: integer } },
      { properties: { x: { type: 'number' } } },
      { properties: { x: text } },
      'TYPE_NARROWED at /x',
    ],
    [
      'properties added to an open object',
      { type: 'object' },
      { properties: { x: {} } },
      { properties: { x: integer } },
      'PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL at /x',
    ],
    [
      'properties removed from a closed object',
      { type: 'object', ...closed({ x: integer, y: integer }) },
      closed({ x: integer, y: integer, z: text }),
      closed({ x: integer }),
      'PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL at /y',
    ],
    [
      'additional properties',
      { type: 'object', additionalProperties: integer },
      { additionalProperties: { type: 'number' } },
      { additionalProperties: text },
      'ADDITIONAL_PROPERTIES_NARROWED',
    ],
    [
      'numbers of properties',
      { type: 'object', maxProperties: 2 },
      { maxProperties: 3 },
      { maxProperties: 1 },
      'BOUND_NARROWED',
    ],
    [
      'properties by pattern',
      { type: 'object', patternProperties: { '^a': integer } },
      { patternProperties: { '^a': { type: 'number' } } },
      { patternProperties: { '^a': text } },
      'TYPE_NARROWED at /^a',
    ],
    [
      'a property that the writer restricts by a pattern',
      { type: 'object', patternProperties: { '^a': text }, additionalProperties: false },
      { properties: { ab: text } },
      { properties: { ab: integer } },
      'PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL at /ab',
    ],
    ['alternatives of the reader', A, { anyOf: [A, B] }, { anyOf: [B, C] }, 'UNION_NARROWED'],
    [
      'alternatives of the writer',
      { oneOf: [A, B] },
      { oneOf: [A, B, C] },
      { oneOf: [A, C] },
      'UNION_NARROWED at /1',
    ],
    [
      'all of several',
      { type: 'integer', minimum: 1 },
      { allOf: [integer, { minimum: 0 }] },
      { allOf: [integer, { minimum: 2 }] },
      'BOUND_NARROWED',
    ],
    [
      'all of several in the writer',
      { allOf: [integer, { minimum: 1 }] },
      { minimum: 1 },
      { minimum: 2 },
      'BOUND_NARROWED',
    ],
    [
      'patterns in several parts of the writer',
      {
        type: 'object',
        allOf: [
          { patternProperties: { '^a': integer } },
          { patternProperties: { '^b': text }, additionalProperties: false },
        ],
      },
      {},
      { patternProperties: { '^a': integer }, additionalProperties: false },
      'NOT_ALLOWED at /^b',
    ],
    [
      'items in several parts of the writer',
      { type: 'array', allOf: [{ items: [integer] }, { items: [integer, integer], additionalItems: false }] },
      {},
      { items: [{}], additionalItems: false },
      'NOT_ALLOWED at /items',
    ],
    [
      'alternatives of which exactly one must match',
      integer,
      { oneOf: [{ type: 'number' }, text] },
      { oneOf: [integer, { type: 'number' }] },
      'ONEOF_OVERLAP',
    ],
    [
      'equal alternatives that overlap',
      { oneOf: [{ $ref: '#/$defs/x' }, { minimum: 2 }], $defs: { x: { maximum: 5 } } },
      { oneOf: [{ $ref: '#/$defs/x' }, { minimum: 2 }], $defs: { x: { maximum: 5 }, y: {} } },
      { oneOf: [{ $ref: '#/$defs/x' }, { minimum: 2 }], $defs: { x: { maximum: 6 } } },
      'ONEOF_OVERLAP',
    ],
    [
      'alternatives of objects that a property distinguishes',
      { oneOf: [kind('a', {}), kind('b', { v: integer })] },
      { oneOf: [kind('a', {}), kind('b', { v: { type: 'number' } }), kind('c', {})] },
      { oneOf: [kind('a', {}), kind('b', { v: { type: 'number' } }), {}] },
      'ONEOF_OVERLAP',
    ],
    [
      'bounds of draft 4 that may be excluded',
      { $schema: draft4, type: 'number', minimum: 1, exclusiveMinimum: true },
      { $schema: draft4, type: 'number', minimum: 1 },
      { $schema: draft4, type: 'number', minimum: 2, exclusiveMinimum: false },
      'BOUND_NARROWED',
    ],
    [
      'bounds of draft 4 that are excluded newly',
      { $schema: draft4, type: 'number', minimum: 1 },
      { $schema: draft4, type: 'number', minimum: 0, exclusiveMinimum: true },
      { $schema: draft4, type: 'number', minimum: 1, exclusiveMinimum: true },
      'BOUND_NARROWED',
    ],
    ['recursive references', integer, {}, { $recursiveRef: '#' }, 'KEYWORD_CHANGED at /: $recursiveRef'],
    ['references', named(integer), named({ type: 'number' }), named(text), 'TYPE_NARROWED'],
    ['recursive schemas', tree(integer), tree({ type: 'number' }), tree(text), 'TYPE_NARROWED at /value'],
    [
      'other keywords',
      { not: { const: 1 } },
      { not: { const: 1 } },
      { not: { const: 2 } },
      'KEYWORD_CHANGED at /: not differs',
    ],
    [
      'other keywords with references',
      { not: { $ref: '#/$defs/x' }, $defs: { x: integer } },
      {},
      { not: { $ref: '#/$defs/x' }, $defs: { x: text } },
      'KEYWORD_CHANGED at /: not differs',
    ],
  ])('%s', async (_, writer, reads, fails, reason) => {
    const judge = (reader: object | boolean) =>
      problems('JSON', JSON.stringify(reader), JSON.stringify(writer));
    expect(await judge(reads)).toEqual([]);
    expect(await judge(fails)).toContainEqual(expect.stringContaining(reason));
  });
});
