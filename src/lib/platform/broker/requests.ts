import {
  generate,
  type IConnackPacket,
  type IConnectPacket,
  type Packet,
  parser,
  writeToStream,
} from 'mqtt-packet';
import {
  type Frames,
  type MqttVersion,
  ProtocolError,
  qosOf,
  readText,
  varintSize,
} from '../../stream/mqtt/packets.js';
import { type Properties, property, readProperties } from './properties.js';
import { isSubscription } from './topics.js';
import {
  type ConnectPacket,
  type ConnectWill,
  protocolError,
  returnCodeOf,
  type SubscribePacket,
  topicOf,
} from './wire.js';

// CONNECT, SUBSCRIBE, UNSUBSCRIBE, DISCONNECT and their responses are parsed and encoded with mqtt-packet. Per-message packets are in
// stream/mqtt/packets.ts. Properties are in properties.ts, because mqtt-packet loses the order of user properties and accepts values that
// are out of range.

// By default, mqtt-packet creates 65,536 buffers with the first packet, one for each packet identifier. They take over
// 8 MB.
writeToStream.cacheNumbers = false;

/** Largest SUBSCRIBE or similar packet, bytes. mqtt-packet needs a few microseconds per filter, during which other clients wait. */
const largestRequest = 256 * 1024;

/** Largest four-byte integer; as a session expiry interval, it means never. */
const never = 0xffff_ffff;

/** Receive Maximum of a client that does not specify one (MQTT 5, section 3.1.2.11.3). */
const usualReceiveMaximum = 65_535;

/**
 * Reads a CONNECT (MQTT 5 and 3.1.1, section 3.1).
 * @param onSettings called with the client's settings even if the rest of the packet is malformed, because the settings
 * also apply to the CONNACK that rejects the packet
 * @throws ProtocolError
 */
export function readConnect(
  frames: Frames,
  onSettings: (settings: Partial<ConnectPacket>) => void = () => {},
): ConnectPacket {
  const level = levelOf(frames);
  if (level === 0) return { ...unread, level };
  const { packet, properties } = parse(frames, 'connect', level, (read) => onSettings(settingsOf(read)));
  const { clean, keepalive, clientId, will, username, password } = packet;
  if (password != null && level === 4 && username == null)
    throw new ProtocolError('a password without a user name');
  const [own, ofWill] = properties;
  return {
    ...unread,
    level,
    clean: clean === true,
    keepAliveSeconds: keepalive ?? 0,
    clientId,
    will: will === undefined ? null : willOf(will, ofWill),
    username: username ?? null,
    password: password ?? null,
    sessionExpirySeconds: clean === true ? 0 : Number.POSITIVE_INFINITY,
    ...(own === undefined ? {} : settingsOf(own)),
  };
}

const unread: ConnectPacket = {
  ...{ level: 0, clean: true, keepAliveSeconds: 0, clientId: '', will: null, username: null, password: null },
  ...{ sessionExpirySeconds: 0, receiveMaximum: usualReceiveMaximum, topicAliasMaximum: 0 },
  ...{ maximumPacketSize: Number.POSITIVE_INFINITY, requestProblem: true, authenticationMethod: null },
};

/** The settings in CONNECT's properties, with defaults for absent ones (MQTT 5, section 3.1.2.11). */
function settingsOf({ values }: Properties): Partial<ConnectPacket> {
  const numberOf = (id: number, absent: number) => Number(values.get(id) ?? absent);
  const expiry = numberOf(property.sessionExpiryInterval, 0);
  const method = values.get(property.authenticationMethod);
  return {
    sessionExpirySeconds: expiry === never ? Number.POSITIVE_INFINITY : expiry,
    receiveMaximum: numberOf(property.receiveMaximum, usualReceiveMaximum),
    maximumPacketSize: numberOf(property.maximumPacketSize, Number.POSITIVE_INFINITY),
    topicAliasMaximum: numberOf(property.topicAliasMaximum, 0),
    requestProblem: numberOf(property.requestProblemInformation, 1) === 1,
    authenticationMethod: method === undefined ? null : String(method),
  };
}

/** mqtt-packet reports an unknown version as malformed; the protocol requires a response instead (MQTT 3.1.1, 3.1.2.2). */
export function levelOf({ buffer, from, to }: Frames): ConnectPacket['level'] {
  const nameEnd = from + 2 + (to - from < 2 ? 0 : buffer.readUInt16BE(from));
  const name = buffer.toString('latin1', from + 2, Math.min(nameEnd, to));
  if (nameEnd >= to || (name !== 'MQTT' && name !== 'MQIsdp'))
    throw new ProtocolError('a CONNECT for an unknown protocol');
  // Bridges set the highest bit.
  const level = buffer[nameEnd]! & 0x7f;
  if ((level === 4 || level === 5) && name === 'MQTT') return level;
  return level === 3 && name === 'MQIsdp' ? 3 : 0;
}

function willOf(
  { topic, payload, qos = 0, retain = false }: NonNullable<IConnectPacket['will']>,
  properties?: Properties,
): ConnectWill {
  const expiry = properties?.values.get(property.messageExpiryInterval);
  const forwarded = properties?.forwarded;
  return {
    message: {
      ...{ topic: topicOf(topic), payload: payload as Buffer, qos: qosOf(qos), retain },
      ...(forwarded === undefined ? {} : { properties: forwarded }),
    },
    delaySeconds: Number(properties?.values.get(property.willDelayInterval) ?? 0),
    expirySeconds: expiry === undefined ? undefined : Number(expiry),
  };
}

/** Reads a SUBSCRIBE (MQTT 5 and 3.1.1, section 3.8). The filters are valid. @throws ProtocolError */
export function readSubscribe(frames: Frames, level: MqttVersion): SubscribePacket {
  const { packet, properties } = parse(frames, 'subscribe', level);
  const { messageId = 0, subscriptions } = packet;
  if (messageId < 1 || subscriptions.length === 0) throw protocolError('a SUBSCRIBE without filters');
  const id = Number(properties[0]?.values.get(property.subscriptionIdentifier) ?? 0);
  return {
    id: messageId,
    subscriptions: subscriptions.map(({ topic, qos, nl, rap, rh }) => {
      checkFilter(topic);
      if (nl === true && topic.startsWith('$share/'))
        throw protocolError('a shared subscription with No Local');
      return {
        ...{ filter: topic, qos, id, noLocal: nl === true, retainAsPublished: rap === true },
        retainHandling: (rh ?? 0) as 0 | 1 | 2,
      };
    }),
  };
}

/** Reads an UNSUBSCRIBE (MQTT 5 and 3.1.1, section 3.10). @throws ProtocolError */
export function readUnsubscribe(frames: Frames, level: MqttVersion): { id: number; filters: string[] } {
  const { messageId: id = 0, unsubscriptions: filters } = parse(frames, 'unsubscribe', level).packet;
  if (id < 1 || filters.length === 0) throw protocolError('an UNSUBSCRIBE without filters');
  for (const filter of filters) checkFilter(filter);
  return { id, filters };
}

/** Rejects an invalid filter, which is a protocol violation and ends the connection (MQTT 5, 4.13.1; 3.1.1, 4.8). @throws ProtocolError */
function checkFilter(filter: string): void {
  if (filter === '') throw protocolError('an empty topic filter');
  if (!isSubscription(filter)) throw protocolError('an invalid topic filter');
}

/** Reasons that a client may give in DISCONNECT (MQTT 5, section 3.14.2.1). */
const partingReasons = new Set([
  ...[0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99],
]);

/** Reads a DISCONNECT: its reason, and the new session expiry, seconds. @throws ProtocolError */
export function readDisconnect(
  { buffer, from, to }: Frames,
  level: MqttVersion,
): { reason: number; sessionExpirySeconds: number | undefined } {
  if (level < 5 && to > from) throw new ProtocolError('a DISCONNECT with a body');
  const reason = from < to ? buffer[from]! : 0;
  if (!partingReasons.has(reason)) throw protocolError('an unknown reason code');
  const properties = to - from > 1 ? readProperties(buffer, from + 1, to, 'disconnect') : undefined;
  if (properties && properties.end !== to) throw new ProtocolError('bytes after the end of a packet');
  const expiry = properties?.values.get(property.sessionExpiryInterval);
  if (expiry === undefined) return { reason, sessionExpirySeconds: undefined };
  return { reason, sessionExpirySeconds: expiry === never ? Number.POSITIVE_INFINITY : Number(expiry) };
}

/** Reasons that a client may give in PUBACK and PUBREC, and in PUBREL and PUBCOMP (MQTT 5, sections 3.4.2.1 and 3.6.2.1). */
const receiptReasons = new Set([0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]);
const releaseReasons = new Set([0x00, 0x92]);

/** Reads the reason code of an acknowledgment; 0 if the packet has no reason code. @throws ProtocolError */
export function readAckReason({ buffer, from, to }: Frames, isRelease: boolean): number {
  if (to - from === 2) return 0;
  const reason = buffer[from + 2]!;
  if (!(isRelease ? releaseReasons : receiptReasons).has(reason))
    throw protocolError('an unknown reason code');
  if (to - from > 3 && readProperties(buffer, from + 3, to, 'acknowledgment').end !== to)
    throw new ProtocolError('bytes after the end of a packet');
  return reason;
}

/** Private members of mqtt-packet's parser that are replaced here. test/platform/broker-malformed.test.ts covers them. */
interface ParserInside {
  _pos: number;
  _parseString(): string | null;
  _parseProperties(): object;
}

function parse<C extends 'connect' | 'subscribe' | 'unsubscribe'>(
  frames: Frames,
  name: C,
  level: MqttVersion,
  onProperties: (read: Properties) => void = () => {},
): { packet: Extract<Packet, { cmd: C }>; properties: Properties[] } {
  const { buffer, start, from, to } = frames;
  if (to - from > largestRequest) throw new ProtocolError('a packet is too long', { reason: 0x95 });
  // Copied, because retained parts must not keep the whole incoming chunk alive.
  const bytes = Buffer.from(buffer.subarray(start, to));
  // MQTT 3.1 sets DUP on resent requests.
  if (level === 3) bytes[0]! &= 0xf7;
  const reader = parser({ protocolVersion: level });
  const inside = reader as unknown as ParserInside;
  const readString = inside._parseString.bind(reader);
  const body = bytes.subarray(from - start);
  inside._parseString = () => {
    const at = inside._pos + 2;
    const text = readString();
    // mqtt-packet substitutes U+FFFD for invalid UTF-8, and accepts NUL.
    if (text !== null && /[\0\ufffd]/.test(text)) readText(body, at, inside._pos);
    return text;
  };
  const properties: Properties[] = [];
  inside._parseProperties = () => {
    const owner = name === 'connect' && properties.length > 0 ? 'will' : name;
    const read = readProperties(body, inside._pos, body.length, owner);
    properties.push(read);
    if (owner === name) onProperties(read);
    inside._pos = read.end;
    return {};
  };
  let packet: Packet | undefined;
  reader.on('packet', (read: Packet) => {
    if (inside._pos !== body.length) throw new ProtocolError('bytes after the end of a packet');
    packet = read;
  });
  reader.on('error', (error: Error) => {
    throw new ProtocolError(error.message, { cause: error });
  });
  reader.parse(bytes);
  if (packet?.cmd !== name) throw new ProtocolError(`not a valid ${name} packet`);
  return { packet: packet as Extract<Packet, { cmd: C }>, properties };
}

export const pingResponse: Buffer = generate({ cmd: 'pingresp' });

interface Welcome {
  reason: number;
  sessionPresent?: boolean;
  /** Properties of the CONNACK, which only MQTT 5 has. */
  properties?: IConnackPacket['properties'];
}

/**
 * Properties that a CONNACK can omit, in the order in which they are dropped. A client that exceeds an unannounced
 * packet size is disconnected; without an announced maximum, it uses no topic aliases.
 */
const dispensable = ['reasonString', 'topicAliasMaximum', 'maximumPacketSize'] as const;

/**
 * Encodes a CONNACK, with as many properties as the client accepts; null if the client does not accept the necessary
 * properties (MQTT 5, section 3.1.2.11.4).
 */
export function connack(
  level: ConnectPacket['level'],
  { reason, sessionPresent = false, properties }: Welcome,
  maximumPacketSize = Number.POSITIVE_INFINITY,
): Buffer | null {
  // In MQTT 3.1 the byte of the session flag is reserved.
  if (level !== 5)
    return generate({
      ...{ cmd: 'connack', returnCode: returnCodeOf(reason), sessionPresent: sessionPresent && level !== 3 },
    });
  const encode = (some: Welcome['properties']) =>
    generate(
      { cmd: 'connack', reasonCode: reason, sessionPresent, ...(some && { properties: some }) },
      { protocolVersion: 5 },
    );
  let bytes = encode(properties);
  const rest = { ...properties };
  for (const name of dispensable) {
    if (bytes.length <= maximumPacketSize) break;
    delete rest[name];
    bytes = encode(rest);
  }
  return bytes.length <= maximumPacketSize ? bytes : null;
}

/** Encodes a SUBACK. @param codes one per filter: the granted QoS, or 128 and above if rejected (MQTT 5 and 3.1.1, section 3.9.3) */
export function suback(level: MqttVersion, id: number, codes: number[]): Buffer {
  const granted = level === 5 ? codes : codes.map((code) => Math.min(code, 128));
  return generate({ cmd: 'suback', messageId: id, granted }, { protocolVersion: level });
}

/** Encodes an UNSUBACK; only MQTT 5 has a code for each filter. */
export function unsuback(level: MqttVersion, id: number, codes: number[]): Buffer {
  return generate(
    { cmd: 'unsuback', messageId: id, granted: level === 5 ? codes : [] },
    { protocolVersion: level },
  );
}

/** Encodes the broker's DISCONNECT (MQTT 5, section 3.14), without its text if the packet would exceed the client's maximum packet size. */
export function disconnect(reason: number, text: string, maximumPacketSize: number): Buffer {
  const length = 1 + 1 + 3 + Buffer.byteLength(text);
  const fits = 1 + varintSize(length) + length <= maximumPacketSize;
  return generate(
    {
      cmd: 'disconnect',
      reasonCode: reason,
      ...(fits && text !== '' && { properties: { reasonString: text } }),
    },
    { protocolVersion: 5 },
  );
}
