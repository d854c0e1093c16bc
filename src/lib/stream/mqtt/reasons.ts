import { AiotError } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import { printable } from '../../core/text.js';

/** A reason code in a broker's packet (MQTT 5, section 2.4), with the broker's explanation. */
export interface Reason {
  code: number;
  /** The broker's Reason String (section 3.2.2.3.9). */
  text?: string;
  /** Another server to use (section 3.14.2.2.5). */
  server?: string;
}

/** Names of the reason codes at or above 128, which are all errors (MQTT 5, table 2-6). */
const names: Record<number, string> = {
  128: 'unspecified error',
  129: 'malformed packet',
  130: 'protocol error',
  131: 'implementation specific error',
  132: 'unsupported protocol version',
  133: 'client identifier not valid',
  134: 'bad user name or password',
  135: 'not authorized',
  136: 'server unavailable',
  137: 'server busy',
  138: 'banned',
  139: 'server shutting down',
  140: 'bad authentication method',
  141: 'keep alive timeout',
  142: 'session taken over',
  143: 'topic filter invalid',
  144: 'topic name invalid',
  145: 'packet identifier in use',
  146: 'packet identifier not found',
  147: 'receive maximum exceeded',
  148: 'topic alias invalid',
  149: 'packet too large',
  150: 'message rate too high',
  151: 'quota exceeded',
  152: 'administrative action',
  153: 'payload format invalid',
  154: 'retain not supported',
  155: 'QoS not supported',
  156: 'use another server',
  157: 'server moved',
  158: 'shared subscriptions not supported',
  159: 'connection rate exceeded',
  160: 'maximum connect time',
  161: 'subscription identifiers not supported',
  162: 'wildcard subscriptions not supported',
};

/** A CONNACK's return codes in MQTT 3.1 and 3.1.1 (section 3.2.2.3). */
const returnCodes: Record<number, string> = {
  1: 'unacceptable protocol version',
  2: 'client identifier rejected',
  3: 'server unavailable',
  4: 'bad user name or password',
  5: 'not authorized',
};

/** The reason as text for errors, such as `not authorized (0x87): the reason string`, or `not authorized (5)` in MQTT 3.1.1. */
export function reasonText({ code, text }: Reason): string {
  const name = code < 128 ? returnCodes[code] : names[code];
  const shown = code < 128 ? String(code) : hex(code);
  // The text comes from the broker, so control characters must not reach a terminal.
  const said = text === undefined || text === '' ? '' : `: ${printable(text)}`;
  return name === undefined ? `reason ${shown}${said}` : `${name} (${shown})${said}`;
}

/** Identifiers of the properties in a DISCONNECT or an acknowledgment (sections 3.4.2.2 and 3.14.2.2). */
const properties = { expiry: 0x11, server: 0x1c, text: 0x1f, user: 0x26 } as const;

/**
 * Reads the reason at `at` in a PUBACK, PUBREC, PUBCOMP or DISCONNECT whose body ends at `to`. If it is missing, the
 * code is 0, success (section 3.4.2.1). Unreadable properties are ignored, because only the code matters.
 */
export function readReason(buffer: Buffer, at: number, to: number): Reason {
  if (at >= to) return { code: 0 };
  const reason: Reason = { code: buffer[at]! };
  if (reason.code < 128) return reason;
  let position = at + 1;
  // Skips the length of the properties, because they fill the rest of the packet.
  while (position < to && buffer[position]! >= 128) position++;
  position++;
  const text = () => {
    if (position + 2 > to) return undefined;
    const start = position + 2;
    position = start + buffer.readUInt16BE(position);
    return position > to ? undefined : buffer.toString('utf8', start, position);
  };
  while (position < to) {
    const id = buffer[position++];
    if (id === properties.expiry) {
      position += 4;
      continue;
    }
    const value = text();
    if (value === undefined) break;
    if (id === properties.text) reason.text = value;
    else if (id === properties.server) reason.server = value;
    else if (id === properties.user) text();
    else break;
  }
  return reason;
}

/**
 * Reason codes for server unavailable, busy, shutting down or moved; keep alive timeout, session taken over, administrative action,
 * connection limits.
 */
const brokersOwn = new Set([136, 137, 139, 141, 142, 152, 156, 157, 159, 160]);

/** Whether the broker ended the connection for a reason that no published message causes. */
export function isBrokersOwn({ code }: Reason): boolean {
  return brokersOwn.has(code);
}

/** Reason codes after which the same message may be accepted later: packet identifier in use, and quota exceeded. */
const acceptedLater = new Set([145, 151]);

/** The error for a message that the broker rejected, with the reason in its acknowledgment. */
export function publishRefused(reason: Reason, topic: string, endpoint: string): AiotError {
  const message = `${endpoint} rejects messages published to ${topic}: ${reasonText(reason)}`;
  return new AiotError('AIOT_BROKER_REFUSED', message, {
    endpoint,
    retryable: acceptedLater.has(reason.code),
  });
}

/** The error for a connection that the broker ended with a DISCONNECT; mqtt.js reconnects. */
export function dismissal(reason: Reason, endpoint: string): AiotError {
  const message = `${endpoint} ended the connection: ${reasonText(reason)}`;
  return new AiotError('AIOT_BROKER_UNREACHABLE', message, {
    endpoint,
    retryable: true,
    ...(reason.server === undefined ? {} : { next: otherServer(reason.server) }),
  });
}

export function otherServer(server: string): string {
  return `Use the server that the broker refers to: ${printable(server)}`;
}

/** Reason code: another client connected with our client id. Reconnecting would only disconnect that client in turn. */
export const sessionTakenOver = 142;

/** @param retryable whether the caller will open a new connection later, and thereby disconnect the other client */
export function takenOver(clientId: string | undefined, endpoint: string, retryable = false): AiotError {
  const which = clientId === undefined ? '' : `, ${clientId}`;
  const message = `${endpoint}: another client connected with the same client id${which}`;
  const next = 'Give each client its own id: ?clientId=NAME';
  return new AiotError('AIOT_BROKER_REFUSED', message, { endpoint, next, retryable });
}

/** The error for a SUBACK that rejects the filter. MQTT 3.1.1 has one code for all rejections (section 3.9.3). */
export function subscriptionError(reason: Reason, filter: string, endpoint: string): AiotError {
  const { code } = reason;
  const refusal = `does not permit this client to subscribe to ${filter}`;
  const message =
    code === 128 && reason.text === undefined
      ? `${endpoint} ${refusal}`
      : code === 128 || code === 135
        ? `${endpoint} ${refusal}: ${reasonText(reason)}`
        : `${endpoint} rejects the subscription to ${filter}: ${reasonText(reason)}`;
  const next =
    code === 158 ? 'Remove the group, or use a broker that supports shared subscriptions.' : undefined;
  return new AiotError('AIOT_BROKER_REFUSED', message, {
    endpoint,
    ...(next === undefined ? {} : { next }),
  });
}
