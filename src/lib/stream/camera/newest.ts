import type { Delivery, Message } from '../message.js';

/**
 * A place for one message between a camera and its reader: a newer one takes the place of one that was not read in time, and few
 * are out at a time. So a slow reader sees the present, at fewer frames a second, and never the past.
 */
export interface Newest extends AsyncIterable<readonly Delivery[]> {
  put(message: Message): void;
  /** Messages whose place was taken by a newer one. */
  readonly dropped: number;
  end(error?: unknown): void;
}

/** @param limit most deliveries that are neither acked nor nacked */
export function createNewest(limit: number): Newest {
  let newest: Message | undefined;
  let out = 0;
  let dropped = 0;
  let over: { error?: unknown } | undefined;
  let wake = () => {};
  return {
    get dropped() {
      return dropped;
    },
    put(message) {
      if (over) return;
      if (newest) dropped++;
      newest = message;
      wake();
    },
    end(error) {
      over ??= { error };
      wake();
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        if (newest && out < limit) {
          const message = newest;
          newest = undefined;
          out++;
          let settled = false;
          const settle = () => {
            if (settled) return;
            settled = true;
            out--;
            wake();
          };
          yield [{ message, ack: settle, nack: settle }];
        } else if (over && !newest) {
          if (over.error !== undefined) throw over.error;
          return;
        } else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
    },
  };
}
