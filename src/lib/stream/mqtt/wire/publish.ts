import { AiotError } from '../../../core/index.js';
import type { Header, OutgoingMessage } from '../../message.js';
import type { Frames } from './frames.js';
import { decodeProperties, encodeProperties } from './properties.js';

/** MQTT's protocol level: 3.1, 3.1.1, 5. */
export type MqttVersion = 3 | 4 | 5;

/** A PUBLISH as it came (MQTT 5 and 3.1.1, section 3.3). */
export interface Published {
  topic: string;
  payload: Buffer;
  qos: 0 | 1 | 2;
  retain: boolean;
  dup: boolean;
  /** 0 at QoS 0. */
  id: number;
  headers: Header[] | undefined;
}

/** Reads PUBLISH packets. It remembers the last topic, since most messages have that of the one before. */
export function createPublishReader(): (frames: Frames, version: MqttVersion) => Published {
  let lastBytes = Buffer.alloc(0);
  let lastTopic = '';
  return ({ buffer, head, from, to }, version) => {
    const qos = (head >> 1) & 3;
    const topicEnd = from + 2 + (to - from < 2 ? 0 : buffer.readUInt16BE(from));
    let at = topicEnd + (qos > 0 ? 2 : 0);
    if (qos === 3 || to - from < 2 || at > to) throw new RangeError('a PUBLISH that is none');
    if (
      topicEnd - from - 2 !== lastBytes.length ||
      lastBytes.compare(buffer, from + 2, topicEnd, 0, lastBytes.length) !== 0
    ) {
      lastBytes = Buffer.from(buffer.subarray(from + 2, topicEnd));
      lastTopic = lastBytes.toString();
    }
    let headers: Header[] | undefined;
    if (version === 5) {
      const [length, start] = varint(buffer, at, to);
      at = start + length;
      if (at > to) throw new RangeError('properties that end after their packet');
      if (length > 0) headers = decodeProperties(buffer, start, at);
    }
    return {
      topic: lastTopic,
      payload: buffer.subarray(at, to),
      qos: qos as 0 | 1 | 2,
      retain: (head & 1) !== 0,
      dup: (head & 8) !== 0,
      id: qos > 0 ? buffer.readUInt16BE(topicEnd) : 0,
      headers: headers?.length ? headers : undefined,
    };
  };
}

/** A variable byte integer (section 1.5.5): its value, and where it ends. */
export function varint(buffer: Buffer, from: number, to: number): [value: number, end: number] {
  let value = 0;
  let shift = 0;
  for (let at = from; at < to && shift < 28; shift += 7) {
    const byte = buffer[at++]!;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return [value, at];
  }
  throw new RangeError('a length that is none');
}

function varintSize(value: number): number {
  return value < 128 ? 1 : value < 16_384 ? 2 : value < 2_097_152 ? 3 : 4;
}

function writeVarint(buffer: Buffer, value: number, at: number): number {
  let position = at;
  let rest = value;
  do {
    const byte = rest & 0x7f;
    rest >>>= 7;
    buffer[position++] = rest > 0 ? byte | 0x80 : byte;
  } while (rest > 0);
  return position;
}

/** Largest remaining length of a packet (section 1.5.5). */
const largestPacket = 268_435_455;

export interface PublishFlags {
  topic: string;
  qos: 0 | 1 | 2;
  /** 1 to 65535; 0 at QoS 0. */
  id: number;
  dup: boolean;
  version: MqttVersion;
}

/** A PUBLISH packet. Headers travel in MQTT 5 alone. @throws AIOT_STREAM_MESSAGE_REFUSED when MQTT cannot carry it */
export function encodePublish(message: OutgoingMessage, flags: PublishFlags): Buffer {
  const { topic, qos, id, dup, version } = flags;
  const { payload, retain = false, headers } = message;
  const properties = version === 5 && headers?.length ? encodeProperties(headers) : undefined;
  const propertyBytes = properties?.length ?? 0;
  const topicBytes = Buffer.byteLength(topic);
  const before = 2 + topicBytes + (qos > 0 ? 2 : 0);
  const length = before + (version === 5 ? varintSize(propertyBytes) + propertyBytes : 0) + payload.length;
  if (length > largestPacket || topicBytes > 65_535) {
    throw new AiotError(
      'AIOT_STREAM_MESSAGE_REFUSED',
      `expected a topic of at most 65535 bytes and a message of at most ${largestPacket}, got ${topicBytes} and ${length}`,
    );
  }
  const packet = Buffer.allocUnsafe(1 + varintSize(length) + length);
  packet[0] = 0x30 | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0);
  let at = writeVarint(packet, length, 1);
  at = packet.writeUInt16BE(topicBytes, at);
  at += packet.write(topic, at);
  if (qos > 0) at = packet.writeUInt16BE(id, at);
  if (version === 5) {
    at = writeVarint(packet, propertyBytes, at);
    if (properties) at += properties.copy(packet, at);
  }
  packet.set(payload, at);
  return packet;
}

/** An acknowledgement of four bytes; in MQTT 5 that is one with the reason 0, success (section 3.4.2.1). */
export function writeAck(buffer: Buffer, at: number, type: number, id: number): void {
  // A PUBREL's lower bits are 0010 (section 3.6.1).
  buffer[at] = (type << 4) | (type === 6 ? 2 : 0);
  buffer[at + 1] = 2;
  buffer[at + 2] = id >> 8;
  buffer[at + 3] = id & 0xff;
}
