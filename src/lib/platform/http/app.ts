import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import type { Compatibility } from '../options.js';
import { guard } from './auth.js';
import { answerErrors } from './errors.js';
import type { ApiParts } from './parts.js';
import { auditRoutes } from './routes/audit.js';
import { blobRoutes } from './routes/blobs.js';
import { guideRoutes } from './routes/compat.js';
import { dataRoutes } from './routes/data.js';
import { deviceRoutes } from './routes/devices.js';
import { enrolmentRoutes } from './routes/enrolment.js';
import { firmwareRoutes } from './routes/firmware.js';
import { healthRoutes } from './routes/health.js';
import { modelRoutes } from './routes/models.js';
import { rolloutRoutes } from './routes/rollouts.js';
import { statusRoutes } from './routes/status.js';

/** Certificates for the listener: clients may show one, and what they show is looked at by the guard. */
export interface TlsOptions {
  key: string;
  cert: string;
  ca: string;
}

/** The HTTPS API, described by itself at /openapi.json. Not listening yet. `compat`: whose side doors are open. */
export async function createApp(
  parts: ApiParts,
  tls: TlsOptions,
  compat: readonly Compatibility[] = [],
): Promise<FastifyInstance> {
  const { default: fastify } = await import('fastify');
  const { default: swagger } = await import('@fastify/swagger');
  const { jsonSchemaTransform, serializerCompiler, validatorCompiler } = await import(
    'fastify-type-provider-zod'
  );
  const app = fastify({
    https: { ...tls, requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.2' },
    loggerInstance: parts.log.child({}, { level: 'warn' }) as FastifyBaseLogger,
    // Server-sent events stay open for ever: at the end their connections are cut.
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 200 },
  }) as unknown as FastifyInstance;
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  answerErrors(app, parts.log);
  guard(app, parts);
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'aiot platform',
        version: parts.version,
        description:
          'Operators send a bearer token. Devices show their certificate; they may read the trust root, manifests and blobs.',
      },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      security: [{ token: [] }],
    },
    transform: jsonSchemaTransform,
  });
  await app.register(healthRoutes(parts));
  if (compat.includes('architects-guide')) await app.register(guideRoutes(parts));
  const nouns = [
    ...[statusRoutes, deviceRoutes, enrolmentRoutes, blobRoutes, modelRoutes, firmwareRoutes],
    ...[rolloutRoutes, dataRoutes, auditRoutes],
  ];
  for (const routes of nouns) await app.register(routes(parts), { prefix: '/api/v1' });
  return app;
}
