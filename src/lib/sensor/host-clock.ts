import type { Clock } from '../core/time.js';

/** Maximum correction of times, as a share of the elapsed time, after the machine's clock was set back, or ahead by a little. */
const slew = 0.005;

/** A clock that is set ahead by more than this is followed immediately. */
const stepMs = 500;

/** A clock for intervals: its `now` returns the monotonic time of `clock`, if it has one. */
export function steady(clock: Clock): Clock {
  const read = clock.monotonic?.bind(clock);
  return read ? { now: read, sleep: (ms, signal) => clock.sleep(ms, signal) } : clock;
}

/**
 * Converts steady time to ms since 1970 without ever going back. A clock that is set ahead by more than half a second is followed
 * immediately; one that is set back, or ahead by less, is followed slowly.
 */
export class WallTime {
  #offsetMs: number;
  #atMs: number;

  constructor(private readonly clock: Clock) {
    this.#atMs = steady(clock).now();
    this.#offsetMs = clock.now() - this.#atMs;
  }

  /** The offset to add to steady times now, and by how much the clock was set ahead since the last call. */
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
