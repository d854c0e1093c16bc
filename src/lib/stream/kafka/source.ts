import { setTimeout as delay } from 'node:timers/promises';
import { AiotError } from '../../core/errors.js';
import type { Delivery, Message, Payloads, Source, StreamOptions } from '../message.js';
import type { StreamUrl } from '../url.js';
import { type KafkaCluster, type KafkaNode, mend } from './cluster.js';
import { connectCluster } from './connect.js';
import { codeError, kafkaCodes, kafkaError } from './errors.js';
import { createHandover, type Handover } from './handover.js';
import { type KafkaSettings, kafkaSettings, topicsOf } from './settings.js';
import { type PartitionRange, partitionRanges } from './start.js';
import {
  type BatchHeader,
  batchAttributes,
  batchHeader,
  payloadsOf,
  RecordReader,
  recordsOf,
} from './wire/record-batch.js';
import { type FetchedPartition, fetchRequest } from './wire/requests.js';

/**
 * `kafka://HOST[:PORT][,…]/TOPIC[,…]`. With `group`, the members share the partitions, and the broker records which
 * messages were acked. Without a group, the log is read from a position, and nothing is stored.
 * @throws AIOT_STREAM_URL, AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED, AIOT_STREAM_TOPIC_NOT_FOUND
 */
export async function openKafkaSource(url: StreamUrl, options: StreamOptions): Promise<Source> {
  const settings = kafkaSettings(url, options);
  const topics = topicsOf(url);
  if (settings.group === undefined) return openKafkaReader(topics, settings, url.endpoint);
  return (await import('./group.js')).openKafkaGroup(topics, settings, url.endpoint);
}

/** How long a broker without new data may wait before it responds, ms. */
const maxWaitMs = 500;

const maxBytes = 8 * 1024 * 1024;
const maxPartitionBytes = 4 * 1024 * 1024;

interface Place extends PartitionRange {
  /** The next offset to fetch. */
  offset: number;
  /** Whether the data at `offset` was deleted, or the topic was recreated. Reading then continues at the beginning of the log. */
  gone?: boolean;
}

/**
 * Reads partitions of a log from a position, without a group, so that no trace is left at the broker. A slow reader
 * loses nothing, because the log stores the messages, and at most a few responses are in memory.
 * @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED, AIOT_STREAM_TOPIC_NOT_FOUND
 */
export async function openKafkaReader(
  topics: readonly string[],
  settings: KafkaSettings,
  endpoint: string,
): Promise<Source> {
  const cluster = await connectCluster(settings, endpoint, { create: settings.create ?? false });
  let places: Place[];
  try {
    const ranges = await partitionRanges(cluster, topics, settings, endpoint);
    places = ranges.map((range) => ({ ...range, offset: range.start }));
  } catch (error) {
    await cluster.disconnect().catch(() => {});
    throw kafkaError(error, endpoint);
  }
  const handover = createHandover<Taken>(settings.queue ?? 10_000);
  const abort = new AbortController();
  const loop = readAll({ cluster, places, settings, endpoint, handover, signal: abort.signal }).then(
    () => handover.end(),
    (error: unknown) => handover.end(abort.signal.aborted ? undefined : kafkaError(error, endpoint)),
  );
  return {
    endpoint,
    dropped: 0,
    async *[Symbol.asyncIterator](): AsyncGenerator<readonly Delivery[]> {
      for await (const { fetched, from } of handover) yield* decodeFetched(fetched, from, endpoint);
    },
    async *payloads(): AsyncGenerator<Payloads> {
      for await (const { fetched, from } of handover) yield* payloadsFetched(fetched, from);
    },
    async close() {
      abort.abort();
      handover.end();
      // The loop may end after this call, because a fetch may still be waiting at the broker.
      void loop.finally(() => cluster.disconnect().catch(() => {}));
      await Promise.race([loop, delay(maxWaitMs + 500, undefined, { ref: false })]);
    },
  };
}

/** The data fetched from a partition, and the offset at which reading starts. */
interface Taken {
  fetched: FetchedPartition;
  from: number;
}

interface Reading {
  cluster: KafkaCluster;
  places: Place[];
  settings: KafkaSettings;
  endpoint: string;
  handover: Handover<Taken>;
  signal: AbortSignal;
}

/**
 * Runs until everything requested is read, or until reading is aborted. Each broker is read independently; lost
 * connections are restored.
 */
function readAll(reading: Reading): Promise<void> {
  const { cluster, places, settings, signal, endpoint } = reading;
  const finished = () => settings.until === 'end' && places.every(({ offset, end }) => offset >= end);
  return readByNode({
    places,
    over: () => signal.aborted || finished(),
    async prepare() {
      await cluster.refreshMetadataIfNecessary();
      await findGone(reading);
    },
    nodeOf: (place) => leaderOf(cluster, place),
    read: (nodeId, own, loop) => readNode(reading, nodeId, own, loop),
    async mend(errors) {
      const fatal = errors.map((error) => kafkaError(error, endpoint)).find(({ retryable }) => !retryable);
      if (fatal) throw fatal;
      await mend(cluster, errors, signal);
    },
    onState: settings.onState,
  });
}

/** Moves positions whose data was deleted, or whose topic was recreated, to the beginning of the log, which loses the least. */
async function findGone({ cluster, places, endpoint }: Reading): Promise<void> {
  for (const place of places.filter(({ gone }) => gone)) {
    const only = { from: 'beginning', partition: place.partition } as const;
    const [range] = await partitionRanges(cluster, [place.topic], only, endpoint);
    Object.assign(place, { offset: range?.start ?? 0, gone: false });
  }
}

function leaderOf(cluster: KafkaCluster, { topic, partition }: Place): number {
  const metadata = cluster
    .findTopicPartitionMetadata(topic)
    .find(({ partitionId }) => partitionId === partition);
  if (!metadata || metadata.leader < 0) throw new Error(`no leader for ${topic} ${partition}`);
  return metadata.leader;
}

/** Fetches from one broker, decoding each response while the next fetch is in progress. Ends after an error, or when all is read. */
async function readNode(
  reading: Reading,
  nodeId: number,
  places: Place[],
  { over, answered }: Loop,
): Promise<void> {
  const node = await reading.cluster.findBroker({ nodeId });
  let next: Promise<FetchedPartition[]> | undefined;
  while (!over()) {
    const answers = await (next ?? fetch(node, places));
    next = undefined;
    const { taken, error } = takeOffsets(answers, places, reading.endpoint);
    if (error) {
      deliver(reading, taken);
      throw error;
    }
    answered();
    // Fetches only as far ahead as the reader has room for, because each response may be megabytes.
    await reading.handover.whenRoom();
    if (over()) {
      deliver(reading, taken);
      return;
    }
    next = fetch(node, places);
    next.catch(() => {});
    deliver(reading, taken);
  }
}

function fetch(node: KafkaNode, places: readonly Place[]): Promise<FetchedPartition[]> {
  // The order rotates so that no partition is starved (KIP-74).
  const turn = turns++ % places.length;
  const order = [...places.slice(turn), ...places.slice(0, turn)];
  return node.connectionPool.send(fetchRequest(order, { maxWaitMs, maxBytes, maxPartitionBytes }));
}

let turns = 0;

/**
 * Advances the positions past the received data. The data is delivered even if another partition failed with an error
 * that needs fresh metadata.
 */
function takeOffsets(answers: FetchedPartition[], places: Place[], endpoint: string) {
  let error: AiotError | undefined;
  const taken: Taken[] = [];
  for (const fetched of answers) {
    const { topic, partition, errorCode } = fetched;
    const place = places.find((one) => one.topic === topic && one.partition === partition);
    if (!place) continue;
    if (errorCode === kafkaCodes.none) {
      taken.push({ fetched, from: place.offset });
      place.offset = offsetAfter(fetched, place.offset);
      continue;
    }
    if (errorCode === kafkaCodes.offsetOutOfRange) place.gone = true;
    error ??= codeError(errorCode, `read ${topic}`, endpoint);
  }
  return { taken, error };
}

function deliver({ handover }: Reading, taken: Taken[]): void {
  for (const one of taken) {
    const { records } = one.fetched;
    if (records.length > 0) handover.push([one], recordsIn(one.fetched), records.length);
  }
}

/** Callbacks of a reading loop. */
interface Loop {
  over(): boolean;
  /** Called after each response. */
  answered(): void;
}

/** Parameters of reading loops; `P` is a position to read from. */
export interface NodeReading<P> {
  places: readonly P[];
  /** Whether everything has been read, or reading was aborted. */
  over(): boolean;
  /** Called before the loops begin. */
  prepare(): Promise<void>;
  /** The node that currently hosts a position. @throws if no node hosts it */
  nodeOf(place: P): number;
  /** Reads positions on a node until an error occurs, or until everything is read. `places` may grow. */
  read(nodeId: number, places: P[], loop: Loop): Promise<void>;
  /** Called after errors, before the affected positions are reread. @throws permanent errors */
  mend(errors: readonly unknown[]): Promise<void>;
  onState?: ((state: 'connected' | 'disconnected') => void) | undefined;
}

interface Owned<P> {
  places: P[];
  answered: boolean;
}

/**
 * Reads every position with one independent loop for each node. If a loop ends with an error, its positions are
 * reassigned to the nodes that now host them. Resolves when everything has been read and every loop has ended.
 * @throws the errors of `mend`, once every loop has ended
 */
export async function readByNode<P>(reading: NodeReading<P>): Promise<void> {
  const loops = new Map<number, Owned<P>>();
  let errors: unknown[] = [];
  let stopped = false;
  const over = () => stopped || reading.over();
  let connected = true;
  let wake = () => {};
  const running = new Set<Promise<void>>();
  const alone = () => {
    const owned = new Set([...loops.values()].flatMap(({ places }) => places));
    return reading.places.filter((place) => !owned.has(place));
  };

  function begin(nodeId: number, place: P): void {
    const known = loops.get(nodeId);
    if (known) {
      known.places.push(place);
      return;
    }
    const loop: Owned<P> = { places: [place], answered: false };
    loops.set(nodeId, loop);
    const work = Promise.resolve()
      .then(() => reading.read(nodeId, loop.places, { over, answered: () => answer(loop) }))
      .catch((error: unknown) => void errors.push(error))
      .finally(() => {
        loops.delete(nodeId);
        running.delete(work);
        wake();
      });
    running.add(work);
  }

  function answer(loop: Owned<P>): void {
    loop.answered = true;
    if (connected || alone().length > 0 || ![...loops.values()].every(({ answered }) => answered)) return;
    connected = true;
    reading.onState?.('connected');
  }

  async function giveOut(): Promise<void> {
    try {
      await reading.prepare();
    } catch (error) {
      errors.push(error);
      return;
    }
    for (const place of alone()) {
      try {
        begin(reading.nodeOf(place), place);
      } catch (error) {
        errors.push(error);
      }
    }
  }

  try {
    while (!over()) {
      if (alone().length > 0) await giveOut();
      if (errors.length === 0 && loops.size === 0) return;
      if (errors.length === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      if (over() || errors.length === 0) continue;
      const before = errors;
      errors = [];
      if (connected) reading.onState?.('disconnected');
      connected = false;
      await reading.mend(before);
    }
  } finally {
    stopped = true;
    await Promise.allSettled([...running]);
  }
}

/**
 * The next fetch offset after a response, derived from the heads of its batches alone, so that the next fetch need not wait for decoding.
 */
function offsetAfter(fetched: FetchedPartition, offset: number): number {
  let next = offset;
  for (const { header } of batchesOf(fetched.records)) next = Math.max(next, header.lastOffset + 1);
  return next;
}

/** Number of records in a response, according to the heads of its batches. */
function recordsIn(fetched: FetchedPartition): number {
  let records = 0;
  for (const { header } of batchesOf(fetched.records)) records += header.records;
  return records;
}

/** Number of messages to decode ahead of the reader; more would only burden the garbage collector. */
const chunk = 1000;

/**
 * Decodes a fetched partition's messages, starting at `offset`, as they are read. Batches arrive whole, so they may
 * contain earlier messages.
 * @throws AIOT_STREAM_DECODE
 */
export function decodeFetched(
  fetched: FetchedPartition,
  offset: number,
  source: string,
): AsyncGenerator<Delivery[]> {
  return coded(decoded(fetched, offset, source));
}

/** Yields only the payloads of these messages; a message without a value yields an empty one. @throws AIOT_STREAM_DECODE */
export function payloadsFetched(fetched: FetchedPartition, offset: number): AsyncGenerator<Payloads> {
  return coded(payloads(fetched, offset));
}

/** Converts a RangeError, which the byte readers throw for a damaged batch. */
async function* coded<Read>(read: AsyncGenerator<Read>): AsyncGenerator<Read> {
  try {
    yield* read;
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new AiotError('AIOT_STREAM_DECODE', `a record batch is damaged: ${cause.message}`, { cause });
  }
}

async function* decoded(
  fetched: FetchedPartition,
  offset: number,
  source: string,
): AsyncGenerator<Delivery[]> {
  const { topic, partition } = fetched;
  const prefix = `${partition}:`;
  let deliveries: Delivery[] = [];
  for (const { header, at } of readable(fetched, offset)) {
    const reader = new RecordReader(await recordsOf(fetched.records, at, header), header);
    for (let left = header.records; left > 0; left--) {
      reader.next();
      if (reader.offset < offset) continue;
      const message = messageOf(reader, topic, prefix, source);
      deliveries.push({ message, ack: settled, nack: settled });
      if (deliveries.length < chunk) continue;
      yield deliveries;
      deliveries = [];
    }
  }
  if (deliveries.length > 0) yield deliveries;
}

async function* payloads(fetched: FetchedPartition, offset: number): AsyncGenerator<Payloads> {
  for (const { header, at } of readable(fetched, offset)) {
    const found = payloadsOf(await recordsOf(fetched.records, at, header), header, offset);
    if (found.count > 0) yield found;
  }
}

/** The batches with messages at or after `offset`, without batches that transactions hide. */
function* readable(
  { records, aborted }: FetchedPartition,
  offset: number,
): Generator<{ header: BatchHeader; at: number }> {
  const committed = skipAborted(aborted);
  for (const batch of batchesOf(records)) {
    if (committed(batch.header) && batch.header.lastOffset >= offset) yield batch;
  }
}

/** Acks have no effect, because the broker expects none. */
const settled = () => {};

function messageOf(
  { value, time, key, headers, offset }: RecordReader,
  topic: string,
  prefix: string,
  source: string,
): Message {
  const message: Message = { topic, payload: value ?? nothing, time, position: prefix + offset, source };
  if (key !== null) message.key = key;
  if (headers !== undefined) message.headers = headers;
  if (value === null) message.tombstone = true;
  return message;
}

const nothing = new Uint8Array(0);

function* batchesOf(records: Buffer): Generator<{ header: BatchHeader; at: number }> {
  for (let at = 0; ; ) {
    const header = batchHeader(records, at);
    if (header === undefined) return;
    if (header.magic !== 2) {
      throw new RangeError(
        `a batch has message format ${header.magic}, from before Kafka 0.11, which is not supported`,
      );
    }
    yield { header, at };
    at += header.bytes;
  }
}

/** Returns a predicate for the batches to read. Transaction markers and aborted batches are skipped (KIP-98, "Consumer"). */
function skipAborted(aborted: FetchedPartition['aborted']): (header: BatchHeader) => boolean {
  const open = new Set<bigint>();
  const waiting = [...aborted].sort((a, b) => a.firstOffset - b.firstOffset);
  return (header) => {
    while (waiting[0] && waiting[0].firstOffset <= header.lastOffset) open.add(waiting.shift()!.producerId);
    if ((header.attributes & batchAttributes.control) !== 0) {
      // The transaction of this producer ends here, whether it is committed or aborted.
      open.delete(header.producerId);
      return false;
    }
    return (header.attributes & batchAttributes.transactional) === 0 || !open.has(header.producerId);
  };
}

/** The messages in topics from a time on (ms since 1970), up to the topics' current end. @throws as openKafkaReader */
export async function* recentMessages(
  topics: readonly string[],
  settings: KafkaSettings,
  since: number,
  endpoint: string,
): AsyncGenerator<readonly Message[]> {
  const from = { time: Math.max(0, since) };
  const reader = await openKafkaReader(
    topics,
    { ...settings, from, until: 'end', group: undefined, create: true },
    endpoint,
  );
  try {
    for await (const batch of reader) yield batch.map(({ message }) => message);
  } finally {
    await reader.close();
  }
}
