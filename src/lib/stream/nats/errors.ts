import { AiotError, isUntrusted, systemCode } from '../../core/index.js';

/** NatsError's codes (core.ts of nats.js 2) with which a server says that we may not. */
const refused = new Set([
  'AUTHORIZATION_VIOLATION',
  'AUTHENTICATION_EXPIRED',
  'AUTHENTICATION_TIMEOUT',
  'ACCOUNT_EXPIRED',
  'PERMISSIONS_VIOLATION',
]);

interface NatsFailure {
  code?: string;
  chainedError?: unknown;
  permissionContext?: { operation: string; subject: string };
  api_error?: { code: number; err_code: number; description: string };
}

/** Makes a coded error of what nats.js gives. `endpoint` without credentials. */
export function natsError(error: unknown, endpoint: string, doing = ''): AiotError {
  if (error instanceof AiotError) return error;
  const { code = '', chainedError, permissionContext, api_error } = (error ?? {}) as NatsFailure;
  const where = doing === '' ? endpoint : `${endpoint}, ${doing}`;
  const message = (error instanceof Error ? error.message : String(error))
    .toLowerCase()
    .replace(/^'|'$/g, '');
  if (refused.has(code)) {
    const what = permissionContext
      ? `does not let us ${permissionContext.operation === 'publish' ? 'publish' : 'subscribe'} to ${permissionContext.subject}`
      : `did not let us in: ${message.replaceAll('_', ' ')}`;
    return new AiotError('AIOT_BROKER_REFUSED', `${endpoint} ${what}`, { cause: error, endpoint });
  }
  if (code === 'MAX_PAYLOAD_EXCEEDED') {
    return new AiotError('AIOT_STREAM_MESSAGE_REFUSED', `${where}: ${message.replaceAll('_', ' ')}`, {
      cause: error,
      endpoint,
      next: 'Raise max_payload at the server, or send less in one message.',
    });
  }
  if (api_error) {
    const { description, err_code } = api_error;
    return new AiotError('AIOT_BROKER_REFUSED', `${where}: JetStream says ${description} (${err_code})`, {
      cause: error,
      endpoint,
      next: 'Check the name, and what the stream allows: aiot stream ls URL',
    });
  }
  if (code === '503') {
    return new AiotError('AIOT_BROKER_UNREACHABLE', `${where}: nobody answers for JetStream`, {
      cause: error,
      endpoint,
      retryable: true,
      next: 'Start the server with JetStream (nats-server -js), or leave --jetstream away.',
    });
  }
  return unreachable(error, chainedError, endpoint, where, message || code);
}

function unreachable(
  error: unknown,
  chained: unknown,
  endpoint: string,
  where: string,
  message: string,
): AiotError {
  const name = systemCode(chained) ?? systemCode(error);
  if (name?.startsWith('ERR_SSL_') && name.includes('ALERT')) {
    return new AiotError('AIOT_BROKER_REFUSED', `${endpoint} did not let us in: ${name}`, {
      cause: error,
      endpoint,
      next: 'It may want a client certificate: --cert and --key.',
    });
  }
  const untrusted = name !== undefined && isUntrusted(name);
  const why = chained instanceof Error ? chained.message : message.replaceAll('_', ' ');
  return new AiotError('AIOT_BROKER_UNREACHABLE', `${where}: ${why || 'no answer'}`, {
    cause: error,
    endpoint,
    retryable: !untrusted,
    ...(untrusted ? { next: 'Name the CA that signed its certificate: --ca FILE' } : {}),
  });
}
