import { z } from 'zod';
import { AiotError, catalogue, type ErrorCode } from '../../../core/index.js';
import { tokenOf } from '../auth.js';
import type { HttpFigures } from '../figures.js';
import { metricsOf } from '../metrics.js';
import type { Routes } from '../parts.js';
import { readinessOf } from '../readiness.js';

/** /healthz, /readyz, /metrics (Prometheus's text format 0.0.4) and /openapi.json: outside /api/v1. */
export const healthRoutes =
  (http: HttpFigures): Routes =>
  (parts) =>
  async (app) => {
    app.get('/healthz', { config: { access: 'everybody' }, schema: { hide: true } }, async () => ({
      status: 'ok',
    }));
    app.get(
      '/readyz',
      { config: { access: 'everybody' }, schema: { hide: true } },
      async (request, reply) => {
        const { status, checks } = await readinessOf(parts);
        reply.status(status === 'not ready' ? 503 : 200);
        // What is wrong inside is for those who may look inside.
        return (await parts.tokens.identify(tokenOf(request))) ? { status, checks } : { status };
      },
    );
    app.get('/openapi.json', { config: { access: 'everybody' }, schema: { hide: true } }, async () =>
      app.swagger(),
    );
    app.get(
      '/errors/:code',
      { config: { access: 'everybody' }, schema: { hide: true, params: z.object({ code: z.string() }) } },
      async ({ params: { code } }) => {
        const known = Object.hasOwn(catalogue, code) ? catalogue[code as ErrorCode] : undefined;
        if (known === undefined) throw new AiotError('AIOT_NOT_FOUND', `there is no error ${code}`);
        return { code, about: known.about, next: known.next };
      },
    );
    app.get('/metrics', { schema: { hide: true } }, async (_request, reply) =>
      reply.type('text/plain; version=0.0.4').send(await metricsOf(parts, http, Date.now())),
    );
  };
