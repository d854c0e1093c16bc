import { isUtf8 } from 'node:buffer';
import { AiotError } from '../../core/errors.js';
import { headerValue, marked, unmarked } from '../headers.js';
import { type Header, mqttHeaders, type OutgoingMessage } from '../message.js';

// Codec for the packets that every message needs, for clients and the broker: framing, PUBLISH and acknowledgments.
// mqtt-packet handles all other packets, in mqtt.js for clients and in platform/broker/requests.ts for the broker. For
// measurements, see docs/background/decisions/026-mqtt-codec.md.

/** MQTT's protocol level: 3.1, 3.1.1, 5. */
export type MqttVersion = 3 | 4 | 5;

/** The error for bytes that are not MQTT. The connection is then closed (MQTT 3.1.1, 4.8). */
export class ProtocolError extends RangeError {
  /**
   * Reason code for the DISCONNECT that reports the error to an MQTT 5 peer (MQTT 5, section 2.4); 0x81 = malformed
   * packet.
   */
  readonly reason: number;

  constructor(message: string, { reason = 0x81, cause }: { reason?: number; cause?: unknown } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.reason = reason;
  }
}

/** A received PUBLISH (MQTT 5 and 3.1.1, section 3.3). */
export interface Published {
  topic: string;
  payload: Buffer;
  qos: 0 | 1 | 2;
  retain: boolean;
  dup: boolean;
  /** Packet identifier; 0 at QoS 0. */
  id: number;
  headers: Header[] | undefined;
}

/**
 * Creates a reader of PUBLISH packets (MQTT 5 and 3.1.1, section 3.3). The payload is a view of the frame, not a copy. The reader
 * caches the last topic, because most messages have the same topic as the previous one. The caller must check for wildcards and an
 * empty topic.
 * @throws ProtocolError for a topic that is not UTF-8, a packet id of 0, or a malformed packet
 */
export function createPublishReader(): (frames: Frames, version: MqttVersion) => Published {
  let lastBytes = Buffer.alloc(0);
  let lastTopic = '';
  return ({ buffer, head, from, to }, version) => {
    const qos = qosOf((head >> 1) & 3);
    if (to - from < 2) throw new ProtocolError('a PUBLISH has no topic');
    const topicEnd = from + 2 + buffer.readUInt16BE(from);
    let at = topicEnd + (qos > 0 ? 2 : 0);
    if (at > to) throw new ProtocolError('a topic extends past its packet');
    if (
      topicEnd - from - 2 !== lastBytes.length ||
      lastBytes.compare(buffer, from + 2, topicEnd, 0, lastBytes.length) !== 0
    ) {
      lastTopic = readText(buffer, from + 2, topicEnd);
      lastBytes = Buffer.from(buffer.subarray(from + 2, topicEnd));
    }
    const id = qos > 0 ? buffer.readUInt16BE(topicEnd) : 0;
    if (qos > 0 && id === 0) throw new ProtocolError('a packet id is 0', { reason: 0x82 });
    let headers: Header[] | undefined;
    if (version === 5) {
      const [length, start] = varint(buffer, at, to);
      at = start + length;
      if (at > to) throw new ProtocolError('properties extend past their packet');
      if (length > 0) headers = decodeProperties(buffer, start, at);
    }
    return {
      topic: lastTopic,
      payload: buffer.subarray(at, to),
      qos,
      retain: (head & 1) !== 0,
      dup: (head & 8) !== 0,
      id,
      headers: headers?.length ? headers : undefined,
    };
  };
}

export function qosOf(bits: number): 0 | 1 | 2 {
  if (bits > 2) throw new ProtocolError('QoS 3 does not exist');
  return bits as 0 | 1 | 2;
}

/** Decodes UTF-8 text, which must not contain NUL (MQTT 3.1.1, 1.5.3). @throws ProtocolError */
export function readText(bytes: Buffer, from: number, to: number): string {
  const text = bytes.toString('utf8', from, to);
  const replaced = text.includes('\ufffd') && !isUtf8(bytes.subarray(from, to));
  if (replaced || text.includes('\0')) throw new ProtocolError('a string is not valid UTF-8');
  return text;
}

/** Reads a variable byte integer (section 1.5.5), and returns its value and its end. */
export function varint(buffer: Buffer, from: number, to: number): [value: number, end: number] {
  let value = 0;
  let shift = 0;
  for (let at = from; at < to && shift < 28; shift += 7) {
    const byte = buffer[at++]!;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return [value, at];
  }
  throw new ProtocolError('a length is invalid');
}

export function varintSize(value: number): number {
  return value < 128 ? 1 : value < 16_384 ? 2 : value < 2_097_152 ? 3 : 4;
}

export function writeVarint(buffer: Buffer, value: number, at: number): number {
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

interface PublishFlags {
  topic: string;
  qos: 0 | 1 | 2;
  /** Packet identifier, 1 to 65535; 0 at QoS 0. */
  id: number;
  dup: boolean;
  version: MqttVersion;
  /**
   * MQTT 5: the number that stands for the topic on this connection. If the broker knows this alias, the topic is
   * omitted (section 3.3.2.3.4).
   */
  alias?: number;
  known?: boolean;
}

/** Encodes a PUBLISH packet. Only MQTT 5 carries headers. @throws AIOT_STREAM_MESSAGE_REFUSED if MQTT cannot carry the message */
export function encodePublish(message: OutgoingMessage, flags: PublishFlags): Buffer {
  const { qos, id, dup, version, alias, known } = flags;
  const topic = known ? '' : flags.topic;
  const { payload, retain = false, headers } = message;
  const properties = version === 5 && headers?.length ? encodeProperties(headers) : undefined;
  const propertyBytes = (properties?.length ?? 0) + (alias === undefined ? 0 : 3);
  const topicBytes = Buffer.byteLength(topic);
  const before = 2 + topicBytes + (qos > 0 ? 2 : 0);
  const length = before + (version === 5 ? varintSize(propertyBytes) + propertyBytes : 0) + payload.length;
  if (length > largestPacket || topicBytes > 65_535) {
    throw new AiotError(
      'AIOT_STREAM_MESSAGE_REFUSED',
      `expected a topic of at most 65535 bytes and a packet of at most ${largestPacket}, got a topic of ${topicBytes} and a packet of ${length}`,
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
    if (alias !== undefined) at = packet.writeUInt16BE(alias, packet.writeUInt8(ids.topicAlias, at));
    if (properties) at += properties.copy(packet, at);
  }
  packet.set(payload, at);
  return packet;
}

/**
 * Writes a PUBACK, PUBREC, PUBREL or PUBCOMP of four bytes. In MQTT 5, this form means reason 0, success (section
 * 3.4.2.1).
 */
export function writeAck(buffer: Buffer, at: number, type: number, id: number): void {
  // A PUBREL's lower bits are 0010 (section 3.6.1).
  buffer[at] = (type << 4) | (type === packetType.pubrel ? 2 : 0);
  buffer[at + 1] = 2;
  buffer[at + 2] = id >> 8;
  buffer[at + 3] = id & 0xff;
}

/** Identifiers of the properties of a PUBLISH (MQTT 5, table 2-4 and section 3.3.2.3). */
const ids = {
  payloadFormatIndicator: 0x01,
  messageExpiryInterval: 0x02,
  contentType: 0x03,
  responseTopic: 0x08,
  correlationData: 0x09,
  subscriptionIdentifier: 0x0b,
  topicAlias: 0x23,
  userProperty: 0x26,
} as const;

const largestText = 65_535;

/** Decodes the properties in `buffer[from .. to)` as headers, in order. @throws ProtocolError if they are malformed */
export function decodeProperties(buffer: Buffer, from: number, to: number): Header[] {
  const headers: Header[] = [];
  let at = from;
  const within = (bytes: number) => {
    if (at + bytes > to) throw new ProtocolError('a property extends past its packet');
    at += bytes;
    return at - bytes;
  };
  const bytes = () => {
    const length = buffer.readUInt16BE(within(2));
    const start = within(length);
    return buffer.subarray(start, start + length);
  };
  const text = () => bytes().toString();
  while (at < to) {
    switch (buffer[at++]) {
      case ids.payloadFormatIndicator:
        headers.push([mqttHeaders.payloadFormatIndicator, String(buffer[within(1)])]);
        break;
      case ids.messageExpiryInterval:
        headers.push([mqttHeaders.messageExpiryInterval, String(buffer.readUInt32BE(within(4)))]);
        break;
      case ids.contentType:
        headers.push([mqttHeaders.contentType, text()]);
        break;
      case ids.responseTopic:
        headers.push([mqttHeaders.responseTopic, text()]);
        break;
      case ids.correlationData:
        headers.push([mqttHeaders.correlationData, Buffer.from(bytes())]);
        break;
      case ids.userProperty:
        {
          const [name, [value = '']] = unmarked([text(), [text()]], isText);
          headers.push([name, value]);
        }
        break;
      case ids.topicAlias:
        within(2);
        break;
      case ids.subscriptionIdentifier:
        while (buffer[within(1)]! >= 0x80);
        break;
      default:
        throw new ProtocolError('a property is not allowed in a message');
    }
  }
  return headers;
}

/**
 * Converts headers to a PUBLISH's properties, without their length. Headers in `mqttHeaders` become MQTT's own
 * properties if their values fit; all others become user properties. Values that are not text are sent as base64 under
 * a marked name.
 * @throws AIOT_STREAM_MESSAGE_REFUSED if a name or value is longer than 65,535 bytes
 */
export function encodeProperties(headers: readonly Header[]): Buffer {
  const parts: Buffer[] = [];
  const once = new Set<number>();
  for (const header of headers) {
    const own = ownProperty(header);
    // Each of MQTT's own properties may occur once (section 3.3.2.3); a repeated property becomes a user property.
    if (own && !once.has(own[0]!)) {
      once.add(own[0]!);
      parts.push(own);
    } else {
      const [name, [text = '']] = marked([header[0], [header[1]]], isText);
      // A header name has no marked form, so a name that is not text is sent as base64.
      const sent = isText(name) ? name : Buffer.from(name).toString('base64');
      parts.push(Buffer.from([ids.userProperty]), lengthFirst(Buffer.from(sent), sent));
      parts.push(lengthFirst(Buffer.from(text), sent));
    }
  }
  return Buffer.concat(parts);
}

const ownNames: ReadonlySet<string> = new Set(Object.values(mqttHeaders));

function ownProperty([name, value]: Header): Buffer | undefined {
  if (!ownNames.has(name)) return undefined;
  if (name === mqttHeaders.correlationData)
    return Buffer.concat([
      Buffer.from([ids.correlationData]),
      lengthFirst(Buffer.from(value as string), name),
    ]);
  const text = typeof value === 'string' ? value : headerValue(value);
  if (typeof text !== 'string' || !isText(text)) return undefined;
  switch (name) {
    case mqttHeaders.contentType:
      return Buffer.concat([Buffer.from([ids.contentType]), lengthFirst(Buffer.from(text), name)]);
    case mqttHeaders.responseTopic:
      if (text === '' || /[+#]/.test(text)) return undefined;
      return Buffer.concat([Buffer.from([ids.responseTopic]), lengthFirst(Buffer.from(text), name)]);
    case mqttHeaders.payloadFormatIndicator:
      return /^[01]$/.test(text) ? Buffer.from([ids.payloadFormatIndicator, Number(text)]) : undefined;
    case mqttHeaders.messageExpiryInterval: {
      if (!/^\d{1,10}$/.test(text) || Number(text) > 0xffff_ffff) return undefined;
      const bytes = Buffer.alloc(5);
      bytes[0] = ids.messageExpiryInterval;
      bytes.writeUInt32BE(Number(text), 1);
      return bytes;
    }
    default:
      return undefined;
  }
}

/**
 * Whether MQTT can carry a text, which must not contain NUL (section 1.5.4), and should not contain other control
 * characters or noncharacters, because Mosquitto would close the connection.
 */
function isText(text: string): boolean {
  return !/[\p{Cc}\p{Noncharacter_Code_Point}]/u.test(text);
}

function lengthFirst(bytes: Buffer, name: string): Buffer {
  if (bytes.length > largestText) {
    throw new AiotError(
      'AIOT_STREAM_MESSAGE_REFUSED',
      `header ${name.slice(0, 40)}: expected at most ${largestText} bytes (the MQTT limit), got ${bytes.length}`,
    );
  }
  const whole = Buffer.allocUnsafe(2 + bytes.length);
  whole.writeUInt16BE(bytes.length, 0);
  bytes.copy(whole, 2);
  return whole;
}

/** Packet types: the high four bits of the first byte (MQTT 5, table 2-1). */
export const packetType = {
  connect: 1,
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  unsubscribe: 10,
  pingreq: 12,
  disconnect: 14,
  auth: 15,
} as const;

const nothing = Buffer.alloc(0);

/**
 * Splits the data of a connection into packets, without copying packets that arrive whole. After `next()` has returned
 * true, the packet without its header is `buffer[from .. to)`, and `head` is its first byte. The object is small,
 * because a broker has one for each idle connection.
 */
export class Frames {
  buffer: Buffer = nothing;
  head = 0;
  from = 0;
  to = 0;
  /** Position of the packet's first byte. */
  start = 0;
  private at = 0;
  private waiting: Buffer[] | null = null;
  private waitingBytes = 0;
  private wanted = 0;

  push(chunk: Buffer): void {
    this.waitingBytes += chunk.length;
    if (this.waiting === null) this.waiting = [chunk];
    else this.waiting.push(chunk);
    // Merges small chunks. Otherwise, a peer that sends single bytes would occupy one buffer for each byte.
    if (this.waiting.length > 32 + (this.waitingBytes >>> 12)) this.waiting = [Buffer.concat(this.waiting)];
  }

  /**
   * @param largest maximum number of bytes after the header of a packet; a longer packet is rejected before it has arrived
   * @throws ProtocolError if a packet is too long, or its length is invalid (MQTT 5, section 1.5.5: at most four bytes)
   */
  next(largest = largestPacket): boolean {
    for (;;) {
      if (this.parse(largest)) return true;
      const left = this.buffer.length - this.at;
      // Releases the last packet's bytes, because the next packet may arrive much later.
      if (left === 0 && this.at > 0) this.keep(nothing);
      if (this.waiting === null || left + this.waitingBytes < this.wanted) return false;
      // A packet that arrives in many chunks is assembled only once, after the last chunk.
      const parts = left > 0 ? [this.buffer.subarray(this.at), ...this.waiting] : this.waiting;
      this.keep(parts.length === 1 ? parts[0]! : Buffer.concat(parts));
      this.waiting = null;
      this.waitingBytes = 0;
    }
  }

  /** Makes `next` return the same packet again. */
  unread(): void {
    this.at = this.start;
  }

  private keep(buffer: Buffer): void {
    this.buffer = buffer;
    this.at = 0;
  }

  private parse(largest: number): boolean {
    const { buffer, at } = this;
    const end = buffer.length;
    let length = 0;
    let shift = 0;
    let position = at + 1;
    this.wanted = end - at + 1;
    for (;;) {
      if (position >= end) return false;
      const byte = buffer[position++]!;
      length |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
      shift += 7;
      if (shift > 21) throw new ProtocolError('a packet length has more than four bytes');
    }
    if (length > largest) throw new ProtocolError('a packet is too long', { reason: 0x95 });
    if (position + length > end) {
      this.wanted = position - at + length;
      return false;
    }
    this.head = buffer[at]!;
    this.start = at;
    this.from = position;
    this.to = position + length;
    this.at = this.to;
    return true;
  }
}
