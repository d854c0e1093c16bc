import { setTimeout as delay } from 'node:timers/promises';
import { AiotError } from '../../core/errors.js';
import type { OutgoingMessage, Sink, StreamOptions } from '../message.js';
import type { StreamUrl } from '../url.js';
import { type KafkaCluster, mend } from './cluster.js';
import { connectCluster } from './connect.js';
import { codeError, kafkaCodes, kafkaError, topicNotFound } from './errors.js';
import { checkTopic, type KafkaSettings, kafkaSettings, topicsOf } from './settings.js';
import { recentMessages } from './source.js';
import { loadTopics } from './start.js';
import { writeBatch } from './wire/record-batch.js';
import { type ProducedPart, produceRequest } from './wire/requests.js';

/**
 * `kafka://HOST[:PORT][,…]/[TOPIC]`: a write resolves once every in-sync replica has stored it (acks=all). A message's own topic
 * takes precedence; MQTT's `a/b` becomes `a.b`, because Kafka's topics have no slash.
 * @throws AIOT_STREAM_URL, AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED; a write also AIOT_STREAM_MESSAGE_REFUSED
 */
export async function openKafkaSink(url: StreamUrl, options: StreamOptions): Promise<Sink> {
  const settings = kafkaSettings(url, options);
  const [urlTopic = ''] = url.path === '' ? [] : topicsOf(url);
  const { endpoint } = url;
  const cluster = await connectCluster(settings, endpoint, { create: settings.create ?? true });
  const producer = new KafkaProducer(cluster, settings, endpoint);
  // Topics other than the URL's become known through their first message.
  const topics = new Set(urlTopic === '' ? [] : [urlTopic]);
  return {
    endpoint,
    async write(messages) {
      const addressed = messages.map((message) => {
        const topic = message.topic === '' ? urlTopic : message.topic.replaceAll('/', '.');
        checkTopic(topic, endpoint);
        topics.add(topic);
        return topic === message.topic ? message : { ...message, topic };
      });
      await producer.write(addressed);
    },
    recent(since) {
      // A topic that could not be created has no records. It must not keep `recent` from reading the other topics.
      const isThere = (topic: string) =>
        topic === urlTopic || cluster.findTopicPartitionMetadata(topic).length > 0;
      return recentMessages([...topics].filter(isThere), settings, since, endpoint);
    },
    close: () => producer.close(),
  };
}

/** Largest batch before compression: brokers accept 1 MiB (message.max.bytes) by default. */
const batchBytes = 900 * 1024;

/**
 * Writes to a cluster. One request at a time is in flight to each broker, and messages written meanwhile form the next
 * request, so that batches grow with the load. A batch is resent unchanged until the broker has responded: the
 * idempotent producer (KIP-98) lets the broker recognize duplicates, so that a lost response or a restart duplicates
 * nothing.
 */
export class KafkaProducer {
  private readonly partitionQueues = new Map<string, PartitionQueue>();
  private readonly counts = new Map<string, Promise<number>>();
  private id: ProducerId | undefined;
  private turn = 0;
  private connected = true;
  private closed = false;
  private pumping = false;
  private readonly abort = new AbortController();

  constructor(
    private readonly cluster: KafkaCluster,
    private readonly settings: KafkaSettings,
    private readonly endpoint: string,
  ) {}

  /** Resolves when every message is stored. Within a partition, messages keep the order of the calls. */
  async write(messages: readonly (OutgoingMessage & { topic: string })[]): Promise<void> {
    if (messages.length === 0) return;
    const done = new Promise<void>((resolve, reject) => {
      const write: Waiting = {
        left: messages.length,
        deadline: performance.now() + this.settings.timeoutMs,
        resolve,
        reject,
      };
      this.ordered = this.ordered.then(() => this.enqueue(messages, write)).catch(reject);
    });
    await done;
  }

  /** Resolves once the previous write is queued, so that the order of the calls is kept even while a topic's partitions are looked up. */
  private ordered: Promise<void> = Promise.resolve();

  private async enqueue(messages: readonly (OutgoingMessage & { topic: string })[], write: Waiting) {
    const counts = new Map<string, number>();
    for (const topic of new Set(messages.map((message) => message.topic))) {
      counts.set(topic, await this.partitionsOf(topic, write.deadline));
    }
    const turn = this.turn++;
    for (const message of messages) {
      const { topic, key } = message;
      const partition = this.settings.partition ?? partitionOf(key, counts.get(topic)!, turn);
      const place = `${topic} ${partition}`;
      const partitionQueue = this.partitionQueues.get(place) ?? new PartitionQueue(topic, partition);
      this.partitionQueues.set(place, partitionQueue);
      partitionQueue.queue.push({ message, write });
    }
    void this.pump();
  }

  private async partitionsOf(topic: string, deadline: number): Promise<number> {
    const known = this.counts.get(topic) ?? this.askPartitions(topic, deadline);
    this.counts.set(topic, known);
    known.catch(() => this.counts.delete(topic));
    return known;
  }

  private async askPartitions(topic: string, deadline: number): Promise<number> {
    for (;;) {
      try {
        await loadTopics(this.cluster, [topic], this.endpoint, this.settings.create ?? true);
        const { length } = this.cluster.findTopicPartitionMetadata(topic);
        if (length === 0) throw topicNotFound(topic, this.endpoint);
        if (this.settings.partition !== undefined && this.settings.partition >= length) {
          throw new AiotError(
            'AIOT_STREAM_URL',
            `${this.endpoint}: ${topic} has partitions 0 to ${length - 1}, but no ${this.settings.partition}`,
            { next: 'Choose one of these partitions, or omit the partition.' },
          );
        }
        return length;
      } catch (error) {
        const known = kafkaError(error, this.endpoint);
        if (!known.retryable || this.closed || performance.now() > deadline) throw known;
        await mend(this.cluster, [error], this.abort.signal);
      }
    }
  }

  /** Sends queued messages until none are left. */
  private async pump(): Promise<void> {
    if (this.pumping) return;
    this.pumping = true;
    try {
      for (;;) {
        const partitionQueues = [...this.partitionQueues.values()].filter(
          ({ queue, current }) => queue.length > 0 || current,
        );
        if (partitionQueues.length === 0 || this.closed) return;
        await this.round(partitionQueues);
      }
    } finally {
      this.pumping = false;
    }
  }

  /** Sends one request to each broker. The next round begins once every request has been answered or has failed. */
  private async round(partitionQueues: PartitionQueue[]): Promise<void> {
    const failures: unknown[] = [];
    try {
      await this.cluster.refreshMetadataIfNecessary();
      const nodes = new Map<number, PartitionQueue[]>();
      for (const partitionQueue of partitionQueues) {
        try {
          const leader = this.leaderOf(partitionQueue);
          nodes.set(leader, [...(nodes.get(leader) ?? []), partitionQueue]);
        } catch (error) {
          failures.push(error);
        }
      }
      await this.identify([...nodes.keys()]);
      const sent = await Promise.allSettled([...nodes].map(([nodeId, own]) => this.send(nodeId, own)));
      for (const one of sent) if (one.status === 'rejected') failures.push(one.reason);
    } catch (error) {
      failures.push(error);
    }
    if (failures.length > 0) return this.trouble(failures);
    if (!this.connected) this.settings.onState?.('connected');
    this.connected = true;
  }

  private leaderOf({ topic, partition }: PartitionQueue): number {
    const found = this.cluster
      .findTopicPartitionMetadata(topic)
      .find(({ partitionId }) => partitionId === partition);
    if (!found || found.leader < 0) throw new Error(`no leader for ${topic} ${partition}`);
    return found.leader;
  }

  /**
   * Handles a destination that is unreachable or rejects the request. Messages that may still be accepted are retried
   * until they time out.
   */
  private async trouble(failures: readonly unknown[]): Promise<void> {
    const errors = failures.map((error) => kafkaError(error, this.endpoint));
    const known = errors.find(({ retryable }) => !retryable) ?? errors[0]!;
    if (!known.retryable) {
      for (const partitionQueue of this.partitionQueues.values()) {
        if (partitionQueue.current) partitionQueue.failed(partitionQueue.current, known);
        for (const { write } of partitionQueue.queue.splice(0)) write.reject(known);
      }
      this.id = undefined;
      return;
    }
    if (this.connected) this.settings.onState?.('disconnected');
    this.connected = false;
    const now = performance.now();
    // A batch that timed out may have arrived, so its sequence numbers must not be reused. Other batches in flight keep
    // their numbers, by which the broker recognizes them.
    const lost = [...this.partitionQueues.values()].map((partitionQueue) =>
      partitionQueue.expire(now, () => known),
    );
    if (lost.includes(true)) this.id = undefined;
    await mend(this.cluster, failures, this.abort.signal);
  }

  /** Requests a producer id. Any broker assigns one, so an unreachable broker does not delay the others. */
  private async identify(nodeIds: readonly number[]): Promise<void> {
    if (!this.settings.idempotent || this.id !== undefined || nodeIds.length === 0) return;
    this.id = await Promise.any(
      nodeIds.map(async (nodeId) => {
        const node = await this.cluster.findBroker({ nodeId });
        const { producerId, producerEpoch } = await node.initProducerId({ transactionTimeout: 60_000 });
        return { id: BigInt(String(producerId)), epoch: producerEpoch };
      }),
    ).catch(({ errors }: AggregateError) => {
      throw errors[0];
    });
  }

  /** @throws errors that may be retried, after the broker's results for the other partitions were processed */
  private async send(nodeId: number, partitionQueues: PartitionQueue[]): Promise<void> {
    const node = await this.cluster.findBroker({ nodeId });
    const parts = [];
    const batches = new Map<string, { partitionQueue: PartitionQueue; batch: Batch }>();
    for (const partitionQueue of partitionQueues) {
      const batch = partitionQueue.next(batchBytes);
      if (!batch) continue;
      batch.bytes ??= await this.bytesOf(batch, partitionQueue);
      parts.push({ topic: partitionQueue.topic, partition: partitionQueue.partition, batch: batch.bytes });
      batches.set(`${partitionQueue.topic} ${partitionQueue.partition}`, { partitionQueue, batch });
    }
    if (parts.length === 0) return;
    const { acks } = this.settings;
    const answers = await node.connectionPool.send(produceRequest(parts, acks, 20_000));
    if (acks === 0) {
      for (const { partitionQueue, batch } of batches.values()) partitionQueue.written(batch);
      return;
    }
    const errors = answers.map((answer) => {
      const found = batches.get(`${answer.topic} ${answer.partition}`);
      return found && this.settle(found.partitionQueue, found.batch, answer);
    });
    const error = errors.find((one) => one !== undefined);
    if (error) throw error;
  }

  private bytesOf({ items }: Batch, partitionQueue: PartitionQueue): Promise<Buffer> {
    const messages = items.map(({ message }) => message);
    return writeBatch(messages, partitionQueue.numbers(this.id), this.settings.compression, Date.now());
  }

  /** Handles the broker's response for one batch. Returns an error if the batch must be retried with fresh metadata. */
  private settle(
    partitionQueue: PartitionQueue,
    batch: Batch,
    { errorCode }: ProducedPart,
  ): AiotError | undefined {
    const { endpoint } = this;
    const error = codeError(errorCode, `write to ${partitionQueue.topic}`, endpoint);
    switch (errorCode) {
      case kafkaCodes.none:
      // Already stored: the response to the first attempt was lost.
      case kafkaCodes.duplicateSequence:
        partitionQueue.written(batch);
        return undefined;
      case kafkaCodes.messageTooLarge:
      case kafkaCodes.recordListTooLarge:
        partitionQueue.halve(
          batch,
          tooLarge(partitionQueue.topic, endpoint, sizeOf(batch.items[0]!.message)),
        );
        return undefined;
      case kafkaCodes.invalidRecord: {
        const text = `${endpoint}: ${partitionQueue.topic} rejects a message (it may need a key)`;
        partitionQueue.failed(batch, new AiotError('AIOT_STREAM_MESSAGE_REFUSED', text, { endpoint }));
        return undefined;
      }
      // The broker has forgotten this producer after days of silence, or after losing its log. The producer starts over with this batch,
      // which the broker has not stored.
      case kafkaCodes.outOfOrderSequence:
      case kafkaCodes.unknownProducerId:
      case kafkaCodes.invalidProducerEpoch:
        this.id = undefined;
        delete batch.bytes;
        return error;
      // Rejected because of the timestamp. By the next attempt, the clock may be correct.
      case kafkaCodes.invalidTimestamp:
        delete batch.bytes;
        return new AiotError(
          'AIOT_BROKER_UNREACHABLE',
          `${endpoint}: ${partitionQueue.topic} rejects messages with this time (${new Date().toISOString()})`,
          { endpoint, retryable: true, next: 'Correct the clock of this machine.' },
        );
      case kafkaCodes.unknownTopic:
        this.counts.delete(partitionQueue.topic);
        return error;
      default:
        if (error.retryable) return error;
        // The error concerns only this topic; other messages are not affected.
        partitionQueue.failed(batch, error);
        return undefined;
    }
  }

  /** Resolves after all writes have been stored, or have timed out. */
  async close(): Promise<void> {
    await this.ordered;
    while (this.pumping) await delay(5);
    this.closed = true;
    this.abort.abort();
    await this.cluster.disconnect().catch(() => {});
  }
}

/** A write awaited by its caller. It is done when all of its messages are, and fails when the first message fails. */
interface Waiting {
  left: number;
  /** Deadline, ms of `performance.now()`, because the time of day may be changed. */
  deadline: number;
  resolve(): void;
  reject(error: unknown): void;
}

interface Queued {
  message: OutgoingMessage;
  write: Waiting;
}

/** A batch in flight, which is resent unchanged until its outcome is known. */
interface Batch {
  items: Queued[];
  bytes?: Buffer;
}

/** How the broker identifies an idempotent producer. */
interface ProducerId {
  id: bigint;
  epoch: number;
}

/** Messages waiting to be written to one partition, in order. One batch is in flight at a time. */
class PartitionQueue {
  readonly queue: Queued[] = [];
  current: Batch | undefined;
  /** Sequence number of the next record, for its idempotent producer. */
  private sequence = 0;
  private producer: ProducerId | undefined;
  /** Maximum number of messages in a batch; halved when the broker rejects a batch as too large. */
  largest = 10_000;

  constructor(
    readonly topic: string,
    readonly partition: number,
  ) {}

  /** The batch to send now: the batch in flight, or a new one from the queue. */
  next(limitBytes: number): Batch | undefined {
    if (this.current) return this.current;
    let [count, bytes] = [0, 0];
    for (const { message } of this.queue) {
      bytes += sizeOf(message);
      if (count > 0 && (bytes > limitBytes || count >= this.largest)) break;
      count++;
    }
    if (count === 0) return undefined;
    this.current = { items: this.queue.splice(0, count) };
    return this.current;
  }

  /** Producer and sequence number for a new batch. The numbers begin at 0 for each producer id. −1 without idempotence. */
  numbers(producer: ProducerId | undefined): ProducerId & { sequence: number } {
    if (!producer) return { id: -1n, epoch: -1, sequence: -1 };
    if (this.producer !== producer) this.sequence = 0;
    this.producer = producer;
    return { ...producer, sequence: this.sequence };
  }

  // The following methods ignore a response for a batch that is no longer in flight, because its outcome is settled.

  written(batch: Batch): void {
    if (batch !== this.current) return;
    // Sequence numbers have 31 bits, and wrap to 0.
    this.sequence = (this.sequence + batch.items.length) % 2 ** 31;
    this.current = undefined;
    for (const { write } of batch.items) if (--write.left === 0) write.resolve();
  }

  /** Splits a batch that is too large for the broker. A single message that is too large fails its write. */
  halve(batch: Batch, error: AiotError): void {
    if (batch !== this.current) return;
    this.current = undefined;
    if (batch.items.length === 1) {
      batch.items[0]!.write.reject(error);
      return;
    }
    this.largest = Math.ceil(batch.items.length / 2);
    this.queue.unshift(...batch.items);
  }

  failed(batch: Batch, error: unknown): void {
    if (batch !== this.current) return;
    this.current = undefined;
    for (const { write } of batch.items) write.reject(error);
  }

  /**
   * Fails the writes that have timed out. Returns true if one of them was in flight, so that its batch is abandoned.
   */
  expire(now: number, error: () => AiotError): boolean {
    const late = ({ write }: Queued) => write.deadline <= now;
    for (const item of this.queue.filter(late)) item.write.reject(error());
    const kept = this.queue.filter((item) => !late(item));
    this.queue.splice(0, this.queue.length, ...kept);
    if (!this.current?.items.some(late)) return false;
    this.failed(this.current, error());
    return true;
  }
}

/** Approximate size of a message in a batch, bytes. */
function sizeOf({ payload, key, headers }: OutgoingMessage): number {
  let size = payload.length + (key?.length ?? 0) + 24;
  for (const [name, value] of headers ?? []) size += name.length * 3 + value.length * 3 + 4;
  return size;
}

function tooLarge(topic: string, endpoint: string, bytes: number): AiotError {
  return new AiotError(
    'AIOT_STREAM_MESSAGE_REFUSED',
    `${endpoint}: a message of ${bytes} bytes exceeds the limit of ${topic}`,
    { endpoint },
  );
}

/**
 * The partition of a message, as in Java's client (BuiltInPartitioner). It is derived from the murmur2 hash of the key,
 * so that messages with the same key stay in order and all clients agree. Without a key, partitions take turns, one
 * batch each.
 */
function partitionOf(key: Uint8Array | undefined, partitions: number, turn: number): number {
  return key === undefined ? turn % partitions : (murmur2(key) & 0x7fffffff) % partitions;
}

/** Austin Appleby's MurmurHash2 with Kafka's seed (org.apache.kafka.common.utils.Utils.murmur2). */
export function murmur2(bytes: Uint8Array): number {
  const { length } = bytes;
  let hash = 0x9747b28c ^ length;
  let at = 0;
  for (; at + 4 <= length; at += 4) {
    let word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    word = Math.imul(word, 0x5bd1e995);
    word ^= word >>> 24;
    hash = Math.imul(hash, 0x5bd1e995) ^ Math.imul(word, 0x5bd1e995);
  }
  if (length - at > 2) hash ^= bytes[at + 2]! << 16;
  if (length - at > 1) hash ^= bytes[at + 1]! << 8;
  if (length - at > 0) hash = Math.imul(hash ^ bytes[at]!, 0x5bd1e995);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0x5bd1e995);
  return hash ^ (hash >>> 15);
}
