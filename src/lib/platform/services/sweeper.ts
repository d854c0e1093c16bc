import type { Logger } from 'pino';
import { every, type Worker } from '../workers/index.js';
import type { Orphans } from './orphans.js';

const periodMs = 3600 * 1000;

/** Removes what nothing refers to any more, and tells what is missing: at the start and every hour. */
export function sweeper({ orphans, log }: { orphans: Orphans; log: Logger }): Worker {
  return {
    name: 'blobs',
    run: (signal) =>
      every(periodMs, signal, async () => {
        const gone = await orphans.sweep();
        if (gone.length > 0) log.info({ blobs: gone.length }, 'removed blobs that nothing refers to');
        const missing = await orphans.check();
        if (missing.length > 0) log.error({ missing: missing.slice(0, 10) }, 'blobs are missing');
      }),
  };
}
