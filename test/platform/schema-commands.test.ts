import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  schemaCheckedSchema,
  schemaLevelSchema,
  schemaRegisteredSchema,
  schemaRemovedSchema,
  schemaShownSchema,
  schemaSubjectsSchema,
} from '../../src/lib/api/schemas.js';
import { writeContexts } from '../../src/lib/core/contexts.js';
import { largestSchema } from '../../src/lib/formats/schemas/schema.js';
import { runCli } from '../support/cli.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { ok, refusal } from '../support/up.js';

let own: TestPlatform;
const at = (name: string) => join(own.folder, name);

const record = (...fields: object[]) =>
  JSON.stringify({ type: 'record', name: 'Sample', fields: [{ name: 't', type: 'long' }, ...fields] });

beforeAll(async () => {
  own = await testPlatform();
  process.env.AIOT_CONFIG_DIR = at('config');
  await writeContexts({
    current: 'lab',
    contexts: { lab: { url: own.platform.urls.http, ca: own.platform.ca, token: own.token } },
  });
  await mkdir(at('folder'));
  await writeFile(at('one.avsc'), record());
  await writeFile(at('two.avsc'), record({ name: 'rpm', type: 'double', default: 0 }));
  await writeFile(at('bad.avsc'), record({ name: 'load', type: 'double' }));
  await writeFile(at('broken.avsc'), '{"type": "record"}');
  await writeFile(
    at('units.proto'),
    'syntax = "proto3"; package units; message Celsius { double value = 1; }',
  );
  await writeFile(
    at('motors.proto'),
    'syntax = "proto3"; import "units.proto"; message Motor { units.Celsius temperature = 1; }',
  );
});
afterAll(() => own.stop());

describe('aiot stream schema', () => {
  it('registers versions, and shows them', async () => {
    expect((await runCli(['stream', 'schema', 'list'])).stdout).toContain('No schemas yet.');
    const register = (subject: string, file: string, ...more: string[]) =>
      ok(schemaRegisteredSchema, ['stream', 'schema', 'register', subject, at(file), ...more]);
    expect(await register('motors-value', 'one.avsc')).toEqual({
      ...{ subject: 'motors-value', version: 1, id: 1, schemaType: 'AVRO', references: [], new: true },
    });
    expect(await register('motors-value', 'two.avsc')).toMatchObject({ version: 2, id: 2, new: true });
    expect(await register('motors-value', 'one.avsc')).toMatchObject({ version: 1, id: 1, new: false });
    // Slashes and colons in a subject are part of its name.
    await register('line/a:units', 'units.proto');
    expect(
      await register('plant-value', 'motors.proto', '--reference', 'units.proto=line/a:units:1'),
    ).toMatchObject({ references: [{ name: 'units.proto', subject: 'line/a:units', version: 1 }] });

    expect(await ok(schemaSubjectsSchema, ['stream', 'schema', 'list'])).toEqual([
      { subject: 'line/a:units', version: 1, versions: 1, id: 3, schemaType: 'PROTOBUF' },
      { subject: 'motors-value', version: 2, versions: 2, id: 2, schemaType: 'AVRO' },
      { subject: 'plant-value', version: 1, versions: 1, id: 4, schemaType: 'PROTOBUF' },
    ]);
    expect(
      await ok(schemaShownSchema, ['stream', 'schema', 'show', 'motors-value', '--number', '1']),
    ).toMatchObject({ version: 1, versions: [1, 2], compatibility: 'BACKWARD', mode: 'READWRITE' });
    const { stdout } = await runCli(['stream', 'schema', 'show', 'plant-value']);
    expect(stdout).toMatch(/uses +units\.proto = line\/a:units:1/);
    expect(stdout).toContain('import "units.proto";');
  });

  it('checks compatibility without registering, with each problem', async () => {
    const check = ['stream', 'schema', 'check', 'motors-value'];
    expect(await ok(schemaCheckedSchema, [...check, at('two.avsc')])).toMatchObject({ compatible: true });
    const { code, json } = await runCli([...check, at('bad.avsc'), '--json']);
    expect(code).toBe(6);
    const problem = expect.stringMatching(/^READER_FIELD_MISSING_DEFAULT_VALUE at .*load.*\(version 2\)$/);
    expect(json).toEqual({ subject: 'motors-value', compatible: false, problems: [problem] });
    expect((await runCli([...check, at('bad.avsc')])).stdout).toMatch(
      /^Incompatible with motors-value: 1 problem\.\n {2}READER_FIELD/,
    );
    // A new subject accepts any valid schema.
    const fresh = ['stream', 'schema', 'check', 'new-value', at('bad.avsc')];
    expect(await ok(schemaCheckedSchema, fresh)).toEqual({
      ...{ subject: 'new-value', compatible: true, problems: [] },
    });
    expect(await ok(schemaSubjectsSchema, ['stream', 'schema', 'list'])).toHaveLength(3);
  });

  it('sets the level of one subject or all, so that a rejected schema is accepted', async () => {
    const register = ['stream', 'schema', 'register', 'motors-value', at('bad.avsc')];
    expect(await refusal(register)).toMatchObject({
      ...{ code: 'AIOT_SCHEMA_INCOMPATIBLE', exit: 6 },
      message: expect.stringContaining('load'),
    });
    const level = (...words: string[]) => ok(schemaLevelSchema, ['stream', 'schema', 'level', ...words]);
    const ofMotors = ['--subject', 'motors-value'];
    expect(await level(...ofMotors)).toEqual({
      ...{ subject: 'motors-value', compatibility: 'BACKWARD', inherited: true },
    });
    expect(await level('FULL')).toEqual({ subject: null, compatibility: 'FULL', inherited: false });
    expect(await level(...ofMotors)).toMatchObject({ compatibility: 'FULL', inherited: true });
    expect(await level('FORWARD', ...ofMotors)).toMatchObject({ compatibility: 'FORWARD', inherited: false });
    expect(await ok(schemaRegisteredSchema, register)).toMatchObject({ version: 3, new: true });
    expect(await level('inherit', ...ofMotors)).toMatchObject({ compatibility: 'FULL', inherited: true });
    expect(await level('inherit', ...ofMotors)).toMatchObject({ compatibility: 'FULL', inherited: true });
    expect(await level('inherit')).toMatchObject({ subject: null, compatibility: 'BACKWARD' });
    expect((await runCli(['stream', 'schema', 'level', 'SIDEWAYS'])).code).toBe(2);
  });

  it('removes versions and subjects in two steps', async () => {
    const remove = (...words: string[]) => ['stream', 'schema', 'remove', ...words, '--yes'];
    expect(await refusal(remove('line/a:units'))).toMatchObject({ code: 'AIOT_SCHEMA_LOCKED', exit: 6 });
    expect(await ok(schemaRemovedSchema, remove('motors-value', '--number', '3'))).toEqual({
      ...{ subject: 'motors-value', versions: [3], permanent: false },
    });
    expect(await refusal(remove('motors-value', '--permanent'))).toMatchObject({
      code: 'AIOT_SCHEMA_LOCKED',
    });
    expect(await ok(schemaRemovedSchema, remove('motors-value'))).toMatchObject({ versions: [1, 2] });
    expect(await ok(schemaRemovedSchema, remove('motors-value', '--permanent'))).toMatchObject({
      versions: [1, 2, 3],
    });
    expect(await refusal(['stream', 'schema', 'show', 'motors-value'])).toMatchObject({
      ...{ code: 'AIOT_NOT_FOUND', subject: 'schema', exit: 4 },
      message: "Subject 'motors-value' not found.",
    });
    expect(await refusal(remove('motors-value'))).toMatchObject({ code: 'AIOT_NOT_FOUND' });
  });

  it('rejects unusable schemas, files and references', async () => {
    const register = (file: string, ...more: string[]) =>
      refusal(['stream', 'schema', 'register', 'bad-value', at(file), ...more]);
    expect(await register('broken.avsc')).toMatchObject({ code: 'AIOT_SCHEMA_INVALID', exit: 2 });
    expect(await register('one.avsc', '--type', 'protobuf')).toMatchObject({ code: 'AIOT_SCHEMA_INVALID' });
    expect(await register('motors.proto')).toMatchObject({ code: 'AIOT_SCHEMA_INVALID' });
    expect(await register('motors.proto', '--reference', 'units.proto=none:1')).toMatchObject({
      ...{ code: 'AIOT_SCHEMA_INVALID', message: expect.stringContaining('"none" and version 1') },
    });
    expect(await register('motors.proto', '--reference', 'units.proto')).toMatchObject({
      ...{ code: 'AIOT_USAGE', message: expect.stringContaining('NAME=SUBJECT:VERSION') },
    });
    expect(await register('missing.avsc')).toMatchObject({ code: 'AIOT_FILE_NOT_FOUND' });
    expect(await register('folder', '--type', 'avro')).toMatchObject({ code: 'AIOT_FILE_NOT_READABLE' });
    await writeFile(at('schema.txt'), record());
    expect(await register('schema.txt')).toMatchObject({ code: 'AIOT_USAGE' });
    await writeFile(at('large.json'), JSON.stringify({ title: 'x'.repeat(largestSchema) }));
    expect(await register('large.json')).toMatchObject({
      ...{ code: 'AIOT_SCHEMA_INVALID', message: expect.stringContaining('at most 262144') },
    });
  });

  it('tells viewers what they may not do', async () => {
    const { token } = await own.client.tokens.create({
      name: 'reader',
      role: 'viewer',
      scopes: ['data:read'],
    });
    await writeContexts({
      current: 'lab',
      contexts: { lab: { url: own.platform.urls.http, ca: own.platform.ca, token } },
    });
    expect(await ok(schemaSubjectsSchema, ['stream', 'schema', 'list'])).toHaveLength(2);
    expect(await refusal(['stream', 'schema', 'level', 'NONE'])).toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
    const missing = ['stream', 'schema', 'register', 'x', at('one.avsc')];
    expect(await refusal(missing)).toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
  });
});
