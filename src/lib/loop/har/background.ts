import { AiotError, type Clock } from '../../core/index.js';

/** Longest wait for what is under way when a stage ends, ms. */
const closingMs = 2000;

/** Work beside a stage's own, which never waits for it. */
export interface Background {
  /** Aborted when it is closed. */
  readonly signal: AbortSignal;
  /** Begins the work; nothing where it is at it. */
  start(): void;
  /** After the work is done, or 2 s. */
  close(): Promise<void>;
}

/**
 * @param work done once at a time; it ends when there is nothing left, or with the signal, and does not throw
 * @param isLeft whether something came while it ended: it is begun again then
 */
export function createBackground(clock: Clock, work: () => Promise<void>, isLeft: () => boolean): Background {
  const ending = new AbortController();
  let working: Promise<void> | undefined;
  const start = () => {
    working ??= work().finally(() => {
      working = undefined;
      if (isLeft() && !ending.signal.aborted) start();
    });
  };
  return {
    signal: ending.signal,
    start,
    async close() {
      const late = new AbortController();
      await Promise.race([working, clock.sleep(closingMs, late.signal).catch(() => {})]);
      late.abort();
      ending.abort(new AiotError('AIOT_INTERRUPTED', 'stopped'));
    },
  };
}
