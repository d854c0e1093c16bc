import { AiotError, isUntrusted, systemCode } from '../../core/index.js';

/** Codes with which a reply begins (RESP, "Simple errors": the first word is the kind of error) that say who may what. */
const refused = new Set(['NOAUTH', 'NOPERM', 'WRONGPASS']);
/** Those that are no message's fault, and pass. */
const passing = new Set([
  'BUSY',
  'CLUSTERDOWN',
  'LOADING',
  'MASTERDOWN',
  'MISCONF',
  'NOREPLICAS',
  'OOM',
  'READONLY',
  'TRYAGAIN',
]);

/** Makes a coded error of what @redis/client gives. @param reply it is the server's own word @param endpoint without credentials */
export function redisError(error: unknown, endpoint: string, reply: boolean): AiotError {
  if (error instanceof AiotError) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (reply) return replyError(message, error, endpoint);
  const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = systemCode(inner) ?? '';
  const untrusted = isUntrusted(code);
  if (code.startsWith('ERR_SSL_') && code.includes('ALERT')) {
    return new AiotError('AIOT_BROKER_REFUSED', `${endpoint} did not let us in: ${code}`, {
      cause: error,
      endpoint,
      next: 'It may want a client certificate: --cert and --key.',
    });
  }
  return new AiotError('AIOT_BROKER_UNREACHABLE', `${endpoint}: ${code || message || 'no answer'}`, {
    cause: error,
    endpoint,
    retryable: !untrusted,
    ...(untrusted
      ? { next: 'Name the CA that signed its certificate: --ca FILE' }
      : { next: 'Check the address, and that it runs: redis-cli -h HOST ping' }),
  });
}

function replyError(message: string, cause: unknown, endpoint: string): AiotError {
  const [kind = ''] = message.split(' ', 1);
  if (refused.has(kind)) {
    return new AiotError('AIOT_BROKER_REFUSED', `${endpoint}: ${message}`, {
      cause,
      endpoint,
      next: 'Write redis://:PASSWORD@HOST or redis://USER:PASSWORD@HOST, or keep it: aiot stream login redis://HOST',
    });
  }
  const retryable = passing.has(kind);
  const code = retryable ? 'AIOT_BROKER_UNREACHABLE' : 'AIOT_STREAM_MESSAGE_REFUSED';
  const next = retryable
    ? 'It takes nothing now; what it says is why.'
    : 'WRONGTYPE: the key holds something of another kind. Choose another key, or DEL it.';
  return new AiotError(code, `${endpoint}: ${message}`, { cause, endpoint, retryable, next });
}
