import { AsyncLocalStorage } from 'node:async_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';

/**
 * Lets the event loop read pending data from all sockets. Because SQLite's commits block the loop, a writer that
 * continued immediately would commit messages one by one.
 */
export async function gather(): Promise<void> {
  await nextTurn();
}

/**
 * Collects items while the previous batch is being written, so that one commit, and therefore one disk sync, covers all of them. A caller's
 * promise resolves when its item is on disk; if a batch fails, it fails for all of its items.
 */
export function inBatches<T>(most: number, write: (items: T[]) => Promise<void>): (item: T) => Promise<void> {
  // A batch contains items of several callers, so it is not written under the lease of the caller that begins it.
  const apart = AsyncLocalStorage.snapshot();
  let waiting: { item: T; resolve: () => void; reject: (error: unknown) => void }[] = [];
  let writing = false;
  const pump = async () => {
    if (writing) return;
    writing = true;
    while (waiting.length > 0) {
      await gather();
      const some = waiting.splice(0, most);
      try {
        await write(some.map(({ item }) => item));
        for (const { resolve } of some) resolve();
      } catch (error) {
        for (const { reject } of some) reject(error);
      }
    }
    waiting = [];
    writing = false;
  };
  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      void apart(pump);
    });
}
