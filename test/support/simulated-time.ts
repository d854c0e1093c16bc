import type { Clock } from '../../src/lib/core/time.js';

/** Maximum number of event-loop turns between two waits for work in this process. */
const turnsOfWork = 4;

/**
 * A clock for work within this process. `during` advances its time to the next awaited moment as soon as nothing else
 * is left to do; `start` does so until it is stopped. Otherwise, the time does not change.
 */
export class SimulatedTime implements Clock {
  private time = 0;
  /** Number of event-loop turns since a wait last started or ended. */
  private idle = 0;
  private readonly sleepers: { at: number; wake(): void }[] = [];

  /** @param working a function that reports work in progress outside the event loop, such as inflating in a thread */
  constructor(private readonly working: () => boolean = () => false) {}

  now(): number {
    return this.time;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    this.idle = 0;
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const sleeper = {
        at: this.time + Math.max(0, ms),
        wake: () => {
          signal?.removeEventListener('abort', stop);
          resolve();
        },
      };
      const stop = () => {
        this.idle = 0;
        this.sleepers.splice(this.sleepers.indexOf(sleeper), 1);
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', stop, { once: true });
      this.sleepers.push(sleeper);
    });
  }

  /** Advances the time until the returned function is called. */
  start(): () => void {
    const ended = new AbortController();
    void this.pass(ended.signal);
    return () => ended.abort();
  }

  /** Runs `work`, and advances the time while it waits. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    const stop = this.start();
    return await work().finally(stop);
  }

  private async pass(ended: AbortSignal): Promise<void> {
    while (!ended.aborted) {
      await new Promise((resolve) => setImmediate(resolve));
      this.idle = this.working() ? 0 : this.idle + 1;
      if (this.idle >= turnsOfWork && this.sleepers.length > 0) this.wakeFirst();
    }
  }

  /** If several waits end at the same time, the one that started first is woken. */
  private wakeFirst(): void {
    const at = Math.min(...this.sleepers.map((sleeper) => sleeper.at));
    const [first] = this.sleepers.splice(
      this.sleepers.findIndex((sleeper) => sleeper.at === at),
      1,
    );
    this.idle = 0;
    this.time = at;
    first?.wake();
  }
}
