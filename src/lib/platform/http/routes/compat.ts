import type { FastifyRequest } from 'fastify';
import type { Routes } from '../parts.js';

/**
 * What firmware of "The Architect's Guide to the AIoT" asks before it begins: `POST /confirmActivation` with
 * `device_id=ID` in a form, where ID is its decimal chip id. The answer is the bare word, without a line end. Nobody is
 * authenticated, as it was there: so this changes nothing, and gives no right.
 */
export const guideRoutes: Routes =
  ({ devices }) =>
  async (app) => {
    app.addContentTypeParser(
      'application/x-www-form-urlencoded',
      { parseAs: 'string', bodyLimit: 4096 },
      (_request, body, done) => done(null, new URLSearchParams(String(body))),
    );
    app.route({
      method: ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'],
      url: '/confirmActivation',
      config: { access: 'everybody' },
      schema: { hide: true },
      handler: async (request, reply) => {
        reply.type('text/plain; charset=utf-8');
        if (request.method !== 'POST') return 'Sorry, only GET and POST methods are supported.';
        return devices.knows(deviceId(request)) ? 'TRUE' : 'FALSE';
      },
    });
  };

/** From the form, or from the query, where the guide's server looks too. */
function deviceId({ body, query }: FastifyRequest): string {
  const form = body instanceof URLSearchParams ? body.get('device_id') : null;
  const asked = (query as Record<string, unknown>).device_id;
  return form ?? (typeof asked === 'string' ? asked : '');
}
