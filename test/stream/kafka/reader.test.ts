import { setTimeout as delay } from 'node:timers/promises';
import { expect, it, vi } from 'vitest';
import type { KafkaCluster } from '../../../src/lib/stream/kafka/cluster.js';
import { kafkaSettings } from '../../../src/lib/stream/kafka/settings.js';
import { openKafkaReader } from '../../../src/lib/stream/kafka/source.js';
import { ByteReader } from '../../../src/lib/stream/kafka/wire/bytes.js';
import { writeBatch } from '../../../src/lib/stream/kafka/wire/record-batch.js';
import type { FetchedPartition, WireRequest } from '../../../src/lib/stream/kafka/wire/requests.js';
import { parseStreamUrl } from '../../../src/lib/stream/url.js';

let cluster: KafkaCluster;
vi.mock('../../../src/lib/stream/kafka/connect.js', () => ({ connectCluster: async () => cluster }));

const total = 40;
const producer = { id: -1n, epoch: -1, sequence: -1 };

/** Partitions with `total` records each. A response contains one record for each requested partition. */
function fakeCluster(leaders: readonly number[], says: (node: number, partition: number) => Promise<number>) {
  const under = new Map<number, number>();
  const seen = { most: 0 };
  const fetch = async (node: number, request: Buffer): Promise<FetchedPartition[]> => {
    const reader = new ByteReader(request);
    // Skips the replica, the times, the sizes, the isolation level and the session.
    reader.at = 25;
    const [topic] = reader.array(() => ({
      name: reader.string(),
      places: reader.array(() => {
        const [partition, , offset] = [reader.int32(), reader.int32(), reader.int64()];
        reader.at += 12;
        return { partition, offset };
      }),
    }));
    const answers: FetchedPartition[] = [];
    await delay(5);
    for (const { partition, offset } of topic!.places) {
      const errorCode = await says(node, partition);
      const payload = Buffer.from(`${partition}:${offset}`);
      const batch = await writeBatch([{ topic: 't', payload }], producer, 'none', 1);
      batch.writeBigInt64BE(BigInt(offset));
      const records = errorCode === 0 && offset < total ? batch : Buffer.alloc(0);
      answers.push({ topic: 't', partition, errorCode, end: total, aborted: [], records });
    }
    return answers;
  };
  const node = (nodeId: number) => ({
    connectionPool: {
      async send({ request }: WireRequest<unknown>) {
        under.set(nodeId, (under.get(nodeId) ?? 0) + 1);
        seen.most = Math.max(seen.most, under.get(nodeId)!);
        try {
          return await fetch(nodeId, (await request.encode()).buffer);
        } finally {
          under.set(nodeId, under.get(nodeId)! - 1);
        }
      },
    },
  });
  const offsets = (fromBeginning?: boolean) =>
    leaders.map((_, partition) => ({ partition, offset: fromBeginning ? '0' : `${total}` }));
  cluster = {
    connect: async () => {},
    disconnect: async () => {},
    refreshMetadata: async () => {},
    refreshMetadataIfNecessary: async () => {},
    addMultipleTargetTopics: async () => {},
    findTopicPartitionMetadata: () => leaders.map((leader, partitionId) => ({ partitionId, leader })),
    fetchTopicsOffset: async ([query]: { fromBeginning?: boolean }[]) => [
      { topic: 't', partitions: offsets(query?.fromBeginning) },
    ],
    findBroker: async ({ nodeId }: { nodeId: number }) => node(nodeId),
    removeBroker: () => {},
  } as unknown as KafkaCluster;
  return seen;
}

async function readAll(): Promise<string[]> {
  const settings = kafkaSettings(parseStreamUrl('kafka://fake/t?from=beginning&until=end'), {});
  const source = await openKafkaReader(['t'], settings, 'kafka://fake');
  const payloads: string[] = [];
  for await (const batch of source) {
    for (const { message } of batch) payloads.push(`${Buffer.from(message.payload)}`);
  }
  await source.close();
  return payloads;
}

const everything = (partitions: number) =>
  Array.from(
    { length: partitions * total },
    (_, index) => `${index % partitions}:${Math.floor(index / partitions)}`,
  );

it('a Kafka reader sends one request at a time per broker, and delivers once, while a broker is down', async () => {
  let failures = 4;
  const seen = fakeCluster([1, 2], async (node) => {
    if (node === 1 && failures-- > 0) throw new Error('connection lost');
    if (node === 2) await delay(60);
    return 0;
  });
  const payloads = await readAll();
  expect(payloads.toSorted()).toEqual(everything(2).toSorted());
  expect(seen.most).toBe(1);
});

it('a Kafka reader delivers one partition even if the broker returns an error for another', async () => {
  let answers = 0;
  // Error 6: not the leader.
  fakeCluster([1, 1, 1], async (_, partition) => (partition === 1 && ++answers % 15 === 5 ? 6 : 0));
  expect((await readAll()).toSorted()).toEqual(everything(3).toSorted());
});
