import { readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { asAiotError } from '../../src/lib/cli/errors.js';
import { issueText, problemsOf } from '../../src/lib/core/issues.js';
import { namePattern } from '../../src/lib/core/names.js';
import { parseYaml } from '../../src/lib/core/yaml.js';
import { root } from '../support/cli.js';

function textOf(schema: z.ZodType, value: unknown): string {
  const { error } = schema.safeParse(value);
  if (!error) throw new Error('the value fits');
  return issueText(error, 'the file', value);
}

const at = (schema: z.ZodType) => z.object({ field: schema });
const kinds = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('drift') }),
  z.object({ kind: z.literal('export') }),
]);

/** Every issue code, with every form of its sentence. */
const table: [code: string, schema: z.ZodType, value: unknown, text: string][] = [
  ['invalid_type', at(z.string()), { field: 5 }, 'field: expected a string; got 5'],
  ['invalid_type', at(z.string()), {}, 'field: expected a string; got nothing'],
  ['invalid_type', at(z.number()), { field: 'x' }, 'field: expected a number; got "x"'],
  ['invalid_type', at(z.number()), { field: Number.NaN }, 'field: expected a number; got NaN'],
  ['invalid_type', at(z.int()), { field: 1.5 }, 'field: expected a whole number; got 1.5'],
  ['invalid_type', at(z.boolean()), { field: 'yes' }, 'field: expected true or false; got "yes"'],
  ['invalid_type', at(z.array(z.string())), { field: {} }, 'field: expected a list; got {}'],
  ['invalid_type', z.object({}), [1], 'the file: expected an object; got [1]'],
  ['too_small', at(z.number().min(60_000)), { field: 0 }, 'field: expected at least 60000; got 0'],
  ['too_small', at(z.number().positive()), { field: 0 }, 'field: expected more than 0; got 0'],
  ['too_small', at(z.string().min(1)), { field: '' }, 'field: expected at least 1 character; got none'],
  ['too_small', at(z.string().min(8)), { field: 'abc' }, 'field: expected at least 8 characters; got 3'],
  [
    'too_small',
    at(z.array(z.string()).min(2)),
    { field: ['a'] },
    'field: expected at least 2 entries; got 1',
  ],
  ['too_small', at(z.string().length(4)), { field: 'a' }, 'field: expected exactly 4 characters; got 1'],
  [
    'too_small',
    at(z.date().min(new Date(0))),
    { field: new Date(-1) },
    'field: expected at least 1970-01-01T00:00:00.000Z; got "1969-12-31T23:59:59.999Z"',
  ],
  ['too_big', at(z.number().max(3)), { field: 4 }, 'field: expected at most 3; got 4'],
  ['too_big', at(z.number().lt(3)), { field: 3 }, 'field: expected less than 3; got 3'],
  ['too_big', at(z.bigint().max(3n)), { field: 4n }, 'field: expected at most 3; got 4'],
  ['too_big', at(z.string().max(2)), { field: 'abc' }, 'field: expected at most 2 characters; got 3'],
  ['invalid_format', at(z.url()), { field: 'x y' }, 'field: expected a URL; got "x y"'],
  ['invalid_format', at(z.email()), { field: 'x' }, 'field: expected an e-mail address; got "x"'],
  [
    'invalid_format',
    at(z.iso.datetime()),
    { field: 'x' },
    'field: expected a date and time such as 2026-11-24T04:00:00Z; got "x"',
  ],
  [
    'invalid_format',
    at(z.string().startsWith('wh_')),
    { field: 'x' },
    'field: expected a string that starts with wh_; got "x"',
  ],
  [
    'invalid_format',
    at(z.string().endsWith('.csv')),
    { field: 'x' },
    'field: expected a string that ends with .csv; got "x"',
  ],
  [
    'invalid_format',
    at(z.string().includes('@')),
    { field: 'x' },
    'field: expected a string that contains @; got "x"',
  ],
  [
    'invalid_format',
    at(z.string().regex(/^a$/)),
    { field: 'x' },
    'field: expected a string that matches /^a$/; got "x"',
  ],
  [
    'invalid_format',
    at(z.string().regex(namePattern)),
    { field: 'a b' },
    'field: expected a name of at most 64 letters, digits, dots, dashes and underscores that starts and ends with a letter or digit; got "a b"',
  ],
  ['not_multiple_of', at(z.number().multipleOf(4)), { field: 6 }, 'field: expected a multiple of 4; got 6'],
  [
    'unrecognized_keys',
    z.strictObject({ replicas: z.int().optional() }),
    { replicsa: 2 },
    'replicsa: unknown field',
  ],
  [
    'invalid_value',
    at(z.enum(['none', 'per-channel'])),
    { field: 'per-chanel' },
    'field: expected one of none, per-channel; got "per-chanel". Did you mean per-channel?',
  ],
  ['invalid_value', at(z.enum(['a b', 'c'])), { field: 'zzz' }, 'field: expected one of "a b", c; got "zzz"'],
  ['invalid_value', at(z.literal('aiot-step/1')), { field: 1 }, 'field: expected aiot-step/1; got 1'],
  [
    'invalid_union',
    at(z.union([z.enum(['raw', 'har']), z.array(z.string())])),
    { field: 5 },
    'field: expected one of raw, har, or a list; got 5',
  ],
  [
    'invalid_union',
    at(kinds),
    { field: { kind: 'drft' } },
    'field.kind: expected one of drift, export; got "drft". Did you mean drift?',
  ],
  [
    'invalid_key',
    at(z.record(z.string().regex(/^[a-z]+$/), z.int())),
    { field: { A: 1 } },
    'field.A: as a name: expected a string that matches /^[a-z]+$/; got 1',
  ],
  ['invalid_element', at(z.map(z.string(), z.int())), { field: new Map([[{}, 1]]) }, ''],
  ['custom', at(z.custom<string>((value) => value === 1)), { field: 2 }, 'field: not a valid value; got 2'],
  [
    'custom',
    at(z.string().refine(() => false, 'expected a name of a class')),
    { field: 'x' },
    'field: expected a name of a class; got "x"',
  ],
];

describe('a schema issue', () => {
  it.each(table)('with the code %s reads as a sentence (case %#)', (_code, schema, value, text) => {
    const said = textOf(schema, value);
    if (text !== '') expect(said).toBe(text);
    expect(said).not.toMatch(/Invalid|Too (small|big)|Unrecognized|received|<=|>=/);
  });

  it('shows only the type if the value is unavailable', () => {
    const { error } = at(z.string()).safeParse({ field: 5 });
    expect(error && issueText(error, 'the file')).toBe('field: expected a string; got a number');
  });

  it.each([['password'], ['clientSecret'], ['token']])('never shows the value of %s', (name) => {
    expect(textOf(z.object({ [name]: z.string().regex(/^x$/) }), { [name]: 'hunter2' })).not.toContain(
      'hunter2',
    );
  });

  it('has a case above for each Zod issue code', () => {
    const codes = new Set(table.map(([code]) => code));
    expect([...codes].sort()).toEqual(
      [
        ...['invalid_type', 'too_small', 'too_big', 'invalid_format', 'not_multiple_of', 'unrecognized_keys'],
        ...['invalid_union', 'invalid_key', 'invalid_element', 'invalid_value', 'custom'],
      ].sort(),
    );
  });
});

it('no source except core/issues.ts shows Zod’s own messages', async () => {
  const shows =
    /prettifyError|treeifyError|formatError|flattenError|\bissues?(\[\d\]|\.at\(\d\))?\??\.message\b/;
  const own = join('core', 'issues.ts');
  const folder = join(root, 'src');
  const files = (await readdir(folder, { recursive: true })).filter((file) => file.endsWith('.ts'));
  const found = files.filter(
    (file) => !file.endsWith(own) && shows.test(readFileSync(join(folder, file), 'utf8')),
  );
  expect(files.length).toBeGreaterThan(100);
  expect(found).toEqual([]);
});

it('a thrown schema error names the field and the expected value', () => {
  const { error } = z.object({ validMs: z.int().min(60_000) }).safeParse({ validMs: 1 });
  expect(asAiotError(error)).toMatchObject({
    code: 'AIOT_BUG',
    message: 'validMs: expected at least 60000',
  });
});

describe('an unknown field', () => {
  const schema = z.strictObject({
    targets: z.record(z.string(), z.strictObject({ replicas: z.int().optional() }).optional()).default({}),
    list: z.array(z.strictObject({ timeout: z.string() })).optional(),
    model: z
      .strictObject({
        seed: z.int().optional(),
        train: z.strictObject({ seed: z.int(), batch: z.int() }).optional(),
      })
      .optional(),
  });

  it.each([
    [{ tragets: {} }, 'tragets', 'unknown field. Did you mean targets?'],
    [{ targets: { a: { replicsa: 1 } } }, 'targets.a.replicsa', 'unknown field. Did you mean replicas?'],
    [{ list: [{ timeout: '1s', timout: '1s' }] }, 'list.0.timout', 'unknown field. Did you mean timeout?'],
    [{ model: { batch: 1 } }, 'model.batch', 'unknown field. Did you mean model.train.batch?'],
    [{ model: { targets: {} } }, 'model.targets', 'unknown field. Did you mean targets at the top level?'],
    [{ targets: { a: { seed: 1 } } }, 'targets.a.seed', 'unknown field'],
    [{ colour: 1 }, 'colour', 'unknown field'],
  ])(
    'in %j is reported with a suggestion if a known field is similar, or has this name elsewhere',
    (value, path, message) => {
      const { error } = schema.safeParse(value);
      const problems = error ? problemsOf(error, { value, schema }) : [];
      expect(problems.map((each) => [each.path.join('.'), each.message])).toEqual([[path, message]]);
    },
  );

  it('is reported with its line and a suggestion in a YAML file', () => {
    const parse = () =>
      parseYaml('targets:\n  a:\n    replicsa: 2\n', 'deploy.yaml', schema, { code: 'AIOT_PROJECT_INVALID' });
    expect(parse).toThrow('deploy.yaml:3:5: targets.a.replicsa: unknown field. Did you mean replicas?');
  });
});
