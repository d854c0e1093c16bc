import { AiotError, isUntrusted, systemCode } from '../../core/index.js';

/** Return codes of MQTT 3.1.1 that say no: of a CONNACK (section 3.2.2.3), and 128 of a SUBACK (3.9.3). */
const refusedCodes = new Set<unknown>([2, 4, 5, 128]);

/** Makes a coded error of what mqtt.js gives. `endpoint` without credentials. */
export function brokerError(error: unknown, endpoint: string): AiotError {
  if (error instanceof AiotError) return error;
  const code = subscriptionRefused(error) ? 128 : error instanceof Error && 'code' in error && error.code;
  const name = systemCode(error);
  const message = error instanceof Error ? error.message : String(error);
  // A TLS alert is the far side's word: our certificate is missing, unknown, or was revoked.
  if (refusedCodes.has(code) || (name?.startsWith('ERR_SSL_') && name.includes('ALERT'))) {
    return new AiotError('AIOT_BROKER_REFUSED', `${endpoint} did not let us in: ${message}`, {
      cause: error,
      endpoint,
    });
  }
  const untrusted = name !== undefined && isUntrusted(name);
  return new AiotError('AIOT_BROKER_UNREACHABLE', `${endpoint}: ${message || name || 'no answer'}`, {
    cause: error,
    endpoint,
    retryable: !untrusted,
    ...(untrusted ? { next: 'Name the CA that signed its certificate: --ca FILE' } : {}),
  });
}

/** Whether a SUBACK said no. mqtt.js gives an error of it with the packet, and its code in nothing but that. */
export function subscriptionRefused(error: unknown): boolean {
  const packet = error instanceof Error && 'packet' in error ? error.packet : undefined;
  const granted = (packet as { granted?: unknown } | undefined)?.granted;
  return Array.isArray(granted) && granted.includes(128);
}
