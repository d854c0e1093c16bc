/** A bounded queue between a producer that cannot wait and one reader. */
export interface Queue<T> extends AsyncIterable<T> {
  /** False when the queue is full or has ended: the item was not taken. */
  push(item: T): boolean;
  /** The reader gets what is still in it, then the end, or this error. */
  end(error?: unknown): void;
}

export function createQueue<T>(limit: number): Queue<T> {
  const items: T[] = [];
  let ended = false;
  let failure: { error: unknown } | undefined;
  let wake: (() => void) | undefined;
  const notify = () => {
    wake?.();
    wake = undefined;
  };
  return {
    push(item) {
      if (ended || items.length >= limit) return false;
      items.push(item);
      notify();
      return true;
    },
    end(error) {
      if (ended) return;
      ended = true;
      if (error !== undefined) failure = { error };
      notify();
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        if (items.length > 0) yield items.shift() as T;
        else if (failure) throw failure.error;
        else if (ended) return;
        else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
    },
  };
}
