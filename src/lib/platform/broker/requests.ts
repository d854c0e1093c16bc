import { generate, type IConnectPacket, type Packet, parser } from 'mqtt-packet';
import { type Frames, ProtocolError, qosOf, readText } from '../../stream/mqtt/packets.js';
import { type BrokerMessage, type ConnectPacket, type SubscribePacket, topicOf } from './wire.js';

// CONNECT, SUBSCRIBE, UNSUBSCRIBE and their responses, by mqtt-packet. Per-message packets are in stream/mqtt/packets.ts.

/** Largest SUBSCRIBE or similar packet, bytes: mqtt-packet takes some microseconds per filter and blocks other clients meanwhile. */
const largestRequest = 256 * 1024;

/** MQTT 3.1.1, 3.1. @throws ProtocolError */
export function readConnect(frames: Frames): ConnectPacket {
  const level = levelOf(frames);
  if (level === 0) {
    const none = { clean: true, keepAliveSeconds: 0, clientId: '', will: null };
    return { level, ...none, username: null, password: null };
  }
  const { clean, keepalive, clientId, will, username, password } = parse(frames, 'connect', level);
  if (password != null && level === 4 && username == null)
    throw new ProtocolError('a password without a user name');
  return {
    level,
    clean: clean === true,
    keepAliveSeconds: keepalive ?? 0,
    clientId,
    will: will === undefined ? null : willOf(will),
    username: username ?? null,
    password: password ?? null,
  };
}

/** mqtt-packet reports an unknown version as malformed; the protocol requires a response instead (MQTT 3.1.1, 3.1.2.2). */
function levelOf({ buffer, from, to }: Frames): 0 | 3 | 4 {
  const nameEnd = from + 2 + (to - from < 2 ? 0 : buffer.readUInt16BE(from));
  const name = buffer.toString('latin1', from + 2, Math.min(nameEnd, to));
  if (nameEnd >= to || (name !== 'MQTT' && name !== 'MQIsdp'))
    throw new ProtocolError('a CONNECT for an unknown protocol');
  // Bridges set the highest bit.
  const level = buffer[nameEnd]! & 0x7f;
  if (level === 4 && name === 'MQTT') return 4;
  return level === 3 && name === 'MQIsdp' ? 3 : 0;
}

function willOf({
  topic,
  payload,
  qos = 0,
  retain = false,
}: NonNullable<IConnectPacket['will']>): BrokerMessage {
  return { topic: topicOf(topic), payload: payload as Buffer, qos: qosOf(qos), retain };
}

/** MQTT 3.1.1, 3.8. Filters are not validated. @throws ProtocolError */
export function readSubscribe(frames: Frames, level: 3 | 4): SubscribePacket {
  const { messageId: id = 0, subscriptions } = parse(frames, 'subscribe', level);
  if (id < 1 || subscriptions.length === 0) throw new ProtocolError('a SUBSCRIBE without filters');
  return { id, subscriptions: subscriptions.map(({ topic, qos }) => ({ filter: topic, qos })) };
}

/** MQTT 3.1.1, 3.10. @throws ProtocolError */
export function readUnsubscribe(frames: Frames, level: 3 | 4): { id: number; filters: string[] } {
  const { messageId: id = 0, unsubscriptions: filters } = parse(frames, 'unsubscribe', level);
  if (id < 1 || filters.length === 0) throw new ProtocolError('an UNSUBSCRIBE without filters');
  return { id, filters };
}

/** The members of mqtt-packet's parser that read a string; test/platform/broker-malformed.test.ts covers them. */
interface TextReader {
  _pos: number;
  _parseString(): string | null;
}

function parse<C extends Packet['cmd']>(frames: Frames, name: C, level: 3 | 4): Extract<Packet, { cmd: C }> {
  const { buffer, start, from, to } = frames;
  if (to - from > largestRequest) throw new ProtocolError('a packet is too long');
  // A copy: retained parts must not keep the whole incoming chunk alive.
  const bytes = Buffer.from(buffer.subarray(start, to));
  // MQTT 3.1 sets DUP on requests that are sent again.
  if (level === 3) bytes[0]! &= 0xf7;
  const reader = parser({ protocolVersion: level });
  const texts = reader as unknown as TextReader;
  const readString = texts._parseString.bind(reader);
  const body = bytes.subarray(from - start);
  texts._parseString = () => {
    const at = texts._pos + 2;
    const text = readString();
    // mqtt-packet substitutes U+FFFD for invalid UTF-8, and accepts NUL.
    if (text !== null && /[\0\ufffd]/.test(text)) readText(body, at, texts._pos);
    return text;
  };
  let packet: Packet | undefined;
  reader.on('packet', (read: Packet) => {
    packet = read;
  });
  reader.on('error', (error: Error) => {
    throw new ProtocolError(error.message, { cause: error });
  });
  reader.parse(bytes);
  if (packet?.cmd !== name) throw new ProtocolError(`not a valid ${name} packet`);
  return packet as Extract<Packet, { cmd: C }>;
}

export const pingResponse: Buffer = generate({ cmd: 'pingresp' });

export function connack(code: number, sessionPresent = false): Buffer {
  return generate({ cmd: 'connack', returnCode: code, sessionPresent });
}

/** One code per filter: the granted QoS, or 128 for refused (MQTT 3.1.1, 3.9.3). */
export function suback(id: number, codes: number[]): Buffer {
  return generate({ cmd: 'suback', messageId: id, granted: codes });
}

export function unsuback(id: number): Buffer {
  // Only MQTT 5 has a code for each filter.
  return generate({ cmd: 'unsuback', messageId: id, granted: [] });
}
