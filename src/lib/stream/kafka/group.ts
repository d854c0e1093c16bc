import { setTimeout as delay } from 'node:timers/promises';
import type { Admin, Consumer, EachBatchPayload, KafkaMessage } from 'kafkajs';
import { headerValue } from '../headers.js';
import type { Delivery, Header, Message, Source } from '../message.js';
import type { KafkaCluster, KafkaNode } from './cluster.js';
import { connectCluster, kafkaClient, patiently } from './connect.js';
import { hasMembers, kafkaError } from './errors.js';
import { createHandover, type Handover } from './handover.js';
import type { KafkaSettings } from './settings.js';
import { type PartitionRange, partitionRanges } from './start.js';

/** Interval between commits of acked messages, ms. If a member is killed, messages acked since the last commit are redelivered. */
const commitEveryMs = 200;

/** Interval of heartbeats while a reader is slow, ms. */
const heartbeatMs = 2000;

/**
 * Opens a member of a consumer group. Acked messages are committed in order, after at most `commitEveryMs`, and never
 * beyond an unacked message. After a rebalance, uncommitted messages are redelivered, and earlier acks have no effect.
 * @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED, AIOT_STREAM_TOPIC_NOT_FOUND
 */
export async function openKafkaGroup(
  topics: readonly string[],
  settings: KafkaSettings,
  endpoint: string,
): Promise<Source> {
  const group = settings.group ?? '';
  await patiently(settings, endpoint, () => placeGroup(topics, { ...settings, group }, endpoint));
  const kafka = await kafkaClient(settings);
  const consumer = kafka.consumer({
    groupId: group,
    sessionTimeout: settings.sessionMs,
    heartbeatInterval: Math.min(heartbeatMs, Math.floor(settings.sessionMs / 3)),
    rebalanceTimeout: Math.max(20_000, settings.sessionMs),
    maxWaitTimeInMs: 250,
    maxBytes: 8 * 1024 * 1024,
    allowAutoTopicCreation: settings.create ?? true,
    // Retries continue, because the broker may be unreachable for any length of time.
    retry: { retries: 10, initialRetryTime: 100, maxRetryTime: 1000, restartOnFailure: async () => true },
  });
  const handover = createHandover(settings.queue ?? 10_000);
  let admin: Promise<Admin> | undefined;
  const member = createMember(consumer, handover, endpoint);
  watch(consumer, settings, member, (error) => handover.end(kafkaError(error, endpoint)));
  try {
    await consumer.connect();
    await consumer.subscribe({ topics: [...topics], fromBeginning: settings.from === 'beginning' });
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      eachBatch: member.take,
    });
  } catch (error) {
    await consumer.disconnect().catch(() => {});
    throw kafkaError(error, endpoint);
  }
  return {
    endpoint,
    dropped: 0,
    [Symbol.asyncIterator]: () => handover[Symbol.asyncIterator](),
    async backlog() {
      // Only callers of this function need the second connection.
      admin ??= connected(kafka.admin()).catch((error: unknown) => {
        admin = undefined;
        throw kafkaError(error, endpoint);
      });
      return uncommitted(await admin, group, topics);
    },
    async close() {
      handover.end();
      await member.close();
      void admin?.then((it) => it.disconnect()).catch(() => {});
      await Promise.race([consumer.disconnect().catch(() => {}), delay(5000, undefined, { ref: false })]);
    },
  };
}

async function connected(admin: Admin): Promise<Admin> {
  await admin.connect();
  return admin;
}

/** Number of records after the group's committed offsets. A partition without a committed offset counts from its beginning. */
async function uncommitted(admin: Admin, groupId: string, topics: readonly string[]): Promise<number> {
  const committed = await admin.fetchOffsets({ groupId, topics: [...topics] });
  let records = 0;
  for (const { topic, partitions } of committed) {
    const at = new Map(partitions.map(({ partition, offset }) => [partition, Number(offset)]));
    for (const { partition, low, high } of await admin.fetchTopicOffsets(topic)) {
      records += Math.max(0, Number(high) - Math.max(Number(low), at.get(partition) ?? 0));
    }
  }
  return records;
}

/** Handles kafkajs's events: connection lost, connection restored, and retries exhausted. */
function watch(
  consumer: Consumer,
  settings: KafkaSettings,
  member: ReturnType<typeof createMember>,
  fail: (error: unknown) => void,
): void {
  const { CRASH, GROUP_JOIN, REBALANCING } = consumer.events;
  consumer.on(GROUP_JOIN, () => {
    member.joined();
    settings.onState?.('connected');
  });
  consumer.on(REBALANCING, () => void member.commit());
  consumer.on(CRASH, ({ payload }) => {
    settings.onState?.('disconnected');
    if (!payload.restart) fail(payload.error);
  });
}

interface Assigned {
  topic: string;
  partition: number;
  progress: Progress;
  /** Lowest nacked offset; undefined if there is none. */
  nacked?: number;
}

/** Creates a member, which tracks its deliveries and commits. */
function createMember(consumer: Consumer, handover: Handover, endpoint: string) {
  /**
   * Replaced with each generation, because acks for an older generation refer to partitions that may now belong to
   * another member.
   */
  let partitions = new Map<string, Assigned>();
  let closed = false;
  let committing: Promise<void> = Promise.resolve();
  const timer = setInterval(() => void commit(), commitEveryMs);

  function commit(): Promise<void> {
    committing = committing.then(commitNow, commitNow);
    return committing;
  }

  async function commitNow(): Promise<void> {
    const due = [...partitions.values()].flatMap((one) => {
      const offset = one.progress.due();
      return offset === undefined ? [] : [{ ...one, offset }];
    });
    if (due.length === 0) return;
    try {
      await consumer.commitOffsets(
        due.map(({ topic, partition, offset }) => ({ topic, partition, offset: String(offset) })),
      );
      for (const { progress, offset } of due) progress.commit(offset);
    } catch {
      // A rebalance, or an unreachable broker. The next commit includes these offsets, or the partition's new owner
      // rereads the messages.
    }
  }

  async function take({ batch, heartbeat, resolveOffset, isRunning, isStale }: EachBatchPayload) {
    if (!isRunning() || isStale() || closed) return;
    const { topic, partition } = batch;
    const place = `${topic} ${partition}`;
    const own: Assigned = partitions.get(place) ?? { topic, partition, progress: new Progress() };
    partitions.set(place, own);
    let bytes = 0;
    const deliveries = batch.messages.map((record): Delivery => {
      bytes += record.value?.length ?? 0;
      const pending = own.progress.deliver(Number(record.offset));
      return {
        message: messageOf(record, topic, partition, endpoint),
        ack: () => {
          pending.done = true;
        },
        nack: () => rewind(place, own, pending.offset),
      };
    });
    if (deliveries.length > 0) handover.push([deliveries], deliveries.length, bytes);
    resolveOffset(batch.lastOffset());
    for (let waiting = true; waiting && !closed; ) {
      const room = handover.whenRoom().then(() => false);
      waiting = await Promise.race([room, delay(heartbeatMs, true, { ref: false })]);
      await heartbeat();
    }
  }

  /** Seeks back to the lowest of the messages nacked together. Acks of later messages then have no effect. */
  function rewind(place: string, own: Assigned, offset: number): void {
    if (own.nacked !== undefined) {
      own.nacked = Math.min(own.nacked, offset);
      return;
    }
    own.nacked = offset;
    setImmediate(() => {
      if (closed || partitions.get(place) !== own) return;
      partitions.delete(place);
      consumer.seek({ topic: own.topic, partition: own.partition, offset: String(own.nacked) });
    });
  }

  return {
    take,
    commit,
    joined() {
      partitions = new Map();
      // Unread messages are fetched again.
      handover.clear();
    },
    async close() {
      closed = true;
      clearInterval(timer);
      await Promise.race([commit(), delay(3000, undefined, { ref: false })]);
    },
  };
}

function messageOf(record: KafkaMessage, topic: string, partition: number, source: string): Message {
  const headers = record.headers ? headersOf(record.headers) : [];
  return {
    topic,
    payload: record.value ?? new Uint8Array(0),
    time: Number(record.timestamp),
    position: `${partition}:${record.offset}`,
    source,
    ...(record.key ? { key: record.key } : {}),
    ...(headers.length > 0 ? { headers } : {}),
    ...(record.value === null ? { tombstone: true } : {}),
  };
}

function headersOf(headers: NonNullable<KafkaMessage['headers']>): Header[] {
  return Object.entries(headers).flatMap(([name, values]) =>
    (Array.isArray(values) ? values : [values ?? '']).map(
      (value): Header => [name, headerValue(Buffer.from(value))],
    ),
  );
}

/**
 * Commits the start position of a new group before reading. Otherwise, a member that is killed before its first commit
 * would restart at the latest offset, and messages in between would be lost. If the group has members, a member has
 * already committed it.
 * @throws AIOT_STREAM_TOPIC_NOT_FOUND, and the errors of kafkajs
 */
async function placeGroup(
  topics: readonly string[],
  settings: KafkaSettings & { group: string },
  endpoint: string,
): Promise<void> {
  const create = settings.create ?? true;
  const cluster = await connectCluster(settings, endpoint, { create });
  try {
    const ranges = await partitionRanges(cluster, topics, { ...settings, create }, endpoint);
    const coordinator = await coordinatorOf(cluster, settings.group);
    const fresh = await withoutCommit(coordinator, settings.group, ranges);
    if (fresh.length > 0) await commitStarts(coordinator, settings.group, fresh);
  } finally {
    await cluster.disconnect().catch(() => {});
  }
}

/**
 * The node that coordinates a group. Any node is asked first, because kafkajs's own search reports a coordinator that is not available yet
 * as an error that must not be retried.
 */
async function coordinatorOf(cluster: KafkaCluster, groupId: string): Promise<KafkaNode> {
  const node = await cluster.findControllerBroker();
  await node.findGroupCoordinator({ groupId, coordinatorType: 0 });
  return cluster.findGroupCoordinator({ groupId });
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

/** Commits the start offsets. A commit without a member (generation −1) is accepted while a group has no members. */
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

/**
 * Determines a partition's offset to commit: the lowest unacked message's offset, because a commit covers everything
 * before it.
 */
export class Progress {
  /** Delivered messages in order, starting with the first unacked one. Their offsets may have gaps. */
  private open: Pending[] = [];
  private next = -1;
  private committed = -1;

  /** Registers a delivered message; the caller sets `done` when it is acked. */
  deliver(offset: number): Pending {
    const pending = { offset, done: false };
    if (this.next < 0) this.committed = offset;
    this.open.push(pending);
    this.next = offset + 1;
    return pending;
  }

  /** The offset to commit; undefined if it has not changed. */
  due(): number | undefined {
    let done = 0;
    while (done < this.open.length && this.open[done]!.done) done++;
    this.open = done > 0 ? this.open.slice(done) : this.open;
    const at = this.open[0]?.offset ?? this.next;
    return at > this.committed ? at : undefined;
  }

  commit(offset: number): void {
    this.committed = Math.max(this.committed, offset);
  }
}

interface Pending {
  readonly offset: number;
  done: boolean;
}
