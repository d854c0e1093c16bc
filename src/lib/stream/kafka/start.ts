import { setTimeout as delay } from 'node:timers/promises';
import { AiotError } from '../../core/errors.js';
import type { KafkaCluster, OffsetQuery } from './cluster.js';
import { topicNotFound } from './errors.js';
import type { KafkaSettings } from './settings.js';

/** The start position of one partition, and the beginning and end of its log. */
export interface PartitionRange {
  topic: string;
  partition: number;
  begin: number;
  end: number;
  /** The start position. */
  start: number;
}

/** @throws AIOT_STREAM_TOPIC_NOT_FOUND, AIOT_USAGE (no such partition), and errors of kafkajs */
export async function partitionRanges(
  cluster: KafkaCluster,
  topics: readonly string[],
  settings: Partial<Pick<KafkaSettings, 'from' | 'partition' | 'create'>>,
  endpoint: string,
): Promise<PartitionRange[]> {
  const wanted = await partitionsOf(cluster, topics, settings, endpoint);
  const begins = await offsetsOf(cluster, wanted, { fromBeginning: true });
  const ends = await offsetsOf(cluster, wanted, { fromBeginning: false });
  const { from = 'latest' } = settings;
  const since =
    typeof from === 'object' ? await offsetsOf(cluster, wanted, { fromTimestamp: from.time }) : undefined;
  return wanted.flatMap(({ topic, partitions }) =>
    partitions.map(({ partition }) => {
      const place = `${topic} ${partition}`;
      const [begin = 0, end = 0, at] = [begins.get(place), ends.get(place), since?.get(place)];
      return { topic, partition, begin, end, start: startOf(from, begin, end, at) };
    }),
  );
}

function startOf(
  from: NonNullable<KafkaSettings['from']>,
  begin: number,
  end: number,
  since: number | undefined,
): number {
  if (from === 'beginning') return begin;
  if (from === 'latest') return end;
  // If all records are older, reading starts with the next new one.
  if (typeof from === 'object') return since === undefined || since < 0 ? end : since;
  return Math.min(Math.max(from, begin), end);
}

async function partitionsOf(
  cluster: KafkaCluster,
  topics: readonly string[],
  { partition: only, create = false }: Partial<Pick<KafkaSettings, 'partition' | 'create'>>,
  endpoint: string,
): Promise<OffsetQuery[]> {
  await loadTopics(cluster, topics, endpoint, create);
  return topics.map((topic) => {
    const partitions = cluster
      .findTopicPartitionMetadata(topic)
      .map(({ partitionId }) => partitionId)
      .sort((a, b) => a - b);
    if (partitions.length === 0) throw topicNotFound(topic, endpoint);
    if (only !== undefined && !partitions.includes(only)) {
      throw new AiotError(
        'AIOT_STREAM_URL',
        `${endpoint}: ${topic} has partitions 0 to ${partitions.length - 1}, but no ${only}`,
        { next: 'Choose one of these partitions, or omit the partition.' },
      );
    }
    return {
      topic,
      partitions: (only === undefined ? partitions : [only]).map((partition) => ({ partition })),
    };
  });
}

/** How long a broker may take to create a topic, ms. */
const makingMs = 4000;

/**
 * Loads the metadata of these topics. With `create`, the request creates a missing topic if the broker creates topics
 * automatically.
 * @throws AIOT_STREAM_TOPIC_NOT_FOUND, and the errors of kafkajs
 */
export async function loadTopics(
  cluster: KafkaCluster,
  topics: readonly string[],
  endpoint: string,
  create: boolean,
): Promise<void> {
  for (const started = performance.now(); ; await delay(100)) {
    try {
      await cluster.addMultipleTargetTopics([...topics]);
      return;
    } catch (error) {
      if (!/^(UNKNOWN_TOPIC_OR_PARTITION|LEADER_NOT_AVAILABLE)$/.test(typeOf(error))) throw error;
      if (create && performance.now() - started < makingMs) continue;
      throw topicNotFound(topics.join(' or '), endpoint);
    }
  }
}

function typeOf(error: unknown): string {
  const { type, cause, originalError } = (error ?? {}) as Record<string, unknown>;
  if (typeof type === 'string') return type;
  return cause || originalError ? typeOf(cause ?? originalError) : '';
}

async function offsetsOf(
  cluster: KafkaCluster,
  wanted: OffsetQuery[],
  which: Partial<OffsetQuery>,
): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  const answers = await cluster.fetchTopicsOffset(wanted.map((query) => ({ ...query, ...which })));
  for (const { topic, partitions } of answers) {
    for (const { partition, offset } of partitions) found.set(`${topic} ${partition}`, Number(offset));
  }
  return found;
}
