import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ZodType } from 'zod';
import { catalogue } from '../../src/lib/core/index.js';
import {
  commandSchema,
  decodeMessage,
  desiredSchema,
  deviceChannels,
  encodeMessage,
  inferenceSchema,
  logSchema,
  parseTopic,
  presenceSchema,
  replySchema,
  reportedSchema,
  telemetrySchema,
  topicOf,
  updateStates,
} from '../../src/lib/device/index.js';
import { envelopeSchema, manifestSchema, trustRootSchema } from '../../src/lib/formats/index.js';
import { root } from '../support/cli.js';

const schemas: Record<string, ZodType> = {
  command: commandSchema,
  desired: desiredSchema,
  envelope: envelopeSchema,
  inference: inferenceSchema,
  log: logSchema,
  manifest: manifestSchema,
  presence: presenceSchema,
  reply: replySchema,
  reported: reportedSchema,
  telemetry: telemetrySchema,
  trust: trustRootSchema,
};
const page = await readFile(join(root, 'docs', 'protocol.md'), 'utf8');
const examples = [...page.matchAll(/```json (\w+)\n(.+?)\n```/gs)].map(([, name = '', text = '']) => ({
  name,
  text,
}));

describe('docs/protocol.md', () => {
  it('has an example of each message', () => {
    expect([...new Set(examples.map(({ name }) => name))].sort()).toEqual(Object.keys(schemas));
  });

  it.each(examples)('shows a $name that its schema takes whole: $text', ({ name, text }) => {
    const value = JSON.parse(text);
    expect(schemas[name]?.parse(value)).toEqual(value);
  });

  it('names every channel, every state, and no code that is not in the catalogue', () => {
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

describe('a protocol topic', () => {
  it('is read back as it was made', () => {
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
  ])('is not %s', (topic) => {
    expect(parseTopic(topic)).toBeNull();
  });
});

describe('a payload', () => {
  it('keeps members that nobody knows yet', () => {
    const payload = encodeMessage({ online: true, t: 1, battery: 0.8 });
    expect(decodeMessage(presenceSchema, 'p', payload)).toEqual({ online: true, t: 1, battery: 0.8 });
  });

  it.each([
    [Buffer.from('{'), 'p: the payload is not JSON'],
    [Buffer.from([0xff]), 'p: the payload is not JSON'],
    [Buffer.from('[]'), 'p: payload: '],
    [Buffer.from('{"online":1,"t":1}'), 'p: online: '],
  ])('%s is refused with its place', (payload, message) => {
    expect(() => decodeMessage(presenceSchema, 'p', payload)).toThrow(
      expect.objectContaining({
        code: 'AIOT_MESSAGE_MALFORMED',
        message: expect.stringContaining(message),
      }),
    );
  });
});
