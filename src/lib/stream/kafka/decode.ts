import type { Message } from '../message.js';
import type { FetchedPartition } from './wire/fetch.js';
import { type BatchHeader, batchAttributes, batchHeader, readRecords } from './wire/record-batch.js';

export interface Decoded {
  messages: Message[];
  /** Of keys, values and headers together. */
  bytes: number;
}

/** Where to fetch next after an answer, known from the heads of its batches alone: the next fetch need not wait for the decoding. */
export function offsetAfter(fetched: FetchedPartition, offset: number): number {
  let next = offset;
  for (const { header } of batchesOf(fetched.records)) next = Math.max(next, header.lastOffset + 1);
  return next;
}

/** The messages of a fetched partition from `offset` on. Batches come whole, so there may be older ones before them. */
export async function decodeFetched(
  fetched: FetchedPartition,
  offset: number,
  source: string,
): Promise<Decoded> {
  const messages: Message[] = [];
  const { topic, partition, records } = fetched;
  const prefix = `${partition}:`;
  const committed = skipAborted(fetched.aborted);
  let bytes = 0;
  for (const { header, at } of batchesOf(records)) {
    if (header.lastOffset < offset || !committed(header)) continue;
    await readRecords(records, at, header, (record) => {
      if (record.offset < offset) return;
      const message: Message = {
        topic,
        payload: record.value ?? nothing,
        time: record.time,
        position: prefix + record.offset,
        source,
      };
      if (record.key !== null) message.key = record.key;
      if (record.headers !== undefined) message.headers = record.headers;
      if (record.value === null) message.tombstone = true;
      bytes += message.payload.length;
      messages.push(message);
    });
  }
  return { messages, bytes };
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
