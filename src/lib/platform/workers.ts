import { setMaxListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { AiotError, systemCode } from '../core/errors.js';
import { untilDone } from './events/outbox.js';

/** Background work that only one process of a platform does at a time. */
export interface Worker {
  name: string;
  /** Works until the signal is aborted, then resolves within a second. An error is logged, and the worker is restarted. */
  run(signal: AbortSignal): Promise<void>;
  /** Whether the worker would lose work if another process took over now; it then stays where it is. Absent = never. */
  isBusy?(): boolean;
}

const pauses = { firstPauseMs: 250, longestPauseMs: 30_000 };

/** After a worker has run this long without a failure, its next failure restarts it with the first, shortest pause. */
const soundMs = 60_000;

/** Failures of workers, for the readiness check. */
export class WorkerStates {
  private readonly failed = new Map<string, { code: string; at: number }>();

  note(worker: string, error: unknown): void {
    this.failed.set(worker, { code: codeOf(error), at: performance.now() });
  }

  /** Each worker's last error code. A worker that has not failed for twice the longest pause is considered healthy. */
  troubles(): Map<string, string> {
    const since = performance.now() - 2 * pauses.longestPauseMs;
    return new Map(
      [...this.failed].filter(([, { at }]) => at > since).map(([name, { code }]) => [name, code]),
    );
  }
}

function codeOf(error: unknown): string {
  return error instanceof AiotError ? error.code : (systemCode(error) ?? 'AIOT_BUG');
}

/** Runs each worker in a role of its own, so that processes share the workers. Returns a function that stops them and resolves when all have ended. */
export function startRoles(
  workers: readonly Worker[],
  leader: Leader,
  log: Logger,
  states?: WorkerStates,
): () => Promise<void> {
  const ends = workers.map((worker) => startWorkers([worker], leader, log, worker.name, states));
  return async () => {
    await Promise.all(ends.map((end) => end()));
  };
}

/**
 * Runs the workers of one role while this process leads in it. Returns a function that stops them and resolves when all have ended.
 */
export function startWorkers(
  workers: readonly Worker[],
  leader: Leader,
  log: Logger,
  role: string,
  states?: WorkerStates,
): () => Promise<void> {
  const work = async (signal: AbortSignal) => {
    // Every worker listens to the signal, and Node warns about more than ten listeners.
    setMaxListeners(0, signal);
    log.debug({ role }, 'leads');
    await Promise.all(workers.map((worker) => keepRunning(worker, signal, log, states)));
  };
  return leader.campaign(work, role, () => workers.some((worker) => worker.isBusy?.()));
}

async function keepRunning(
  worker: Worker,
  signal: AbortSignal,
  log: Logger,
  states: WorkerStates | undefined,
): Promise<void> {
  let started = 0;
  const task = () => {
    started = performance.now();
    return worker.run(signal);
  };
  await untilDone(task, signal, pauses, (err) => {
    states?.note(worker.name, err);
    log.error({ err, worker: worker.name }, 'a worker failed and is restarting');
    return performance.now() - started > soundMs;
  });
}

/** Maximum share of time spent on a periodic task, so that a long task, for example for a large fleet, runs less often. */
const mostShare = 0.1;

/** Calls `task` periodically until the signal is aborted; less often if the task is slow. */
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

/** Decides which of several processes does work that only one may do. */
export interface Leader {
  /**
   * Runs `work` whenever this process leads. `signal` is aborted when it no longer leads; `work` then has a second to
   * end before another process starts the work. Returns a function that ends the campaign and resolves when the work
   * has ended.
   * @param role each role has its own leader; a process has one campaign for each role
   * @param isBusy whether the work should stay in this process, even if other processes have less to do; default: never
   */
  campaign(
    work: (signal: AbortSignal) => Promise<void>,
    role: string,
    isBusy?: () => boolean,
  ): () => Promise<void>;
  /** The campaigns of this process. */
  roles(): readonly Campaign[];
}

export interface Campaign {
  role: string;
  leads: boolean;
  /** Reason why this process can neither lead nor determine the leader; null = no such reason. */
  error: string | null;
}

/** For a single process, which is always the leader. */
export function soleLeader(): Leader {
  const campaigns: Campaign[] = [];
  return {
    roles: () => campaigns,
    campaign(work, role) {
      const campaign = { role, leads: true, error: null };
      campaigns.push(campaign);
      const controller = new AbortController();
      const done = work(controller.signal).catch(() => {});
      return async () => {
        controller.abort();
        await done;
        campaigns.splice(campaigns.indexOf(campaign), 1);
      };
    },
  };
}
