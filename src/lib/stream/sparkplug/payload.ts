import type protobuf from 'protobufjs';
import { plain, undecoded } from '../decode/values.js';

/**
 * Payloads of Sparkplug B (Eclipse Sparkplug 3.0, chapter 6), in Protocol Buffers. The field numbers are those of the specification's
 * schema; `sparkplug.real.test.ts` compares them with Eclipse Tahu's classes.
 */
const schema = `
syntax = "proto2";
message Payload {
  optional uint64 timestamp = 1; repeated Metric metrics = 2; optional uint64 seq = 3; optional string uuid = 4; optional bytes body = 5;
}
message Metric {
  optional string name = 1; optional uint64 alias = 2; optional uint64 timestamp = 3; optional uint32 datatype = 4;
  optional bool is_historical = 5; optional bool is_transient = 6; optional bool is_null = 7; optional PropertySet properties = 9;
  oneof value {
    uint32 int_value = 10; uint64 long_value = 11; float float_value = 12; double double_value = 13; bool boolean_value = 14;
    string string_value = 15; bytes bytes_value = 16; DataSet dataset_value = 17; Template template_value = 18;
  }
}
message DataSet {
  optional uint64 num_of_columns = 1; repeated string columns = 2; repeated uint32 types = 3; repeated Row rows = 4;
}
message Row { repeated Cell elements = 1; }
message Cell {
  oneof value {
    uint32 int_value = 1; uint64 long_value = 2; float float_value = 3; double double_value = 4; bool boolean_value = 5;
    string string_value = 6;
  }
}
message Template {
  optional string version = 1; repeated Metric metrics = 2; repeated Parameter parameters = 3; optional string template_ref = 4;
  optional bool is_definition = 5;
}
message Parameter {
  optional string name = 1; optional uint32 type = 2;
  oneof value {
    uint32 int_value = 3; uint64 long_value = 4; float float_value = 5; double double_value = 6; bool boolean_value = 7;
    string string_value = 8;
  }
}
message PropertySet { repeated string keys = 1; repeated PropertyValue values = 2; }
message PropertyValue { optional uint32 type = 1; optional bool is_null = 2; oneof value { string string_value = 8; } }
`;

/** Data types of Sparkplug (section 6.4.16) that this program writes, or reads from more bytes than their own. */
export const dataType = {
  ...{
    int8: 1,
    int16: 2,
    int32: 3,
    int64: 4,
    uint8: 5,
    uint16: 6,
    uint32: 7,
    uint64: 8,
    float: 9,
    double: 10,
  },
  ...{ boolean: 11, string: 12, dateTime: 13, text: 14, uuid: 15 },
  ...{ int8Array: 22, doubleArray: 31, booleanArray: 32, stringArray: 33, dateTimeArray: 34 },
} as const;

/** One value. */
export interface Metric {
  /** Absent in data whose sender uses aliases. */
  name?: string;
  /** Number that replaces the name, as decimal text. */
  alias?: string;
  /** ms since 1970 */
  time?: number;
  /** Data type; absent in data whose birth declares it. */
  type?: number;
  historical?: boolean;
  /** Unit, sent as the property `engUnit`. */
  unit?: string;
  /** As `plain` returns it: 64-bit integers beyond 2^53 as decimal text, bytes as base64. Arrays are lists. */
  value: unknown;
  /** The value as it was sent, for data whose type is known only from its birth. */
  raw?: RawValue;
}

export interface SparkplugPayload {
  time?: number;
  /** 0 to 255; absent in an NDEATH. */
  seq?: number;
  metrics: Metric[];
}

interface RawValue {
  int_value?: number;
  long_value?: string;
  float_value?: number;
  double_value?: number;
  boolean_value?: boolean;
  string_value?: string;
  bytes_value?: Uint8Array;
  dataset_value?: { columns?: string[]; types?: number[]; rows?: { elements?: RawValue[] }[] };
  template_value?: {
    metrics?: RawMetric[];
    parameters?: (RawValue & { name?: string; type?: number })[];
    template_ref?: string;
  };
}

interface RawMetric extends RawValue {
  name?: string;
  alias?: string;
  timestamp?: string;
  datatype?: number;
  is_historical?: boolean;
  is_null?: boolean;
  properties?: { keys: string[]; values: { type: number; string_value: string }[] };
}

interface RawPayload {
  timestamp?: string;
  seq?: string;
  metrics?: RawMetric[];
}

let loaded: Promise<protobuf.Type> | undefined;

function payloadType(): Promise<protobuf.Type> {
  loaded ??= import('protobufjs').then(({ default: library }) =>
    library.parse(schema, { keepCase: true }).root.lookupType('Payload'),
  );
  return loaded;
}

/** The numbers of the fields of each message, by name. */
export async function payloadFields(): Promise<Record<string, Record<string, number>>> {
  const { root } = await payloadType();
  const found: Record<string, Record<string, number>> = {};
  for (const entry of root.nestedArray)
    if ('fieldsArray' in entry)
      found[entry.name] = Object.fromEntries(
        (entry as protobuf.Type).fieldsArray.map(({ name, id }) => [name, id]),
      );
  return found;
}

/** Reads and writes payloads. */
export interface SparkplugCodec {
  /** @throws AIOT_STREAM_DECODE */
  decode(bytes: Uint8Array): SparkplugPayload;
  encode(payload: SparkplugPayload): Uint8Array;
}

export async function sparkplugCodec(): Promise<SparkplugCodec> {
  const type = await payloadType();
  return {
    decode(bytes) {
      try {
        const raw = type.toObject(type.decode(bytes), { longs: String }) as RawPayload;
        return {
          metrics: (raw.metrics ?? []).map(metricFrom),
          ...(raw.timestamp === undefined ? {} : { time: Number(raw.timestamp) }),
          ...(raw.seq === undefined ? {} : { seq: Number(raw.seq) }),
        };
      } catch (error) {
        throw undecoded('Sparkplug B', error instanceof Error ? error.message : String(error), error);
      }
    },
    encode({ time, seq, metrics }) {
      const raw: RawPayload = {
        ...(time === undefined ? {} : { timestamp: String(time) }),
        ...(seq === undefined ? {} : { seq: String(seq) }),
        metrics: metrics.map(rawMetric),
      };
      return type.encode(type.fromObject(raw)).finish();
    },
  };
}

function metricFrom(raw: RawMetric): Metric {
  const { name, alias, timestamp, datatype, is_historical: historical, is_null: isNull } = raw;
  const { string_value: unit } =
    raw.properties?.values?.[raw.properties.keys?.indexOf('engUnit') ?? -1] ?? {};
  return {
    ...(name === undefined || name === '' ? {} : { name }),
    ...(alias === undefined ? {} : { alias }),
    ...(timestamp === undefined ? {} : { time: Number(timestamp) }),
    ...(datatype === undefined ? {} : { type: datatype }),
    ...(historical ? { historical } : {}),
    ...(unit === undefined ? {} : { unit }),
    value: isNull ? null : readValue(raw, datatype),
    ...(isNull ? {} : { raw }),
  };
}

/** The value of a data type. Without a type, integers are as sent, that is, without a sign. */
export function readValue(raw: RawValue, type: number | undefined): unknown {
  if (raw.int_value !== undefined) return integer(raw.int_value, type);
  if (raw.long_value !== undefined) {
    const long = BigInt(raw.long_value);
    return plain(type === dataType.int64 ? BigInt.asIntN(64, long) : long);
  }
  if (raw.bytes_value !== undefined) {
    const isArray = type !== undefined && type >= dataType.int8Array && type <= dataType.dateTimeArray;
    return isArray ? arrayOf(raw.bytes_value, type) : plain(raw.bytes_value);
  }
  if (raw.dataset_value !== undefined) return dataSetOf(raw.dataset_value);
  if (raw.template_value !== undefined) return templateOf(raw.template_value);
  const number = raw.float_value ?? raw.double_value;
  // JSON has neither NaN nor infinity.
  if (number !== undefined) return Number.isFinite(number) ? number : null;
  return raw.boolean_value ?? raw.string_value ?? null;
}

/** Negative numbers are sent in two's complement of 32 bits, or of fewer by some implementations. */
function integer(value: number, type: number | undefined): number {
  if (type === dataType.int8) return (value << 24) >> 24;
  if (type === dataType.int16) return (value << 16) >> 16;
  return type === dataType.int32 ? value | 0 : value;
}

/** Readers of an array's items, by data type minus that of an array of Int8: size in bytes, and reader. */
const items: [size: number, read: (bytes: Buffer, at: number) => number | bigint][] = [
  [1, (bytes, at) => bytes.readInt8(at)],
  [2, (bytes, at) => bytes.readInt16LE(at)],
  [4, (bytes, at) => bytes.readInt32LE(at)],
  [8, (bytes, at) => bytes.readBigInt64LE(at)],
  [1, (bytes, at) => bytes.readUInt8(at)],
  [2, (bytes, at) => bytes.readUInt16LE(at)],
  [4, (bytes, at) => bytes.readUInt32LE(at)],
  [8, (bytes, at) => bytes.readBigUInt64LE(at)],
  [4, (bytes, at) => bytes.readFloatLE(at)],
  [8, (bytes, at) => bytes.readDoubleLE(at)],
];

/** An array's items (section 6.4.16): packed, booleans as bits after their count, and texts each with a NUL. */
function arrayOf(given: Uint8Array, type: number): unknown[] {
  const bytes = Buffer.from(given.buffer, given.byteOffset, given.byteLength);
  if (type === dataType.stringArray)
    return bytes.length === 0 ? [] : bytes.toString('utf8').replace(/\0$/, '').split('\0');
  if (type === dataType.booleanArray) {
    const count = bytes.length < 4 ? 0 : Math.min(bytes.readUInt32LE(0), (bytes.length - 4) * 8);
    return Array.from({ length: count }, (_, i) => (bytes[4 + (i >> 3)]! & (0x80 >> (i & 7))) !== 0);
  }
  const at = type === dataType.dateTimeArray ? dataType.uint64 - 1 : type - dataType.int8Array;
  const [size, read] = items[at]!;
  return Array.from({ length: Math.floor(bytes.length / size) }, (_, i) => {
    const value = plain(read(bytes, i * size));
    return typeof value === 'number' && !Number.isFinite(value) ? null : value;
  });
}

function dataSetOf({ columns = [], types = [], rows = [] }: NonNullable<RawValue['dataset_value']>) {
  return {
    columns,
    rows: rows.map(({ elements = [] }) => elements.map((element, i) => readValue(element, types[i]))),
  };
}

function templateOf({
  metrics = [],
  parameters = [],
  template_ref: template,
}: NonNullable<RawValue['template_value']>) {
  const members = metrics.map(metricFrom).map(({ name = '', value }) => [name, value]);
  const values = parameters.map((parameter) => [parameter.name ?? '', readValue(parameter, parameter.type)]);
  return {
    ...(template === undefined || template === '' ? {} : { template }),
    metrics: Object.fromEntries(members),
    ...(values.length === 0 ? {} : { parameters: Object.fromEntries(values) }),
  };
}

function rawMetric({ name, alias, time, type, historical, unit, value }: Metric): RawMetric {
  return {
    ...(name === undefined ? {} : { name }),
    ...(alias === undefined ? {} : { alias }),
    ...(time === undefined ? {} : { timestamp: String(time) }),
    ...(type === undefined ? {} : { datatype: type }),
    ...(historical ? { is_historical: true } : {}),
    ...(unit === undefined
      ? {}
      : { properties: { keys: ['engUnit'], values: [{ type: dataType.string, string_value: unit }] } }),
    ...(value === null ? { is_null: true } : rawValue(value, type)),
  };
}

function rawValue(value: unknown, type: number | undefined): RawValue {
  if (Array.isArray(value)) return { bytes_value: packed(value, type) };
  if (typeof value === 'boolean') return { boolean_value: value };
  if (typeof value === 'string') return { string_value: value };
  const bits = type === undefined ? undefined : bitsOf[type];
  if (bits === 64) return { long_value: String(BigInt.asUintN(64, BigInt(value as number | bigint))) };
  // Two's complement in the type's own bits: some readers do not cut off the bits above them.
  if (bits !== undefined)
    return { int_value: Number(BigInt.asUintN(bits, BigInt(value as number | bigint))) };
  return type === dataType.float ? { float_value: Number(value) } : { double_value: Number(value) };
}

/** Bits of the integer types. */
const bitsOf: Partial<Record<number, 8 | 16 | 32 | 64>> = {
  ...{ [dataType.int8]: 8, [dataType.int16]: 16, [dataType.int32]: 32, [dataType.int64]: 64 },
  ...{ [dataType.uint8]: 8, [dataType.uint16]: 16, [dataType.uint32]: 32, [dataType.uint64]: 64 },
  [dataType.dateTime]: 64,
};

/**
 * A JSON value in the data type that a birth declares, ready to be encoded. Integers beyond 2^53 are decimal text, as in values read.
 * @returns undefined if the value does not fit the type, or the type is none that this program writes
 */
export function valueAs(value: unknown, type: number): unknown {
  if (value === null) return null;
  const bits = bitsOf[type];
  if (bits !== undefined) {
    const isInteger = typeof value === 'string' ? /^-?\d{1,20}$/.test(value) : Number.isSafeInteger(value);
    if (!isInteger) return undefined;
    const whole = BigInt(value as number | string);
    const isSigned = type <= dataType.int64;
    const cut = isSigned ? BigInt.asIntN(bits, whole) : BigInt.asUintN(bits, whole);
    return cut === whole ? whole : undefined;
  }
  if (type === dataType.boolean) return typeof value === 'boolean' ? value : undefined;
  const isText = type === dataType.string || type === dataType.text || type === dataType.uuid;
  if (isText) return typeof value === 'string' ? value : undefined;
  if (type === dataType.float)
    return typeof value === 'number' && Number.isFinite(Math.fround(value)) ? value : undefined;
  return typed(value).type === type ? value : undefined;
}

/** The name of a data type that `valueAs` can produce, such as `int16`; undefined for the others. */
export function typeName(type: number): string | undefined {
  const isWritten = bitsOf[type] !== undefined || writtenTypes.has(type);
  return isWritten ? Object.entries(dataType).find(([, number]) => number === type)?.[0] : undefined;
}

/** The types besides integers that are written. */
const writtenTypes = new Set<number>([
  ...[dataType.float, dataType.double, dataType.boolean, dataType.string, dataType.text, dataType.uuid],
  ...[dataType.doubleArray, dataType.booleanArray, dataType.stringArray],
]);

function packed(values: readonly unknown[], type: number | undefined): Buffer {
  if (type === dataType.stringArray) return Buffer.from(values.map((value) => `${value}\0`).join(''));
  if (type === dataType.booleanArray) {
    const bytes = Buffer.alloc(4 + Math.ceil(values.length / 8));
    bytes.writeUInt32LE(values.length);
    for (const [i, value] of values.entries()) if (value) bytes[4 + (i >> 3)]! |= 0x80 >> (i & 7);
    return bytes;
  }
  const bytes = Buffer.alloc(values.length * 8);
  for (const [i, value] of values.entries()) bytes.writeDoubleLE(Number(value), i * 8);
  return bytes;
}

/** The data type of a JSON value, and the value as it is sent: arrays of mixed types, and of objects, as JSON text. */
export function typed(value: unknown): { type: number; value: unknown } {
  if (typeof value === 'number') return { type: dataType.double, value };
  if (typeof value === 'boolean') return { type: dataType.boolean, value };
  if (!Array.isArray(value))
    return { type: dataType.string, value: typeof value === 'string' ? value : JSON.stringify(value) };
  const [first] = value;
  const kind = value.every((each) => typeof each === typeof first) ? typeof first : undefined;
  if (kind === 'number') return { type: dataType.doubleArray, value };
  if (kind === 'boolean') return { type: dataType.booleanArray, value };
  // A text with a NUL would become two.
  const isText = kind === 'string' && value.every((each: string) => !each.includes('\0'));
  return isText
    ? { type: dataType.stringArray, value }
    : { type: dataType.string, value: JSON.stringify(value) };
}

/** Types of messages with a payload. */
export const messageTypes = ['NBIRTH', 'DBIRTH', 'NDATA', 'DDATA', 'NDEATH', 'DDEATH'] as const;
export type MessageType = (typeof messageTypes)[number];

/** First level of Sparkplug's topics. */
export const namespace = 'spBv1.0';

/** Name of the metric that makes an edge node send its births again. */
export const rebirthMetric = 'Node Control/Rebirth';

/** A name that can be a level of a topic (section 4.1). */
export const levelPattern = /^[^/+#\0]{1,255}$/;
