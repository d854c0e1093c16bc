import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Leader } from './leader.js';

/** Work in the background that one process of a platform does. */
export interface Worker {
  name: string;
  /** Works until the signal ends, and resolves within a second of that. What it throws is logged, and it begins anew. */
  run(signal: AbortSignal): Promise<void>;
}

const [firstPauseMs, longestPauseMs] = [250, 30_000];
/** Who worked that long without a failure begins anew at once. */
const soundMs = 60_000;

/** Runs the workers while this process leads. Returns what ends them; that resolves when all have ended. */
export function startWorkers(
  workers: readonly Worker[],
  leader: Leader,
  log: Logger,
  role = 'platform',
): () => Promise<void> {
  return leader.campaign(async (signal) => {
    log.debug({ workers: workers.map(({ name }) => name) }, 'leads');
    await Promise.all(workers.map((worker) => keepRunning(worker, signal, log)));
  }, role);
}

async function keepRunning({ name, run }: Worker, signal: AbortSignal, log: Logger): Promise<void> {
  for (let pauseMs = firstPauseMs; !signal.aborted; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
    const started = performance.now();
    try {
      await run(signal);
      return;
    } catch (err) {
      if (signal.aborted) return;
      log.error({ err, worker: name }, 'a worker failed and begins anew');
      if (performance.now() - started > soundMs) pauseMs = firstPauseMs;
      await delay(pauseMs, undefined, { signal }).catch(() => {});
    }
  }
}

/** Calls `task` every so often until the signal ends. */
export async function every(
  periodMs: number,
  signal: AbortSignal,
  task: () => Promise<unknown>,
): Promise<void> {
  while (!signal.aborted) {
    await task();
    await delay(periodMs, undefined, { signal }).catch(() => {});
  }
}
