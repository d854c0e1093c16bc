/** Packet types: the high four bits of the first byte (MQTT 3.1.1, table 2.1). */
export const packet = {
  connect: 1,
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  suback: 9,
  unsubscribe: 10,
  unsuback: 11,
  pingreq: 12,
  pingresp: 13,
  disconnect: 14,
} as const;

/** Return codes of CONNACK (table 3.1). */
export const returnCode = {
  accepted: 0,
  version: 1,
  identifier: 2,
  unavailable: 3,
  credentials: 4,
  notAuthorized: 5,
} as const;

export type Qos = 0 | 1 | 2;

/** A message as the broker passes it on; `retain` as it is to be sent. */
export interface BrokerMessage {
  topic: string;
  payload: Buffer;
  qos: Qos;
  retain: boolean;
  /** Its PUBLISH at QoS 0, made once for all who get it. */
  wire?: Buffer;
}

/** What a message that is kept counts for, bytes: a topic may be as long as many a payload. */
export function weightOf({ topic, payload }: BrokerMessage): number {
  return topic.length + payload.length;
}

export interface ConnectPacket {
  /** 3 = MQTT 3.1, 4 = 3.1.1; others are refused. */
  level: number;
  clean: boolean;
  keepAliveSeconds: number;
  clientId: string;
  will: BrokerMessage | null;
  username: string | null;
  password: Buffer | null;
}

export interface PublishPacket extends BrokerMessage {
  dup: boolean;
  /** 0 at QoS 0. */
  id: number;
}

export interface SubscribePacket {
  id: number;
  subscriptions: { filter: string; qos: Qos }[];
}

/** What a client sent is no MQTT: its connection is closed (MQTT 3.1.1, 4.8). */
export class ProtocolError extends Error {}
