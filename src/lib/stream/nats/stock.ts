import type { Delivery } from '../message.js';
import { createQueue } from '../queue.js';

/** Bytes that wait for the reader before no more are asked for. */
const mostBytes = 32 * 1024 * 1024;

/** What has been fetched from a log and not been taken: bounded by asking for no more, so nothing is ever thrown away. */
export interface Stock {
  add(delivery: Delivery, bytes: number): void;
  room(): boolean;
  end(error?: unknown): void;
  /** `onTaken` is called when there is room again. */
  batches(onTaken: () => void): AsyncGenerator<Delivery[]>;
}

export function createStock(limit: number): Stock {
  const queue = createQueue<Delivery>(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
  let messages = 0;
  let bytes = 0;
  return {
    add(delivery, size) {
      messages++;
      bytes += size;
      queue.push(delivery);
    },
    room: () => messages < limit && bytes < mostBytes,
    end: (error) => queue.end(error),
    async *batches(onTaken) {
      for await (const batch of queue) {
        messages = 0;
        bytes = 0;
        onTaken();
        yield batch;
      }
    },
  };
}
