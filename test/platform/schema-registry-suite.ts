import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestPlatform } from '../support/platform.js';

/** A platform, and the URLs of its replicas. */
export interface RegistryPlatform {
  own: TestPlatform;
  urls: string[];
}

type Answer = { status: number; body: unknown; type: string };

/** The schema registry as Confluent's clients use it, on any database. */
export function schemaRegistrySuite(start: () => Promise<RegistryPlatform>): void {
  let there: RegistryPlatform;
  beforeAll(async () => {
    there = await start();
  });
  afterAll(() => there.own.stop());

  const call = async (
    method: string,
    path: string,
    body?: unknown,
    { authorization = `Bearer ${there.own.token}`, url = there.urls[0] ?? '' } = {},
  ): Promise<Answer> => {
    const { Agent, request } = await import('undici');
    const dispatcher = new Agent({ connect: { ca: there.own.ca } });
    try {
      const answer = await request(`${url}/schema-registry${path}`, {
        method: method as 'GET',
        dispatcher,
        headers: { authorization, 'content-type': 'application/vnd.schemaregistry.v1+json' },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      const type = String(answer.headers['content-type']);
      return { status: answer.statusCode, body: await answer.body.json(), type };
    } finally {
      await dispatcher.close();
    }
  };
  const record = (...fields: object[]) => ({
    schema: JSON.stringify({ type: 'record', name: 'Reading', fields }),
  });
  const code = ({ status, body }: Answer) => [status, (body as { error_code: number }).error_code];
  const [t, u] = [
    { name: 't', type: 'int' },
    { name: 'u', type: 'string', default: '' },
  ];

  describe('subjects, versions and ids', () => {
    it('gives the same schema one id in all subjects, whatever its layout, and numbers versions per subject', async () => {
      const first = await call('POST', '/subjects/a-value/versions', record(t));
      expect(first).toMatchObject({
        status: 200,
        body: { id: 1 },
        type: expect.stringContaining('schemaregistry'),
      });
      const spaced = { schema: JSON.stringify(JSON.parse(record(t).schema), null, 2) };
      expect((await call('POST', '/subjects/b-value/versions', spaced)).body).toEqual({ id: 1 });
      expect((await call('POST', '/subjects/a-value/versions', record(t, u))).body).toEqual({ id: 2 });
      expect((await call('POST', '/subjects/a-value/versions', record(t))).body).toEqual({ id: 1 });
      expect((await call('GET', '/subjects/a-value/versions')).body).toEqual([1, 2]);
      expect((await call('GET', '/schemas/ids/1/versions')).body).toEqual([
        { subject: 'a-value', version: 1 },
        { subject: 'b-value', version: 1 },
      ]);
      expect((await call('POST', '/subjects/a-value', record(t, u))).body).toMatchObject({
        version: 2,
        id: 2,
      });
      expect((await call('GET', '/subjects/a-value/versions/latest')).body).toMatchObject({ version: 2 });
    });

    it('gives concurrent registrations of one schema the same id, without gaps', async () => {
      const all = await Promise.all(
        Array.from({ length: 12 }, (_, i) =>
          call('POST', `/subjects/many-${i % 4}/versions`, record({ name: 'm', type: 'long' }), {
            url: there.urls[i % there.urls.length],
          }),
        ),
      );
      expect(new Set(all.map(({ body }) => JSON.stringify(body)))).toEqual(new Set(['{"id":3}']));
    });

    it('gives concurrent registrations of different schemas ids and versions without gaps', async () => {
      const all = await Promise.all(
        Array.from({ length: 24 }, (_, i) => {
          // Each schema twice, through different platforms if there are two.
          const number = Math.floor(i / 2);
          const field = { name: `f${number}`, type: 'int', default: 0 };
          const url = there.urls[i % there.urls.length];
          return call('POST', `/subjects/each-${number % 3}/versions`, record(field), { url });
        }),
      );
      const ids = all.map(({ body }) => (body as { id: number }).id);
      const unique = Array.from({ length: 12 }, (_, i) => 4 + i);
      expect(ids.toSorted((a, b) => a - b)).toEqual(unique.flatMap((id) => [id, id]));
      expect(ids.filter((_, i) => i % 2 === 0)).toEqual(ids.filter((_, i) => i % 2 === 1));
      for (const subject of ['each-0', 'each-1', 'each-2'])
        expect((await call('GET', `/subjects/${subject}/versions`)).body).toEqual([1, 2, 3, 4]);
    });

    it('deletes first so that the id still works, then permanently', async () => {
      await call('POST', '/subjects/gone/versions', record(t));
      expect(code(await call('DELETE', '/subjects/gone?permanent=true'))).toEqual([404, 40405]);
      expect((await call('DELETE', '/subjects/gone')).body).toEqual([1]);
      expect(code(await call('GET', '/subjects/gone/versions'))).toEqual([404, 40401]);
      expect(code(await call('DELETE', '/subjects/gone'))).toEqual([404, 40404]);
      expect((await call('GET', '/subjects/gone/versions?deleted=true')).body).toEqual([1]);
      expect((await call('DELETE', '/subjects/gone?permanent=true')).body).toEqual([1]);
      await call('POST', '/subjects/gone/versions', record(t));
      expect((await call('GET', '/subjects/gone/versions')).body).toEqual([2]);
    });

    it('resolves references, and keeps referenced versions', async () => {
      const proto = 'syntax = "proto3"; message Unit { string name = 1; }';
      await call('POST', '/subjects/unit/versions', { schemaType: 'PROTOBUF', schema: proto });
      const references = [{ name: 'unit.proto', subject: 'unit', version: 1 }];
      const schema = 'syntax = "proto3"; import "unit.proto"; message Value { Unit unit = 1; }';
      const made = await call('POST', '/subjects/value/versions', {
        schemaType: 'PROTOBUF',
        schema,
        references,
      });
      expect(made.status).toBe(200);
      const { id } = made.body as { id: number };
      expect((await call('GET', '/subjects/unit/versions/1/referencedby')).body).toEqual([id]);
      expect(code(await call('DELETE', '/subjects/unit'))).toEqual([422, 42206]);
      // A version that was deleted softly can still be read, with what it refers to.
      await call('DELETE', '/subjects/value');
      expect((await call('DELETE', '/subjects/unit')).status).toBe(200);
      expect(code(await call('DELETE', '/subjects/unit?permanent=true'))).toEqual([422, 42206]);
      await call('DELETE', '/subjects/value?permanent=true');
      expect((await call('DELETE', '/subjects/unit?permanent=true')).status).toBe(200);
    });

    it('limits chains of references', { timeout: 120_000 }, async () => {
      const link = (i: number) => ({
        schema: JSON.stringify({
          ...{ type: 'record', name: `C${i}` },
          fields: i === 0 ? [] : [{ name: 'c', type: `C${i - 1}` }],
        }),
        references: i === 0 ? [] : [{ name: `C${i - 1}`, subject: `chain-${i - 1}`, version: 1 }],
      });
      for (let i = 0; i <= 100; i++)
        expect((await call('POST', `/subjects/chain-${i}/versions`, link(i))).status).toBe(200);
      expect(code(await call('POST', '/subjects/chain-101/versions', link(101)))).toEqual([422, 42201]);
    });

    it('returns schemas as they were sent, with zero bytes and large numbers', async () => {
      const zero = '{"name":"d","type":"bytes","default":"\\u0000"}';
      const large = (last: number) => `{"name":"n","type":"long","default":922337203685477580${last}}`;
      const schema = (field: string) => `{ "type": "record", "name": "Exact", "fields": [ ${field} ] }`;
      for (const [i, field] of [zero, large(6), large(7)].entries()) {
        const subject = `exact-${i}`;
        const made = await call('POST', `/subjects/${subject}/versions`, { schema: schema(field) });
        expect(made.status).toBe(200);
        const { id } = made.body as { id: number };
        expect((await call('GET', `/schemas/ids/${id}`)).body).toEqual({ schema: schema(field) });
      }
    });

    it.each([':*:', ':.:', ''])('lists subjects with the prefix %s', async (context) => {
      const prefix = encodeURIComponent(`${context}exact-`);
      const all = ['exact-0', 'exact-1', 'exact-2'];
      expect((await call('GET', `/subjects?subjectPrefix=${prefix}`)).body).toEqual(all);
      const { body } = await call('GET', `/schemas?subjectPrefix=${prefix}`);
      expect((body as { subject: string }[]).map(({ subject }) => subject)).toEqual(all);
    });
  });

  describe('compatibility', () => {
    it('rejects an incompatible schema with 409 and the reason, as the level of the subject requires', async () => {
      const strict = record(t, { name: 'v', type: 'string' });
      await call('POST', '/subjects/strict/versions', record(t));
      const refused = await call('POST', '/subjects/strict/versions', strict);
      expect(code(refused)).toEqual([409, 409]);
      expect(JSON.stringify(refused.body)).toContain('READER_FIELD_MISSING_DEFAULT_VALUE at /v');
      const check = '/compatibility/subjects/strict/versions/latest?verbose=true';
      expect((await call('POST', check, strict)).body).toMatchObject({ is_compatible: false });
      expect(code(await call('GET', '/config/strict'))).toEqual([404, 40408]);
      expect((await call('GET', '/config')).body).toEqual({ compatibilityLevel: 'BACKWARD' });
      await call('PUT', '/config/strict', { compatibility: 'FORWARD' });
      expect((await call('POST', check, strict)).body).toEqual({ is_compatible: true, messages: [] });
      expect((await call('POST', '/subjects/strict/versions', strict)).status).toBe(200);
      expect(code(await call('PUT', '/config', { compatibility: 'MAYBE' }))).toEqual([422, 42203]);
    });

    it('accepts no changes in READONLY mode, which can be ended', async () => {
      await call('PUT', '/mode/strict', { mode: 'READONLY' });
      expect(code(await call('POST', '/subjects/strict/versions', record(u)))).toEqual([422, 42205]);
      await call('DELETE', '/mode/strict');
      expect(code(await call('GET', '/mode/strict'))).toEqual([404, 40409]);
    });
  });

  describe('requests that cannot be answered', () => {
    it.each([
      ['GET', '/subjects/none/versions', undefined, [404, 40401]],
      ['GET', '/subjects/a-value/versions/99', undefined, [404, 40402]],
      ['GET', '/schemas/ids/999', undefined, [404, 40403]],
      ['GET', '/subjects/a-value/versions/0', undefined, [422, 42202]],
      ['POST', '/subjects/a-value/versions', { schema: '{"type":"nothing"}' }, [422, 42201]],
      ['POST', '/subjects/a-value/versions', '{', [422, 42201]],
      [
        'POST',
        '/subjects/nul/versions',
        { schemaType: 'PROTOBUF', schema: 'message N {} // \0' },
        [422, 42201],
      ],
      [
        'POST',
        '/subjects/nul/versions',
        { schema: '"int"', references: [{ name: 'a\0', subject: 'a-value', version: 1 }] },
        [422, 42201],
      ],
      [
        'POST',
        '/subjects/twice/versions',
        {
          schema: '"int"',
          references: [1, 2].map((version) => ({ name: 'a', subject: 'a-value', version })),
        },
        [422, 42201],
      ],
      [
        'POST',
        '/subjects/meta/versions',
        { schemaType: 'JSON', schema: '{"$schema":"https://example.com/meta"}' },
        [422, 42201],
      ],
      ['POST', '/subjects/a-value/versions', { schema: '"int"', ruleSet: { domainRules: [] } }, [422, 42201]],
    ])('%s %s: %j', async (method, path, body, expected) => {
      expect(code(await call(method, path, body))).toEqual(expected);
    });

    const nested = (open: string, close: string, depth: number) => open.repeat(depth) + close.repeat(depth);
    const chain = Array.from({ length: 4000 }, (_, i) => ({
      ...{ type: 'record', name: `R${i}` },
      fields: i === 0 ? [] : [{ name: 'r', type: `R${i - 1}` }],
    }));
    const bombs: [string, string, string][] = [
      ['deep Avro', 'AVRO', nested('{"type":"array","items":', '}', 20_000)],
      ['a chain of Avro records', 'AVRO', JSON.stringify(chain)],
      ['deep Protobuf', 'PROTOBUF', `syntax = "proto3"; ${nested('message A {', '}', 15_000)}`],
      ['a JSON Schema that refers to itself', 'JSON', '{"$ref":"#"}'],
      [
        'alternatives that contain themselves',
        'JSON',
        '{"anyOf":[{"$ref":"#"},{"allOf":[{"$ref":"#"},{"$ref":"#"}]},{"type":"string"}]}',
      ],
      ['a large text', 'AVRO', `"${'x'.repeat(600_000)}"`],
    ];
    it.each(bombs)('%s: answers within 2 s', async (name, schemaType, schema) => {
      const subject = encodeURIComponent(name);
      // CPU time of both requests, because other programs may use the machine.
      const began = process.cpuUsage();
      const first = await call('POST', `/subjects/${subject}/versions`, { schemaType, schema });
      // Schemas that are valid are compared with a variant of themselves.
      const other = {
        schemaType,
        schema: schema.replace('"string"', '"integer"').replace('"R3999"', '"R4000"'),
      };
      const second = await call('POST', `/subjects/${subject}/versions`, other);
      expect(process.cpuUsage(began).user / 1e6).toBeLessThan(4);
      for (const answer of [first, second])
        if (answer.status !== 200) expect(String(code(answer)[1])).toMatch(/^(?:409|422\d\d)$/);
    });
  });

  it('takes the token as a password, lets viewers read, and requires an operator for changes', async () => {
    const basic = (token: string) => `Basic ${Buffer.from(`any:${token}`).toString('base64')}`;
    const as = async (token: string, method: string, path: string, body?: unknown) =>
      (await call(method, path, body, { authorization: basic(token) })).status;
    await there.own.client.users.add({ name: 'ada', role: 'viewer' });
    const { token } = await there.own.client.tokens.create({ name: 'hers', owner: 'ada' });
    expect(await as(there.own.token, 'GET', '/subjects')).toBe(200);
    expect(await as(token, 'GET', '/subjects')).toBe(200);
    expect([await as(token, 'GET', ''), await as(token, 'GET', '/')]).toEqual([200, 200]);
    expect(await as(token, 'POST', '/compatibility/subjects/a-value/versions', record(t, u))).toBe(200);
    expect(await as(token, 'POST', '/subjects/a-value/versions', record(t))).toBe(403);
    expect(await as(token, 'DELETE', '/subjects/a-value')).toBe(403);
    const refused = await call('GET', '/subjects', undefined, { authorization: basic('wrong') });
    expect(code(refused)).toEqual([401, 401]);
  });

  it('records changes as events', async () => {
    const { events } = await there.own.client.events.page({ subject: 'strict' });
    expect(events.map(({ type }) => type)).toEqual([
      ...['schema.register', 'schema.configure', 'schema.register', 'schema.configure', 'schema.configure'],
    ]);
  });
}
