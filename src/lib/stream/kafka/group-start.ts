import type { KafkaNode } from './cluster.js';
import { connectCluster } from './connect.js';
import { hasMembers } from './errors.js';
import type { KafkaSettings } from './settings.js';
import { type PartitionRange, partitionRanges } from './start.js';

/**
 * Writes down where a new group begins, before it reads: a member that is killed before its first commit would otherwise begin at
 * what is latest then, and what came in between would be lost. A group that has members has done so already.
 * @throws AIOT_STREAM_TOPIC_NOT_FOUND, and what kafkajs throws
 */
export async function placeGroup(
  topics: readonly string[],
  settings: KafkaSettings & { group: string },
  endpoint: string,
): Promise<void> {
  const create = settings.create ?? true;
  const cluster = await connectCluster(settings, endpoint, { create });
  try {
    const ranges = await partitionRanges(cluster, topics, { ...settings, create }, endpoint);
    const coordinator = await cluster.findGroupCoordinator({ groupId: settings.group });
    const fresh = await withoutCommit(coordinator, settings.group, ranges);
    if (fresh.length > 0) await commitStarts(coordinator, settings.group, fresh);
  } finally {
    await cluster.disconnect().catch(() => {});
  }
}

async function withoutCommit(
  coordinator: KafkaNode,
  groupId: string,
  ranges: PartitionRange[],
): Promise<PartitionRange[]> {
  const { responses } = await coordinator.offsetFetch({ groupId, topics: perTopic(ranges, () => ({})) });
  const known = new Map<string, number>();
  for (const { topic, partitions } of responses) {
    for (const { partition, offset } of partitions) known.set(`${topic} ${partition}`, Number(offset));
  }
  return ranges.filter(({ topic, partition }) => (known.get(`${topic} ${partition}`) ?? -1) < 0);
}

/** A commit of nobody (generation −1) is taken while a group has no members. */
async function commitStarts(coordinator: KafkaNode, groupId: string, ranges: PartitionRange[]) {
  const topics = perTopic(ranges, ({ start }) => ({ offset: String(start) }));
  try {
    await coordinator.offsetCommit({ groupId, groupGenerationId: -1, memberId: '', topics });
  } catch (error) {
    if (!hasMembers(error)) throw error;
  }
}

function perTopic<T>(ranges: PartitionRange[], more: (range: PartitionRange) => T) {
  const topics = new Map<string, (T & { partition: number })[]>();
  for (const range of ranges) {
    topics.set(range.topic, [
      ...(topics.get(range.topic) ?? []),
      { partition: range.partition, ...more(range) },
    ]);
  }
  return [...topics].map(([topic, partitions]) => ({ topic, partitions }));
}
