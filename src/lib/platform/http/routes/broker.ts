import type { FastifyError, FastifyRequest } from 'fastify';
import { contract } from '../../../api/contract/contract.js';
import { AiotError } from '../../../core/errors.js';
import { deny } from '../../broker/authorizer.js';
import { statusOf } from '../../errors.js';
import { bodyIsComing } from '../../listen.js';
import type { Routes } from '../parts.js';
import { serve } from '../serve.js';

/**
 * Authorization requests from external brokers. Brokers interpret an HTTP error as "no opinion", and some then admit the client. Every
 * request from an authorized broker therefore gets a 200, with `deny` if no decision can be made.
 */
export const brokerRoutes: Routes = (parts) => async (app) => {
  const { log, broker } = parts;
  const { authorizer } = broker;
  const answerAnyway = app.errorHandler;
  app.setErrorHandler(async (error: FastifyError, request, reply) => {
    const status = error instanceof AiotError ? statusOf(error) : (error.statusCode ?? 500);
    if (request.user === null || status === 401 || status === 403)
      return answerAnyway.call(app, error, request, reply);
    log.warn(
      { err: error, url: request.routeOptions.url },
      "denied: an external broker's question had no answer",
    );
    if (bodyIsComing(request.raw)) reply.header('connection', 'close');
    return reply
      .status(200)
      .type('application/json')
      .send(JSON.stringify(asksForRights(request) ? { result: 'deny' } : deny));
  });
  serve(app, contract.broker, {
    auth: ({ body, ip }) => authorizer.connect(body, ip),
    acl: ({ body, ip }) => authorizer.acl(body, ip),
  });
};

const asksForRights = ({ routeOptions }: FastifyRequest) => routeOptions.url?.endsWith('/acl') === true;
