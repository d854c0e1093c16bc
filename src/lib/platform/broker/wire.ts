import { type Frames, ProtocolError, packetType, writeAck } from '../../stream/mqtt/packets.js';

/** Return codes of CONNACK (MQTT 3.1.1, table 3.1). */
export const returnCode = {
  accepted: 0,
  version: 1,
  identifier: 2,
  unavailable: 3,
  credentials: 4,
  notAuthorized: 5,
} as const;

export type Qos = 0 | 1 | 2;

/** A message as the broker forwards it; `retain` as it will be sent. */
export interface BrokerMessage {
  topic: string;
  payload: Buffer;
  qos: Qos;
  retain: boolean;
  /** Its PUBLISH at QoS 0, encoded once for all receivers. */
  wire?: Buffer;
}

/** Size of a stored message, bytes: a topic can be longer than many payloads. */
export function weightOf({ topic, payload }: BrokerMessage): number {
  return topic.length + payload.length;
}

export interface ConnectPacket {
  /** 3 = MQTT 3.1, 4 = 3.1.1, 0 = another one, whose remainder is not read. */
  level: 0 | 3 | 4;
  clean: boolean;
  keepAliveSeconds: number;
  clientId: string;
  will: BrokerMessage | null;
  username: string | null;
  password: Buffer | null;
}

export interface SubscribePacket {
  id: number;
  subscriptions: { filter: string; qos: Qos }[];
}

/** Validates the topic of a message. @throws ProtocolError */
export function topicOf(topic: string): string {
  if (topic === '' || topic.includes('+') || topic.includes('#')) throw new ProtocolError('an invalid topic');
  return topic;
}

/** The id of PUBACK, PUBREC, PUBREL and PUBCOMP. @throws ProtocolError */
export function readAck({ buffer, from, to }: Frames): number {
  if (to - from !== 2) throw new ProtocolError('an acknowledgment with a wrong length');
  return buffer.readUInt16BE(from);
}

/**
 * Checks the lower four bits of the first byte (MQTT 3.1.1, 2.2.2): 0010 for PUBREL, 0 for all but PUBLISH and the packets that `parse` reads. MQTT
 * 3.1 may set DUP among them. @throws ProtocolError
 */
export function checkFlags(head: number, level: 3 | 4): void {
  const type = head >> 4;
  if (type === packetType.publish || type === packetType.subscribe || type === packetType.unsubscribe) return;
  const flags = head & (level === 3 ? 0x07 : 0x0f);
  if (flags !== (type === packetType.pubrel ? 2 : 0)) throw new ProtocolError('invalid header flags');
}

/** PUBACK, PUBREC, PUBREL or PUBCOMP. */
export function ack(type: number, id: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  writeAck(bytes, 0, type, id);
  return bytes;
}
