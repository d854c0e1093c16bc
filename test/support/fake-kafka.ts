import type { KafkaCluster, KafkaNode } from '../../src/lib/stream/kafka/cluster.js';
import { kafkaSettings } from '../../src/lib/stream/kafka/settings.js';
import { ByteReader } from '../../src/lib/stream/kafka/wire/bytes.js';
import { batchHeader, RecordReader } from '../../src/lib/stream/kafka/wire/record-batch.js';
import type { ProducedPart, WireRequest } from '../../src/lib/stream/kafka/wire/requests.js';
import { parseStreamUrl } from '../../src/lib/stream/url.js';

/** Returns the error code for one partition. Any value other than a number means no error. An exception closes the connection. */
type Says = (part: {
  node: number;
  partition: number;
  payloads: string[];
  /** Timestamp of the batch, ms since 1970. */
  time: number;
}) => Promise<unknown>;

/**
 * In-memory brokers that accept batches like Kafka. Each producer's sequences are separate, and duplicates are stored only once.
 */
export interface FakeKafka {
  cluster: KafkaCluster;
  settings: ReturnType<typeof kafkaSettings>;
  /** Payloads by partition. */
  logs: Map<number, string[]>;
  /** Called before the batch is evaluated. */
  before: Says;
  /** Called after the batch has been stored, or has been found to be stored already. */
  after: Says;
  /** Highest number of concurrent requests at one broker so far. */
  readonly most: number;
}

/** @param leaders the node that leads each partition of every topic */
export function fakeKafka(leaders: readonly number[], query = ''): FakeKafka {
  const logs = new Map<number, string[]>();
  const sequences = new Map<string, number>();
  const under = new Map<number, number>();
  let [producers, most] = [0, 0];
  const fake: FakeKafka = {
    cluster: undefined as unknown as KafkaCluster,
    settings: kafkaSettings(parseStreamUrl(`kafka://fake/t?${query}`), {}),
    logs,
    before: async () => {},
    after: async () => {},
    get most() {
      return most;
    },
  };

  async function take(node: number, partition: number, batch: Buffer): Promise<number> {
    const header = batchHeader(batch, 0)!;
    const reader = new RecordReader(batch.subarray(61), header);
    const payloads = Array.from({ length: header.records }, () => {
      reader.next();
      return `${reader.value}`;
    });
    const part = { node, partition, payloads, time: Number(batch.readBigInt64BE(27)) };
    const refused = await fake.before(part);
    if (typeof refused === 'number') return refused;
    const [place, sequence] = [`${partition} ${header.producerId}`, batch.readInt32BE(53)];
    const next = header.producerId < 0n ? undefined : sequences.get(place);
    const isThere = next !== undefined && sequence < next;
    if (next !== undefined && sequence > next) return 45;
    if (!isThere) {
      sequences.set(place, sequence + payloads.length);
      logs.set(partition, [...(logs.get(partition) ?? []), ...payloads]);
    }
    await fake.after(part);
    return isThere ? 46 : 0;
  }

  const node = (nodeId: number) => ({
    nodeId,
    initProducerId: async () => ({ producerId: `${producers++}`, producerEpoch: 0 }),
    connectionPool: {
      async send({ request }: WireRequest<ProducedPart[]>): Promise<ProducedPart[]> {
        under.set(nodeId, (under.get(nodeId) ?? 0) + 1);
        most = Math.max(most, under.get(nodeId)!);
        try {
          const reader = new ByteReader((await request.encode()).buffer);
          // Skips the transaction, acks and timeout.
          reader.at = 8;
          const parts = reader.array(() => ({
            topic: reader.string(),
            batches: reader.array(() => ({
              partition: reader.int32(),
              batch: Buffer.from(reader.raw(reader.int32())),
            })),
          }));
          const answers: ProducedPart[] = [];
          for (const { topic, batches } of parts) {
            for (const { partition, batch } of batches) {
              const errorCode = await take(nodeId, partition, batch);
              answers.push({ topic, partition, errorCode, baseOffset: 0 });
            }
          }
          return answers;
        } finally {
          under.set(nodeId, under.get(nodeId)! - 1);
        }
      },
    },
  });
  const partitions = leaders.map((leader, partitionId) => ({
    partitionId,
    leader,
    partitionErrorCode: 0,
    replicas: [leader],
  }));
  fake.cluster = {
    connect: async () => {},
    disconnect: async () => {},
    refreshMetadata: async () => {},
    refreshMetadataIfNecessary: async () => {},
    addMultipleTargetTopics: async () => {},
    findTopicPartitionMetadata: () => partitions,
    findBroker: async ({ nodeId }) => node(Number(nodeId)) as unknown as KafkaNode,
    removeBroker: () => {},
  } as Partial<KafkaCluster> as KafkaCluster;
  return fake;
}
