import type { Clock } from '../core/time.js';
import { WallTime } from './host-clock.js';

/**
 * Tolerated difference between a sample interval and the period, as a share of the period. The estimated error of the rate is added to it.
 */
const slew = 0.005;

/** Properties of samples that were read together. Times are by the steady clock. */
interface Counted {
  count: number;
  /** Number of samples that were taken before the query but are not included in its result. */
  left: number;
  /** Times just before and just after the sensor was queried. */
  askedMs: readonly [before: number, after: number];
  /** Whether an unknown number of samples is missing before these. */
  broken: boolean;
}

interface Placed {
  /** ms since 1970. */
  times: Float64Array;
  /** Time of the first sample by the steady clock. */
  firstMs: number;
  /** Time of the last sample by the steady clock. */
  lastMs: number;
  /** Number of samples that are missing before the first. */
  lost: number;
  /** Amount by which this machine's clock was set ahead before the first sample, ms. No samples are missing in that gap. */
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
 * Assigns times to the samples of a sensor that has its own clock. They are evenly spaced at the measured rate, never decrease,
 * and differ from this machine's clock by at most a period. If samples are reported missing, their number is determined.
 */
export class Timeline {
  readonly #filter: RateFilter;
  readonly #wall: WallTime;
  #askedMs = Number.NEGATIVE_INFINITY;
  /** Time of the last returned sample, by the steady clock. */
  #givenMs = Number.NEGATIVE_INFINITY;
  /** Time of the last returned sample, ms since 1970. */
  #givenWallMs = Number.NEGATIVE_INFINITY;
  #leftBefore = 0;
  /** Conversion from steady time to ms since 1970, as of the last returned sample. */
  #offsetMs = Number.NaN;

  constructor(nominalHz: number, clock: Clock) {
    this.#filter = new RateFilter(1000 / nominalHz);
    this.#wall = new WallTime(clock);
  }

  /** Measured rate, Hz; the nominal rate until it can be measured. */
  get rateHz(): number {
    return 1000 / this.#filter.periodMs;
  }

  place(counted: Counted): Placed {
    const { count, left, askedMs, broken } = counted;
    const filter = this.#filter;
    const middle = (askedMs[0] + askedMs[1]) / 2;
    // The newest sample was taken after the previous query, at most one period ago.
    const since = Math.min(filter.periodMs, Math.max(0, middle - this.#askedMs));
    const newestMs = middle - since / 2;
    const spreadMs = since + askedMs[1] - askedMs[0];
    this.#askedMs = middle;
    // Without a new sample, the query only shows the earliest possible time of the next one.
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
    // Slow corrections of the machine's clock are spread over the samples.
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

/** Standard deviation of a sensor's rate from the nominal one, as a share; and of the rate's drift, per sample. */
const rateSpread = 0.04;

const driftSpread = 1e-5;

/** Uncertainty of a time, because reading the clock and waking up take time, ms. */
const clockSpreadMs = 0.5;

/** An observation that deviates by this many standard deviations is rejected, unless this many consecutive ones deviate. */
const believable = 4;

const persistent = 4;

/**
 * Estimates the times of a sensor's samples from their number and the times of the queries. Uses a Kalman filter over the time of
 * the newest sample and the period. The query times have random delays; the counts are exact. All times are in ms.
 */
class RateFilter {
  /** Time of the newest sample. */
  lastMs = Number.NaN;
  periodMs: number;
  #timeVariance = 0;
  #covariance = 0;
  #periodVariance: number;
  #refused = 0;

  constructor(nominalMs: number) {
    this.periodMs = nominalMs;
    this.#periodVariance = (rateSpread * nominalMs) ** 2;
  }

  get started(): boolean {
    return !Number.isNaN(this.lastMs);
  }

  /** Standard deviation of the period, as a share of it. */
  get uncertainty(): number {
    return Math.sqrt(this.#periodVariance) / this.periodMs;
  }

  /** Sets the estimated time of the newest sample, but keeps the period. */
  anchor(lastMs: number, spreadMs: number): void {
    this.lastMs = lastMs;
    this.#timeVariance = noise(spreadMs);
    this.#covariance = 0;
    this.#refused = 0;
  }

  /**
   * @param samples exact number of samples taken since the last call
   * @param lastMs observed time of the newest sample
   * @param spreadMs width of the interval in which it may have been taken
   * @returns whether the observation changed the time abruptly, because the count and the clock contradict each other
   */
  observe(samples: number, lastMs: number, spreadMs: number): boolean {
    this.lastMs += samples * this.periodMs;
    this.#timeVariance += 2 * samples * this.#covariance + samples * samples * this.#periodVariance;
    this.#covariance += samples * this.#periodVariance;
    this.#periodVariance += samples * (driftSpread * this.periodMs) ** 2;
    const error = lastMs - this.lastMs;
    const variance = this.#timeVariance + noise(spreadMs);
    if (error * error > believable * believable * variance) {
      if (++this.#refused < persistent) return false;
      this.anchor(lastMs, spreadMs);
      this.#periodVariance = Math.max(this.#periodVariance, (0.005 * this.periodMs) ** 2);
      return true;
    }
    this.#refused = 0;
    const gain = this.#timeVariance / variance;
    const periodGain = this.#covariance / variance;
    this.lastMs += gain * error;
    this.periodMs += periodGain * error;
    this.#periodVariance -= periodGain * this.#covariance;
    this.#covariance *= 1 - gain;
    this.#timeVariance *= 1 - gain;
    return false;
  }
}

/** Variance of a uniform distribution over an interval, plus the variance of clock readings. */
function noise(spreadMs: number): number {
  return (spreadMs * spreadMs) / 12 + clockSpreadMs * clockSpreadMs;
}
