import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Ajv2020 as Ajv, type ValidateFunction } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import type { ZodType } from 'zod';
import { catalogue } from '../../src/lib/core/catalogue.js';
import {
  decodeMessage,
  deviceChannels,
  encodeMessage,
  parseTopic,
  topicOf,
} from '../../src/lib/device/protocol/codec.js';
import { presenceSchema, updateStates } from '../../src/lib/device/protocol/messages.js';
import { protocolSchemas } from '../../src/lib/device/protocol/schemas.js';
import { root } from '../support/cli.js';
import { fc } from '../support/property.js';

const schemas: Record<string, ZodType> = protocolSchemas;
const page = await readFile(join(root, 'docs', 'reference', 'protocol.md'), 'utf8');
const examples = [...page.matchAll(/```json (\w+)\n(.+?)\n```/gs)].map(([, name = '', text = '']) => ({
  name,
  text,
}));

describe('docs/reference/protocol.md', () => {
  it('contains an example of each message', () => {
    expect([...new Set(examples.map(({ name }) => name))].sort()).toEqual(Object.keys(schemas));
  });

  it.each(examples)('shows a $name that its schema accepts completely: $text', ({ name, text }) => {
    const value = JSON.parse(text);
    expect(schemas[name]?.parse(value)).toEqual(value);
  });

  it('lists every channel and every state, and only codes from the catalog', () => {
    for (const channel of Object.keys(deviceChannels))
      expect(page).toMatch(new RegExp(`\\| \`${channel}[\`/]`));
    for (const state of updateStates) expect(page).toContain(`${state} -->`);
    for (const [code] of page.matchAll(/AIOT_\w+/g)) expect(Object.keys(catalogue)).toContain(code);
  });

  it('lists every code that an update can end with', () => {
    const codes = Object.keys(catalogue).filter((code) => /^AIOT_(UPDATE|COMMAND)_/.test(code));
    for (const code of codes) expect(page).toContain(`| \`${code}\` |`);
  });
});

describe('docs/reference/schemas/protocol', () => {
  const ajv = new Ajv({ allowUnionTypes: true, strict: true });
  for (const format of ['base64', 'uri']) ajv.addFormat(format, true);
  const validators = new Map<string, ValidateFunction>();
  const validatorOf = async (name: string) => {
    const file = join(root, 'docs', 'reference', 'schemas', 'protocol', `${name}.json`);
    const known = validators.get(name) ?? ajv.compile(JSON.parse(await readFile(file, 'utf8')));
    validators.set(name, known);
    return known;
  };

  it.each(examples)('accepts the example of $name: $text', async ({ name, text }) => {
    const validate = await validatorOf(name);
    validate(JSON.parse(text));
    expect(validate.errors).toBeNull();
  });

  /** Each schema-defined member of each example. The test replaces it with an invalid value. */
  const wrong = examples.flatMap(({ name, text }) =>
    Object.keys(JSON.parse(text) as object)
      .filter((member) => member in (schemas[name] as unknown as { shape: object }).shape)
      .map((member) => ({ name, member, text })),
  );
  it.each(wrong)('rejects $name with an invalid $member: $text', async ({ name, member, text }) => {
    const validate = await validatorOf(name);
    const value = { ...JSON.parse(text), [member]: { neither: ['this', 'nor', 'that'] } };
    // `result`, `args` and `values` can contain anything that a project defines.
    expect(validate(value)).toBe(['result', 'args', 'values'].includes(member));
  });

  it.each(Object.keys(protocolSchemas))(
    'agrees with the platform about %s if any single member is missing',
    async (name) => {
      const validate = await validatorOf(name);
      for (const { text } of examples.filter((example) => example.name === name)) {
        for (const member of Object.keys(JSON.parse(text) as object)) {
          const { [member]: _, ...rest } = JSON.parse(text);
          expect({ member, taken: validate(rest) }).toEqual({
            member,
            taken: schemas[name]?.safeParse(rest).success,
          });
        }
      }
      expect(validate([])).toBe(false);
      expect(validate('text')).toBe(false);
    },
  );
});

describe('a protocol topic', () => {
  it('survives a round trip', () => {
    const names = fc.stringMatching(/^[a-z0-9]{1,10}$/);
    const channels = fc.constantFrom(...(Object.keys(deviceChannels) as (keyof typeof deviceChannels)[]));
    fc.assert(
      fc.property(names, channels, names, (device, channel, name) => {
        const stream = channel === 'telemetry' ? { stream: name } : {};
        expect(parseTopic(topicOf(device, channel, stream.stream))).toEqual({ device, channel, ...stream });
      }),
    );
  });

  it.each([
    'aiot/v1/dev/telemetry',
    'aiot/v1/dev/reported/x',
    'aiot/v1/dev/telemetry/a/b',
    'aiot/v2/dev/reported',
    'aiot/v1//reported',
    'aiot/v1/dev/constructor',
    'other',
  ])('is not parsed from %s', (topic) => {
    expect(parseTopic(topic)).toBeNull();
  });
});

describe('a payload', () => {
  it('keeps unknown members', () => {
    const payload = encodeMessage({ online: true, t: 1, battery: 0.8 });
    expect(decodeMessage(presenceSchema, 'p', payload)).toEqual({ online: true, t: 1, battery: 0.8 });
  });

  it.each([
    [Buffer.from('{'), 'p: the payload is not JSON'],
    [Buffer.from([0xff]), 'p: the payload is not JSON'],
    [Buffer.from([0xa1, 0x61, 0x61, 0xf9, 0x7e, 0x00]), 'p: the payload is CBOR that cannot be read: '],
    [Buffer.from([0xa1, 0x66, ...Buffer.from('online'), 0x01]), 'p: online: '],
    [Buffer.from('[]'), 'p: payload: '],
    [Buffer.from('{"online":1,"t":1}'), 'p: online: '],
  ])('of %s is rejected with its location', (payload, message) => {
    expect(() => decodeMessage(presenceSchema, 'p', payload)).toThrow(
      expect.objectContaining({
        code: 'AIOT_MESSAGE_MALFORMED',
        message: expect.stringContaining(message),
      }),
    );
  });
});
