import type { Delivery } from '../message.js';

/** Batches on their way to one reader. */
export interface Handover<B = readonly Delivery[]> extends AsyncIterable<B> {
  /** Queues the batches of a response, which are decoded when they are read. `messages` and `bytes` are their total size. */
  push(batches: Batches<B>, messages: number, bytes: number): void;
  /** Resolves when there is room to fetch more, or when the queue has ended. */
  whenRoom(): Promise<void>;
  /** Discards queued batches; the caller fetches them again later. */
  clear(): void;
  /** Ends the queue: the reader gets the queued messages, then the end or this error. */
  end(error?: unknown): void;
}

type Batches<B> = Iterable<B> | AsyncIterable<B>;

/** Queued bytes above which no more data is fetched. */
const roomBytes = 16 * 1024 * 1024;

/**
 * Like createQueue, but for a broker's responses, which are decoded only when they are read. The queue is full when
 * `limit` messages or 16 MiB are waiting. The response to a fetch in progress is still accepted, because batches arrive
 * whole.
 */
export function createHandover<B = readonly Delivery[]>(limit: number): Handover<B> {
  const items: { batches: Batches<B>; count: number; size: number }[] = [];
  let [messages, bytes, ended] = [0, 0, false];
  let failure: { error: unknown } | undefined;
  let wake = () => {};
  let waiters: (() => void)[] = [];
  const giveRoom = () => {
    const waiting = waiters;
    waiters = [];
    for (const resolve of waiting) resolve();
  };
  const room = () => ended || (messages < limit && bytes < roomBytes);
  return {
    push(batches, count, size) {
      if (ended) return;
      items.push({ batches, count, size });
      messages += count;
      bytes += size;
      wake();
    },
    async whenRoom() {
      while (!room()) await new Promise<void>((resolve) => waiters.push(resolve));
    },
    clear() {
      items.length = 0;
      messages = 0;
      bytes = 0;
      giveRoom();
    },
    end(error) {
      if (ended) return;
      ended = true;
      if (error !== undefined) failure = { error };
      wake();
      giveRoom();
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        const first = items.shift();
        if (first) {
          messages -= first.count;
          bytes -= first.size;
          giveRoom();
          yield* first.batches;
        } else if (failure) throw failure.error;
        else if (ended) return;
        else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
    },
  };
}
