import { ByteReader, ByteWriter } from './bytes.js';
import type { WireRequest } from './fetch.js';

export interface ProducePart {
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

/** Produce (key 0), version 7: the first that takes zstd (Kafka 2.1), and known to Kafka 4. With acks 0 nothing comes back. */
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
      encode: async () => encode(parts, acks, timeoutMs),
    },
    response: {
      decode: async (data) => decode(new ByteReader(data)),
      parse: async ({ data }) => data,
    },
    requestTimeout: timeoutMs + 1000,
    logResponseError: false,
  };
}

function encode(parts: readonly ProducePart[], acks: number, timeoutMs: number): ByteWriter {
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

function decode(reader: ByteReader) {
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
      // Log append time, and the log's start.
      reader.at += 16;
    });
  });
  return { clientSideThrottleTime: reader.int32(), data };
}
