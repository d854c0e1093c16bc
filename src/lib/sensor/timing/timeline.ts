import type { Clock } from '../../core/index.js';
import { WallTime } from './host-clock.js';
import { RateFilter } from './rate-filter.js';

/** Besides the estimated error of the rate, so much may the distance of two samples differ from the period, as a share of it. */
const slew = 0.005;

/** What is known of samples that were read together. Times are of the steady clock. */
export interface Counted {
  count: number;
  /** Taken before the moment of asking, and not among these. */
  left: number;
  /** The moment of asking was in here. */
  askedMs: readonly [before: number, after: number];
  /** Some are missing before these, nobody knows how many. */
  broken: boolean;
}

export interface Placed {
  /** ms since 1970. */
  times: Float64Array;
  /** The same by the steady clock. */
  firstMs: number;
  lastMs: number;
  /** Missing before the first. */
  lost: number;
  /** By how much this machine's clock was set ahead before the first: a gap in the times, not in the samples. */
  stepMs: number;
}

const nothing: Placed = {
  times: new Float64Array(0),
  firstMs: Number.NaN,
  lastMs: Number.NaN,
  lost: 0,
  stepMs: 0,
};

/**
 * Gives samples of a sensor with a rate of its own their times: evenly spaced by the measured rate, never backwards, within a
 * period of this machine's clock. Told that some are missing, it says how many.
 */
export class Timeline {
  readonly #filter: RateFilter;
  readonly #wall: WallTime;
  #askedMs = Number.NEGATIVE_INFINITY;
  /** Of the last sample that was given out, by the steady clock. */
  #givenMs = Number.NEGATIVE_INFINITY;
  /** The same, ms since 1970. */
  #givenWallMs = Number.NEGATIVE_INFINITY;
  #leftBefore = 0;
  /** From steady time to ms since 1970, at the last sample that was given out. */
  #offsetMs = Number.NaN;

  constructor(nominalHz: number, clock: Clock) {
    this.#filter = new RateFilter(1000 / nominalHz);
    this.#wall = new WallTime(clock);
  }

  /** Measured, once there was something to measure. */
  get rateHz(): number {
    return 1000 / this.#filter.periodMs;
  }

  place(counted: Counted): Placed {
    const { count, left, askedMs, broken } = counted;
    const filter = this.#filter;
    const middle = (askedMs[0] + askedMs[1]) / 2;
    // The newest came at any moment since the last time of asking, but no longer ago than a period.
    const since = Math.min(filter.periodMs, Math.max(0, middle - this.#askedMs));
    const newestMs = middle - since / 2;
    const spreadMs = since + askedMs[1] - askedMs[0];
    this.#askedMs = middle;
    // Nothing came: that narrows down when the next one came, and no more.
    if (count + left === 0) return nothing;
    let lost = 0;
    let again = false;
    if (!filter.started) {
      filter.anchor(newestMs, spreadMs);
      again = true;
    } else if (broken) {
      const passed = Math.round((newestMs - filter.lastMs) / filter.periodMs);
      lost = Math.max(0, passed + this.#leftBefore - count - left);
      filter.anchor(newestMs, spreadMs);
      again = true;
    } else again = filter.observe(count + left - this.#leftBefore, newestMs, spreadMs);
    this.#leftBefore = left;
    const target = filter.lastMs - left * filter.periodMs;
    return this.spread(count, target, again, lost);
  }

  private spread(count: number, target: number, again: boolean, lost: number): Placed {
    const { periodMs, uncertainty } = this.#filter;
    const { offsetMs, stepMs } = this.#wall.follow();
    const play = slew + 3 * uncertainty;
    let distance = periodMs;
    let firstMs = target - (count - 1) * periodMs;
    if (Number.isFinite(this.#givenMs) && (!again || firstMs <= this.#givenMs)) {
      const even = (target - this.#givenMs) / Math.max(1, count);
      distance = Math.min(periodMs * (1 + play), Math.max(periodMs * (1 - play), even));
      firstMs = this.#givenMs + distance;
    }
    // What the machine's clock moves by slowly, the samples share.
    const from = stepMs > 0 || Number.isNaN(this.#offsetMs) ? offsetMs : this.#offsetMs;
    const share = (offsetMs - from) / Math.max(1, count);
    const times = new Float64Array(count);
    let wallMs = this.#givenWallMs;
    for (let i = 0; i < count; i++) {
      wallMs = Math.max(firstMs + i * distance + from + (i + 1) * share, wallMs + 0.1 * distance);
      times[i] = wallMs;
    }
    const lastMs = firstMs + (count - 1) * distance;
    if (count > 0) {
      this.#givenMs = lastMs;
      this.#givenWallMs = wallMs;
      this.#offsetMs = offsetMs;
    }
    return { times, firstMs, lastMs, lost, stepMs };
  }
}
