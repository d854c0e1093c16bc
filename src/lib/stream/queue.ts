/** A bounded queue between a producer and a single reader. The reader receives all queued items at once. */
export interface Queue<T> extends AsyncIterable<T[]> {
  /** Appends an item. Returns false, without appending it, if the queue is full or has ended. */
  push(item: T, bytes?: number): boolean;
  /** Whether the queue accepts no more items. */
  readonly ended: boolean;
  /** Resolves once there is room again, or the queue has ended. */
  whenRoom(): Promise<void>;
  /** Resolves once the queue has an item, or has ended. */
  whenAny(): Promise<void>;
  /** Ends the queue: the reader gets the remaining items, then the end, or this error. */
  end(error?: unknown): void;
}

/**
 * Maximum total size of the items, bytes, because camera frames are much larger than readings. A single item always
 * fits.
 */
const largestBytes = 64 * 1024 * 1024;

/** Default number of messages queued for a source's reader. */
export const defaultQueue = 10_000;

export function createQueue<T>(limit: number, byteLimit = largestBytes): Queue<T> {
  let items: T[] = [];
  let held = 0;
  let ended = false;
  let failure: { error: unknown } | undefined;
  let wake: (() => void) | undefined;
  let waiting: (() => void)[] = [];
  let begin: () => void = () => {};
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const notify = () => {
    wake?.();
    wake = undefined;
    begin();
  };
  const giveRoom = () => {
    const waiters = waiting;
    waiting = [];
    for (const resolve of waiters) resolve();
  };
  const full = (bytes: number) => items.length >= limit || (items.length > 0 && held + bytes > byteLimit);
  return {
    push(item, bytes = 0) {
      if (ended || full(bytes)) return false;
      items.push(item);
      held += bytes;
      notify();
      return true;
    },
    get ended() {
      return ended;
    },
    whenRoom: () =>
      ended || items.length === 0 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve)),
    whenAny: () => begun,
    end(error) {
      if (ended) return;
      ended = true;
      if (error !== undefined) failure = { error };
      notify();
      giveRoom();
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        if (items.length > 0) {
          const batch = items;
          items = [];
          held = 0;
          giveRoom();
          yield batch;
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
