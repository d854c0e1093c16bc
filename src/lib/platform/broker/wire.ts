import type { TraceContext } from '../../core/trace.js';
import {
  type Frames,
  type MqttVersion,
  ProtocolError,
  packetType,
  varintSize,
  writeAck,
  writeVarint,
} from '../../stream/mqtt/packets.js';
import { property } from './properties.js';

/** Reason codes (MQTT 5, section 2.4). */
export const reasonCode = {
  success: 0x00,
  disconnectWithWill: 0x04,
  noMatchingSubscribers: 0x10,
  noSubscriptionExisted: 0x11,
  unspecified: 0x80,
  malformedPacket: 0x81,
  protocolError: 0x82,
  unsupportedVersion: 0x84,
  clientIdentifierNotValid: 0x85,
  badUserNameOrPassword: 0x86,
  notAuthorized: 0x87,
  serverUnavailable: 0x88,
  serverShuttingDown: 0x8b,
  badAuthenticationMethod: 0x8c,
  keepAliveTimeout: 0x8d,
  sessionTakenOver: 0x8e,
  topicFilterInvalid: 0x8f,
  topicNameInvalid: 0x90,
  packetIdentifierNotFound: 0x92,
  receiveMaximumExceeded: 0x93,
  topicAliasInvalid: 0x94,
  packetTooLarge: 0x95,
  quotaExceeded: 0x97,
  administrativeAction: 0x98,
} as const;

/** Return codes of MQTT 3.1.1's CONNACK (table 3.1), by reason code. */
const returnCodes = new Map<number, number>([
  [reasonCode.success, 0],
  [reasonCode.unsupportedVersion, 1],
  [reasonCode.clientIdentifierNotValid, 2],
  [reasonCode.serverUnavailable, 3],
  [reasonCode.quotaExceeded, 3],
  [reasonCode.badUserNameOrPassword, 4],
  [reasonCode.notAuthorized, 5],
]);

export function returnCodeOf(reason: number): number {
  return returnCodes.get(reason) ?? 5;
}

/** A packet that is well formed but not allowed here (MQTT 5, section 4.13). */
export function protocolError(message: string): ProtocolError {
  return new ProtocolError(message, { reason: reasonCode.protocolError });
}

export type Qos = 0 | 1 | 2;

/** A message as the broker forwards it; `retain` is the flag as it will be sent. */
export interface BrokerMessage {
  topic: string;
  payload: Buffer;
  qos: Qos;
  retain: boolean;
  /** Properties that MQTT 5 subscribers receive unchanged, encoded in their original order, without the length that precedes them. */
  properties?: Buffer | undefined;
  /** Time when the Message Expiry Interval ends, ms since 1970. */
  expiresAt?: number | undefined;
  /** The message's trace, if it is recorded. */
  trace?: TraceContext | undefined;
  /** The message encoded as a PUBLISH with QoS 0, once for all receivers of MQTT 3. */
  wire?: Buffer;
  /** The PUBLISH for all MQTT 5 receivers, if the message needs no alias, subscription identifier or expiry interval. */
  wire5?: Buffer;
}

/** Size of a stored message, bytes. The topic counts too, because it can be longer than the payload. */
export function weightOf({ topic, payload, properties }: BrokerMessage): number {
  return topic.length + payload.length + (properties === undefined ? 0 : properties.length);
}

export interface ConnectPacket {
  /** 3 = MQTT 3.1, 4 = 3.1.1, 5 = 5; 0 = another version, in which case the rest of the packet is not read. */
  level: 0 | MqttVersion;
  /** Whether to discard an existing session. */
  clean: boolean;
  keepAliveSeconds: number;
  clientId: string;
  will: ConnectWill | null;
  username: string | null;
  password: Buffer | null;
  /** How long the session outlives the connection, seconds; Infinity = as long as the broker permits. */
  sessionExpirySeconds: number;
  /** Maximum number of unacknowledged messages that the client accepts. */
  receiveMaximum: number;
  /** Maximum size of a packet that the client accepts, bytes. */
  maximumPacketSize: number;
  /** Maximum number of topic aliases that the client accepts. */
  topicAliasMaximum: number;
  /** Whether acknowledgments may carry reason strings. */
  requestProblem: boolean;
  authenticationMethod: string | null;
}

export interface ConnectWill {
  message: BrokerMessage;
  delaySeconds: number;
  /** Lifetime of the message once it is published, seconds. */
  expirySeconds: number | undefined;
}

/** Options of a subscription (MQTT 5, section 3.8.3.1), and its identifier; 0 = none. */
export interface Grant {
  qos: Qos;
  noLocal: boolean;
  retainAsPublished: boolean;
  id: number;
}

export interface SubscribeRequest extends Grant {
  filter: string;
  /** 0 = send retained messages, 1 = only for a new subscription, 2 = do not. */
  retainHandling: 0 | 1 | 2;
}

export interface SubscribePacket {
  id: number;
  subscriptions: SubscribeRequest[];
}

/** Validates the topic of a message. @throws ProtocolError */
export function topicOf(topic: string): string {
  if (topic === '' || topic.includes('+') || topic.includes('#')) throw new ProtocolError('an invalid topic');
  return topic;
}

/** Reads the id of PUBACK, PUBREC, PUBREL and PUBCOMP. @throws ProtocolError */
export function readAck({ buffer, from, to }: Frames, level: MqttVersion): number {
  const length = to - from;
  if (length < 2 || (length > 2 && level < 5))
    throw new ProtocolError('an acknowledgment with a wrong length');
  const id = buffer.readUInt16BE(from);
  if (id === 0) throw protocolError('a packet id is 0');
  return id;
}

/**
 * Checks the lower four bits of the first byte (MQTT 3.1.1, 2.2.2): 0010 for PUBREL, SUBSCRIBE and UNSUBSCRIBE, 0 for all others but
 * PUBLISH. MQTT 3.1 clients may also set DUP. @throws ProtocolError
 */
export function checkFlags(head: number, level: MqttVersion): void {
  const type = head >> 4;
  if (type === packetType.publish) return;
  const flags = head & (level === 3 ? 0x07 : 0x0f);
  const isRequest =
    type === packetType.pubrel || type === packetType.subscribe || type === packetType.unsubscribe;
  if (flags !== (isRequest ? 2 : 0)) throw new ProtocolError('invalid header flags');
}

/** Encodes a PUBACK, PUBREC, PUBREL or PUBCOMP. A reason other than 0 (success) takes a fifth byte, which only MQTT 5 has (section 3.4.2). */
export function ack(type: number, id: number, reason = 0): Buffer {
  const bytes = Buffer.allocUnsafe(reason === 0 ? 4 : 5);
  writeAck(bytes, 0, type, id);
  if (reason !== 0) {
    bytes[1] = 3;
    bytes[4] = reason;
  }
  return bytes;
}

/** Encodes a PUBACK or PUBREC that rejects a message, with a reason string. */
export function refusal(type: number, id: number, reason: number, text: string): Buffer {
  const words = Buffer.from(text);
  const bytes = Buffer.allocUnsafe(9 + words.length);
  writeAck(bytes, 0, type, id);
  bytes[1] = 7 + words.length;
  bytes[4] = reason;
  bytes[5] = 3 + words.length;
  bytes[6] = property.reasonString;
  bytes.writeUInt16BE(words.length, 7);
  words.copy(bytes, 9);
  return bytes;
}

interface Delivered {
  /** Empty once the topic has an alias. */
  topic: string;
  /** Alias of the topic; 0 = none. */
  alias: number;
  qos: Qos;
  id: number;
  dup: boolean;
  /** Identifiers of the matching subscriptions; null = none. */
  ids: readonly number[] | null;
  now: number;
}

/** Encodes an MQTT 5 PUBLISH (section 3.3): the publisher's properties, unchanged, then this delivery's properties. */
export function encodeDelivery(message: BrokerMessage, delivered: Delivered): Buffer {
  const { payload, retain, properties, expiresAt } = message;
  const { topic, alias, qos, id, dup, ids, now } = delivered;
  let propertyBytes = properties === undefined ? 0 : properties.length;
  if (expiresAt !== undefined) propertyBytes += 5;
  if (alias > 0) propertyBytes += 3;
  if (ids !== null) for (const each of ids) propertyBytes += 1 + varintSize(each);
  const topicBytes = Buffer.byteLength(topic);
  const length =
    2 + topicBytes + (qos > 0 ? 2 : 0) + varintSize(propertyBytes) + propertyBytes + payload.length;
  const packet = Buffer.allocUnsafe(1 + varintSize(length) + length);
  packet[0] = (packetType.publish << 4) | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0);
  let at = writeVarint(packet, length, 1);
  at = packet.writeUInt16BE(topicBytes, at);
  at += packet.write(topic, at);
  if (qos > 0) at = packet.writeUInt16BE(id, at);
  at = writeVarint(packet, propertyBytes, at);
  if (properties !== undefined) at += properties.copy(packet, at);
  if (expiresAt !== undefined) {
    packet[at++] = property.messageExpiryInterval;
    // Rounded up, so that 0 is never sent for a message that has not expired.
    const seconds = Math.max(1, Math.ceil((expiresAt - now) / 1000));
    at = packet.writeUInt32BE(seconds, at);
  }
  if (alias > 0) {
    packet[at++] = property.topicAlias;
    at = packet.writeUInt16BE(alias, at);
  }
  if (ids !== null) {
    for (const each of ids) {
      packet[at++] = property.subscriptionIdentifier;
      at = writeVarint(packet, each, at);
    }
  }
  packet.set(payload, at);
  return packet;
}

export function hasExpired({ expiresAt }: BrokerMessage, now: number): boolean {
  return expiresAt !== undefined && expiresAt <= now;
}
