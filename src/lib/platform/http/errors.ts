import type { FastifyError, FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { AiotError, systemCode } from '../../core/index.js';
import { statusOf, storageError } from '../errors.js';

/** Every error is answered as `{error: {code, message, next}}` with a fitting status. */
export function answerErrors(app: FastifyInstance, log: Logger): void {
  app.setErrorHandler(async (error: FastifyError, request, reply) => {
    const told = asAiotError(storageError(error));
    const status = statusOf(told);
    if (status >= 500) log.error({ err: error, url: request.url }, told.message);
    // What is left of the body will not be read, so nothing that comes after it on this connection could be either.
    if (!request.raw.complete) reply.header('connection', 'close');
    const { code, message, next } = told;
    return reply.status(status).send({ error: { code, message, next } });
  });
  app.setNotFoundHandler(async (request, reply) => {
    const error = { code: 'AIOT_NOT_FOUND', message: `there is no ${request.method} ${request.url}` };
    return reply.status(404).send({ error });
  });
}

function asAiotError(error: unknown): AiotError {
  if (error instanceof AiotError) return error;
  if (systemCode(error) === 'ECONNRESET') {
    return new AiotError('AIOT_REQUEST_INVALID', 'the request broke off', { cause: error });
  }
  const { validation, validationContext, statusCode, message } = error as FastifyError;
  if (validation) {
    const [issue] = validation;
    const where = issue?.instancePath ? issue.instancePath.slice(1).replaceAll('/', '.') : validationContext;
    return new AiotError('AIOT_REQUEST_INVALID', `${validationContext}: ${where}: ${issue?.message}`);
  }
  if (statusCode !== undefined && statusCode < 500) return new AiotError('AIOT_REQUEST_INVALID', message);
  return new AiotError('AIOT_PLATFORM_FAILED', 'the platform failed; its log says more', { cause: error });
}
