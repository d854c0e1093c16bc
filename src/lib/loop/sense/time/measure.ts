import type { Timing } from '../types.js';

/** The rate of samples and how unsteady their times are, over the last minute or so. */
export interface Measure {
  /** @param follows nothing is missing between this sample and the one before */
  add(t: number, follows: boolean): void;
  /** Samples a second, Hz; null before two samples. */
  rateHz(): number | null;
  /** 99 of 100 distances are no further from the mean distance than this, ms; null before some. */
  jitterP99Ms(): number | null;
}

/** A rate is counted over blocks of at least so long, and so many samples. */
const block = { ms: 1000, samples: 16 };
const blocks = 60;
const distancesKept = 4096;

/**
 * Counts whole blocks in which nothing is missing, so that neither gaps nor stamps in whole milliseconds move the rate (the median
 * distance of 104 Hz is 10 ms). Of times that are told by a clock the median block counts; arrivals come in bursts, and only their
 * sum tells a rate.
 */
export function createMeasure(timing: Timing): Measure {
  const done: { count: number; ms: number }[] = [];
  const distances = new Float64Array(distancesKept);
  let kept = 0;
  let from = Number.NaN;
  let last = Number.NaN;
  let count = 0;
  let earliest: { count: number; ms: number } | null = null;

  return {
    add(t, follows) {
      if (!follows || Number.isNaN(from)) {
        if (count > 0 && done.length === 0) earliest = { count, ms: last - from };
        from = t;
        last = t;
        count = 0;
        return;
      }
      distances[kept++ % distancesKept] = t - last;
      last = t;
      count++;
      if (t - from < block.ms || count < block.samples) return;
      if (done.push({ count, ms: t - from }) > blocks) done.shift();
      from = t;
      count = 0;
    },
    rateHz() {
      if (done.length === 0) {
        const of = count > 0 ? { count, ms: last - from } : earliest;
        return of !== null && of.ms > 0 ? (of.count * 1000) / of.ms : null;
      }
      if (timing === 'arrival') {
        const ms = done.reduce((sum, each) => sum + each.ms, 0);
        return (done.reduce((sum, each) => sum + each.count, 0) * 1000) / ms;
      }
      const rates = done.map((each) => (each.count * 1000) / each.ms).sort((a, b) => a - b);
      const middle = rates.length >> 1;
      return rates.length % 2 === 1 ? rates[middle]! : (rates[middle - 1]! + rates[middle]!) / 2;
    },
    jitterP99Ms() {
      const used = distances.subarray(0, Math.min(kept, distancesKept));
      if (used.length < 2) return null;
      const mean = used.reduce((sum, each) => sum + each, 0) / used.length;
      const off = used.map((each) => Math.abs(each - mean)).sort();
      return off[Math.min(off.length - 1, Math.ceil(off.length * 0.99) - 1)]!;
    },
  };
}
