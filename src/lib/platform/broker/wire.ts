import { isUtf8 } from 'node:buffer';

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

interface PublishPacket extends BrokerMessage {
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

/** What came of packets that are not whole yet. Small, for each idle connection has one. */
export class Frames {
  private parts: Buffer[] | null = null;
  private have = 0;
  private need = 0;

  /** @param first the first byte that may come: of something else, such as HTTP's "GET ", the end of a packet is not waited for */
  constructor(private first?: number) {}

  /**
   * Hands over each whole packet as its first byte and `bytes[from .. to)` behind its header. `take` says whether to go on;
   * what is left then waits for the next call. @throws ProtocolError for a length above `largest`, or that is none, or another `first` byte
   */
  push(
    chunk: Buffer | null,
    largest: number,
    take: (head: number, bytes: Buffer, from: number, to: number) => boolean,
  ): void {
    if (chunk !== null) {
      if (this.first !== undefined && chunk.length > 0) {
        if (chunk[0] !== this.first) throw new ProtocolError('the first packet is no CONNECT');
        this.first = undefined;
      }
      this.have += chunk.length;
      if (this.parts === null) this.parts = [chunk];
      else this.parts.push(chunk);
      // Who sends byte by byte is not to have a buffer for each.
      if (this.parts.length > 32 + (this.have >>> 12)) this.parts = [Buffer.concat(this.parts)];
    }
    if (this.parts === null || this.have < this.need) return;
    const bytes = this.parts.length === 1 ? this.parts[0]! : Buffer.concat(this.parts);
    const end = bytes.length;
    let at = 0;
    let goOn = true;
    this.need = 0;
    while (goOn && at < end) {
      let length = 0;
      let position = at + 1;
      let shift = 0;
      let byte = 0x80;
      // MQTT 3.1.1, 2.2.3: seven bits a byte, the lowest first, at most four bytes.
      while (position < end && byte >= 0x80) {
        byte = bytes[position++]!;
        length |= (byte & 0x7f) << shift;
        shift += 7;
        if (byte >= 0x80 && shift === 28) throw new ProtocolError('a length of more than four bytes');
      }
      if (byte >= 0x80) break;
      if (length > largest) throw new ProtocolError('a packet is too long');
      if (position + length > end) {
        this.need = position - at + length;
        break;
      }
      const head = bytes[at]!;
      at = position + length;
      goOn = take(head, bytes, position, at);
    }
    this.have = end - at;
    this.parts = at === end ? null : [at === 0 ? bytes : bytes.subarray(at)];
  }
}

/** A packet's bytes behind its fixed header: `bytes[at .. to)`. */
class Reader {
  constructor(
    readonly bytes: Buffer,
    public at: number,
    readonly to: number,
  ) {}

  private take(count: number): number {
    const from = this.at;
    if (from + count > this.to) throw new ProtocolError('a field ends after its packet');
    this.at = from + count;
    return from;
  }

  byte(): number {
    return this.bytes[this.take(1)]!;
  }

  short(): number {
    return this.bytes.readUInt16BE(this.take(2));
  }

  /** An own copy: what it came in is given back. */
  binary(): Buffer {
    const length = this.short();
    const from = this.take(length);
    return Buffer.from(this.bytes.subarray(from, from + length));
  }

  /** UTF-8 without NUL (MQTT 3.1.1, 1.5.3). */
  text(): string {
    const length = this.short();
    const from = this.take(length);
    return textIn(this.bytes, from, from + length);
  }

  get left(): boolean {
    return this.at < this.to;
  }
}

function textIn(bytes: Buffer, from: number, to: number): string {
  const text = bytes.toString('utf8', from, to);
  const replaced = text.includes('\ufffd') && !isUtf8(bytes.subarray(from, to));
  if (replaced || text.includes('\0')) throw new ProtocolError('a text is no UTF-8');
  return text;
}

function qosOf(bits: number): Qos {
  if (bits > 2) throw new ProtocolError('a QoS of 3');
  return bits as Qos;
}

/** MQTT 3.1.1, 3.1; a version that is neither 3.1 nor 3.1.1 is in `level`, and the rest of it is not read. */
export function readConnect(bytes: Buffer, from: number, to: number): ConnectPacket {
  const reader = new Reader(bytes, from, to);
  const name = reader.text();
  const level = reader.byte() & 0x7f;
  const known = (name === 'MQTT' && level === 4) || (name === 'MQIsdp' && level === 3);
  const none = { clean: true, keepAliveSeconds: 0, clientId: '', will: null, username: null, password: null };
  if (!known) {
    if (name !== 'MQTT' && name !== 'MQIsdp') throw new ProtocolError('a CONNECT of another protocol');
    return { level: 0, ...none };
  }
  const flags = reader.byte();
  if (level === 4 && (flags & 1) !== 0) throw new ProtocolError('a reserved flag of CONNECT is set');
  const has = (bit: number) => (flags & bit) !== 0;
  const keepAliveSeconds = reader.short();
  const clientId = reader.text();
  let will: BrokerMessage | null = null;
  if (has(4)) {
    const topic = topicOf(reader.text());
    will = { topic, payload: reader.binary(), qos: qosOf((flags >> 3) & 3), retain: has(0x20) };
  } else if ((flags & 0x38) !== 0) throw new ProtocolError('the will of a CONNECT without one');
  const username = has(0x80) ? reader.text() : null;
  if (has(0x40) && level === 4 && username === null) throw new ProtocolError('a password without a user');
  const password = has(0x40) ? reader.binary() : null;
  return { level, clean: has(2), keepAliveSeconds, clientId, will, username, password };
}

function topicOf(topic: string): string {
  if (topic === '' || topic.includes('+') || topic.includes('#'))
    throw new ProtocolError('a topic that is none');
  return topic;
}

/** MQTT 3.1.1, 3.3. The payload is a part of `bytes`, not a copy. */
export function readPublish(head: number, bytes: Buffer, from: number, to: number): PublishPacket {
  const qos = qosOf((head >> 1) & 3);
  if (to - from < 2) throw new ProtocolError('a PUBLISH without a topic');
  const topicEnd = from + 2 + bytes.readUInt16BE(from);
  const start = topicEnd + (qos > 0 ? 2 : 0);
  if (start > to) throw new ProtocolError('a topic ends after its packet');
  const topic = topicOf(textIn(bytes, from + 2, topicEnd));
  const id = qos > 0 ? bytes.readUInt16BE(topicEnd) : 0;
  if (qos > 0 && id === 0) throw new ProtocolError('a packet id of 0');
  const payload = bytes.subarray(start, to);
  return { topic, payload, qos, retain: (head & 1) !== 0, dup: (head & 8) !== 0, id };
}

/** MQTT 3.1.1, 3.8. Filters are not judged. */
export function readSubscribe(head: number, bytes: Buffer, from: number, to: number): SubscribePacket {
  const reader = requested(head, bytes, from, to);
  const id = reader.short();
  const subscriptions: SubscribePacket['subscriptions'] = [];
  while (reader.left) subscriptions.push({ filter: reader.text(), qos: qosOf(reader.byte()) });
  if (id === 0 || subscriptions.length === 0) throw new ProtocolError('a SUBSCRIBE of nothing');
  return { id, subscriptions };
}

/** MQTT 3.1.1, 3.10. */
export function readUnsubscribe(head: number, bytes: Buffer, from: number, to: number) {
  const reader = requested(head, bytes, from, to);
  const id = reader.short();
  const filters: string[] = [];
  while (reader.left) filters.push(reader.text());
  if (id === 0 || filters.length === 0) throw new ProtocolError('an UNSUBSCRIBE of nothing');
  return { id, filters };
}

/** Bits 3 to 0 are 0010; MQTT 3.1 has DUP in bit 3. */
function requested(head: number, bytes: Buffer, from: number, to: number): Reader {
  if ((head & 0x07) !== 2) throw new ProtocolError('the flags of a header are wrong');
  return new Reader(bytes, from, to);
}

/**
 * The lower four bits of the first byte (MQTT 3.1.1, 2.2.2): 0010 for PUBREL, 0 for all but PUBLISH and the two that `requested`
 * looks at. @param strict false for MQTT 3.1, where DUP may be set
 */
export function checkFlags(head: number, strict: boolean): void {
  const type = head >> 4;
  if (type === packet.publish || type === packet.subscribe || type === packet.unsubscribe) return;
  const flags = head & (strict ? 0x0f : 0x07);
  if (flags !== (type === packet.pubrel ? 2 : 0)) throw new ProtocolError('the flags of a header are wrong');
}

/** The packet id of PUBACK, PUBREC, PUBREL and PUBCOMP. */
export function readAck(bytes: Buffer, from: number, to: number): number {
  if (to - from !== 2) throw new ProtocolError('an acknowledgement of a wrong length');
  return bytes.readUInt16BE(from);
}

export const pingResponse: Buffer = Buffer.from([packet.pingresp << 4, 0]);

export function connack(code: number, sessionPresent = false): Buffer {
  return Buffer.from([packet.connack << 4, 2, sessionPresent ? 1 : 0, code]);
}

/** PUBACK, PUBREC, PUBREL, PUBCOMP or UNSUBACK. */
export function ack(type: number, id: number): Buffer {
  // A PUBREL's lower bits are 0010 (MQTT 3.1.1, 3.6.1).
  return Buffer.from([(type << 4) | (type === packet.pubrel ? 2 : 0), 2, id >> 8, id & 0xff]);
}

/** One code a filter: the granted QoS, or 128 for refused (MQTT 3.1.1, 3.9.3). */
export function suback(id: number, codes: readonly number[]): Buffer {
  const length = 2 + codes.length;
  const header = [packet.suback << 4];
  let rest = length;
  do {
    header.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    rest >>>= 7;
  } while (rest > 0);
  return Buffer.from([...header, id >> 8, id & 0xff, ...codes]);
}
