import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { root } from '../support/cli.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { describeReal, python } from '../support/real.js';

const run = promisify(execFile);

describeReal('schema-registry', "Confluent's client for Python with the schema registry, over TLS", () => {
  let own: TestPlatform;
  let results: Record<string, unknown>;
  beforeAll(async () => {
    own = await testPlatform();
    const ca = join(own.folder, 'ca.pem');
    await writeFile(ca, own.ca);
    const script = join(root, 'test/support/python/schema_registry.py');
    const url = `${own.platform.urls.http}/schema-registry`;
    const { stdout } = await run(python('schema-registry'), [script, url, own.token, ca]);
    results = JSON.parse(stdout);
  }, 120_000);
  afterAll(() => own.stop());

  it('writes Avro, which another client reads with a newer schema', () => {
    expect(results.avro).toEqual({ magic: 0, read: { x: 3, y: 'none' } });
  });

  it('writes JSON, which another client reads, and refuses values that violate the schema', () => {
    expect(results.json).toEqual({ read: { x: 3 }, refused: true });
  });

  it('writes Protobuf, whose descriptor is registered as a readable schema', () => {
    expect(results.protobuf).toMatchObject({ same: true, references: [] });
    expect((results.protobuf as { text: string }).text).toContain('map<string, sint64> counts = 4;');
  });

  it.each(['timestamp', 'registered'])('writes Protobuf with a type of Google: %s', (name) => {
    const subject = 'google/protobuf/timestamp.proto';
    expect(results[name]).toMatchObject({
      same: true,
      read: { at: '2023-11-14T22:13:20Z' },
      references: name === 'registered' ? [[subject, subject, 1]] : [],
    });
  });

  it('writes Protobuf with a message of another file, which the client registers first', () => {
    expect(results.references).toMatchObject({
      same: true,
      read: { unit: { name: 'm' }, value: 1.5 },
      references: [['unit.proto', 'unit.proto', 1]],
    });
  });

  it('looks up, checks and deletes schemas, and sets a level', () => {
    expect(results.administration).toEqual({
      subjects: [
        ...['avro-value', 'google/protobuf/timestamp.proto', 'json-value', 'measured-value', 'proto-value'],
        ...['registered-value', 'stamped-value', 'unit.proto'],
      ],
      ...{ same: true, level: 'FULL', compatible: false, refused: 409, deleted: [[1], [1]] },
    });
  });
});
