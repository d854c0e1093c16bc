import { AiotError, isUntrusted, systemCode } from '../../core/errors.js';

/** Kafka's error codes (protocol guide, "Error Codes") that need different handling. */
export const kafkaCodes = {
  none: 0,
  offsetOutOfRange: 1,
  unknownTopic: 3,
  messageTooLarge: 10,
  invalidTopic: 17,
  recordListTooLarge: 18,
  topicAuthorizationFailed: 29,
  groupAuthorizationFailed: 30,
  clusterAuthorizationFailed: 31,
  invalidTimestamp: 32,
  topicExists: 36,
  outOfOrderSequence: 45,
  duplicateSequence: 46,
  invalidProducerEpoch: 47,
  unknownProducerId: 59,
  invalidRecord: 87,
} as const;

/** Kafka's names of the errors for invalid credentials and missing permissions. */
const refused =
  /^(TOPIC_AUTHORIZATION_FAILED|GROUP_AUTHORIZATION_FAILED|CLUSTER_AUTHORIZATION_FAILED|SASL_AUTHENTICATION_FAILED|UNSUPPORTED_SASL_MECHANISM|ILLEGAL_SASL_STATE)$/;

/** Converts an error thrown by kafkajs to a coded one. `endpoint` must not contain credentials. */
export function kafkaError(error: unknown, endpoint: string): AiotError {
  if (error instanceof AiotError) return error;
  const innermost = innermostOf(error);
  const message = innermost instanceof Error ? innermost.message : String(innermost);
  const type = textOf(innermost, 'type');
  const name = innermost instanceof Error ? innermost.name : '';
  const system = systemCode(innermost);
  const tlsAlert = system?.startsWith('ERR_SSL_') && system.includes('ALERT');
  if ((type !== undefined && refused.test(type)) || name.includes('SASLAuthentication') || tlsAlert) {
    return new AiotError('AIOT_BROKER_REFUSED', `${endpoint} rejected the login: ${message}`, {
      cause: error,
      endpoint,
    });
  }
  const untrusted = system !== undefined && isUntrusted(system);
  return new AiotError('AIOT_BROKER_UNREACHABLE', `${endpoint}: ${message || system || 'no response'}`, {
    cause: error,
    endpoint,
    retryable: !untrusted,
    ...(untrusted ? { next: 'Specify the CA that signed its certificate: --ca FILE' } : {}),
  });
}

export function topicNotFound(topic: string, endpoint: string): AiotError {
  return new AiotError('AIOT_STREAM_TOPIC_NOT_FOUND', `${endpoint} has no topic ${topic}`, { endpoint });
}

/** The error for a response's error code, with kafkajs's text if there is one. */
export function codeError(code: number, what: string, endpoint: string): AiotError {
  const { topicAuthorizationFailed, clusterAuthorizationFailed } = kafkaCodes;
  const denied = code === topicAuthorizationFailed || code === clusterAuthorizationFailed;
  return new AiotError(
    denied ? 'AIOT_BROKER_REFUSED' : 'AIOT_BROKER_UNREACHABLE',
    denied
      ? `${endpoint} does not permit this client to ${what}`
      : `${endpoint}: Kafka error ${code} when trying to ${what}`,
    { endpoint, retryable: !denied },
  );
}

/**
 * Whether an error is the response of a broker that is running but not ready yet, rather than a connection
 * failure.
 */
export function isRetriableAnswer(error: unknown): boolean {
  const inner = innermostOf(error) as { name?: string; retriable?: boolean } | undefined;
  return inner?.name === 'KafkaJSProtocolError' && inner.retriable === true;
}

/** Whether a group rejects commits of non-members because it has members. */
export function hasMembers(error: unknown): boolean {
  const type = textOf(innermostOf(error), 'type') ?? '';
  return /^(UNKNOWN_MEMBER_ID|ILLEGAL_GENERATION|REBALANCE_IN_PROGRESS)$/.test(type);
}

/** Unwraps an error that kafkajs has wrapped once for each layer of retries. */
function innermostOf(error: unknown): unknown {
  let inner = error;
  for (let depth = 0; depth < 5; depth++) {
    if (!(inner instanceof Error)) break;
    const next = inner.cause ?? ('originalError' in inner ? inner.originalError : undefined);
    if (!(next instanceof Error)) break;
    inner = next;
  }
  return inner;
}

function textOf(error: unknown, field: string): string | undefined {
  const value = (error as Record<string, unknown> | null | undefined)?.[field];
  return typeof value === 'string' ? value : undefined;
}
