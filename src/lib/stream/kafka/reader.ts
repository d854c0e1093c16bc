import { setTimeout as delay } from 'node:timers/promises';
import type { AiotError } from '../../core/index.js';
import type { Delivery, Payloads, Source } from '../message.js';
import type { KafkaCluster, KafkaNode } from './cluster.js';
import { connectCluster } from './connect.js';
import { decodeFetched, offsetAfter, payloadsFetched, recordsIn } from './decode.js';
import { codeError, kafkaCodes, kafkaError } from './errors.js';
import { createHandover, type Handover } from './handover.js';
import { type Loop, readByNode } from './loops.js';
import { mend } from './mend.js';
import type { KafkaSettings } from './settings.js';
import { type PartitionRange, partitionRanges } from './start.js';
import { type FetchedPartition, fetchRequest } from './wire/fetch.js';

/** A broker answers at once when it has something; else after this time, ms. */
const maxWaitMs = 500;
const maxBytes = 8 * 1024 * 1024;
const maxPartitionBytes = 4 * 1024 * 1024;

interface Place extends PartitionRange {
  /** Next to be fetched. */
  offset: number;
  /** What is at `offset` was deleted, or the topic made anew: what there is comes next. */
  gone?: boolean;
}

/**
 * Reads partitions of a log from a place on, without a group: nothing is remembered at the broker, which does not notice. A log is
 * not lost by reading slowly, so nothing is dropped: there is no more in memory than a few answers of the broker.
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
      // A fetch may be waiting at the broker for its time.
      void loop.finally(() => cluster.disconnect().catch(() => {}));
      await Promise.race([loop, delay(maxWaitMs + 500, undefined, { ref: false })]);
    },
  };
}

/** What came of a partition, and where reading it begins. */
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

/** Until everything that was asked for is read, or it is aborted. Each broker is asked on its own; losses of the connection are mended. */
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

/** Retention was faster than the reader, or the topic is another one of the same name: its beginning loses least. */
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

/** Fetches from one broker; the next fetch is under way while the last one is decoded. Ends after an error, or when all is read. */
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
    // No more ahead than the reader has room for: each fetch may be megabytes.
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
  // Another one first each time, so that none is starved (KIP-74).
  const turn = turns++ % places.length;
  const order = [...places.slice(turn), ...places.slice(0, turn)];
  return node.connectionPool.send(fetchRequest(order, { maxWaitMs, maxBytes, maxPartitionBytes }));
}
let turns = 0;

/** Moves the places behind what came, which is to be delivered whatever was said of another partition: an error that needs fresh metadata. */
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
