/**
 * MQTT packets as bytes, independent of the broker's codec, because tests must also send packets that no codec would write, and must not
 * share a codec's mistakes with the broker.
 */

/** The version number in CONNECT: MQTT 3.1.1 and 5. */
export type Version = 4 | 5;

export const packetTypes = {
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
  auth: 15,
} as const;

export type PacketName = keyof typeof packetTypes;

const nameOf = new Map<number, PacketName>(
  Object.entries(packetTypes).map(([name, type]) => [type, name as PacketName]),
);

/** Properties by number, with name and type (MQTT 5, table 2-4). */
const propertyTable = {
  payloadFormat: [1, 'byte'],
  messageExpiry: [2, 'u32'],
  contentType: [3, 'text'],
  responseTopic: [8, 'text'],
  correlationData: [9, 'binary'],
  subscriptionId: [11, 'varint'],
  sessionExpiry: [17, 'u32'],
  assignedClientId: [18, 'text'],
  serverKeepAlive: [19, 'u16'],
  authMethod: [21, 'text'],
  authData: [22, 'binary'],
  requestProblem: [23, 'byte'],
  willDelay: [24, 'u32'],
  requestResponse: [25, 'byte'],
  responseInformation: [26, 'text'],
  serverReference: [28, 'text'],
  reason: [31, 'text'],
  receiveMaximum: [33, 'u16'],
  aliasMaximum: [34, 'u16'],
  alias: [35, 'u16'],
  maximumQos: [36, 'byte'],
  retainAvailable: [37, 'byte'],
  user: [38, 'pair'],
  maximumPacket: [39, 'u32'],
  wildcardAvailable: [40, 'byte'],
  subscriptionIdAvailable: [41, 'byte'],
  sharedAvailable: [42, 'byte'],
} as const;

export type PropertyName = keyof typeof propertyTable;
export type PropertyValue = number | string | Buffer | readonly [string, string];
export type Property = readonly [PropertyName, PropertyValue];

const propertyOf = new Map<number, PropertyName>(
  Object.entries(propertyTable).map(([name, [number]]) => [number, name as PropertyName]),
);

export const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff]);

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

/** A variable byte integer with the minimum number of bytes. */
export function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  do {
    const more = rest > 127;
    bytes.push((rest % 128) + (more ? 128 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return Buffer.from(bytes);
}

/** A string or binary data with its length in two bytes. */
export function counted(value: string | Buffer): Buffer {
  const bytes = Buffer.isBuffer(value) ? value : Buffer.from(value);
  return Buffer.concat([u16(bytes.length), bytes]);
}

/** A packet with this first byte. Numbers become bytes, strings are preceded by their length, and buffers are copied unchanged. */
export function packet(head: number, ...parts: (number | string | Buffer)[]): Buffer {
  const body = Buffer.concat(
    parts.map((part) =>
      typeof part === 'number' ? Buffer.from([part]) : Buffer.isBuffer(part) ? part : counted(part),
    ),
  );
  return Buffer.concat([Buffer.from([head]), varint(body.length), body]);
}

function property([name, value]: Property): Buffer {
  const [number, type] = propertyTable[name];
  const head = Buffer.from([number]);
  switch (type) {
    case 'byte':
      return Buffer.concat([head, Buffer.from([value as number])]);
    case 'u16':
      return Buffer.concat([head, u16(value as number)]);
    case 'u32':
      return Buffer.concat([head, u32(value as number)]);
    case 'varint':
      return Buffer.concat([head, varint(value as number)]);
    case 'pair': {
      const [key, text] = value as readonly [string, string];
      return Buffer.concat([head, counted(key), counted(text)]);
    }
    default:
      return Buffer.concat([head, counted(value as string | Buffer)]);
  }
}

/** Properties with their length. */
export function properties(list: readonly Property[]): Buffer {
  const bytes = Buffer.concat(list.map(property));
  return Buffer.concat([varint(bytes.length), bytes]);
}

/** The properties of an MQTT 5 packet; nothing in MQTT 3.1.1, which has no properties. */
const propertiesIn = (version: Version, list: readonly Property[] = []) =>
  version === 5 ? properties(list) : Buffer.alloc(0);

export interface Will {
  topic: string | Buffer;
  payload?: string;
  qos?: number;
  retain?: boolean;
  properties?: readonly Property[];
}

export interface ConnectOptions {
  clientId?: string | Buffer;
  /** Clean Session in MQTT 3.1.1, Clean Start in MQTT 5. */
  clean?: boolean;
  keepAlive?: number;
  properties?: readonly Property[];
  will?: Will;
  username?: string | Buffer;
  password?: string | Buffer;
  /** The flags, instead of those that follow from the options above. */
  flags?: number;
}

export function connect(version: Version, options: ConnectOptions = {}): Buffer {
  const { clientId = '', clean = true, keepAlive = 0, will, username, password } = options;
  const { qos: willQos = 0, retain: willRetain = false } = will ?? {};
  const flags =
    options.flags ??
    (clean ? 2 : 0) |
      (will ? 4 | (willQos << 3) | (willRetain ? 32 : 0) : 0) |
      (password === undefined ? 0 : 64) |
      (username === undefined ? 0 : 128);
  const lastWill = will
    ? [propertiesIn(version, will.properties), counted(will.topic), counted(will.payload ?? '')]
    : [];
  const credentials = [username, password].flatMap((each) => (each === undefined ? [] : [counted(each)]));
  return packet(
    0x10,
    ...['MQTT', version, flags, u16(keepAlive), propertiesIn(version, options.properties)],
    ...[counted(clientId), ...lastWill, ...credentials],
  );
}

export interface PublishOptions {
  qos?: number;
  retain?: boolean;
  dup?: boolean;
  id?: number;
  properties?: readonly Property[];
}

export function publish(
  version: Version,
  topic: string | Buffer,
  payload: string | Buffer = '',
  { qos = 0, retain = false, dup = false, id = 1, properties: list }: PublishOptions = {},
): Buffer {
  const head = 0x30 | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0);
  const number = qos === 0 ? [] : [u16(id)];
  return packet(head, counted(topic), ...number, propertiesIn(version, list), Buffer.from(payload));
}

/** A PUBACK, PUBREC, PUBREL or PUBCOMP; MQTT 5 omits a code of 0. */
export function acknowledgment(
  type: 'puback' | 'pubrec' | 'pubrel' | 'pubcomp',
  id: number,
  code = 0,
): Buffer {
  const head = (packetTypes[type] << 4) | (type === 'pubrel' ? 2 : 0);
  return code === 0 ? packet(head, u16(id)) : packet(head, u16(id), code);
}

/** A filter with its options, which are the QoS in MQTT 3.1.1 and the whole byte in MQTT 5. */
export type Filter = readonly [filter: string | Buffer, options: number];

export function subscribe(
  version: Version,
  id: number,
  filters: readonly Filter[],
  list: readonly Property[] = [],
): Buffer {
  const each = filters.flatMap(([filter, options]) => [counted(filter), options]);
  return packet(0x82, u16(id), propertiesIn(version, list), ...each);
}

export function unsubscribe(version: Version, id: number, filters: readonly (string | Buffer)[]): Buffer {
  return packet(0xa2, u16(id), propertiesIn(version), ...filters.map(counted));
}

/** MQTT 5's subscription options other than the QoS. */
export const noLocal = 4;
export const retainAsPublished = 8;
export const retainHandling = (value: 0 | 1 | 2 | 3): number => value << 4;

export const pingreq: Buffer = packet(0xc0);

export function disconnect(version: Version, code = 0, list: readonly Property[] = []): Buffer {
  return version === 4 || (code === 0 && list.length === 0)
    ? packet(0xe0)
    : packet(0xe0, code, properties(list));
}

/** A received packet. Fields that its type lacks keep their default. */
export interface Heard {
  name: PacketName;
  /** The lower four bits of its first byte. */
  flags: number;
  body: Buffer;
  /** Number of bytes on the wire, including the header. */
  size: number;
  /** Number of bytes taken by its Remaining Length. */
  lengthBytes: number;
  id: number;
  topic: string;
  payload: string;
  qos: number;
  retain: boolean;
  dup: boolean;
  sessionPresent: boolean;
  /** Return code or reason code of CONNACK, acknowledgments, DISCONNECT and AUTH. */
  code: number;
  /** Reason codes of SUBACK and UNSUBACK. */
  codes: number[];
  properties: Property[];
}

/** Reads numbers, strings and properties in turn. @throws RangeError at the end */
class Reader {
  at = 0;
  constructor(private readonly bytes: Buffer) {}

  get left(): number {
    return this.bytes.length - this.at;
  }

  byte(): number {
    return this.take(1)[0]!;
  }

  u16(): number {
    return this.take(2).readUInt16BE();
  }

  take(count: number): Buffer {
    if (this.left < count) throw new RangeError('a packet ends early');
    this.at += count;
    return this.bytes.subarray(this.at - count, this.at);
  }

  counted(): Buffer {
    return this.take(this.u16());
  }

  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.byte();
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) {
        if (byte === 0 && shift > 0)
          throw new RangeError('a variable byte integer has more bytes than it needs');
        return value;
      }
    }
    throw new RangeError('a variable byte integer has more than four bytes');
  }

  properties(): Property[] {
    const list = new Reader(this.take(this.varint()));
    const found: Property[] = [];
    while (list.left > 0) {
      const number = list.varint();
      const name = propertyOf.get(number);
      if (name === undefined) throw new RangeError(`property ${number} does not exist`);
      found.push([name, list.value(propertyTable[name][1])]);
    }
    return found;
  }

  private value(type: (typeof propertyTable)[PropertyName][1]): PropertyValue {
    switch (type) {
      case 'byte':
        return this.byte();
      case 'u16':
        return this.u16();
      case 'u32':
        return this.take(4).readUInt32BE();
      case 'varint':
        return this.varint();
      case 'text':
        return this.counted().toString();
      case 'binary':
        return Buffer.from(this.counted());
      case 'pair':
        return [this.counted().toString(), this.counted().toString()];
    }
  }
}

/** Returns the first complete packet in these bytes, and the rest; null if there is none. @throws RangeError for a malformed packet */
export function nextPacket(version: Version, bytes: Buffer): { heard: Heard; rest: Buffer } | null {
  let length = 0;
  let count = 0;
  for (;;) {
    const byte = bytes[1 + count];
    if (byte === undefined) return null;
    length += (byte & 127) * 2 ** (7 * count++);
    if (byte < 128) break;
    if (count === 4) throw new RangeError('a Remaining Length has more than four bytes');
  }
  const size = 1 + count + length;
  if (bytes.length < size) return null;
  const body = Buffer.from(bytes.subarray(1 + count, size));
  return { heard: decoded(version, bytes[0]!, body, count), rest: bytes.subarray(size) };
}

function decoded(version: Version, head: number, body: Buffer, lengthBytes: number): Heard {
  const name = nameOf.get(head >> 4);
  if (name === undefined) throw new RangeError('a packet of type 0');
  const read = new Reader(body);
  const heard: Heard = {
    ...{ name, flags: head & 15, body, size: 1 + lengthBytes + body.length, lengthBytes },
    ...{ id: 0, topic: '', payload: '', qos: 0, retain: false, dup: false },
    ...{ sessionPresent: false, code: 0, codes: [], properties: [] },
  };
  switch (name) {
    case 'connack':
      heard.sessionPresent = (read.byte() & 1) === 1;
      heard.code = read.byte();
      // A server that does not support a CONNECT's version may respond in another version.
      if (version === 5 && read.left > 0) heard.properties = read.properties();
      break;
    case 'publish':
      heard.dup = (head & 8) !== 0;
      heard.qos = (head >> 1) & 3;
      heard.retain = (head & 1) === 1;
      heard.topic = read.counted().toString();
      if (heard.qos > 0) heard.id = read.u16();
      if (version === 5) heard.properties = read.properties();
      heard.payload = read.take(read.left).toString();
      break;
    case 'puback':
    case 'pubrec':
    case 'pubrel':
    case 'pubcomp':
      heard.id = read.u16();
      if (version === 5 && read.left > 0) heard.code = read.byte();
      if (version === 5 && read.left > 0) heard.properties = read.properties();
      break;
    case 'suback':
    case 'unsuback':
      heard.id = read.u16();
      if (version === 5) heard.properties = read.properties();
      heard.codes = [...read.take(read.left)];
      break;
    case 'disconnect':
    case 'auth':
      if (read.left > 0) heard.code = read.byte();
      if (read.left > 0) heard.properties = read.properties();
      break;
    default:
      break;
  }
  if (read.left > 0) throw new RangeError(`bytes after the end of a ${name} packet`);
  return heard;
}
