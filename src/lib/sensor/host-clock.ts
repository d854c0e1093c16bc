import type { Clock } from '../core/time.js';

/** How fast times follow a machine's clock that was set by a little, or back: a share of the time that passes. */
const slew = 0.005;

/** A clock that is set ahead by more than this is followed at once. */
const stepMs = 500;

/** A clock that nobody sets, as a clock: for intervals. */
export function steady(clock: Clock): Clock {
  const read = clock.monotonic?.bind(clock);
  return read ? { now: read, sleep: (ms, signal) => clock.sleep(ms, signal) } : clock;
}

/**
 * From steady time to ms since 1970, without ever going back: set ahead by more than half a second it follows at once, set back, or
 * by less, slowly.
 */
export class WallTime {
  #offsetMs: number;
  #atMs: number;

  constructor(private readonly clock: Clock) {
    this.#atMs = steady(clock).now();
    this.#offsetMs = clock.now() - this.#atMs;
  }

  /** What is to be added to steady times now, and by how much the clock was set ahead since. */
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
    // `now` counts whole milliseconds: within one of them there is nothing to follow.
    if (Math.abs(error) > 1) this.#offsetMs += Math.max(-slew * passed, Math.min(slew * passed, error));
    return { offsetMs: this.#offsetMs, stepMs: 0 };
  }
}
