import { setTimeout as delay } from 'node:timers/promises';
import type { WireRequest } from './wire/requests.js';

/** The part of kafkajs's Cluster that is used here: bootstrap, metadata, and a connection to each broker, with TLS and SASL. */
export interface KafkaCluster {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  isConnected(): boolean;
  refreshMetadata(): Promise<void>;
  refreshMetadataIfNecessary(): Promise<void>;
  addMultipleTargetTopics(topics: string[]): Promise<void>;
  /** Partitions of a topic; empty for an unknown topic. */
  findTopicPartitionMetadata(topic: string): PartitionMetadata[];
  findBroker(node: { nodeId: number | string }): Promise<KafkaNode>;
  findControllerBroker(): Promise<KafkaNode>;
  findGroupCoordinator(group: { groupId: string }): Promise<KafkaNode>;
  removeBroker(address: { host: string; port: number }): void;
  metadata(wanted: { topics: string[] }): Promise<ClusterMetadata>;
  fetchTopicsOffset(topics: OffsetQuery[]): Promise<TopicOffsets[]>;
}

interface PartitionMetadata {
  partitionId: number;
  leader: number;
  partitionErrorCode: number;
  replicas: number[];
}

export interface ClusterMetadata {
  brokers: { nodeId: number; host: string; port: number }[];
  controllerId: number;
  topicMetadata: { topic: string; topicErrorCode: number; partitionMetadata: PartitionMetadata[] }[];
}

export interface OffsetQuery {
  topic: string;
  partitions: { partition: number }[];
  fromBeginning?: boolean;
  /** Time to look up, ms since 1970. The result is the first record at or after this time. */
  fromTimestamp?: number;
}

interface TopicOffsets {
  topic: string;
  /** Offsets as decimal text; `-1` if all records are older. */
  partitions: { partition: number; offset: string }[];
}

export interface KafkaNode {
  nodeId: number;
  versions: Record<number, { minVersion: number; maxVersion: number }>;
  connectionPool: { host: string; port: number; send<T>(request: WireRequest<T>): Promise<T> };
  disconnect(): Promise<void>;
  initProducerId(options: {
    transactionalId?: string;
    transactionTimeout: number;
  }): Promise<{ producerId: string; producerEpoch: number }>;
  /** @param group `coordinatorType` 0 = the coordinator of a consumer group. @throws Kafka's response if the coordinator is not
   * available yet */
  findGroupCoordinator(group: { groupId: string; coordinatorType: 0 }): Promise<unknown>;
  offsetFetch(options: {
    groupId: string;
    topics: { topic: string; partitions: { partition: number }[] }[];
  }): Promise<{ responses: TopicOffsets[] }>;
  offsetCommit(options: {
    groupId: string;
    groupGenerationId: number;
    memberId: string;
    topics: TopicOffsets[];
  }): Promise<unknown>;
}

/** Delay between attempts while a broker is unreachable, ms. */
const pauseMs = 250;

/**
 * Removes the failed connections and refreshes the metadata, after a pause. Does not throw if the refresh fails,
 * because the callers retry.
 */
export async function mend(
  cluster: KafkaCluster,
  errors: readonly unknown[],
  signal: AbortSignal,
): Promise<void> {
  await delay(pauseMs, undefined, { signal }).catch(() => {});
  if (signal.aborted) return;
  try {
    for (const error of errors) {
      const { host, port } = (error ?? {}) as { host?: string; port?: number };
      if (host !== undefined && port !== undefined) cluster.removeBroker({ host, port });
    }
    await cluster.connect();
    await cluster.refreshMetadata();
  } catch {
    // The cluster is still unreachable; the caller retries.
  }
}
