import { setTimeout as delay } from 'node:timers/promises';
import { AiotError } from '../../core/index.js';
import type { OutgoingMessage } from '../message.js';
import type { KafkaCluster } from './cluster.js';
import { codeError, kafkaCodes, kafkaError, topicNotFound } from './errors.js';
import { type Batch, Lane, type ProducerId, sizeOf, tooLarge, type Waiting } from './lane.js';
import { mend } from './mend.js';
import { partitionOf } from './partitioner.js';
import type { KafkaSettings } from './settings.js';
import { loadTopics } from './start.js';
import { type ProducedPart, produceRequest } from './wire/produce.js';
import { writeBatch } from './wire/record-batch.js';

/** Of a batch, before it is compressed: brokers take 1 MiB (message.max.bytes) unless they are told otherwise. */
const batchBytes = 900 * 1024;

/**
 * Writes to a cluster. One request is on its way to each broker; what is written meanwhile makes the next one, so batches grow as
 * they have to. A batch is sent again, byte for byte, until the broker has answered: with the idempotent producer (KIP-98) it
 * knows what it has already, so a lost answer or a restart doubles nothing.
 */
export class KafkaProducer {
  private readonly lanes = new Map<string, Lane>();
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

  /** Resolves when every message is stored. Their order per partition is that of the calls. */
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

  /** Writes are put in line one after the other, though a topic's partitions may have to be asked for first. */
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
      const lane = this.lanes.get(place) ?? new Lane(topic, partition);
      this.lanes.set(place, lane);
      lane.queue.push({ message, write });
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
            `${this.endpoint}: ${topic} has partitions 0 to ${length - 1}, not ${this.settings.partition}`,
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

  /** Sends what waits, until nothing does. */
  private async pump(): Promise<void> {
    if (this.pumping) return;
    this.pumping = true;
    try {
      for (;;) {
        const lanes = [...this.lanes.values()].filter(({ queue, current }) => queue.length > 0 || current);
        if (lanes.length === 0 || this.closed) return;
        await this.round(lanes);
      }
    } finally {
      this.pumping = false;
    }
  }

  /** One request to each broker. All of them have been answered, or have failed, before what comes next is sent. */
  private async round(lanes: Lane[]): Promise<void> {
    const failures: unknown[] = [];
    try {
      await this.cluster.refreshMetadataIfNecessary();
      const nodes = new Map<number, Lane[]>();
      for (const lane of lanes) {
        try {
          const leader = this.leaderOf(lane);
          nodes.set(leader, [...(nodes.get(leader) ?? []), lane]);
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

  private leaderOf({ topic, partition }: Lane): number {
    const found = this.cluster
      .findTopicPartitionMetadata(topic)
      .find(({ partitionId }) => partitionId === partition);
    if (!found || found.leader < 0) throw new Error(`no leader for ${topic} ${partition}`);
    return found.leader;
  }

  /** The far side is away, or says no: what may still arrive is tried again until its time is over. */
  private async trouble(failures: readonly unknown[]): Promise<void> {
    const errors = failures.map((error) => kafkaError(error, this.endpoint));
    const known = errors.find(({ retryable }) => !retryable) ?? errors[0]!;
    if (!known.retryable) {
      for (const lane of this.lanes.values()) {
        if (lane.current) lane.failed(lane.current, known);
        for (const { write } of lane.queue.splice(0)) write.reject(known);
      }
      this.id = undefined;
      return;
    }
    if (this.connected) this.settings.onState?.('disconnected');
    this.connected = false;
    const now = performance.now();
    // Given up while it may have arrived: its sequence numbers must not be used for anything else. What else is under way keeps its
    // own: by them the broker knows whether it has it.
    const lost = [...this.lanes.values()].map((lane) => lane.expire(now, () => known));
    if (lost.includes(true)) this.id = undefined;
    await mend(this.cluster, failures, this.abort.signal);
  }

  /** Any broker gives a producer id: that one of them is away is no reason for the others to wait. */
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

  /** @throws what is to be tried again, after what the broker said of the other partitions was taken in */
  private async send(nodeId: number, lanes: Lane[]): Promise<void> {
    const node = await this.cluster.findBroker({ nodeId });
    const parts = [];
    const batches = new Map<string, { lane: Lane; batch: Batch }>();
    for (const lane of lanes) {
      const batch = lane.next(batchBytes);
      if (!batch) continue;
      batch.bytes ??= await this.bytesOf(batch, lane);
      parts.push({ topic: lane.topic, partition: lane.partition, batch: batch.bytes });
      batches.set(`${lane.topic} ${lane.partition}`, { lane, batch });
    }
    if (parts.length === 0) return;
    const { acks } = this.settings;
    const answers = await node.connectionPool.send(produceRequest(parts, acks, 20_000));
    if (acks === 0) {
      for (const { lane, batch } of batches.values()) lane.written(batch);
      return;
    }
    const errors = answers.map((answer) => {
      const found = batches.get(`${answer.topic} ${answer.partition}`);
      return found && this.settle(found.lane, found.batch, answer);
    });
    const error = errors.find((one) => one !== undefined);
    if (error) throw error;
  }

  private bytesOf({ items }: Batch, lane: Lane): Promise<Buffer> {
    const messages = items.map(({ message }) => message);
    return writeBatch(messages, lane.numbers(this.id), this.settings.compression, Date.now());
  }

  /** What the broker says of one batch. Gives what is to be tried again, after fresh metadata. */
  private settle(lane: Lane, batch: Batch, { errorCode }: ProducedPart): AiotError | undefined {
    const { endpoint } = this;
    const error = codeError(errorCode, `write to ${lane.topic}`, endpoint);
    switch (errorCode) {
      case kafkaCodes.none:
      // It has it already: the answer to the first time was lost.
      case kafkaCodes.duplicateSequence:
        lane.written(batch);
        return undefined;
      case kafkaCodes.messageTooLarge:
      case kafkaCodes.recordListTooLarge:
        lane.halve(batch, tooLarge(lane.topic, endpoint, sizeOf(batch.items[0]!.message)));
        return undefined;
      case kafkaCodes.invalidRecord: {
        const text = `${endpoint}: ${lane.topic} refuses a message (has it a key?)`;
        lane.failed(batch, new AiotError('AIOT_STREAM_MESSAGE_REFUSED', text, { endpoint }));
        return undefined;
      }
      // The broker has forgotten this producer (after days, or after it lost its log): it is a new one to it, with this batch as well,
      // which the broker has not taken.
      case kafkaCodes.outOfOrderSequence:
      case kafkaCodes.unknownProducerId:
      case kafkaCodes.invalidProducerEpoch:
        this.id = undefined;
        delete batch.bytes;
        return error;
      // It was not taken. By the time of the next attempt the clock may be right again.
      case kafkaCodes.invalidTimestamp:
        delete batch.bytes;
        return new AiotError(
          'AIOT_BROKER_UNREACHABLE',
          `${endpoint}: ${lane.topic} refuses messages of this time (${new Date().toISOString()})`,
          { endpoint, retryable: true, next: 'Set the clock of this machine.' },
        );
      case kafkaCodes.unknownTopic:
        this.counts.delete(lane.topic);
        return error;
      default:
        if (error.retryable) return error;
        // Of this topic, not of what else is under way.
        lane.failed(batch, error);
        return undefined;
    }
  }

  /** After what was written has arrived, or its time is over. */
  async close(): Promise<void> {
    await this.ordered;
    while (this.pumping) await delay(5);
    this.closed = true;
    this.abort.abort();
    await this.cluster.disconnect().catch(() => {});
  }
}
