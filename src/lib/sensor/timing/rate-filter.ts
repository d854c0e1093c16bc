/** Standard deviation of a sensor's rate from its nominal one, as a share; and of its drift, per sample. */
const rateSpread = 0.04;
const driftSpread = 1e-5;
/** What reading a clock and waking up for it add, ms. */
const clockSpreadMs = 0.5;
/** An observation so many standard deviations off is not believed, unless the next ones say the same. */
const believable = 4;
const persistent = 4;

/**
 * When a sensor took its samples, of counts of them and the moments at which they were counted: a Kalman filter over the time of
 * the newest sample and the period. The moments are late by chance, the counts are not. ms throughout.
 */
export class RateFilter {
  /** Of the newest sample. */
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

  /** Nothing is known of the time any more, but of the period. */
  anchor(lastMs: number, spreadMs: number): void {
    this.lastMs = lastMs;
    this.#timeVariance = noise(spreadMs);
    this.#covariance = 0;
    this.#refused = 0;
  }

  /**
   * @param samples taken since the last call, all of which were counted
   * @param lastMs when the newest of them was, as observed
   * @param spreadMs width of the interval in which it may have been
   * @returns whether the observation moved the time at once: the count and the clock cannot both be right
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

/** Variance of something that is anywhere in an interval, and of the clock. */
function noise(spreadMs: number): number {
  return (spreadMs * spreadMs) / 12 + clockSpreadMs * clockSpreadMs;
}
