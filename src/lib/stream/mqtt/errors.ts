import { AiotError, isUntrusted, systemCode } from '../../core/index.js';

import { protocolBroken, versionRefused } from './lane.js';

/**
 * What says no: of MQTT 3.1.1 return codes of a CONNACK (section 3.2.2.3) and 128 of a SUBACK (3.9.3); of MQTT 5 reason codes (table
 * 2-6): client identifier, user or password, not authorized, banned, authentication method, topic filter, topic name, quota.
 */
const refusedCodes = new Set<unknown>([2, 4, 5, 128, 133, 134, 135, 138, 140, 143, 144, 151]);
/** Reason codes with which a broker refuses an MQTT 5 CONNECT for its version, or does not understand it. */
const versionCodes = new Set<unknown>([versionRefused, 1, 129, 130, 132]);

/** How OpenSSL's names of TLS alerts about our certificate end (RFC 8446, section 6.2), what they mean, and what to try. */
const alerts: [alert: string, why: string, next: string][] = [
  ['_CERTIFICATE_REQUIRED', 'it asks for a client certificate', 'Give yours: --cert FILE --key FILE'],
  // What TLS 1.2 has in its place, among other uses.
  [
    '_HANDSHAKE_FAILURE',
    'the TLS handshake failed, as it does where a client certificate is asked for',
    'Give yours: --cert FILE --key FILE',
  ],
  [
    '_UNKNOWN_CA',
    'it does not know the CA of our client certificate (unknown CA)',
    'Give one that was signed by a CA the broker trusts: --cert FILE --key FILE',
  ],
  [
    '_CERTIFICATE_EXPIRED',
    'our client certificate is over (certificate expired)',
    'Have it renewed, and look at the clocks of both sides.',
  ],
  ['_CERTIFICATE_REVOKED', 'our client certificate was revoked', 'Have a new one made.'],
];

/** The code of a connection that was closed before it was one. */
export const connectionClosed = 'MQTT_CLOSED';

/** Whether the far side may be one that does not speak MQTT 5: it said so, or hung up on our CONNECT. */
export function refusesVersion(error: unknown): boolean {
  const cause = error instanceof AiotError ? error.cause : error;
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  return code === connectionClosed || versionCodes.has(code);
}

/** Makes a coded error of what mqtt.js gives. `endpoint` without credentials. */
export function brokerError(error: unknown, endpoint: string): AiotError {
  if (error instanceof AiotError) return error;
  const code = subscriptionRefused(error) ? 128 : error instanceof Error && 'code' in error && error.code;
  const name = systemCode(error);
  const message = error instanceof Error ? error.message : String(error);
  // A TLS alert is the far side's word: our certificate is missing, unknown, or was revoked.
  if (refusedCodes.has(code) || (name?.startsWith('ERR_SSL_') && name.includes('ALERT'))) {
    const [why, next] = alerts.find(([alert]) => name?.endsWith(alert))?.slice(1) ?? [message];
    return new AiotError('AIOT_BROKER_REFUSED', `${endpoint} did not let us in: ${why}`, {
      cause: error,
      endpoint,
      ...(next === undefined ? {} : { next }),
    });
  }
  const untrusted = name !== undefined && isUntrusted(name);
  const next = untrusted
    ? 'Name the CA that signed its certificate: --ca FILE'
    : schemeAdvice(name, endpoint);
  return new AiotError('AIOT_BROKER_UNREACHABLE', `${endpoint}: ${message || name || 'no answer'}`, {
    cause: error,
    endpoint,
    retryable: !untrusted,
    ...(next === undefined ? {} : { next }),
  });
}

/** What to try when somebody answers, but not as a broker does behind this scheme. */
function schemeAdvice(code: string | undefined, endpoint: string): string | undefined {
  const tls = /^(mqtts|wss):/.test(endpoint);
  if (code === protocolBroken)
    return 'If it is a websocket there, write ws://; if not, is this the port of the broker?';
  if (tls && (code === 'ECONNRESET' || code?.startsWith('ERR_SSL_')))
    return 'If the port is a plain one, write mqtt:// instead of mqtts://.';
  if (!tls && code === connectionClosed) return 'If the port wants TLS, write mqtts:// instead of mqtt://.';
  return undefined;
}

/** Whether a SUBACK said no. mqtt.js gives an error of it with the packet, and its code in nothing but that. */
export function subscriptionRefused(error: unknown): boolean {
  const packet = error instanceof Error && 'packet' in error ? error.packet : undefined;
  const granted = (packet as { granted?: unknown } | undefined)?.granted;
  return Array.isArray(granted) && granted.some((code) => code >= 128);
}

/** Reason codes of a PUBACK or PUBREC that say no (MQTT 5, table 3-4). */
const publishReasons: Record<number, string> = {
  128: 'unspecified error',
  131: 'implementation specific error',
  135: 'not authorized',
  144: 'topic name invalid',
  145: 'packet identifier in use',
  151: 'quota exceeded',
  153: 'payload format invalid',
};

/** A message that the broker did not take, by the reason code of its acknowledgement. */
export function publishRefused(reason: number, topic: string, endpoint: string): AiotError {
  const why = publishReasons[reason] ?? `reason ${reason}`;
  const message = `${endpoint} does not take what we publish to ${topic}: ${why}`;
  return new AiotError('AIOT_BROKER_REFUSED', message, {
    endpoint,
    retryable: reason === 151 || reason === 145,
  });
}
