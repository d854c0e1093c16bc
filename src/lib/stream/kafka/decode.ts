import { AiotError } from '../../core/index.js';
import type { Delivery, Message, Payloads } from '../message.js';
import type { FetchedPartition } from './wire/fetch.js';
import {
  type BatchHeader,
  batchAttributes,
  batchHeader,
  payloadsOf,
  RecordReader,
  recordsOf,
} from './wire/record-batch.js';

/** Where to fetch next after an answer, known from the heads of its batches alone: the next fetch need not wait for the decoding. */
export function offsetAfter(fetched: FetchedPartition, offset: number): number {
  let next = offset;
  for (const { header } of batchesOf(fetched.records)) next = Math.max(next, header.lastOffset + 1);
  return next;
}

/** How many records there are in an answer, by the heads of its batches. */
export function recordsIn(fetched: FetchedPartition): number {
  let records = 0;
  for (const { header } of batchesOf(fetched.records)) records += header.records;
  return records;
}

/** Messages that are decoded ahead of the reader: more of them would only be carried about by the garbage collector. */
const chunk = 1000;

/**
 * The messages of a fetched partition from `offset` on, decoded as they are read. Batches come whole, so there may be older ones
 * before them. @throws AIOT_STREAM_DECODE
 */
export function decodeFetched(
  fetched: FetchedPartition,
  offset: number,
  source: string,
): AsyncGenerator<Delivery[]> {
  return coded(decoded(fetched, offset, source));
}

/** The same messages' payloads alone: an empty one where there is no value. @throws AIOT_STREAM_DECODE */
export function payloadsFetched(fetched: FetchedPartition, offset: number): AsyncGenerator<Payloads> {
  return coded(payloads(fetched, offset));
}

/** Readers of bytes throw a RangeError where a batch is damaged. */
async function* coded<Read>(read: AsyncGenerator<Read>): AsyncGenerator<Read> {
  try {
    yield* read;
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new AiotError('AIOT_STREAM_DECODE', `a batch of records is damaged: ${cause.message}`, { cause });
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

/** The batches with messages from `offset` on, without what transactions do not show. */
function* readable(
  { records, aborted }: FetchedPartition,
  offset: number,
): Generator<{ header: BatchHeader; at: number }> {
  const committed = skipAborted(aborted);
  for (const batch of batchesOf(records)) {
    if (committed(batch.header) && batch.header.lastOffset >= offset) yield batch;
  }
}

/** Nobody at the broker waits to be told. */
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
      throw new RangeError(`a batch is in message format ${header.magic}, which brokers before 0.11 wrote`);
    }
    yield { header, at };
    at += header.bytes;
  }
}

/** Whether a batch is to be read: markers of transactions are not, nor what an aborted one wrote (KIP-98, "Consumer"). */
function skipAborted(aborted: FetchedPartition['aborted']): (header: BatchHeader) => boolean {
  const open = new Set<bigint>();
  const waiting = [...aborted].sort((a, b) => a.firstOffset - b.firstOffset);
  return (header) => {
    while (waiting[0] && waiting[0].firstOffset <= header.lastOffset) open.add(waiting.shift()!.producerId);
    if ((header.attributes & batchAttributes.control) !== 0) {
      // Whatever it says, the producer's transaction ends here.
      open.delete(header.producerId);
      return false;
    }
    return (header.attributes & batchAttributes.transactional) === 0 || !open.has(header.producerId);
  };
}
