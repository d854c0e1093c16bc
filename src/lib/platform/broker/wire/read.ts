import { isUtf8 } from 'node:buffer';
import {
  type BrokerMessage,
  type ConnectPacket,
  ProtocolError,
  type PublishPacket,
  packet,
  type Qos,
  type SubscribePacket,
} from './packets.js';

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
