/**
 * Calls `listener` once when `signal` is aborted, and soon if it already was: a bare listener would never hear of that. Returns what
 * takes the listener away again, for signals that outlive many of them. Without a signal nothing happens.
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
 * What the promise gives, or the signal's reason as soon as that is aborted. Unlike a race with one promise of the signal, it leaves nothing
 * on a signal that lives for months.
 */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    const leave = onAbort(signal, () => reject(signal.reason));
    promise.then(resolve, reject).finally(leave);
  });
}
