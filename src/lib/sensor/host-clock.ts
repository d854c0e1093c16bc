import type { Clock } from '../core/time.js';

/** Maximum correction of times, as a share of the elapsed time. Applies if the clock was set back, or ahead by a little. */
const slew = 0.005;

/** If the clock is set ahead by more than this (ms), the times follow immediately. */
const stepMs = 500;

/** Returns a clock for intervals: its `now` is the monotonic time of `clock`, if that has one. */
export function steady(clock: Clock): Clock {
  const read = clock.monotonic?.bind(clock);
  return read ? { now: read, sleep: (ms, signal) => clock.sleep(ms, signal) } : clock;
}

/**
 * Converts steady time to ms since 1970 without ever going back. If the machine's clock is set ahead by more than half a second, the times
 * follow immediately. If it is set back, or ahead by less, they follow slowly.
 */
export class WallTime {
  #offsetMs: number;
  #atMs: number;

  constructor(private readonly clock: Clock) {
    this.#atMs = steady(clock).now();
    this.#offsetMs = clock.now() - this.#atMs;
  }

  /** The offset to add to steady times now, and the amount by which the clock was set ahead since the last call, ms. */
  follow(): { offsetMs: number; stepMs: number } {
    const read = this.clock.monotonic;
    if (!read) return { offsetMs: 0, stepMs: 0 };
    const atMs = read.call(this.clock);
    const error = this.clock.now() - atMs - this.#offsetMs;
    const passed = Math.max(0, atMs - this.#atMs);
    this.#atMs = atMs;
    if (error > stepMs) {
      this.#offsetMs += error;
      return { offsetMs: this.#offsetMs, stepMs: error };
    }
    // `now` has a resolution of 1 ms, so smaller differences are not followed.
    if (Math.abs(error) > 1) this.#offsetMs += Math.max(-slew * passed, Math.min(slew * passed, error));
    return { offsetMs: this.#offsetMs, stepMs: 0 };
  }
}
