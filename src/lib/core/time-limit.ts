/**
 * A signal that aborts with `signal`, or after `ms`, whichever comes first; undefined sets no limit. `AbortSignal.any` with an
 * `AbortSignal.timeout` would say the same, but Node 20 collects that timeout when nothing else refers to it, and it never fires. The timer
 * does not keep the process alive.
 */
export function timeLimit(ms: number | undefined, signal?: AbortSignal): AbortSignal {
  const controller = new AbortController();
  const stop = () => {
    clearTimeout(timer);
    controller.abort(signal?.reason);
  };
  const timer =
    ms === undefined
      ? undefined
      : setTimeout(() => {
          signal?.removeEventListener('abort', stop);
          controller.abort(new DOMException(`nothing within ${ms} ms`, 'TimeoutError'));
        }, ms);
  timer?.unref();
  if (signal?.aborted) stop();
  else signal?.addEventListener('abort', stop, { once: true });
  return controller.signal;
}
