import { AiotError } from '../../../core/errors.js';
import { headerValue } from '../../headers.js';
import type { Header, OutgoingMessage, Payloads } from '../../message.js';
import { ByteReader, ByteWriter } from './bytes.js';
import { type Compression, codecOf, compressions } from './codecs.js';

/**
 * The record batch of KIP-98 ("message format v2"), stored by every broker since 0.11. Fields before its records, with their lengths in
 * bytes:
 *
 *     base offset 8, length 4, leader epoch 4, magic 1, CRC-32C 4 (of everything after it), attributes 2,
 *     last offset delta 4, base time 8, largest time 8, producer 8, epoch 2, first sequence 4, number of records 4
 */
export const batchHeaderBytes = 61;

/** Bytes of a batch up to the end of its field `length`, which `length` does not count. */
const lengthOverhead = 12;

const magicAt = 16;
const crcAt = 17;
const attributesAt = 21;

export interface BatchHeader {
  /** Size of the whole batch, including the fields up to `length`; bytes. */
  bytes: number;
  magic: number;
  baseOffset: number;
  lastOffset: number;
  attributes: number;
  baseTime: number;
  largestTime: number;
  producerId: bigint;
  records: number;
}

/**
 * The head of the batch at `at`; undefined if the batch is truncated, because brokers cut off a response at the size
 * limit.
 */
export function batchHeader(buf: Buffer, at: number): BatchHeader | undefined {
  if (buf.length - at < lengthOverhead + 5) return undefined;
  const bytes = lengthOverhead + buf.readInt32BE(at + 8);
  if (bytes < batchHeaderBytes && buf.readInt8(at + magicAt) === 2)
    throw new RangeError('a batch is too short');
  if (buf.length - at < bytes) return undefined;
  const reader = new ByteReader(buf);
  reader.at = at;
  const baseOffset = reader.int64();
  const magic = buf.readInt8(at + magicAt);
  const head = { bytes, magic, baseOffset };
  if (magic < 2) {
    return {
      ...head,
      lastOffset: baseOffset,
      attributes: 0,
      baseTime: 0,
      largestTime: 0,
      producerId: -1n,
      records: 0,
    };
  }
  reader.at = at + attributesAt;
  const attributes = reader.int16();
  return {
    ...head,
    attributes,
    lastOffset: baseOffset + reader.int32(),
    baseTime: reader.int64(),
    largestTime: reader.int64(),
    producerId: reader.bigint64(),
    records: buf.readInt32BE(at + batchHeaderBytes - 4),
  };
}

export const batchAttributes = { compression: 0x07, logAppendTime: 0x08, transactional: 0x10, control: 0x20 };

/** The decompressed records of a batch. @throws AIOT_STREAM_DECODE */
export async function recordsOf(buf: Buffer, at: number, header: BatchHeader): Promise<Buffer> {
  const records = buf.subarray(at + batchHeaderBytes, at + header.bytes);
  const compression = header.attributes & batchAttributes.compression;
  if (compression === 0) return records;
  const codec = await codecOf(compression);
  try {
    return await codec.decompress(records);
  } catch (cause) {
    if (cause instanceof AiotError) throw cause;
    throw new AiotError('AIOT_STREAM_DECODE', 'a record batch cannot be decompressed', { cause });
  }
}

/** Reads consecutive records. Keys and values are views of the buffer, not copies. */
export class RecordReader {
  private readonly reader: ByteReader;
  private readonly appended: boolean;
  offset = 0;
  /** Time of the record, ms since 1970. */
  time = 0;
  key: Buffer | null = null;
  value: Buffer | null = null;
  headers: Header[] | undefined;

  constructor(
    records: Buffer,
    private readonly header: BatchHeader,
  ) {
    this.reader = new ByteReader(records);
    this.appended = (header.attributes & batchAttributes.logAppendTime) !== 0;
  }

  /** Reads the next record into the fields. @throws RangeError for a damaged batch */
  next(): void {
    const reader = this.reader;
    const header = this.header;
    const length = reader.varint();
    const end = reader.at + length;
    if (length < 0 || end > reader.buf.length) throw new RangeError('a record is longer than its batch');
    // Skips the record's attributes, which Kafka does not use yet.
    reader.at++;
    const time = header.baseTime + reader.varint();
    this.time = this.appended ? header.largestTime : time;
    this.offset = header.baseOffset + reader.varint();
    this.key = reader.varBytes();
    this.value = reader.varBytes();
    const count = reader.varint();
    this.headers = count > 0 ? readHeaders(reader, count) : undefined;
    reader.at = end;
  }
}

/**
 * Positions of the values in the records at or after offset `from`. At least one byte of the record follows each value
 * (see Payloads).
 * @throws RangeError for a damaged batch
 */
export function payloadsOf(records: Buffer, header: BatchHeader, from: number): Payloads {
  const reader = new ByteReader(records);
  // A record takes at least one byte, which limits the allocation below.
  if (header.records > records.length)
    throw new RangeError('a batch has fewer records than its header states');
  const spans = new Int32Array(header.records * 2);
  let found = 0;
  for (let left = header.records; left > 0; left--) {
    const length = reader.varint();
    const end = reader.at + length;
    if (length < 0 || end > records.length) throw new RangeError('a record is longer than its batch');
    // Skips the record's attributes and time.
    reader.at++;
    reader.varint();
    const offset = header.baseOffset + reader.varint();
    const key = reader.varint();
    if (key > 0) reader.at += key;
    const value = Math.max(0, reader.varint());
    if (reader.at + value > end) throw new RangeError('a value is longer than its record');
    if (offset >= from) {
      spans[found++] = reader.at;
      spans[found++] = reader.at + value;
    }
    reader.at = end;
  }
  return { bytes: records, spans, count: found / 2 };
}

function readHeaders(reader: ByteReader, count: number): Header[] {
  const headers: Header[] = [];
  for (let index = 0; index < count; index++) {
    const name = (reader.varBytes() ?? Buffer.alloc(0)).toString();
    headers.push([name, headerValue(reader.varBytes() ?? Buffer.alloc(0))]);
  }
  return headers;
}

interface Producer {
  id: bigint;
  epoch: number;
  /** Sequence number of the first record; −1 without idempotence. */
  sequence: number;
}

/** Encodes messages as a batch, in order. `now` is the time for messages without a time, ms since 1970. */
export async function writeBatch(
  messages: readonly OutgoingMessage[],
  producer: Producer,
  compression: Compression,
  now: number,
): Promise<Buffer> {
  const times = messages.map((message) => Math.min(message.time ?? now, now));
  const baseTime = times[0] ?? now;
  let largestTime = baseTime;
  const records = new ByteWriter(1024 + messages.length * 192);
  const record = new ByteWriter(512);
  for (const [index, message] of messages.entries()) {
    const time = times[index]!;
    if (time > largestTime) largestTime = time;
    record.at = 0;
    record
      .int8(0)
      .varint(time - baseTime)
      .varint(index);
    record.varBytes(message.key ?? null);
    // The value is copied only once, from the message into the batch.
    const value = message.tombstone ? null : message.payload;
    const tail = headerBytes(message.headers);
    const lengths = record.varint(value === null ? -1 : value.length).buffer;
    records.varint(lengths.length + (value?.length ?? 0) + tail.length).raw(lengths);
    if (value !== null) records.raw(value);
    records.raw(tail);
  }
  const body =
    compression === 'none' ? records.buffer : await (await codecOf(compression)).compress(records.buffer);
  const batch = new ByteWriter(batchHeaderBytes + body.length);
  batch
    .int64(0)
    .int32(batchHeaderBytes - lengthOverhead + body.length)
    .int32(-1)
    .int8(2)
    .int32(0);
  batch
    .int16(compressions.indexOf(compression))
    .int32(messages.length - 1)
    .int64(baseTime)
    .int64(largestTime);
  batch.bigint64(producer.id).int16(producer.epoch).int32(producer.sequence).int32(messages.length).raw(body);
  const bytes = batch.buffer;
  bytes.writeUInt32BE(crc32c(bytes.subarray(attributesAt)), crcAt);
  return bytes;
}

const noHeaders = Buffer.from([0]);

function headerBytes(headers: readonly Header[] | undefined): Buffer {
  if (!headers || headers.length === 0) return noHeaders;
  const writer = new ByteWriter(64).varint(headers.length);
  for (const [name, value] of headers) {
    writer.varBytes(Buffer.from(name)).varBytes(typeof value === 'string' ? Buffer.from(value) : value);
  }
  return writer.buffer;
}

/** CRC-32C (Castagnoli, reflected 0x82F63B78; RFC 3720, appendix B.4), eight bytes per step, because a batch may be a megabyte. */
const tables = makeTables();

export function crc32c(bytes: Uint8Array): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as [
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
  ];
  let crc = -1;
  let at = 0;
  for (const last = bytes.length - 8; at <= last; at += 8) {
    crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    crc =
      t7[crc & 255]! ^
      t6[(crc >>> 8) & 255]! ^
      t5[(crc >>> 16) & 255]! ^
      t4[crc >>> 24]! ^
      t3[bytes[at + 4]!]! ^
      t2[bytes[at + 5]!]! ^
      t1[bytes[at + 6]!]! ^
      t0[bytes[at + 7]!]!;
  }
  for (; at < bytes.length; at++) crc = t0[(crc ^ bytes[at]!) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

function makeTables(): Int32Array[] {
  const made = Array.from({ length: 8 }, () => new Int32Array(256));
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
    made[0]![byte] = crc;
  }
  for (let table = 1; table < 8; table++) {
    for (let byte = 0; byte < 256; byte++) {
      const crc = made[table - 1]![byte]!;
      made[table]![byte] = made[0]![crc & 255]! ^ (crc >>> 8);
    }
  }
  return made;
}
