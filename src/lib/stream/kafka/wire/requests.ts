import { ByteReader, ByteWriter } from './bytes.js';

/** A request in the form that kafkajs's connection sends. */
export interface WireRequest<T> {
  request: {
    apiKey: number;
    apiVersion: number;
    apiName: string;
    encode(): Promise<ByteWriter>;
    expectResponse?(): boolean;
  };
  response: {
    decode(data: Buffer): Promise<{ clientSideThrottleTime: number; data: T }>;
    parse(decoded: { data: T }): Promise<T>;
  };
  requestTimeout?: number;
  logResponseError?: boolean;
}

interface FetchPlace {
  topic: string;
  partition: number;
  /** The start offset. */
  offset: number;
}

interface FetchOptions {
  /** How long the broker waits for data, ms. */
  maxWaitMs: number;
  /** Size limits of the whole response and of one partition, bytes. The first batch is returned even if it is larger. */
  maxBytes: number;
  maxPartitionBytes: number;
}

export interface FetchedPartition {
  topic: string;
  partition: number;
  errorCode: number;
  /** End of the readable data (the last stable offset, which excludes open transactions). */
  end: number;
  aborted: { producerId: bigint; firstOffset: number }[];
  /** Batches; the last one may be truncated. */
  records: Buffer;
}

/** Fetch (key 1), version 10: the first to support zstd (Kafka 2.1), and still supported by Kafka 4. Reads committed records only. */
export function fetchRequest(
  places: readonly FetchPlace[],
  options: FetchOptions,
): WireRequest<FetchedPartition[]> {
  return {
    request: {
      apiKey: 1,
      apiVersion: 10,
      apiName: 'Fetch',
      encode: async () => encodeFetch(places, options),
    },
    response: {
      decode: async (data) => decodeFetch(new ByteReader(data)),
      parse: async ({ data }) => data,
    },
    requestTimeout: options.maxWaitMs + 20_000,
    logResponseError: false,
  };
}

function encodeFetch(places: readonly FetchPlace[], options: FetchOptions): ByteWriter {
  const writer = new ByteWriter();
  // Replica −1 means a client, and isolation level 1 reads only committed records. No fetch session is used.
  writer.int32(-1).int32(options.maxWaitMs).int32(1).int32(options.maxBytes).int8(1).int32(0).int32(-1);
  const topics = new Map<string, FetchPlace[]>();
  for (const place of places) topics.set(place.topic, [...(topics.get(place.topic) ?? []), place]);
  writer.int32(topics.size);
  for (const [topic, partitions] of topics) {
    writer.string(topic).int32(partitions.length);
    for (const { partition, offset } of partitions) {
      writer.int32(partition).int32(-1).int64(offset).int64(-1).int32(options.maxPartitionBytes);
    }
  }
  return writer.int32(0);
}

function decodeFetch(reader: ByteReader) {
  const clientSideThrottleTime = reader.int32();
  // Skips the error and the id of the fetch session.
  reader.at += 6;
  const data: FetchedPartition[] = [];
  reader.array(() => {
    const topic = reader.string();
    reader.array(() => {
      const [partition, errorCode] = [reader.int32(), reader.int16()];
      // Skips the high watermark here, and the log's start offset after `end`.
      reader.at += 8;
      const end = reader.int64();
      reader.at += 8;
      const aborted = reader.array(() => ({ producerId: reader.bigint64(), firstOffset: reader.int64() }));
      const records = reader.raw(Math.max(0, reader.int32()));
      data.push({ topic, partition, errorCode, end, aborted, records });
    });
  });
  return { clientSideThrottleTime, data };
}

interface ProducePart {
  topic: string;
  partition: number;
  /** One record batch. */
  batch: Buffer;
}

export interface ProducedPart {
  topic: string;
  partition: number;
  errorCode: number;
  baseOffset: number;
}

/**
 * Produce (key 0), version 7: the first to accept zstd (Kafka 2.1), and still supported by Kafka 4. With acks 0, there is no response.
 */
export function produceRequest(
  parts: readonly ProducePart[],
  acks: -1 | 0 | 1,
  timeoutMs: number,
): WireRequest<ProducedPart[]> {
  return {
    request: {
      apiKey: 0,
      apiVersion: 7,
      apiName: 'Produce',
      expectResponse: () => acks !== 0,
      encode: async () => encodeProduce(parts, acks, timeoutMs),
    },
    response: {
      decode: async (data) => decodeProduce(new ByteReader(data)),
      parse: async ({ data }) => data,
    },
    requestTimeout: timeoutMs + 1000,
    logResponseError: false,
  };
}

function encodeProduce(parts: readonly ProducePart[], acks: number, timeoutMs: number): ByteWriter {
  const size = parts.reduce((sum, { batch, topic }) => sum + batch.length + topic.length * 3 + 32, 64);
  const writer = new ByteWriter(size).string(null).int16(acks).int32(timeoutMs);
  const topics = new Map<string, ProducePart[]>();
  for (const part of parts) topics.set(part.topic, [...(topics.get(part.topic) ?? []), part]);
  writer.int32(topics.size);
  for (const [topic, partitions] of topics) {
    writer.string(topic).int32(partitions.length);
    for (const { partition, batch } of partitions) writer.int32(partition).int32(batch.length).raw(batch);
  }
  return writer;
}

function decodeProduce(reader: ByteReader) {
  const data: ProducedPart[] = [];
  reader.array(() => {
    const topic = reader.string();
    reader.array(() => {
      data.push({
        topic,
        partition: reader.int32(),
        errorCode: reader.int16(),
        baseOffset: reader.int64(),
      });
      // Skips the log append time and the log's start offset.
      reader.at += 16;
    });
  });
  return { clientSideThrottleTime: reader.int32(), data };
}
