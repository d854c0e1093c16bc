/**
 * Calls `listener` once when `signal` is aborted. If it is already aborted, calls the listener asynchronously; an ordinary event listener
 * would never be called. Returns a function that removes the listener, for signals that outlive many listeners. Does nothing without a
 * signal.
 */
export function onAbort(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (!signal) return () => {};
  let over = false;
  const call = () => {
    if (over) return;
    over = true;
    listener();
  };
  signal.addEventListener('abort', call, { once: true });
  if (signal.aborted) queueMicrotask(call);
  return () => {
    over = true;
    signal.removeEventListener('abort', call);
  };
}

/**
 * Settles like the promise, or rejects with the signal's reason once the signal is aborted. Unlike a race with one promise per
 * signal, this leaves nothing attached to a signal that lives for months.
 */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    const leave = onAbort(signal, () => reject(signal.reason));
    promise.then(resolve, reject).finally(leave);
  });
}

/**
 * A signal that aborts with `signal`, or after `ms`, whichever comes first; undefined `ms` sets no limit. `AbortSignal.any` with
 * an `AbortSignal.timeout` would be equivalent. However, Node 20 garbage-collects that timeout if nothing else refers to it, so
 * the timeout never fires. The timer does not keep the process alive.
 */
export function timeLimit(ms: number | undefined, signal?: AbortSignal): AbortSignal {
  return startLimit(ms, signal).signal;
}

/** Runs a task under a `timeLimit`, and leaves neither timer nor listener behind. Used for frequent tasks under a long-lived signal. */
export async function withTimeLimit<T>(
  ms: number,
  signal: AbortSignal,
  task: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const limit = startLimit(ms, signal);
  try {
    return await task(limit.signal);
  } finally {
    limit.end();
  }
}

function startLimit(ms: number | undefined, signal?: AbortSignal): { signal: AbortSignal; end(): void } {
  const controller = new AbortController();
  const stop = () => {
    clearTimeout(timer);
    controller.abort(signal?.reason);
  };
  const end = () => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
  };
  const timer =
    ms === undefined
      ? undefined
      : setTimeout(() => {
          end();
          controller.abort(new DOMException(`no result within ${ms} ms`, 'TimeoutError'));
        }, ms);
  timer?.unref();
  if (signal?.aborted) stop();
  else signal?.addEventListener('abort', stop, { once: true });
  return { signal: controller.signal, end };
}

/**
 * Runs `work` for the items in order, `jobs` at a time. When the signal is aborted or a call throws, no further calls are
 * started, and calls in progress are awaited. Nothing continues in the background. `work` must handle expected failures itself.
 * @returns the results in the order of the items, without those of items that were not started @throws the first error thrown by
 * `work`
 */
export async function inParallel<T, R>(
  items: readonly T[],
  jobs: number,
  work: (item: T, index: number) => Promise<R>,
  signal?: AbortSignal,
): Promise<R[]> {
  const results: R[] = [];
  const failures: unknown[] = [];
  let next = 0;
  const worker = async () => {
    while (next < items.length && failures.length === 0 && !signal?.aborted) {
      const index = next++;
      try {
        results[index] = await work(items[index]!, index);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, Math.min(jobs, items.length)) }, worker));
  if (failures.length > 0) throw failures[0];
  return results;
}

/** A promise that is settled from outside. */
export interface Deferred<T> {
  promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

/** Like Promise.withResolvers, which Node 20 lacks. A rejection without a handler is ignored. */
export function deferred<T = void>(): Deferred<T> {
  let settle: Omit<Deferred<T>, 'promise'> | undefined;
  const promise = new Promise<T>((resolve, reject) => {
    settle = { resolve, reject };
  });
  promise.catch(() => {});
  return { promise, ...(settle as Omit<Deferred<T>, 'promise'>) };
}
