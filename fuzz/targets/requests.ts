import { Agent, request } from 'node:https';
import type { TestPlatform } from '../../test/support/platform.js';
import type { Target } from '../types.js';

interface Schema {
  [word: string]: unknown;
  type?: string;
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  anyOf?: Schema[];
  properties?: Record<string, Schema>;
  items?: Schema;
  minimum?: number;
}
interface Operation {
  requestBody?: { content: Record<string, { schema: Schema }> };
  parameters?: { name: string; in: string; schema: Schema }[];
}

/** Routes that are never requested, because they contact other hosts, end this process, or never finish. */
const apart = /webhooks|\/tokens\/|\/session|\/live|\/events/;
const bearer = /^authorization: *operator$/im;

let own: Promise<TestPlatform> | undefined;
const agent = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false });

/** The platform that receives all inputs; it runs in this process. */
async function platform(): Promise<TestPlatform> {
  own ??= (async () => {
    const { testPlatform } = await import('../../test/support/platform.js');
    const enough = 1_000_000_000;
    return await testPlatform({ rates: { known: enough, anonymous: enough, failures: enough } });
  })();
  return await own;
}

/** A minimal, almost valid value for a schema. */
function example(schema: Schema = {}, name = ''): unknown {
  if (schema.default !== undefined) return schema.default;
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  if (schema.anyOf) return example(schema.anyOf[0], name);
  switch (schema.type) {
    case 'object':
      return Object.fromEntries(
        Object.entries(schema.properties ?? {}).map(([key, one]) => [key, example(one, key)]),
      );
    case 'array':
      return [example(schema.items, name)];
    case 'integer':
    case 'number':
      return Math.max(1, schema.minimum ?? 1);
    case 'boolean':
      return true;
    default:
      return /digest|sha256/.test(name) ? `sha256:${'0'.repeat(64)}` : 'a';
  }
}

/** A request to each tested route, as a text: `METHOD TARGET`, headers, an empty line, the body. */
async function requests(): Promise<string[]> {
  const { status, body } = await asked('GET', '/openapi.json', {}, Buffer.alloc(0));
  if (status !== 200) throw new Error(`openapi.json: ${status}`);
  const paths = Object.entries(
    (JSON.parse(body) as { paths: Record<string, Record<string, Operation>> }).paths,
  );
  const found = paths.flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => {
      const filled = path.replace(/\{(\w+)\}/g, (_, name: string) =>
        encodeURIComponent(String(/version|sequence/.test(name) ? 1 : example({ type: 'string' }, name))),
      );
      const query = (operation.parameters ?? [])
        .filter((one) => one.in === 'query')
        .map(({ name, schema }) => `${name}=${encodeURIComponent(String(example(schema, name)))}`);
      const [type, media] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
      const content =
        type === 'application/json' ? JSON.stringify(example(media?.schema)) : type ? 'abc' : '';
      const head = [
        `${method.toUpperCase()} ${filled}${query.length > 0 ? `?${query.join('&')}` : ''}`,
        'authorization: operator',
      ];
      if (type !== undefined) head.push(`content-type: ${type}`);
      return `${head.join('\n')}\n\n${content}`;
    }),
  );
  const ddi = '/default/controller/v1/a';
  return [
    ...found.filter((text) => !apart.test(text.split('\n')[0]!)),
    `GET ${ddi}\nauthorization: operator\n\n`,
    `PUT ${ddi}/configData\nauthorization: TargetToken x\ncontent-type: application/json\n\n{"mode":"merge","data":{"a":"b"}}`,
    `POST ${ddi}/deploymentBase/1/feedback\nauthorization: TargetToken x\ncontent-type: application/json\n\n{"id":"1","status":{"execution":"closed","result":{"finished":"success"}}}`,
  ];
}

async function asked(method: string, path: string, headers: Record<string, string>, body: Buffer) {
  const { hostname, port } = new URL((await platform()).platform.urls.http);
  return await new Promise<{ status: number; body: string }>((resolve, reject) => {
    const sent = request({ hostname, port, method, path, headers, agent, timeout: 10_000 }, (answer) => {
      const parts: Buffer[] = [];
      answer.on('data', (part: Buffer) => parts.push(part));
      answer.on('end', () =>
        resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(parts).toString() }),
      );
      answer.on('error', reject);
    });
    sent.on('timeout', () => sent.destroy(new Error('no response within 10 s')));
    sent.on('error', reject);
    sent.end(body);
  });
}

/**
 * HTTP requests to the platform: each must get a response, and every error must be a client error (4xx) with a code.
 */
export const http: readonly Target[] = [
  {
    name: 'platform/http',
    seeds: requests,
    // Includes opening a connection, in a process where the platform also does other work.
    timeMs: 5000,
    memoryMiB: 256,
    longest: 8192,
    words: [
      '?limit=',
      '&after=',
      '%2F',
      '%00',
      'content-encoding: gzip\n',
      'if-match: *\n',
      'idempotency-key: a\n',
      'range: bytes=0-\n',
      'accept: text/csv\n',
      'authorization: operator\n',
    ],
    run: async (input) => {
      const text = input.toString('latin1');
      const [head = '', ...rest] = text.split('\n\n');
      const [first = '', ...lines] = head.split('\n');
      const [method = '', path = ''] = first.split(' ');
      if (!/^(?:GET|POST|PUT|PATCH|DELETE)$/.test(method) || !path.startsWith('/') || apart.test(path))
        return undefined;
      const headers: Record<string, string> = {};
      for (const line of lines) {
        const [, name = '', value = ''] = /^([a-z][a-z-]*): *([\x20-\x7e]*)$/.exec(line) ?? [];
        // Skips headers that are set by this client or that change the connection.
        if (
          name !== '' &&
          !/^(?:content-length|transfer-encoding|connection|expect|host|upgrade|trailer|te)$/.test(name)
        )
          headers[name] = value;
      }
      if (bearer.test(head)) headers.authorization = `Bearer ${(await platform()).token}`;
      const target = path.replace(
        /[^\x21-\x7e]/g,
        (one) => `%${one.charCodeAt(0).toString(16).padStart(2, '0')}`,
      );
      const { status, body } = await asked(method, target, headers, Buffer.from(rest.join('\n\n'), 'latin1'));
      if (status >= 500)
        throw new Error(`${status} to ${method} ${target.split('?')[0]}: ${body.slice(0, 300)}`);
      if (status >= 400 && !target.includes('/controller/v1/') && !/"code":"AIOT_/.test(body))
        throw new Error(`${status} without a code: ${body.slice(0, 300)}`);
      return undefined;
    },
  },
];
