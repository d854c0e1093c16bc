import type { Server } from 'node:https';
import type { Socket } from 'node:net';
import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import type { TlsOptions } from '../certificates.js';
import type { Connections } from '../connections.js';
import { ddiRoutes, refuseOthersInPlain } from '../ddi/routes.js';
import { Drain } from '../listen.js';
import { schemaRegistryRoutes } from '../schemas/routes.js';
import { schemaRegistryPath } from '../schemas/schemas.js';
import { traceRequests } from '../traces.js';
import { guard, limitRates, usualRates } from './auth.js';
import { describeApi } from './describe.js';
import { answerBadHead, answerError, answerErrors } from './errors.js';
import { tagReads } from './etags.js';
import { answerRepeats } from './idempotency.js';
import {
  addSafetyHeaders,
  largestBody,
  largestHead,
  limitRequests,
  limitServer,
  longestTarget,
} from './limits.js';
import { liveRoute, routeUpgrades } from './live.js';
import { metricsOf } from './metrics.js';
import type { ApiParts } from './parts.js';
import { remoteRoutes } from './remote.js';
import { loginSessionRoutes, sessionRoutes, tokenRoutes, userRoutes } from './routes/access.js';
import { blobRoutes, uploadRoutes } from './routes/blobs.js';
import { brokerRoutes } from './routes/broker.js';
import { dataRoutes, retentionRoutes } from './routes/data.js';
import {
  attentionRoutes,
  commandRoutes,
  crashRoutes,
  deviceRoutes,
  enrolmentRoutes,
  historyRoutes,
  remoteSessionRoutes,
  secretRoutes,
  settingsRoutes,
  talkRoutes,
} from './routes/devices.js';
import { alarmRoutes, alarmTargetRoutes, auditRoutes, eventRoutes, webhookRoutes } from './routes/events.js';
import { jobRoutes, pipelineRequestRoutes, pipelineRoutes, trainingRunRoutes } from './routes/jobs.js';
import { modelRoutes } from './routes/models.js';
import { backupRoutes, damageRoutes, healthRoutes, statusRoutes } from './routes/platform.js';
import { configRoutes, firmwareRoutes, trustRoutes } from './routes/releases.js';
import { rolloutRoutes } from './routes/rollouts.js';
import { webRoutes } from './routes/web.js';

/** Maximum number of open connections, each of which takes about 50 KB with TLS. */
const mostConnections = 20_000;

/** Time limit of the TLS handshake, ms. */
const handshakeTimeout = 10_000;

/** Creates the HTTPS API, which describes itself at /openapi.json. It is not listening yet. */
export async function createApp(parts: ApiParts, tls: TlsOptions): Promise<FastifyInstance> {
  const { default: fastify } = await import('fastify');
  const { serializerCompiler, validatorCompiler } = await import('fastify-type-provider-zod');
  const app = fastify({
    https: {
      ...{ key: tls.key, cert: tls.cert, ca: tls.ca, SNICallback: tls.SNICallback },
      // Clients may present a certificate, which the guard checks.
      ...{ requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.2', handshakeTimeout },
      ...{ maxHeaderSize: largestHead, connectionsCheckingInterval: 5000 },
    },
    loggerInstance: parts.log.child({}, { level: 'warn' }) as FastifyBaseLogger,
    // Connections still open after draining are closed; requests that arrive meanwhile on an open connection are answered.
    ...{ forceCloseConnections: true, return503OnClosing: false },
    routerOptions: { maxParamLength: longestTarget },
    bodyLimit: largestBody,
    clientErrorHandler: answerBadHead,
    frameworkErrors: (error, _request, reply) => answerError(error, reply),
  }) as unknown as FastifyInstance;
  tls.follow(app.server as Server);
  limitServer(app.server as Server, mostConnections);
  guardConnections(app.server as Server, parts.connections);
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  answerErrors(app, parts.log);
  limitRequests(app);
  addSafetyHeaders(app);
  drainAtEnd(app, parts.drainMs);
  const { otlp, http } = parts;
  http.watch(app);
  if (otlp?.tracer) traceRequests(app, otlp.tracer);
  otlp?.measure(async () => (await metricsOf(parts, http, parts.now())).families);
  refuseOthersInPlain(app);
  const countStranger = await limitRates(app, { ...usualRates, ...parts.rates }, parts.failures);
  guard(app, parts, countStranger);
  answerRepeats(app, parts.answers, parts.log);
  tagReads(app);
  await describeApi(app, parts.version);
  await app.register(named('health', healthRoutes(http)(parts)));
  await app.register(named('web', webRoutes));
  const heads = routeUpgrades(app);
  await app.register(named('live', liveRoute(parts, heads)));
  await app.register(named('remote', remoteRoutes(parts, heads)));
  const nouns = [
    ...[
      statusRoutes,
      sessionRoutes,
      trustRoutes,
      deviceRoutes,
      attentionRoutes,
      commandRoutes,
      settingsRoutes,
      crashRoutes,
      historyRoutes,
      secretRoutes,
      remoteSessionRoutes,
      enrolmentRoutes,
      brokerRoutes,
      backupRoutes,
      damageRoutes,
      blobRoutes,
      uploadRoutes,
      modelRoutes,
      firmwareRoutes,
      configRoutes,
    ],
    ...[
      rolloutRoutes,
      dataRoutes,
      talkRoutes,
      pipelineRoutes,
      pipelineRequestRoutes,
      trainingRunRoutes,
      retentionRoutes,
      alarmRoutes,
      alarmTargetRoutes,
      auditRoutes,
      eventRoutes,
      jobRoutes,
      webhookRoutes,
      userRoutes,
      tokenRoutes,
      loginSessionRoutes,
    ],
  ];
  for (const routes of nouns) await app.register(named(routes.name, routes(parts)), { prefix: '/api/v1' });
  await app.register(named('schemas', schemaRegistryRoutes(parts)), { prefix: schemaRegistryPath });
  await app.register(named('ddi', ddiRoutes(parts)), { prefix: '/:tenant/controller/v1/:controller' });
  return app;
}

/**
 * Gives a name to the routes' function. Without one, Fastify would compare the function with every loaded module, which
 * takes 6 ms of CPU time at each start.
 */
function named<Plugin extends object>(name: string, routes: Plugin): Plugin {
  return Object.assign(routes, { [Symbol.for('fastify.display-name')]: name });
}

/**
 * Limits connections of unauthenticated clients: TLS starts only after a complete ClientHello, and no address can use
 * all connections.
 */
function guardConnections(server: Server, connections: Connections): void {
  connections.guard(server);
  server.prependListener('connection', (socket: Socket) => void connections.admitHttp(socket));
  // The connection broke off during its TLS handshake.
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  server.on('secureConnection', readFromStream);
}

/**
 * Has Node's HTTP parser read a connection's stream. By default, the parser reads TLS itself. It is paused while a large response is being
 * written, and then rejects a request whose body is in another TLS record than its head (HPE_PAUSED, Node 20).
 */
function readFromStream(socket: Socket): void {
  const nothing = () => {};
  // Any listener detaches the parser, whose own one stays. One that stayed would swallow the first bytes after an upgrade.
  socket.on('data', nothing);
  socket.off('data', nothing);
}

/** At shutdown, no new connection is accepted, and requests in progress have limited time to finish. Then all connections are closed. */
function drainAtEnd(app: FastifyInstance, patienceMs: number | undefined): void {
  const drain = new Drain();
  app.addHook('onRequest', async ({ routeOptions }, { raw }) => {
    if (!routeOptions.config?.endless) drain.begin(raw);
  });
  app.addHook('preClose', async () => {
    app.server.close();
    await drain.end(patienceMs);
    app.server.closeAllConnections();
  });
}
