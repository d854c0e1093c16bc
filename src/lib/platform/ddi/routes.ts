import { createServer } from 'node:http';
import type {
  FastifyError,
  FastifyInstance,
  FastifyPluginAsync,
  FastifyReply,
  FastifyRequest,
} from 'fastify';
import type { Logger } from 'pino';
import { accessOf } from '../../api/contract/endpoint.js';
import { AiotError } from '../../core/errors.js';
import { certifiedDevice } from '../broker/identity.js';
import type { Connections } from '../connections.js';
import { statusOf, storageError } from '../errors.js';
import { answerBadHead } from '../http/errors.js';
import { matches, sendBlob } from '../http/etags.js';
import { largestHead, limitServer } from '../http/limits.js';
import type { ApiParts } from '../http/parts.js';
import { bodyIsComing, listenOn } from '../listen.js';
import {
  artifactBody,
  cancelBody,
  confirmationBody,
  deploymentBody,
  linksOf,
  parseAttributes,
  parseFeedback,
  parseInstalled,
  pollBody,
} from './bodies.js';

interface Path {
  controller: string;
  action: string;
  module: string;
  file: string;
}

type Request = FastifyRequest<{ Params: Path }>;

const config = { access: 'controllers' } as const;
const options = { config, schema: { hide: true } };

/**
 * hawkBit's Direct Device Integration API at /default/controller/v1/{controllerId}. Every success is a plain 200 with a Content-Length,
 * because some clients support nothing else. Bodies are read as text, because not all clients send valid JSON.
 */
export const ddiRoutes =
  (parts: ApiParts): FastifyPluginAsync =>
  async (app) => {
    const { ddi, blobs } = parts;
    app.removeContentTypeParser('application/json');
    app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) =>
      done(null, body),
    );
    failures(app, parts.log);
    guardControllers(app, parts);

    app.get<{ Params: Path }>('/', options, async (request, reply) => {
      const { controller } = request.params;
      return answer(request, reply, pollBody(linksTo(request), ddi.pollMs, await ddi.poll(controller)));
    });
    app.put<{ Params: Path }>('/configData', options, async ({ params, body }, reply) => {
      await ddi.describe(params.controller, parseAttributes(textOf(body)));
      return done(reply);
    });

    app.get<{ Params: Path }>('/deploymentBase/:action', options, async (request, reply) => {
      const { controller, action } = request.params;
      const found = await ddi.look(controller, idOf(action));
      const hashes = found.release && (await ddi.hashes(found.release.digest));
      return answer(request, reply, deploymentBody(linksTo(request), found, hashes, historyOf(request)));
    });
    app.post<{ Params: Path }>(
      '/deploymentBase/:action/feedback',
      options,
      async ({ params, body }, reply) => {
        await ddi.feedback(params.controller, idOf(params.action), parseFeedback(textOf(body)));
        return done(reply);
      },
    );

    app.get<{ Params: Path }>('/cancelAction/:action', options, async (request, reply) => {
      const { controller, action } = request.params;
      return answer(request, reply, cancelBody(await ddi.cancellation(controller, idOf(action))));
    });
    app.post<{ Params: Path }>('/cancelAction/:action/feedback', options, async ({ params, body }, reply) => {
      await ddi.cancelFeedback(params.controller, idOf(params.action), parseFeedback(textOf(body)));
      return done(reply);
    });

    app.get<{ Params: Path }>('/installedBase/:action', options, async (request, reply) => {
      const { controller, action } = request.params;
      const found = await ddi.installed(controller, idOf(action));
      const hashes = found.release && (await ddi.hashes(found.release.digest));
      return answer(request, reply, deploymentBody(linksTo(request), found, hashes, historyOf(request)));
    });
    app.put<{ Params: Path }>('/installedBase', options, async ({ params, body }, reply) => {
      await ddi.declare(params.controller, parseInstalled(textOf(body)));
      return done(reply);
    });

    app.get<{ Params: Path }>('/confirmationBase', options, async (request, reply) =>
      answer(request, reply, confirmationBody()),
    );
    app.post<{ Params: Path }>('/confirmationBase/activateAutoConfirm', options, async () => {
      throw new AiotError('AIOT_VERSION_CONFLICT', 'auto-confirmation is already on', {
        subject: 'confirmation',
      });
    });
    app.post<{ Params: Path }>('/confirmationBase/deactivateAutoConfirm', options, async () => {
      throw new AiotError('AIOT_NOT_ALLOWED', 'rollouts are approved on the platform, not by a device', {
        next: 'To require approval of a rollout, start it with `aiot rollout start --approval`.',
      });
    });

    app.get<{ Params: Path }>('/softwaremodules/:module/artifacts', options, async (request, reply) => {
      const { controller, module } = request.params;
      const release = await ddi.module(controller, idOf(module));
      return answer(request, reply, [
        artifactBody(linksTo(request), release, await ddi.hashes(release.digest)),
      ]);
    });
    const path = '/softwaremodules/:module/artifacts/:file';
    app.head<{ Params: Path }>(path, options, (request, reply) => artifact(request, reply));
    app.get<{ Params: Path }>(path, { ...options, exposeHeadRoute: false }, (request, reply) =>
      artifact(request, reply),
    );

    async function artifact(request: Request, reply: FastifyReply): Promise<FastifyReply> {
      const { controller, module, file: asked } = request.params;
      const sums = asked.endsWith('.MD5SUM');
      const file = sums ? asked.slice(0, -'.MD5SUM'.length) : asked;
      const { action, release } = await ddi.file(controller, idOf(module), file);
      const { sha1, md5 } = await ddi.hashes(release.digest);
      if (sums) return reply.type('text/plain').send(`${md5}  ${release.file}`);
      const etag = `"${sha1}"`;
      const wanted = request.headers['if-match'];
      if (wanted !== undefined && !matches(wanted, etag)) {
        throw new AiotError('AIOT_PRECONDITION_FAILED', `the file's current ETag is ${etag}`);
      }
      reply.header('content-disposition', `attachment;filename=${release.file}`);
      const whole = () => ddi.downloading(controller, action);
      return sendBlob(blobs, { digest: release.digest, etag, whole }, request, reply);
    }
  };

/** Links use the address of the request, because the client can reach that address. */
function linksTo({ protocol, host, params }: FastifyRequest) {
  return linksOf(`${protocol}://${host}`, (params as Path).controller);
}

/** Responds in the requested media type; by default hawkBit's own. */
function answer({ headers }: FastifyRequest, reply: FastifyReply, body: unknown): FastifyReply {
  const plain = headers.accept?.startsWith('application/json') ?? false;
  return reply.type(plain ? 'application/json' : 'application/hal+json').send(JSON.stringify(body));
}

function done(reply: FastifyReply): FastifyReply {
  return reply.header('content-length', 0).send();
}

/** Parses an action id, which must fit a C int; other texts match no action. */
function idOf(text: string): number {
  const id = /^\d{1,10}$/.test(text) ? Number(text) : 0;
  if (id > 0 && id <= 0x7fff_ffff) return id;
  throw new AiotError('AIOT_NOT_FOUND', 'the id is invalid: expected a positive integer');
}

function historyOf({ query }: FastifyRequest): number {
  const { actionHistory } = query as { actionHistory?: unknown };
  return typeof actionHistory === 'string' && /^-?\d{1,5}$/.test(actionHistory) ? Number(actionHistory) : 0;
}

/** A request's body; empty if there is none. */
function textOf(body: unknown): string {
  return typeof body === 'string' ? body : '';
}

/** Scope of a token that may act for every device. */
const gatewayScope = 'ddi:gateway';

type Parts = Pick<ApiParts, 'connections' | 'ddi' | 'devices' | 'secrets' | 'tokens'>;

/**
 * Authenticates a device by its secret (TargetToken) or its certificate, or a gateway by its token (GatewayToken). A device can access only its own
 * path; a gateway can access the paths of all devices. @throws AIOT_TOKEN_INVALID, AIOT_NOT_FOUND, AIOT_NOT_ALLOWED
 */
function guardControllers(app: FastifyInstance, parts: Parts): void {
  app.addHook('onRequest', async (request) => {
    const { tenant = '', controller = '' } = request.params as { tenant?: string; controller?: string };
    if (tenant.toLowerCase() !== 'default' || !(await isLetIn(request, controller, parts))) {
      throw new AiotError('AIOT_TOKEN_INVALID', 'expected a token or certificate of this device');
    }
    parts.connections.known(request.raw.socket);
    request.device = controller;
    request.who = `device ${controller}`;
  });
}

async function isLetIn(request: FastifyRequest, controller: string, parts: Parts): Promise<boolean> {
  const { ddi, devices, secrets, tokens } = parts;
  const device = certifiedDevice(request.raw.socket, devices);
  // As on every other listener, only the certificate counts, so a token sent along with it cannot act for another
  // device.
  if (device !== null) return device !== 'refused' && device.name === controller;
  const { authorization = '' } = request.headers;
  const [, scheme, token = ''] =
    /^(TargetToken|GatewayToken) ([\x21-\x7e]{1,128})$/.exec(authorization) ?? [];
  if (scheme === 'TargetToken') return secrets.isRight(controller, token, request.ip, true);
  if (scheme !== 'GatewayToken') return false;
  // An unrestricted token does not belong on a device, so it is not accepted here.
  const gateway = await tokens.identify(token);
  // A gateway acts for every device, so its token cannot be limited to some.
  if (!gateway?.scopes?.includes(gatewayScope) || gateway.reach !== null) return false;
  await ddi.admit(controller);
  return true;
}

/** hawkBit's response to unauthenticated clients. */
const nobody = 401;

/** Delay after which a client may retry after a temporary failure, s. */
const laterSeconds = 30;

/** Responds to errors in hawkBit's form: without a body to unauthenticated clients, otherwise with a body that clients write to their logs. */
function failures(app: FastifyInstance, log: Logger): void {
  app.setErrorHandler(async (error: FastifyError, request, reply) => {
    const told = storageError(error);
    const status = told instanceof AiotError ? statusOf(told) : (error.statusCode ?? 500);
    if (status >= 500)
      log.error({ err: error, url: request.routeOptions.url }, 'a request from an update client failed');
    if (bodyIsComing(request.raw)) reply.header('connection', 'close');
    const isFile = request.routeOptions.url?.endsWith('/artifacts/:file') ?? false;
    if (isFile && request.method === 'GET' && (status >= 500 || status === 429)) {
      // SWUpdate would install the body of an error response; it resumes after a broken connection.
      reply.hijack();
      reply.raw.destroy();
      return;
    }
    if (status === nobody) return reply.status(status).header('content-length', 0).send();
    if ((status === 503 || status === 429) && !reply.hasHeader('retry-after'))
      reply.header('retry-after', laterSeconds);
    const errorCode =
      told instanceof AiotError ? told.code : status < 500 ? 'AIOT_REQUEST_INVALID' : 'AIOT_PLATFORM_FAILED';
    const message =
      status < 500 || told instanceof AiotError ? (told as Error).message : 'the platform failed';
    const body = { exceptionClass: 'AiotError', errorCode, message, info: {} };
    return reply.status(status).type('application/json').send(JSON.stringify(body));
  });
}

/** Maximum number of open connections. */
const mostConnections = 10_000;

/** Without TLS, only the device API (DDI) is available. Requests to other routes are rejected before their token is checked. */
export function refuseOthersInPlain(app: FastifyInstance): void {
  app.addHook('onRequest', async ({ protocol, method, routeOptions }) => {
    if (protocol === 'https' || accessOf<'controllers'>(routeOptions.config, method) === 'controllers')
      return;
    throw new AiotError('AIOT_NOT_FOUND', "without TLS, only hawkBit's device API is available");
  });
}

export interface PlainDdi {
  port: number;
  /** Stops accepting connections. */
  stop(): void;
  /** Closes open connections. */
  cut(): void;
}

/**
 * Opens the device API for clients without TLS: the same routes on another listener. `stop` ends the acceptance of
 * connections. Requests in progress are drained along with the app's requests; `cut` closes the remaining connections.
 * @throws AIOT_PORT_IN_USE
 */
export async function openPlainDdi(
  app: FastifyInstance,
  connections: Connections,
  { host, port }: { host: string; port: number },
): Promise<PlainDdi> {
  const options = { maxHeaderSize: largestHead, connectionsCheckingInterval: 5000 };
  const server = createServer(options, (request, reply) => app.routing(request, reply));
  server.on('clientError', answerBadHead);
  limitServer(server, mostConnections);
  // Runs before the server's own listener.
  server.prependListener(
    'connection',
    (socket) => connections.admit(socket) && connections.admitHttp(socket),
  );
  return {
    port: await listenOn(server, host, port, '--ddi-port'),
    stop: () => void server.close(),
    cut: () => server.closeAllConnections(),
  };
}
