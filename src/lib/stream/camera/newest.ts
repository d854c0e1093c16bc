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

/**
 * @param limit most deliveries that are neither acked nor nacked
 * @param onFree called with each message that is acked, or dropped unread: its payload is nobody's any more
 */
export function createNewest(limit: number, onFree: (message: Message) => void = () => {}): Newest {
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
      if (newest) {
        dropped++;
        onFree(newest);
      }
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
          const settle = (isFree: boolean) => {
            if (settled) return;
            settled = true;
            out--;
            if (isFree) onFree(message);
            wake();
          };
          yield [{ message, ack: () => settle(true), nack: () => settle(false) }];
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
