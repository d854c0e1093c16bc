import { AiotError, onAbort } from '../../core/index.js';

/** What comes, until somebody else takes the upload over. @throws AIOT_REQUEST_INVALID then */
export async function* untilAborted(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  let stop = () => {};
  const stopped = new Promise<never>((_, reject) => {
    stop = () => reject(new AiotError('AIOT_REQUEST_INVALID', 'somebody else goes on with this upload'));
  });
  stopped.catch(() => {});
  const leave = onAbort(signal, stop);
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), stopped]);
      if (next.done) return;
      yield next.value;
    }
  } finally {
    leave();
    void iterator.return?.()?.catch(() => {});
  }
}
