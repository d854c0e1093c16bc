import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { problemOf, problemType } from '../../api/problem.js';
import type { ErrorCode } from '../../core/catalogue.js';
import { AiotError, systemCode } from '../../core/errors.js';
import { issueText } from '../../core/issues.js';
import { statusOf, storageError } from '../errors.js';
import { bodyIsComing } from '../listen.js';

/** Statuses of Fastify's errors that have one of our codes; for others, the code is AIOT_REQUEST_INVALID. */
const codes: Record<number, ErrorCode> = {
  404: 'AIOT_NOT_FOUND',
  413: 'AIOT_REQUEST_TOO_LARGE',
  414: 'AIOT_REQUEST_TOO_LARGE',
  429: 'AIOT_RATE_LIMITED',
  431: 'AIOT_REQUEST_TOO_LARGE',
};

/** Every error becomes a problem response (RFC 9457) with a suitable status. */
export function answerErrors(app: FastifyInstance, log: Logger): void {
  const methodsOf = noteRoutes(app);
  app.setErrorHandler(async (error: FastifyError, request, reply) => {
    const { told, status } = toldOf(storageError(error), request);
    if (status >= 500)
      log.error({ err: error, method: request.method, url: request.routeOptions.url }, told.message);
    // The rest of the body is not read, so later requests on this connection cannot be read either.
    if (bodyIsComing(request.raw)) reply.header('connection', 'close');
    if (status === 401) reply.header('www-authenticate', 'Bearer realm="aiot"');
    return sendProblem(reply, told, status);
  });
  // Runs before Fastify's own check of the body, which would reject QUERY without one.
  app.addHook('onRequest', async (request, reply) => {
    if (request.is404) return answerMissing(request, reply);
  });
  app.setNotFoundHandler((request, reply) => answerMissing(request, reply));

  function answerMissing(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const path = (request.url.split('?')[0] ?? '').slice(0, 200);
    const allowed = methodsOf(path);
    if (bodyIsComing(request.raw)) reply.header('connection', 'close');
    if (allowed.length === 0) {
      return sendProblem(
        reply,
        new AiotError('AIOT_NOT_FOUND', `${path} does not exist`, { next: described }),
        404,
      );
    }
    const message = `${path} supports ${allowed.join(', ')}, not ${request.method}`;
    reply.header('allow', allowed.join(', '));
    return sendProblem(reply, new AiotError('AIOT_REQUEST_INVALID', message, { next: described }), 405);
  }
}

const described = 'For all paths and methods, see /openapi.json.';

/**
 * Headers that describe the intended response. On an error response, they would make a cache store the error in place
 * of the content.
 */
const ofContent = [
  'etag',
  'cache-control',
  'content-range',
  'content-length',
  'accept-ranges',
  'last-modified',
];

export function sendProblem(reply: FastifyReply, error: AiotError, status: number): FastifyReply {
  for (const name of ofContent) reply.removeHeader(name);
  return reply
    .status(status)
    .type(problemType)
    .send(JSON.stringify(problemOf(error, status)));
}

/** Handles errors that Fastify raises before routing: a target that cannot be decoded. */
export function answerError(error: unknown, reply: FastifyReply): void {
  const { told, status } = toldOf(error);
  void sendProblem(reply, told, status);
}

function toldOf(error: unknown, request?: FastifyRequest): { told: AiotError; status: number } {
  if (error instanceof AiotError) return { told: error, status: statusOf(error) };
  const invalid = (message: string, status = 400, next?: string) => ({
    told: new AiotError(codes[status] ?? 'AIOT_REQUEST_INVALID', message, {
      cause: error,
      ...(next && { next }),
    }),
    status,
  });
  if (systemCode(error) === 'ECONNRESET') return invalid('the request was interrupted');
  const { validation, validationContext, statusCode, message } = error as FastifyError;
  if (validation) {
    return invalid(validationText(validation, validationContext ?? 'body', request), 400, described);
  }
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) return invalid(message, statusCode);
  const failed = new AiotError('AIOT_PLATFORM_FAILED', 'the platform failed; see its log', {
    cause: error,
  });
  return { told: failed, status: 500 };
}

/**
 * Describes the first problem that a route's schema found. Converts the problem back to the Zod issue that the type
 * provider received.
 */
function validationText(
  [first]: NonNullable<FastifyError['validation']>,
  part: string,
  request: FastifyRequest | undefined,
): string {
  const path =
    first?.instancePath
      .slice(1)
      .split('/')
      .filter((name) => name !== '') ?? [];
  const issue = { ...first?.params, code: first?.keyword, message: first?.message ?? '', path };
  const given = {
    body: request?.body,
    querystring: request?.query,
    params: request?.params,
    headers: undefined,
  };
  return `${part}: ${issueText({ issues: [issue as never] }, part, given[part as keyof typeof given])}`;
}

/** Handles errors that Node raises before there is a request: a head that is malformed, too large or too slow. */
export function answerBadHead(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, message] = badHeads[error.code ?? ''] ?? [400, 'expected a request of HTTP/1.1'];
  const code = codes[status] ?? 'AIOT_REQUEST_INVALID';
  const body = JSON.stringify(problemOf(new AiotError(code, message), status));
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    `content-type: ${problemType}`,
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}

const badHeads: Record<string, [number, string]> = {
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'the request did not arrive in time'],
  HPE_HEADER_OVERFLOW: [431, 'the request headers are too large'],
};

interface Path {
  /** Segments of the path as registered, such as `/api/v1/devices/:name`. */
  parts: string[];
  methods: Set<string>;
}

/**
 * Records the routes as they are registered. Returns the methods of a path; an empty list = no such path. A path
 * belongs to the route with the most specific pattern, so `/devices/actions` does not match `/devices/:name`.
 */
function noteRoutes(app: FastifyInstance): (path: string) => string[] {
  const paths = new Map<string, Path>();
  app.addHook('onRoute', ({ url, method }) => {
    const path = paths.get(url) ?? { parts: url.split('/'), methods: new Set() };
    for (const name of [method].flat()) path.methods.add(name);
    paths.set(url, path);
  });
  return (path) => {
    const asked = path.split('/');
    const [best] = [...paths.values()].filter(({ parts }) => matches(parts, asked)).sort(bySpecificity);
    return [...(best?.methods ?? [])].sort();
  };
}

function matches(parts: readonly string[], asked: readonly string[]): boolean {
  const open = parts.at(-1) === '*';
  if (open ? asked.length < parts.length : asked.length !== parts.length) return false;
  return parts.every(
    (part, i) => part === '*' || (part.startsWith(':') ? asked[i] !== '' : part === asked[i]),
  );
}

/** Sorts literal segments before parameters, and parameters before `*`, from the left. */
function bySpecificity(a: Path, b: Path): number {
  const rank = (part: string | undefined) => (part === '*' ? 2 : part?.startsWith(':') ? 1 : 0);
  for (let i = 0; i < Math.max(a.parts.length, b.parts.length); i++) {
    const difference = rank(a.parts[i]) - rank(b.parts[i]);
    if (difference !== 0) return difference;
  }
  return 0;
}
