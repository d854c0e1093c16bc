import type { Delivery } from '../message.js';

/** Batches on their way to one reader. */
export interface Handover extends AsyncIterable<readonly Delivery[]> {
  push(batch: readonly Delivery[], bytes: number): void;
  /** Resolves when little enough is waiting for more to be fetched, or it has ended. */
  whenRoom(): Promise<void>;
  /** Forgets what waits: it comes again. */
  clear(): void;
  /** What waits is still read, then comes the end, or this error. */
  end(error?: unknown): void;
}

/** Waiting bytes above which nothing more is fetched. */
const roomBytes = 16 * 1024 * 1024;

/**
 * As createQueue, but of whole batches: what a broker sends in one answer stays one array. It is full when `limit` messages
 * or 16 MB wait; since batches come whole, what a fetch already under way brings is taken as well.
 */
export function createHandover(limit: number): Handover {
  const batches: { batch: readonly Delivery[]; bytes: number }[] = [];
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
    push(batch, size) {
      if (ended) return;
      batches.push({ batch, bytes: size });
      messages += batch.length;
      bytes += size;
      wake();
    },
    async whenRoom() {
      while (!room()) await new Promise<void>((resolve) => waiters.push(resolve));
    },
    clear() {
      batches.length = 0;
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
        const first = batches.shift();
        if (first) {
          messages -= first.batch.length;
          bytes -= first.bytes;
          giveRoom();
          yield first.batch;
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
