import { setTimeout as delay } from 'node:timers/promises';
import { AiotError } from '../../core/index.js';
import type { OutgoingMessage } from '../message.js';
import type { KafkaCluster } from './cluster.js';
import { codeError, kafkaCodes, kafkaError, topicNotFound } from './errors.js';
import { type Batch, Lane, sizeOf, tooLarge, type Waiting } from './lane.js';
import { partitionOf } from './partitioner.js';
import { mend } from './reader.js';
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
  private id: { id: bigint; epoch: number } | undefined;
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
        deadline: Date.now() + this.settings.timeoutMs,
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
        if (!known.retryable || this.closed || Date.now() > deadline) throw known;
        await mend(this.cluster, error, this.abort.signal);
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

  private async round(lanes: Lane[]): Promise<void> {
    try {
      await this.cluster.refreshMetadataIfNecessary();
      const nodes = new Map<number, Lane[]>();
      for (const lane of lanes) {
        const leader = this.leaderOf(lane);
        nodes.set(leader, [...(nodes.get(leader) ?? []), lane]);
      }
      await Promise.all([...nodes].map(([nodeId, own]) => this.send(nodeId, own)));
      if (!this.connected) this.settings.onState?.('connected');
      this.connected = true;
    } catch (error) {
      await this.trouble(kafkaError(error, this.endpoint), error);
    }
  }

  private leaderOf({ topic, partition }: Lane): number {
    const found = this.cluster
      .findTopicPartitionMetadata(topic)
      .find(({ partitionId }) => partitionId === partition);
    if (!found || found.leader < 0) throw new Error(`no leader for ${topic} ${partition}`);
    return found.leader;
  }

  /** The far side is away, or says no: what may still arrive is tried again until its time is over. */
  private async trouble(known: AiotError, error: unknown): Promise<void> {
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
    const now = Date.now();
    // Given up while it may have arrived: its sequence numbers must not be used for anything else.
    const lost = [...this.lanes.values()].map((lane) => lane.expire(now, () => known));
    if (lost.includes(true)) this.forget();
    await mend(this.cluster, error, this.abort.signal);
  }

  /** A new producer id with the next batch; what is under way gets its numbers from it too. */
  private forget(): void {
    this.id = undefined;
    for (const lane of this.lanes.values()) {
      lane.sequence = 0;
      if (lane.current) delete lane.current.bytes;
    }
  }

  private async send(nodeId: number, lanes: Lane[]): Promise<void> {
    const node = await this.cluster.findBroker({ nodeId });
    if (this.settings.idempotent && this.id === undefined) {
      const { producerId, producerEpoch } = await node.initProducerId({ transactionTimeout: 60_000 });
      this.id = { id: BigInt(String(producerId)), epoch: producerEpoch };
    }
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
    for (const answer of answers) {
      const found = batches.get(`${answer.topic} ${answer.partition}`);
      if (found) this.settle(found.lane, found.batch, answer);
    }
  }

  private bytesOf({ items }: Batch, lane: Lane): Promise<Buffer> {
    const producer = this.id ? { ...this.id, sequence: lane.sequence } : { id: -1n, epoch: -1, sequence: -1 };
    const messages = items.map(({ message }) => message);
    return writeBatch(messages, producer, this.settings.compression, Date.now());
  }

  /** @throws what is to be tried again, after fresh metadata */
  private settle(lane: Lane, batch: Batch, { errorCode }: ProducedPart): void {
    switch (errorCode) {
      case kafkaCodes.none:
      // It has it already: the answer to the first time was lost.
      case kafkaCodes.duplicateSequence:
        lane.written(batch);
        return;
      case kafkaCodes.messageTooLarge:
      case kafkaCodes.recordListTooLarge:
        lane.halve(batch, tooLarge(lane.topic, this.endpoint, sizeOf(batch.items[0]!.message)));
        return;
      case kafkaCodes.invalidRecord:
        lane.failed(
          batch,
          new AiotError(
            'AIOT_STREAM_MESSAGE_REFUSED',
            `${this.endpoint}: ${lane.topic} refuses a message (has it a key?)`,
            {
              endpoint: this.endpoint,
            },
          ),
        );
        return;
      // The broker has forgotten this producer (after days, or after it lost its log): it is a new one to it.
      case kafkaCodes.outOfOrderSequence:
      case kafkaCodes.unknownProducerId:
      case kafkaCodes.invalidProducerEpoch:
        this.forget();
        throw codeError(errorCode, `write to ${lane.topic}`, this.endpoint);
      case kafkaCodes.unknownTopic:
        this.counts.delete(lane.topic);
        throw codeError(errorCode, `write to ${lane.topic}`, this.endpoint);
      default:
        throw codeError(errorCode, `write to ${lane.topic}`, this.endpoint);
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
