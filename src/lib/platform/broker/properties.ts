import { ProtocolError, readText, varint } from '../../stream/mqtt/packets.js';

/** Identifiers of properties (MQTT 5, table 2-4). */
export const property = {
  payloadFormatIndicator: 0x01,
  messageExpiryInterval: 0x02,
  contentType: 0x03,
  responseTopic: 0x08,
  correlationData: 0x09,
  subscriptionIdentifier: 0x0b,
  sessionExpiryInterval: 0x11,
  authenticationMethod: 0x15,
  authenticationData: 0x16,
  requestProblemInformation: 0x17,
  willDelayInterval: 0x18,
  requestResponseInformation: 0x19,
  reasonString: 0x1f,
  receiveMaximum: 0x21,
  topicAliasMaximum: 0x22,
  topicAlias: 0x23,
  userProperty: 0x26,
  maximumPacketSize: 0x27,
} as const;

type Kind = 'flag' | 'two bytes' | 'four bytes' | 'varint' | 'text' | 'binary' | 'pair';

/** The types of the properties that clients send. */
const kinds = new Map<number, Kind>([
  [property.payloadFormatIndicator, 'flag'],
  [property.messageExpiryInterval, 'four bytes'],
  [property.contentType, 'text'],
  [property.responseTopic, 'text'],
  [property.correlationData, 'binary'],
  [property.subscriptionIdentifier, 'varint'],
  [property.sessionExpiryInterval, 'four bytes'],
  [property.authenticationMethod, 'text'],
  [property.authenticationData, 'binary'],
  [property.requestProblemInformation, 'flag'],
  [property.willDelayInterval, 'four bytes'],
  [property.requestResponseInformation, 'flag'],
  [property.reasonString, 'text'],
  [property.receiveMaximum, 'two bytes'],
  [property.topicAliasMaximum, 'two bytes'],
  [property.topicAlias, 'two bytes'],
  [property.userProperty, 'pair'],
  [property.maximumPacketSize, 'four bytes'],
]);

/** Properties that are forwarded unchanged (sections 3.3.2.3 and 3.1.3.2). */
const forwarded: readonly number[] = [
  property.payloadFormatIndicator,
  property.contentType,
  property.responseTopic,
  property.correlationData,
  property.userProperty,
];

/** Properties allowed in each packet that clients send (table 2-4). */
const allowed = {
  connect: new Set<number>([
    ...[property.sessionExpiryInterval, property.authenticationMethod, property.authenticationData],
    ...[property.requestProblemInformation, property.requestResponseInformation, property.receiveMaximum],
    ...[property.topicAliasMaximum, property.userProperty, property.maximumPacketSize],
  ]),
  will: new Set<number>([...forwarded, property.messageExpiryInterval, property.willDelayInterval]),
  // A client must not send a subscription identifier in a PUBLISH (section 3.3.4).
  publish: new Set<number>([...forwarded, property.messageExpiryInterval, property.topicAlias]),
  subscribe: new Set<number>([property.subscriptionIdentifier, property.userProperty]),
  unsubscribe: new Set<number>([property.userProperty]),
  acknowledgment: new Set<number>([property.reasonString, property.userProperty]),
  disconnect: new Set<number>([
    ...[property.sessionExpiryInterval, property.reasonString, property.userProperty],
  ]),
};

/** Properties that must not be 0. */
const positive = new Set<number>([
  ...[property.receiveMaximum, property.maximumPacketSize, property.topicAlias],
  property.subscriptionIdentifier,
]);

export interface Properties {
  /** Numbers and texts by property identifier, without user properties and binary data. */
  values: ReadonlyMap<number, number | string>;
  /** The forwarded properties, encoded and in their original order; a view of the packet if they are contiguous. */
  forwarded: Buffer | undefined;
  /** Offset after the properties. */
  end: number;
}

const none: ReadonlyMap<number, number | string> = new Map();

const topicAliasInvalid = 0x94;

/**
 * Reads the properties at `bytes[from .. to)`, which begin with their length (MQTT 5, section 2.2.2).
 * @throws ProtocolError if they are malformed, not allowed in the packet, repeated, or out of range
 */
export function readProperties(
  bytes: Buffer,
  from: number,
  to: number,
  packet: keyof typeof allowed,
): Properties {
  const [length, start] = varint(bytes, from, to);
  const end = start + length;
  if (end > to) throw new ProtocolError('properties extend past their packet');
  if (length === 0) return { values: none, forwarded: undefined, end };
  const values = new Map<number, number | string>();
  const seen = new Set<number>();
  const parts: Buffer[] = [];
  let at = start;
  while (at < end) {
    const id = bytes[at]!;
    const kind = kinds.get(id);
    if (kind === undefined || !allowed[packet].has(id))
      throw new ProtocolError('a property is not allowed in its packet');
    if (id !== property.userProperty) {
      if (seen.has(id)) throw new ProtocolError('a property is repeated', { reason: 0x82 });
      seen.add(id);
    }
    const next = readValue(bytes, at + 1, end, kind, (value) => values.set(id, checked(id, value)));
    if (forwarded.includes(id)) parts.push(bytes.subarray(at, next));
    at = next;
  }
  if (seen.has(property.authenticationData) && !seen.has(property.authenticationMethod))
    throw new ProtocolError('authentication data without a method', { reason: 0x82 });
  return { values, forwarded: joined(bytes, start, end, parts), end };
}

/** Joins the forwarded properties. In most messages, they are contiguous, and a view suffices. */
function joined(bytes: Buffer, start: number, end: number, parts: Buffer[]): Buffer | undefined {
  if (parts.length === 0) return undefined;
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return length === end - start ? bytes.subarray(start, end) : Buffer.concat(parts, length);
}

/** Reads a value, and returns the offset after it. */
function readValue(
  bytes: Buffer,
  at: number,
  end: number,
  kind: Kind,
  found: (value: number | string) => void,
): number {
  switch (kind) {
    case 'flag':
      found(bytes[within(at, 1, end)]!);
      return at + 1;
    case 'two bytes':
      found(bytes.readUInt16BE(within(at, 2, end)));
      return at + 2;
    case 'four bytes':
      found(bytes.readUInt32BE(within(at, 4, end)));
      return at + 4;
    case 'varint': {
      const [value, next] = varint(bytes, at, end);
      found(value);
      return next;
    }
    case 'text': {
      const next = lengthFirst(bytes, at, end);
      found(readText(bytes, at + 2, next));
      return next;
    }
    case 'binary':
      return lengthFirst(bytes, at, end);
    case 'pair': {
      const middle = lengthFirst(bytes, at, end);
      const next = lengthFirst(bytes, middle, end);
      readText(bytes, at + 2, middle);
      readText(bytes, middle + 2, next);
      return next;
    }
  }
}

function lengthFirst(bytes: Buffer, at: number, end: number): number {
  const length = bytes.readUInt16BE(within(at, 2, end));
  within(at + 2, length, end);
  return at + 2 + length;
}

function within(at: number, length: number, end: number): number {
  if (at + length > end) throw new ProtocolError('a property extends past its packet');
  return at;
}

/** Rejects values that MQTT 5 forbids in sections 3.1.2.11 and 3.3.2.3. */
function checked(id: number, value: number | string): number | string {
  if (typeof value === 'string') {
    if (id === property.responseTopic && (value === '' || /[+#]/.test(value)))
      throw new ProtocolError('an invalid response topic', { reason: 0x82 });
    return value;
  }
  if (kinds.get(id) === 'flag' && value > 1)
    throw new ProtocolError('a property is neither 0 nor 1', { reason: 0x82 });
  if (value === 0 && positive.has(id)) {
    const reason = id === property.topicAlias ? topicAliasInvalid : 0x82;
    throw new ProtocolError('a property is 0', { reason });
  }
  return value;
}
