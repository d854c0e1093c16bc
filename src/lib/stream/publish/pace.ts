import { setTimeout as sleep } from 'node:timers/promises';
import type { OutgoingMessage, Sink } from '../message.js';

type Batches<T> = AsyncIterable<readonly T[]>;

/** Shortest pause, ms. Messages due within this time are sent together. */
const tickMs = 5;

/**
 * Spaces messages evenly at this rate, in messages per second. After a delay, messages are sent without pauses until
 * the average rate is reached again. 0 = as fast as possible.
 */
export function atRate<T>(batches: Batches<T>, rate: number, signal?: AbortSignal): Batches<T> {
  if (rate === 0) return batches;
  return paced(batches, (_message, index) => (index * 1000) / rate, signal);
}

/**
 * Keeps the pauses between the messages' times, divided by `speed`. There is no pause before a message that is older
 * than the previous one.
 * @param speed 1 = original; Infinity = as fast as possible
 */
export function byTime<T extends { time?: number }>(
  batches: Batches<T>,
  speed: number,
  signal?: AbortSignal,
): Batches<T> {
  if (speed === Number.POSITIVE_INFINITY) return batches;
  let at = 0;
  let before: number | undefined;
  return paced(
    batches,
    ({ time = before ?? 0 }) => {
      at += Math.max(0, time - (before ?? time)) / speed;
      before = time;
      return at;
    },
    signal,
  );
}

/** @param due returns the time at which a message is to be sent, ms after the first message; called once for each message, in order */
async function* paced<T>(
  batches: Batches<T>,
  due: (message: T, index: number) => number,
  signal?: AbortSignal,
): AsyncGenerator<readonly T[]> {
  let started: number | undefined;
  let index = 0;
  let ready: T[] = [];
  for await (const batch of batches) {
    for (const message of batch) {
      started ??= performance.now();
      const wait = due(message, index++) - (performance.now() - started);
      if (wait > tickMs || ready.length >= 1000) {
        if (ready.length > 0) yield ready;
        ready = [];
      }
      if (wait > tickMs) await sleep(wait, undefined, { signal }).catch(() => {});
      if (signal?.aborted) return;
      ready.push(message);
    }
  }
  if (ready.length > 0) yield ready;
}

/** Yields the first `count` messages. */
export async function* firstOf(
  batches: Batches<OutgoingMessage>,
  count: number,
): AsyncGenerator<readonly OutgoingMessage[]> {
  let left = count;
  for await (const batch of batches) {
    yield batch.slice(0, left);
    left -= batch.length;
    if (left <= 0) return;
  }
}

/**
 * Maximum number of concurrent writes. With several writes, messages need not wait for the acknowledgment of earlier
 * messages.
 */
const underWay = 8;

interface Written {
  messages: number;
  bytes: number;
}

/**
 * Writes batches until there are no more, or `signal` is aborted. Resolves once the destination has stored everything that was written.
 * @param onProgress called with the number of messages and bytes that the destination has acknowledged
 * @throws the errors of writing; messages in flight may or may not have arrived
 */
export async function writeAll(
  sink: Sink,
  batches: AsyncIterable<readonly OutgoingMessage[]>,
  { signal, onProgress }: { signal?: AbortSignal; onProgress?: (written: Written) => void } = {},
): Promise<Written> {
  const written: Written = { messages: 0, bytes: 0 };
  const pending: Promise<void>[] = [];
  const begin = async (batch: readonly OutgoingMessage[]) => {
    await sink.write(batch);
    written.messages += batch.length;
    for (const { payload } of batch) written.bytes += payload.length;
    onProgress?.(written);
  };
  for await (const batch of batches) {
    if (signal?.aborted) break;
    if (batch.length === 0) continue;
    const write = begin(batch);
    // The failure is handled where the write is awaited.
    write.catch(() => {});
    pending.push(write);
    if (pending.length >= underWay) await pending.shift();
  }
  await Promise.all(pending);
  return written;
}
