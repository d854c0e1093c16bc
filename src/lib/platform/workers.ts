import { setMaxListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { AiotError, systemCode } from '../core/errors.js';

/** Work in the background that one process of a platform does. */
export interface Worker {
  name: string;
  /** Works until the signal ends, and resolves within a second of that. What it throws is logged, and it begins anew. */
  run(signal: AbortSignal): Promise<void>;
}

const [firstPauseMs, longestPauseMs] = [250, 30_000];

/** Who worked that long without a failure begins anew at once. */
const soundMs = 60_000;

/** What is wrong with workers, for those who ask whether the platform is well. */
export class WorkerStates {
  private readonly failed = new Map<string, { code: string; at: number }>();

  note(worker: string, error: unknown): void {
    this.failed.set(worker, { code: codeOf(error), at: performance.now() });
  }

  /** Worker → the code of what it failed with a moment ago; who has worked for longer than it pauses at most is well. */
  troubles(): Map<string, string> {
    const since = performance.now() - 2 * longestPauseMs;
    return new Map(
      [...this.failed].filter(([, { at }]) => at > since).map(([name, { code }]) => [name, code]),
    );
  }
}

function codeOf(error: unknown): string {
  return error instanceof AiotError ? error.code : (systemCode(error) ?? 'AIOT_BUG');
}

/** Runs the workers while this process leads. Returns what ends them; that resolves when all have ended. */
export function startWorkers(
  workers: readonly Worker[],
  leader: Leader,
  log: Logger,
  role = 'platform',
  states?: WorkerStates,
): () => Promise<void> {
  return leader.campaign(async (signal) => {
    // Each of them waits for it, and Node warns of more than ten.
    setMaxListeners(0, signal);
    log.debug({ workers: workers.map(({ name }) => name) }, 'leads');
    await Promise.all(workers.map((worker) => keepRunning(worker, signal, log, states)));
  }, role);
}

async function keepRunning(
  { name, run }: Worker,
  signal: AbortSignal,
  log: Logger,
  states: WorkerStates | undefined,
): Promise<void> {
  for (let pauseMs = firstPauseMs; !signal.aborted; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
    const started = performance.now();
    try {
      await run(signal);
      return;
    } catch (err) {
      if (signal.aborted) return;
      states?.note(name, err);
      log.error({ err, worker: name }, 'a worker failed and begins anew');
      if (performance.now() - started > soundMs) pauseMs = firstPauseMs;
      await delay(pauseMs, undefined, { signal }).catch(() => {});
    }
  }
}

/** What a task takes of the time at most, so that one over a large fleet leaves room for others. */
const mostShare = 0.1;

/** Calls `task` every so often until the signal ends; less often where it takes long. */
export async function every(
  periodMs: number,
  signal: AbortSignal,
  task: () => Promise<unknown>,
): Promise<void> {
  while (!signal.aborted) {
    const begun = performance.now();
    await task();
    const took = performance.now() - begun;
    await delay(Math.max(periodMs, took / mostShare), undefined, { signal }).catch(() => {});
  }
}

/** Says who of several processes does what only one may do. */
export interface Leader {
  /**
   * Runs `work` whenever this process leads. `signal` ends when it does not any longer: work then has a second to end before
   * another process begins with it. Returns what ends the campaign; that resolves when the work has ended.
   * @param role each is led by itself; a process has one campaign for each
   */
  campaign(work: (signal: AbortSignal) => Promise<void>, role?: string): () => Promise<void>;
  /** The campaigns of this process. */
  roles(): Campaign[];
}

export interface Campaign {
  role: string;
  leads: boolean;
  /** Why it can neither lead nor see that another one does; null = it can. */
  error: string | null;
}

/** Of a process that is alone: it leads. */
export const alwaysLeader: Leader = {
  roles: () => [{ role: 'platform', leads: true, error: null }],
  campaign(work) {
    const controller = new AbortController();
    const done = work(controller.signal).catch(() => {});
    return async () => {
      controller.abort();
      await done;
    };
  },
};
