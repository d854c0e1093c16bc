import { AiotError, systemCode } from '../../core/errors.js';
import { isUntrusted } from '../../core/http-agent.js';

/** Kafka's error codes (protocol guide, "Error Codes") that decide what we do. */
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

/** Errors of refused clients, by Kafka's name of the error. */
const refused =
  /^(TOPIC_AUTHORIZATION_FAILED|GROUP_AUTHORIZATION_FAILED|CLUSTER_AUTHORIZATION_FAILED|SASL_AUTHENTICATION_FAILED|UNSUPPORTED_SASL_MECHANISM|ILLEGAL_SASL_STATE)$/;

/** Makes a coded error of what kafkajs throws. `endpoint` without credentials. */
export function kafkaError(error: unknown, endpoint: string): AiotError {
  if (error instanceof AiotError) return error;
  const innermost = innermostOf(error);
  const message = innermost instanceof Error ? innermost.message : String(innermost);
  const type = textOf(innermost, 'type');
  const name = innermost instanceof Error ? innermost.name : '';
  const system = systemCode(innermost);
  const tlsAlert = system?.startsWith('ERR_SSL_') && system.includes('ALERT');
  if ((type !== undefined && refused.test(type)) || name.includes('SASLAuthentication') || tlsAlert) {
    return new AiotError('AIOT_BROKER_REFUSED', `${endpoint} did not let us in: ${message}`, {
      cause: error,
      endpoint,
    });
  }
  const untrusted = system !== undefined && isUntrusted(system);
  return new AiotError('AIOT_BROKER_UNREACHABLE', `${endpoint}: ${message || system || 'no answer'}`, {
    cause: error,
    endpoint,
    retryable: !untrusted,
    ...(untrusted ? { next: 'Name the CA that signed its certificate: --ca FILE' } : {}),
  });
}

export function topicNotFound(topic: string, endpoint: string): AiotError {
  return new AiotError('AIOT_STREAM_TOPIC_NOT_FOUND', `${endpoint} has no topic ${topic}`, { endpoint });
}

/** An answer's error code, as an error: kafkajs's text for it where it has one. */
export function codeError(code: number, what: string, endpoint: string): AiotError {
  const { topicAuthorizationFailed, clusterAuthorizationFailed } = kafkaCodes;
  const denied = code === topicAuthorizationFailed || code === clusterAuthorizationFailed;
  return new AiotError(
    denied ? 'AIOT_BROKER_REFUSED' : 'AIOT_BROKER_UNREACHABLE',
    denied
      ? `${endpoint} does not let us ${what}`
      : `${endpoint}: error ${code} of Kafka when asked to ${what}`,
    { endpoint, retryable: !denied },
  );
}

/** An answer of a broker that runs and is not ready yet; not a connection that fails. */
export function isRetriableAnswer(error: unknown): boolean {
  const inner = innermostOf(error) as { name?: string; retriable?: boolean } | undefined;
  return inner?.name === 'KafkaJSProtocolError' && inner.retriable === true;
}

/** Whether a group takes no commits of strangers, since it has members. */
export function hasMembers(error: unknown): boolean {
  const type = textOf(innermostOf(error), 'type') ?? '';
  return /^(UNKNOWN_MEMBER_ID|ILLEGAL_GENERATION|REBALANCE_IN_PROGRESS)$/.test(type);
}

/** kafkajs wraps once per layer of retries. */
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
