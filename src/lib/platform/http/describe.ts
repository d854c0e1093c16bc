import type { FastifyInstance, FastifyReply } from 'fastify';
import * as z from 'zod';
import { problemSchema, problemType } from '../../registry/problem.js';
import { type Access, accessOf, scopesOf } from './auth.js';

const tags: [string, string][] = [
  ['platform', 'The platform itself: its state, its trust root'],
  ['devices', 'Devices, their certificates and what they are made of'],
  ['models', 'Models, their versions, stages and manifests'],
  ['firmware', 'Firmware and its versions'],
  ['configs', 'Configurations of devices and their versions'],
  ['blobs', 'Content by its digest'],
  ['rollouts', 'Bringing a version to devices'],
  ['jobs', 'Work that takes longer than a request'],
  ['pipelines', 'Runs of pipelines, as their runners tell them'],
  ['data', 'Recordings and labels'],
  ['events', 'Every change, in order, and who is told of it'],
  ['users', 'Who may do what'],
];

/** Path below /api/v1 → tag, where it is not its own. */
const tagged: Record<string, string> = {
  ...{ claims: 'devices', activation: 'devices', groups: 'devices', manifests: 'models', uploads: 'blobs' },
  ...{
    datasets: 'data',
    labels: 'data',
    telemetry: 'data',
    audit: 'events',
    webhooks: 'events',
    tokens: 'users',
    session: 'users',
  },
};

/** The API's own description (OpenAPI 3.1), at /openapi.json. To be registered before the routes. */
export async function describeApi(app: FastifyInstance, version: string): Promise<void> {
  const { default: swagger } = await import('@fastify/swagger');
  const { jsonSchemaTransform } = await import('fastify-type-provider-zod');
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'aiot platform', version, description },
      tags: tags.map(([name, description]) => ({ name, description })),
      components: {
        securitySchemes: {
          token: { type: 'http', scheme: 'bearer', description: 'A token that `aiot token create` made.' },
          // The types know OpenAPI 3.0, which has no mutualTLS yet.
          certificate: { type: 'mutualTLS', description: 'The certificate of a device.' } as never,
        },
      },
      security: [{ token: [] }],
    },
    transformObject: (document) =>
      'openapiObject' in document ? describeCreated(document.openapiObject) : {},
    transform: (route) => {
      const { schema, url } = jsonSchemaTransform(route as Parameters<typeof jsonSchemaTransform>[0]);
      if (schema.hide) return { schema, url };
      const method = [route.route.method].flat()[0] ?? 'GET';
      const access = accessOf(route.route.config ?? {}, method, url);
      const { mayBeMissing = false, mayBeGone = false, endless = false } = route.route.config ?? {};
      const about = { method, url, access, mayBeMissing, mayBeGone, endless };
      return { url, schema: described(schema as Described, about) };
    },
  });
}

interface Described {
  response?: Record<string, unknown>;
  params?: unknown;
  body?: unknown;
  querystring?: unknown;
  [key: string]: unknown;
}

interface DescribedRoute {
  method: string;
  url: string;
  access: Access;
  mayBeMissing: boolean;
  mayBeGone: boolean;
  endless: boolean;
}

function described(schema: Described, route: DescribedRoute): Described {
  const { method, url, access } = route;
  const noun = url.split('/')[3] ?? 'platform';
  const tag = tagged[noun] ?? (tags.some(([name]) => name === noun) ? noun : 'platform');
  const problems = Object.fromEntries(statusesOf(schema, route).map((status) => [status, problem(status)]));
  const needs =
    access === 'everybody'
      ? []
      : [`Needs ${needed(access, method)}, or the scope ${scopesOf(method, url).join(' or ')}.`];
  return {
    ...schema,
    operationId: schema.operationId ?? operationId(method, url),
    tags: schema.tags ?? [tag],
    description: [schema.description, ...needs].filter(Boolean).join(' '),
    security: securityOf(access),
    response: { ...(route.endless ? streamed(schema) : (schema.response ?? { '2xx': bytes })), ...problems },
  };
}

/** Server-sent events, beside the JSON that some routes answer with where it is asked for. */
function streamed({ response }: Described): Record<string, unknown> {
  const page = response?.['200'];
  return {
    200: {
      description: 'Server-sent events',
      content: {
        ...(page === undefined ? {} : { 'application/json': { schema: page } }),
        'text/event-stream': { schema: { type: 'string' } },
      },
    },
  };
}

function needed(access: Access, method: string): string {
  if (access !== 'devices') return `the role ${access}`;
  return `a device’s certificate, or the role ${method === 'GET' ? 'viewer' : 'operator'}`;
}

function securityOf(access: Access): Record<string, string[]>[] {
  if (access === 'everybody') return [];
  return access === 'devices' ? [{ token: [] }, { certificate: [] }] : [{ token: [] }];
}

/** Refusals that a route can answer with. */
function statusesOf(
  schema: Described,
  { method, access, mayBeMissing, mayBeGone }: DescribedRoute,
): number[] {
  const reads = method === 'GET' || method === 'HEAD';
  return [
    ...(reads && !schema.params && !schema.querystring ? [] : [400]),
    ...(access === 'everybody' && reads ? [] : [401, 403]),
    ...(schema.params || mayBeMissing ? [404] : []),
    ...(mayBeGone ? [410] : []),
    ...(reads ? [] : [404, 409, 412, 413, 415, 422]),
    ...[414, 429, 431, 500, 507],
  ];
}

/** An answer without a schema is a file. */
const bytes = { description: 'What was asked for', content: { '*/*': { schema: {} } } };

const meanings: Record<number, string> = {
  400: 'A value does not fit',
  401: 'No valid token or certificate',
  403: 'Not allowed, or not signed by who may',
  404: 'There is no such thing',
  409: 'It does not go with what is there',
  410: 'It was deleted for its age',
  412: 'It was changed meanwhile',
  413: 'The body is too large',
  414: 'The target is too long',
  415: 'Not a type of body that is taken',
  422: 'The content is not what it is said to be',
  429: 'Asked too often; Retry-After says when to ask again',
  431: 'The head is too large',
  500: 'The platform failed',
  507: 'The disk is full',
};

function problem(status: number) {
  const { $schema: _, ...schema } = z.toJSONSchema(problemSchema);
  return { description: meanings[status], content: { [problemType]: { schema } } };
}

/** `POST /api/v1/models/{name}/versions` → postModelsVersions; ids in a path make it `…ByName`. */
function operationId(method: string, url: string): string {
  const parts = url.replace('/api/v1/', '').split('/').filter(Boolean);
  const words = parts.flatMap((part) => {
    const param = /^[:{](\w+)\}?$/.exec(part)?.[1];
    return (param ? `by-${param}` : part).split(/[^A-Za-z0-9]+/);
  });
  return method.toLowerCase() + words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('');
}

const description =
  `People and programs send a bearer token; what it may is up to its role (viewer, ci, operator) and its scopes.
Devices show their certificate. Every error is a problem (RFC 9457) with a \`code\` of the catalogue and what to do \`next\`.
Lists come in pages: ask \`after\` the \`next\` of the page before. A POST or DELETE with an \`Idempotency-Key\` is done once however
often it is sent. Times are milliseconds since 1970.`.replaceAll('\n', ' ');

/**
 * Makes the answer a 201 that says in `Location` where what was made is read (RFC 9110 §15.3.2): below /api/v1, by its path.
 * A certificate or a secret is never shown again: its Location is the device that has it.
 */
export function created(reply: FastifyReply, ...path: readonly (string | number)[]): FastifyReply {
  return reply.status(201).header('location', `/api/v1/${path.map(encodeURIComponent).join('/')}`);
}

type Answers = Record<string, { headers?: Record<string, unknown> }>;

type Operations = Record<string, { responses?: Answers }>;

/** Says in the API's description that every 201 has a `Location`. */
function describeCreated<T extends { paths?: Record<string, unknown> | undefined }>(described: T): T {
  for (const operations of Object.values(described.paths ?? {})) {
    for (const { responses } of Object.values(operations as Operations)) {
      const made = responses?.['201'];
      if (made) made.headers = { ...made.headers, Location: location };
    }
  }
  return described;
}

const location = {
  description: 'Where what was made is read',
  required: true,
  schema: { type: 'string', format: 'uri-reference' },
};
