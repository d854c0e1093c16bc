import { copyFileSync, statSync, truncateSync } from 'node:fs';

/** A log of this size is set aside, bytes: with the one before it there are at most twice as many. */
export const largestLog = 16 * 1024 ** 2;
const periodMs = 5000;

/** Where the log before this one is. */
export const olderLog = (path: string) => `${path}.1`;

/**
 * Keeps the log that stderr is appended to from filling the disk: what is too large is copied and cut to nothing. This process
 * alone writes there, and synchronously, so nothing comes in between. Returns what ends that.
 */
export function boundLog(path: string | undefined, largest = largestLog): () => void {
  if (path === undefined) return () => {};
  const look = () => {
    try {
      if (statSync(path).size < largest) return;
      copyFileSync(path, olderLog(path));
      truncateSync(path);
    } catch {
      // It was moved away, or the disk is full: the next look may do better.
    }
  };
  look();
  const timer = setInterval(look, periodMs);
  timer.unref();
  return () => clearInterval(timer);
}
