import type { FastifyInstance } from 'fastify';
import * as z from 'zod';
import { accessOf } from '../../api/contract/endpoint.js';
import { problemSchema, problemType } from '../../api/problem.js';
import type { ErrorCode } from '../../core/catalogue.js';
import { statusOf } from '../errors.js';
import { type Access, scopesOf } from './auth.js';

const tags: [string, string][] = [
  ['platform', 'State and trust root of the platform'],
  ['devices', 'Devices, their certificates and their history'],
  ['models', 'Models, their versions, stages and manifests'],
  ['firmware', 'Firmware and its versions'],
  ['configs', 'Device configurations and their versions'],
  ['blobs', 'Files by digest'],
  ['rollouts', 'Rollouts of a version to devices'],
  ['jobs', 'Long-running work'],
  ['pipelines', 'Pipeline runs, their runners, and runs requested from those'],
  ['data', 'Recordings and labels'],
  ['events', 'Events in order, webhooks and the audit log'],
  ['users', 'Users, tokens and sessions'],
];

/** Path below /api/v1 → tag, if the tag differs from the path. */
const tagged: Record<string, string> = {
  ...{
    claims: 'devices',
    batches: 'devices',
    enrollments: 'devices',
    activation: 'devices',
    groups: 'devices',
    attention: 'devices',
    crashes: 'devices',
    logs: 'devices',
    'remote-sessions': 'devices',
    alarms: 'devices',
    broker: 'devices',
    manifests: 'models',
    'training-runs': 'models',
    'pipeline-runners': 'pipelines',
    'pipeline-requests': 'pipelines',
    uploads: 'blobs',
  },
  ...{
    datasets: 'data',
    labels: 'data',
    telemetry: 'data',
    audit: 'events',
    webhooks: 'events',
    'alarm-targets': 'events',
    tokens: 'users',
    session: 'users',
  },
};

/** The API's own description (OpenAPI 3.1), at /openapi.json. Must be registered before the routes. */
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
          token: { type: 'http', scheme: 'bearer', description: 'A token created with `aiot token create`.' },
          // The types cover OpenAPI 3.0, which lacks mutualTLS.
          certificate: { type: 'mutualTLS', description: 'A device certificate.' } as never,
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
      const { errors = [], statuses = [], endless = false, ...config } = route.route.config ?? {};
      const about = {
        method,
        url,
        access: accessOf<'controllers'>(config, method),
        errors,
        statuses,
        endless,
      };
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
  errors: readonly ErrorCode[];
  statuses: readonly number[];
  endless: boolean;
}

function described(schema: Described, route: DescribedRoute): Described {
  const { method, url, access } = route;
  const noun = url.split('/')[3] ?? 'platform';
  const tag = tagged[noun] ?? (tags.some(([name]) => name === noun) ? noun : 'platform');
  const problems = Object.fromEntries(
    statusesOf(schema, route).map((status) => [status, problemResponse(status)]),
  );
  const needs =
    access === 'everybody'
      ? []
      : [`Requires ${needed(access, method)}, or the scope ${scopesOf(method, url).join(' or ')}.`];
  return {
    ...schema,
    operationId: schema.operationId ?? operationId(method, url),
    tags: schema.tags ?? [tag],
    description: [schema.description, ...needs].filter(Boolean).join(' '),
    security: securityOf(access),
    response: { ...(route.endless ? streamed(schema) : (schema.response ?? { '2xx': bytes })), ...problems },
  };
}

/** Adds server-sent events to the JSON that some routes return on request. */
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
  return `a device's certificate, or the role ${method === 'GET' ? 'viewer' : 'operator'}`;
}

function securityOf(access: Access): Record<string, string[]>[] {
  if (access === 'everybody') return [];
  return access === 'devices' ? [{ token: [] }, { certificate: [] }] : [{ token: [] }];
}

/** A route's statuses other than success: from HTTP, from the platform as a whole, and from the route's own errors. */
function statusesOf(schema: Described, { method, access, errors, statuses }: DescribedRoute): number[] {
  const reads = method === 'GET' || method === 'HEAD';
  return [
    ...statuses,
    // JSON responses have an ETag.
    ...(method === 'GET' && schema.response ? [304] : []),
    ...(access === 'everybody' && reads ? [] : [401, 403]),
    ...(schema.params ? [404] : []),
    ...(reads ? [] : [404, 409, 412, 413, 422]),
    ...errors.map((code) => statusOf({ code })),
    ...[400, 414, 415, 429, 431, 500, 503, 507],
  ];
}

/** A response without a schema is a file. */
const bytes = { description: 'The requested content', content: { '*/*': { schema: {} } } };

const meanings: Record<number, string> = {
  304: 'Not modified since the ETag that the client sent',
  400: 'A value is invalid',
  401: 'No valid token or certificate',
  403: 'Not allowed, or not signed by a permitted key',
  404: 'Not found',
  409: 'Conflicts with the current state',
  410: 'Expired and deleted',
  412: 'Changed since the client read it',
  413: 'The body is too large',
  414: 'The URL is too long',
  415: "The body's content type is not supported",
  416: 'The range is outside the content',
  422: 'The content does not match its description',
  429: 'Too many requests; retry after the time in Retry-After',
  431: 'The request headers are too large',
  460: 'The chunk does not match its checksum (tus 1.0.0)',
  500: 'The platform failed',
  503: 'The platform cannot reach its storage',
  507: 'The disk is full',
};

/** Statuses without a body. */
const bare = new Set([304, 416]);

function problemResponse(status: number) {
  const { $schema: _, ...schema } = z.toJSONSchema(problemSchema);
  const content = { [problemType]: { schema } };
  return { description: meanings[status], ...(bare.has(status) ? { type: 'null' } : { content }) };
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
  `Users and programs send a bearer token; its role (viewer, ci, operator) and scopes determine its permissions.
Devices present their certificate. Every error is a problem (RFC 9457) with a \`code\` from the error catalogue and the recommended fix in \`next\`.
Lists are paged: pass a page's \`next\` as \`after\` to get the following page. A POST, PATCH or DELETE with an \`Idempotency-Key\` is
applied only once, even if it is sent again. Times are milliseconds since 1970.`.replaceAll('\n', ' ');

type Answers = Record<string, { headers?: Record<string, unknown> }>;

type Operations = Record<string, { responses?: Answers }>;

/** Adds to the API's description that every 201 has a `Location`. */
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
  description: 'URL of the created resource',
  required: true,
  schema: { type: 'string', format: 'uri-reference' },
};
