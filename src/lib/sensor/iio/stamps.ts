import type { Clock } from '../../core/index.js';
import { steady, WallTime } from '../timing/host-clock.js';
import { Timeline } from '../timing/timeline.js';

/** Times of samples that were read together. */
export interface Stamped {
  /** ms since 1970, rising. */
  times: Float64Array;
  /** Missing before the first, where that is to be told from the times. */
  lost: number;
  /** By how much this machine's clock was set ahead. */
  stepMs: number;
}

/** Gives samples their times. */
export interface Stamper {
  /**
   * @param ns the kernel's stamps; undefined where it gives none
   * @param asked by the steady clock, ms: before and after the samples were read
   * @param full the buffer had run over before these
   */
  place(
    ns: BigInt64Array | undefined,
    count: number,
    asked: readonly [number, number],
    full: boolean,
  ): Stamped;
}

/** Furthest that a clock that can be set may seem to run ahead of one that cannot, ms; beyond it was set. */
const mostAheadMs = 2_000;

/**
 * Stamps of the kernel, tied to this machine's steady clock at the first samples.
 * @param settable the kernel stamps with a clock that can be set (realtime): where it was, times go on as if it had not
 */
export function createKernelStamper(nominalMs: number, settable: boolean, clock: Clock): Stamper {
  const wall = new WallTime(clock);
  let base: { ns: bigint; ms: number } | undefined;
  let periodMs = nominalMs;
  /** Of the last sample: by the steady clock, and ms since 1970. */
  let [last, lastWall] = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
  let before = steady(clock).now();
  return {
    place(ns, count, asked, full) {
      const times = new Float64Array(count);
      if (!ns || count === 0) return { times, lost: 0, stepMs: 0 };
      base ??= { ns: ns[count - 1]!, ms: asked[0] };
      const furthest = asked[1] - before + mostAheadMs;
      before = asked[1];
      const { offsetMs, stepMs } = wall.follow();
      let [first, lost] = [0, 0];
      for (let i = 0; i < count; i++) {
        let at = base.ms + Number(ns[i]! - base.ns) / 1e6;
        if (settable && last > 0 && (at < last || at - last > furthest)) {
          base = { ns: ns[i]!, ms: last + periodMs };
          at = base.ms;
        }
        if (i === 0) {
          first = at;
          if (full) lost = Math.max(0, Math.round((at - last) / periodMs) - 1);
        }
        last = at;
        // Where the wall clock is followed back a little, or stamps are equal.
        lastWall = Math.max(at + offsetMs, lastWall + 1e-3);
        times[i] = lastWall;
      }
      if (count > 1 && last > first) periodMs = (last - first) / (count - 1);
      return { times, lost, stepMs };
    },
  };
}

/** Samples that carry no stamp: evenly, by the rate that they turn out to have. */
export function createArrivalStamper(nominalMs: number, clock: Clock): Stamper {
  const timeline = new Timeline(1000 / nominalMs, clock);
  return {
    place(_ns, count, askedMs, broken) {
      return timeline.place({ count, left: 0, askedMs, broken: broken && count > 0 });
    },
  };
}
