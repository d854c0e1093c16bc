/** Makes times, ms since 1970, of samples: rising, whatever this machine's clock does. */
export interface Stamps {
  /**
   * @param ns of the device's clock, or undefined where it gives none
   * @param nowMs when the samples were fetched, ms since 1970
   */
  times(ns: BigInt64Array | undefined, count: number, nowMs: number): Float64Array;
  /** As the samples came of late; null before it can be told. */
  readonly periodMs: number | null;
}

/**
 * Shares of the distance between when samples came and when they should have, by which time and rate are mended at each batch: an
 * α-β filter, critically damped (β = α²/(2 − α), Benedict and Bordner, 1962).
 */
const [alpha, beta] = [0.1, 0.1 ** 2 / 1.9];
/** Samples that come later than this, ms, were not taken in one go with those before. */
const gapMs = 1_000;
/** No chip is further from its rate than this share. */
const mostOff = 0.1;

/**
 * Stamps of samples that carry none: evenly, the newest about when it came, slowly after this machine's clock. Where that is set
 * back, times go on as if it had not been.
 */
export function createArrivalStamps(nominalMs: number): Stamps & {
  /** So many samples are missing before the next. */
  skip(count: number): void;
} {
  let last: number | undefined;
  let periodMs = nominalMs;
  let setBackMs = 0;
  return {
    get periodMs() {
      return periodMs;
    },
    skip(count) {
      if (last !== undefined) last += count * periodMs;
    },
    times(_ns, count, nowMs) {
      if (count === 0) return new Float64Array(0);
      const due = (last ?? Number.NEGATIVE_INFINITY) + count * periodMs;
      if (nowMs + setBackMs < due - gapMs) setBackMs = due - nowMs;
      const late = nowMs + setBackMs - due;
      const gap = late > gapMs;
      const end = gap ? nowMs + setBackMs : due + alpha * late;
      const from = gap ? end - count * periodMs : last!;
      if (!gap) {
        const mended = periodMs + (beta * late) / count;
        periodMs = Math.min(nominalMs * (1 + mostOff), Math.max(nominalMs * (1 - mostOff), mended));
      }
      // However early they came: times rise.
      const until = Math.max(end, from + (count * nominalMs) / 10);
      last = until;
      return Float64Array.from({ length: count }, (_, i) => from + ((until - from) * (i + 1)) / count);
    },
  };
}
