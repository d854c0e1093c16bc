import { Agent, request } from 'undici';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parseProject } from '../../src/lib/core/project.js';
import { datasetSummary } from '../../src/lib/data/dataset/summary.js';
import type { Dataset } from '../../src/lib/data/types.js';
import { parseValues } from '../../src/lib/deploy/values.js';
import { decodeMessage } from '../../src/lib/device/protocol/codec.js';
import { protocolSchemas } from '../../src/lib/device/protocol/schemas.js';
import { numbersOf } from '../../src/lib/flash/monitor/board-text.js';
import { decodeCbor } from '../../src/lib/formats/cbor.js';
import { parseMixedCsv } from '../../src/lib/formats/csv/parse.js';
import { parseTable } from '../../src/lib/formats/csv/table.js';
import { readZip, writeZip } from '../../src/lib/formats/zip.js';
import { parseAddress } from '../../src/lib/loop/sense/address.js';
import { readFleet } from '../../src/lib/provision/provision-fleet.js';
import { parseSensorUrl, readSettings } from '../../src/lib/sensor/url.js';
import { parseCreateFile } from '../../src/lib/stream/broker/create.js';
import { decodeAuto } from '../../src/lib/stream/decode/values.js';
import { createRowReader, payloadRow } from '../../src/lib/stream/file/rows.js';
import { outgoingHeaders } from '../../src/lib/stream/http/headers.js';
import { parseRoutes } from '../../src/lib/stream/route/load.js';
import { parseStreamUrl, readQuery } from '../../src/lib/stream/url.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

/** Names of built-in members, which untrusted input could contain. */
const names = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty'];
const own = (of: object) => Reflect.ownKeys(of).map(String).sort();
const before = [own(Object.prototype), own(Object), own(Array.prototype), own(Function.prototype)];

/** Checks that no shared object has changed, and restores them so that a fault fails only one test. */
function untouched() {
  const after = [own(Object.prototype), own(Object), own(Array.prototype), own(Function.prototype)];
  for (const [i, of] of [Object.prototype, Object, Array.prototype, Function.prototype].entries())
    for (const name of after[i]!) if (!before[i]!.includes(name)) Reflect.deleteProperty(of, name);
  expect(after).toEqual(before);
}
afterEach(untouched);

/** The value's own member of this name; inherited members are ignored. */
const member = (value: unknown, name: string) =>
  Object.hasOwn(value as object, name) ? (value as Record<string, unknown>)[name] : 'not there';
const message = (payload: string) => ({ topic: 't', payload: Buffer.from(payload) });
const json = (name: string, value: string) => `{${JSON.stringify(name)}:${value}}`;

/** Inputs that treat such a name like any other, and read its value unchanged. */
const kept: [door: string, read: (name: string) => unknown, expected: unknown][] = [
  ['a JSON payload', (name) => member(decodeAuto(Buffer.from(json(name, '[1]'))), name), [1]],
  [
    'a CBOR payload',
    (name) => member(decodeCbor(Buffer.from([0xa1, 0x60 + name.length, ...Buffer.from(name), 7])), name),
    7,
  ],
  ['a row of a payload', (name) => member(payloadRow(message(json(name, '1')), undefined, 'it'), name), 1],
  [
    'a row of a nested payload',
    (name) => member(payloadRow(message(json('a', json(name, '1'))), undefined, 'it'), `a.${name}`),
    1,
  ],
  ['a header forwarded over HTTP', (name) => member(outgoingHeaders([[name, 'x']]), name.toLowerCase()), 'x'],
  ['a number in a board’s JSON', (name) => member(numbersOf(json(name, '1')), name), 1],
  ['a number named by a board', (name) => member(numbersOf(`${name}: 1 b: 2`), name), 1],
  ['the query of a stream', (name) => member(parseStreamUrl(`mqtt://h/t?${name}=1`).query, name), '1'],
  ['the query of a sensor', (name) => member(parseSensorUrl(`sim:x?${name}=1`).query, name), '1'],
  [
    'a label of recordings',
    (name) => member(datasetSummary(labelled(name)).labels, name),
    { recordings: 2, samples: 4, seconds: 2 },
  ],
  [
    'a member of a ZIP archive',
    (name) => readZip(writeZip([{ name, data: Buffer.from('x') }], 0), [name]).get(name)?.[0],
    'x'.charCodeAt(0),
  ],
];

function labelled(label: string): Dataset {
  const recording = { label, device: null, rateHz: 2, startedAt: null, columns: [new Float64Array(2)] };
  const recordings = ['a', 'b'].map((id) => ({ id, ...recording }));
  return { name: 'd', fields: ['x'], rateHz: 2, digest: 'x', recordings } as unknown as Dataset;
}

/** Inputs that reject each such name, or those in `only`, with an error code. */
const refused: [door: string, read: (name: string) => unknown, code: string, only?: string[]][] = [
  ['aiot.yaml', (name) => parseProject(`name: x\n${name}: {a: 1}\n`, 'aiot.yaml'), 'AIOT_PROJECT_INVALID'],
  ['deploy.yaml', (name) => parseValues(`name: x\n${name}: {a: 1}\n`, 'it'), 'AIOT_DEPLOY_VALUES'],
  [
    'a routes file',
    (name) => parseRoutes(`routes: {}\n${name}: {a: 1}\n`, 'it', { environment: {} }),
    'AIOT_ROUTE_INVALID',
  ],
  [
    'a topics file',
    (name) => parseCreateFile(`topics: []\n${name}: 1\n`, 'it', {}),
    'AIOT_STREAM_SPEC_INVALID',
  ],
  [
    'a setting of a stream',
    (name) => readQuery(parseStreamUrl(`mqtt://h/t?${name}=1`), {}),
    'AIOT_STREAM_URL',
  ],
  ['a setting of a sensor', (name) => readSettings(parseSensorUrl(`sim:x?${name}=1`), {}), 'AIOT_SENSOR_URL'],
  [
    'a column of a stream’s CSV',
    (name) => createRowReader('it', undefined)({ text: `a,${name}`, line: 1 }),
    'AIOT_CSV_COLUMNS',
    ['__proto__'],
  ],
];

/** The value that `read` returns, or the code of its error. */
function outcome(read: () => unknown): unknown {
  try {
    return ['gives', read()];
  } catch (error) {
    return (error as { code?: string }).code ?? error;
  }
}

describe('a name from the prototype chain', () => {
  it.each(kept)('is a name like any other in %s', (_, read, expected) => {
    expect(names.map((name) => [name, read(name)])).toEqual(names.map((name) => [name, expected]));
  });

  it.each(refused)('is rejected in %s', (_, read, code, only = names) => {
    expect(only.map((name) => [name, outcome(() => read(name))])).toEqual(only.map((name) => [name, code]));
  });

  it('is a plain column name in tables, or is rejected', () => {
    for (const name of names) {
      const text = Buffer.from(`${name},label\n1,a\n2,b\n`);
      expect(parseTable(text, 'it').columns).toContain(name);
      expect(parseMixedCsv(text, 'it', () => true)).toBeDefined();
      expect(
        outcome(() => readFleet(`name,${name}\na,b\n`, 'it', { type: 'esp32', chip: undefined, wifi: null })),
      ).toMatch(/^AIOT_/);
    }
  });

  it('has no effect in messages of protocol v1', () => {
    for (const schema of Object.values(protocolSchemas))
      for (const name of names) {
        const read = () => decodeMessage(schema, 't', Buffer.from(json(name, '{"role":"operator"}')));
        expect((outcome(read) as { role?: string }).role).toBeUndefined();
      }
  });

  it('can map a field of a loop’s sensor', () => {
    for (const name of names) {
      const shown = JSON.stringify(parseAddress(`i2c://1/lsm6ds3tr-c?map=${name}:x`));
      expect(shown).toContain(JSON.stringify(name));
    }
  });
});

describe('the API', () => {
  let own: TestPlatform;
  let dispatcher: Agent;
  beforeAll(async () => {
    own = await testPlatform();
    dispatcher = new Agent({ connect: { ca: own.ca } });
  });
  afterAll(async () => {
    await dispatcher.close();
    await own.stop();
  });

  const ask = async (method: 'GET' | 'POST' | 'PATCH' | 'PUT', path: string, body?: string) => {
    const headers = { authorization: `Bearer ${own.token}`, 'content-type': 'application/json' };
    const { statusCode, body: answer } = await request(`${own.platform.urls.http}/api/v1${path}`, {
      ...{ method, headers, dispatcher },
      ...(body === undefined ? {} : { body }),
    });
    return [statusCode, (JSON.parse(await answer.text()) as { code?: string }).code];
  };
  const invalid = [400, 'AIOT_REQUEST_INVALID'];

  it.each([
    ['a __proto__ member', '{"name":"u1","role":"viewer","__proto__":{"role":"operator"}}'],
    ['an escaped __proto__ member', '{"name":"u1","role":"viewer","\\u005f_proto__":{"role":"operator"}}'],
    ['a constructor member', '{"name":"u1","role":"viewer","constructor":{"prototype":{"role":"operator"}}}'],
    ['a prototype member', '{"name":"u1","role":"viewer","prototype":{"role":"operator"}}'],
    ['only a __proto__ member', '{"__proto__":{"name":"u1","role":"operator"}}'],
    ['a list with a __proto__ member', '[{"__proto__":{"name":"u1"}}]'],
  ])('rejects a body with %s', async (_, body) => {
    expect(await ask('POST', '/users', body)).toEqual(invalid);
  });

  it.each([
    '__proto__=1',
    '__proto__[x]=1',
    'constructor=1',
    'constructor[prototype][x]=1',
    'limit=1&__proto__.x=1',
  ])('rejects or ignores the query %s', async (query) => {
    const [status] = await ask('GET', `/devices?${query}`);
    expect([200, 400]).toContain(status);
  });

  it.each(names)('has no resource named %s', async (name) => {
    for (const path of [
      '/devices',
      '/models',
      '/users',
      '/jobs',
      '/webhooks',
      '/tokens',
      '/firmware',
      '/configs',
      '/datasets',
      '/rollouts',
    ])
      expect([400, 404], `${path}/${name}`).toContain((await ask('GET', `${path}/${name}`))[0]);
  });
});
