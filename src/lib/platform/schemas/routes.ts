import type {
  FastifyError,
  FastifyInstance,
  FastifyPluginAsync,
  FastifyReply,
  FastifyRequest,
} from 'fastify';
import type { Logger } from 'pino';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { issueText } from '../../core/issues.js';
import { largestSchema, schemaTypes } from '../../formats/schemas/schema.js';
import { statusOf, storageError } from '../errors.js';
import { depthOf } from '../http/limits.js';
import type { ApiParts } from '../http/parts.js';
import { bodyIsComing } from '../listen.js';
import { type Deleted, type RegisteredSchema, RegistryError, type SchemaBody } from './schemas.js';

const mediaType = 'application/vnd.schemaregistry.v1+json';

const reads = {
  config: { access: 'viewer', scope: 'data:read', reach: 'shared' },
  schema: { hide: true },
} as const;
const writes = { config: { access: 'operator', scope: 'data:write' }, schema: { hide: true } } as const;

/** The databases cannot store NUL in text. Its escape in a schema's text is not NUL. */
const storable = z.string().refine((text) => !text.includes('\0'), 'expected text without NUL');

const referenceSchema = z.object({
  name: storable.min(1).max(512),
  subject: storable.min(1).max(512),
  version: z.int().min(1),
});

/** As clients send it. Metadata and rules would change the data, so a schema with them is rejected. */
const bodySchema = z.object({
  schema: storable.max(largestSchema),
  schemaType: z.enum(schemaTypes).nullish(),
  references: z.array(referenceSchema).max(100).nullish(),
  metadata: z.null().optional(),
  ruleSet: z.null().optional(),
});

interface Path {
  subject: string;
  version: string;
  id: string;
}
type Request = FastifyRequest<{ Params: Path; Querystring: Record<string, string | undefined> }>;

/** The API of Confluent's schema registry, version 7, for its clients. Contexts, metadata and rules are not supported. */
export const schemaRegistryRoutes =
  (parts: ApiParts): FastifyPluginAsync =>
  async (app) => {
    acceptBodies(app);
    failures(app, parts.log);
    readRoutes(app, parts);
    changeRoutes(app, parts);
    settingRoutes(app, parts);
  };

function readRoutes(app: FastifyInstance, { schemas }: ApiParts): void {
  const get = (path: string, answer: (request: Request) => unknown) =>
    app.get<{ Params: Path; Querystring: Record<string, string | undefined> }>(
      path,
      reads,
      async (request, reply) => send(reply, await answer(request)),
    );
  const shown = async (found: RegisteredSchema, { query }: Request) => ({
    ...{ subject: found.subject, version: found.version },
    ...schemaBody(
      query.format === 'serialized' ? { ...found, text: await schemas.serialized(found) } : found,
    ),
  });
  get('/', () => ({}));
  get('/schemas/types', () => schemaTypes);
  get('/contexts', () => ['.']);
  get('/v1/metadata/id', () => ({ scope: { path: [], clusters: {} }, id: '' }));
  get('/schemas', async (request) => {
    const { query } = request;
    const all = await schemas.list(deletedOf(query), prefixOf(query), query.latestOnly === 'true');
    return Promise.all(page(all, query).map((found) => shown(found, request)));
  });
  get('/schemas/ids/:id', async ({ params, query }) => {
    const found = await schemas.schema(idOf(params.id));
    const text = query.format === 'serialized' ? await schemas.serialized(found) : found.text;
    const { id: _id, ...body } = schemaBody({ ...found, text });
    return body;
  });
  get('/schemas/ids/:id/schema', async ({ params }) => new Raw((await schemas.schema(idOf(params.id))).text));
  get('/schemas/ids/:id/versions', ({ params, query }) => schemas.uses(idOf(params.id), deletedOf(query)));
  get('/schemas/ids/:id/subjects', async ({ params, query }) => [
    ...new Set((await schemas.uses(idOf(params.id), deletedOf(query))).map(({ subject }) => subject)),
  ]);
  get('/subjects', async ({ query }) =>
    page(await schemas.subjects(deletedOf(query), prefixOf(query)), query),
  );
  get('/subjects/:subject/versions', async ({ params, query }) =>
    page(await schemas.versions(params.subject, deletedOf(query)), query),
  );
  get('/subjects/:subject/versions/:version', async (request) => {
    const { params, query } = request;
    return shown(await schemas.version(params.subject, versionOf(params.version), deletedOf(query)), request);
  });
  get('/subjects/:subject/versions/:version/schema', async ({ params, query }) => {
    const found = await schemas.version(params.subject, versionOf(params.version), deletedOf(query));
    return new Raw(found.text);
  });
  get('/subjects/:subject/versions/:version/referencedby', ({ params }) =>
    schemas.referencedBy(params.subject, versionOf(params.version)),
  );
}

function changeRoutes(app: FastifyInstance, { schemas }: ApiParts): void {
  app.post<{ Params: Path }>('/subjects/:subject/versions', writes, async ({ params, body, who }, reply) => {
    const { id } = await schemas.register(params.subject, parseBody(body), who);
    return send(reply, { id });
  });
  app.post<{ Params: Path; Querystring: Record<string, string> }>(
    '/subjects/:subject',
    reads,
    async (request, reply) => {
      const { params, body, query } = request;
      const found = await schemas.lookUp(params.subject, parseBody(body), deletedOf(query));
      const text = query.format === 'serialized' ? await schemas.serialized(found) : found.text;
      return send(reply, {
        subject: found.subject,
        version: found.version,
        ...schemaBody({ ...found, text }),
      });
    },
  );
  const check = async (request: Request, reply: FastifyReply, version: number | 'latest' | undefined) => {
    const messages = await schemas.check(request.params.subject, version, parseBody(request.body));
    const verbose = request.query.verbose?.toLowerCase() === 'true';
    return send(reply, { is_compatible: messages.length === 0, ...(verbose ? { messages } : {}) });
  };
  type Route = { Params: Path; Querystring: Record<string, string | undefined> };
  app.post<Route>('/compatibility/subjects/:subject/versions/:version', reads, (request, reply) =>
    check(request, reply, versionOf(request.params.version)),
  );
  app.post<Route>('/compatibility/subjects/:subject/versions', reads, (request, reply) =>
    check(request, reply, undefined),
  );
  app.delete<Route>('/subjects/:subject', writes, async ({ params, query, who }, reply) =>
    send(reply, await schemas.removeSubject(params.subject, isPermanent(query), who)),
  );
  app.delete<Route>('/subjects/:subject/versions/:version', writes, async ({ params, query, who }, reply) =>
    send(
      reply,
      await schemas.removeVersion(params.subject, versionOf(params.version), isPermanent(query), who),
    ),
  );
}

function settingRoutes(app: FastifyInstance, { schemas }: ApiParts): void {
  type Route = { Params: Partial<Path>; Querystring: Record<string, string | undefined> };
  for (const path of ['/config', '/config/:subject']) {
    app.get<Route>(path, reads, async ({ params: { subject = null }, query }, reply) => {
      const own = await schemas.ownLevel(subject);
      const level = own ?? (isDefaulted(query) ? await schemas.level(subject ?? '') : null);
      if (level === null)
        throw unset(40408, `Subject '${subject}' does not have subject-level compatibility configured`);
      return send(reply, { compatibilityLevel: level });
    });
    app.put<Route>(path, writes, async ({ params: { subject = null }, body, who }, reply) => {
      const level = textIn(body, 'compatibility')?.toUpperCase();
      if (level === undefined)
        throw new RegistryError(42203, 'Invalid compatibility level: expected "compatibility"');
      await schemas.configure(subject, { level }, who);
      return send(reply, { compatibility: level });
    });
    app.delete<Route>(path, writes, async ({ params: { subject = null }, who }, reply) => {
      const level = await schemas.ownLevel(subject);
      if (level === null)
        throw unset(40408, `Subject '${subject}' does not have subject-level compatibility configured`);
      await schemas.configure(subject, { level: null }, who);
      return send(reply, { compatibilityLevel: level });
    });
  }
  for (const path of ['/mode', '/mode/:subject']) {
    app.get<Route>(path, reads, async ({ params: { subject = null }, query }, reply) => {
      const mode =
        (await schemas.ownMode(subject)) ?? (isDefaulted(query) ? await schemas.mode(subject ?? '') : null);
      if (mode === null)
        throw unset(40409, `Subject '${subject}' does not have subject-level mode configured`);
      return send(reply, { mode });
    });
    app.put<Route>(path, writes, async ({ params: { subject = null }, body, who }, reply) => {
      const mode = textIn(body, 'mode')?.toUpperCase() ?? '';
      await schemas.configure(subject, { mode }, who);
      return send(reply, { mode });
    });
    app.delete<Route>(path, writes, async ({ params: { subject = null }, who }, reply) => {
      const mode = await schemas.ownMode(subject);
      if (mode === null)
        throw unset(40409, `Subject '${subject}' does not have subject-level mode configured`);
      await schemas.configure(subject, { mode: null }, who);
      return send(reply, { mode });
    });
  }
}

const unset = (code: number, message: string) => new RegistryError(code, message);

/** A response that is a schema's text. */
class Raw {
  constructor(readonly text: string) {}
}

function send(reply: FastifyReply, body: unknown): FastifyReply {
  return reply.type(mediaType).send(body instanceof Raw ? body.text : JSON.stringify(body));
}

/** A schema as clients expect it: AVRO is the default type, so it is omitted. */
function schemaBody({ id, type, text, references }: Omit<RegisteredSchema, 'subject' | 'version'>) {
  return {
    id,
    ...(type === 'AVRO' ? {} : { schemaType: type }),
    ...(references.length === 0 ? {} : { references }),
    schema: text,
  };
}

/** @throws RegistryError 42201 */
function parseBody(body: unknown): SchemaBody {
  const { success, data, error } = bodySchema.safeParse(body);
  if (!success) throw new RegistryError(42201, `Invalid schema: ${issueText(error, 'body', body)}`);
  return { type: data.schemaType ?? 'AVRO', text: data.schema, references: data.references ?? [] };
}

const textIn = (body: unknown, name: string): string | undefined => {
  const value =
    body !== null && typeof body === 'object' ? (body as Record<string, unknown>)[name] : undefined;
  return typeof value === 'string' ? value : undefined;
};

type Query = Readonly<Record<string, string | undefined>>;
const isTrue = (text: string | undefined) => text?.toLowerCase() === 'true';
const deletedOf = (query: Query): Deleted => ({
  deleted: isTrue(query.deleted),
  deletedOnly: isTrue(query.deletedOnly),
});
/** Clients may name all contexts, or the default one, in front of a subject. Subjects have no contexts here. */
const prefixOf = ({ subjectPrefix = '' }: Query) => subjectPrefix.replace(/^:[.*]:/, '');
const isPermanent = (query: Query) => isTrue(query.permanent);
const isDefaulted = (query: Query) => isTrue(query.defaultToGlobal);

function page<T>(all: readonly T[], query: Query): T[] {
  const number = (text: string | undefined, otherwise: number) =>
    /^\d{1,9}$/.test(text ?? '') ? Number(text) : otherwise;
  const offset = number(query.offset, 0);
  return all.slice(offset, offset + number(query.limit, all.length));
}

/** Highest id and version: a Java int. */
const highest = 2 ** 31 - 1;

function idOf(text: string): number {
  if (/^\d{1,10}$/.test(text) && Number(text) <= highest) return Number(text);
  throw new RegistryError(40403, `Schema ${text.slice(0, 40)} not found`);
}

/** @throws RegistryError 42202 */
function versionOf(text: string): number | 'latest' {
  if (text === 'latest' || text === '-1') return 'latest';
  if (/^[1-9]\d{0,9}$/.test(text) && Number(text) <= highest) return Number(text);
  throw new RegistryError(
    42202,
    `The specified version '${text.slice(0, 40)}' is not a valid version id. Allowed values are between [1, 2^31-1] and the string "latest"`,
  );
}

/** Nesting depth of a body. Schemas are texts in it. */
const deepestBody = 8;

function acceptBodies(app: FastifyInstance): void {
  app.removeContentTypeParser('application/json');
  const types = [
    'application/vnd.schemaregistry.v1+json',
    'application/vnd.schemaregistry+json',
    'application/json',
  ];
  app.addContentTypeParser(
    [...types, 'application/octet-stream'],
    { parseAs: 'string' },
    (_request, body, done) => {
      const text = String(body);
      if (text === '') return done(null, undefined);
      if (depthOf(text) > deepestBody)
        return done(new RegistryError(42201, 'Invalid schema: the body is nested too deeply'));
      try {
        return done(null, JSON.parse(text));
      } catch {
        return done(new RegistryError(42201, 'Invalid schema: the body is not JSON'));
      }
    },
  );
}

/** Errors have Confluent's form. Its codes begin with the HTTP status. */
function failures(app: FastifyInstance, log: Logger): void {
  app.setErrorHandler(async (error: FastifyError, request, reply) => {
    const told = storageError(error);
    if (bodyIsComing(request.raw)) reply.header('connection', 'close');
    const { status, code, message } = describeError(told);
    if (status >= 500)
      log.error({ err: error, url: request.routeOptions.url }, 'a request to the schema registry failed');
    if (status === 401) reply.header('www-authenticate', 'Basic realm="aiot"');
    return reply
      .status(status)
      .type(mediaType)
      .send(JSON.stringify({ error_code: code, message }));
  });
}

function describeError(error: unknown): { status: number; code: number; message: string } {
  if (error instanceof RegistryError) {
    const status = Number(String(error.code).slice(0, 3));
    return { status, code: error.code, message: error.message };
  }
  if (error instanceof AiotError) {
    const status = statusOf(error);
    return { status, code: status === 500 ? 50001 : status, message: error.message };
  }
  const { statusCode = 500, message } = error as FastifyError;
  if (statusCode < 500) return { status: statusCode, code: statusCode, message };
  return {
    status: 500,
    code: 50001,
    message: 'Error in the backend data store: the platform failed; see its log',
  };
}
