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

/** What the two kinds of stamps keep in mind. */
interface Course {
  last: number | undefined;
  periodMs: number | null;
}

/** Furthest that a clock that can be set may seem to run ahead of one that cannot, ms; beyond it was set. */
const mostAheadMs = 2_000;

/**
 * Stamps of the kernel, tied to this machine's time at the first samples.
 * @param settable the kernel stamps with a clock that can be set (realtime): where it was, times go on as if it had not
 * @param steadyMs a clock of this machine that is never set
 */
export function createKernelStamps(
  nominalMs: number | null,
  settable: boolean,
  steadyMs: () => number,
): Stamps {
  const course: Course = { last: undefined, periodMs: nominalMs };
  let base: { ns: bigint; ms: number } | undefined;
  let before = steadyMs();
  return {
    get periodMs() {
      return course.periodMs;
    },
    times(ns, count, nowMs) {
      const times = new Float64Array(count);
      if (!ns || count === 0) return times;
      base ??= { ns: ns[count - 1]!, ms: nowMs };
      const steady = steadyMs();
      const furthest = steady - before + mostAheadMs;
      before = steady;
      for (let i = 0; i < count; i++) {
        let at = base.ms + Number(ns[i]! - base.ns) / 1e6;
        const { last } = course;
        if (last !== undefined) {
          if (settable && (at < last || at - last > furthest)) {
            base = { ns: ns[i]!, ms: last + (course.periodMs ?? 1) };
            at = base.ms;
          }
          at = Math.max(at, last + 1e-3);
        }
        course.last = at;
        times[i] = at;
      }
      if (count > 1) course.periodMs = (times[count - 1]! - times[0]!) / (count - 1);
      return times;
    },
  };
}

/** Share of the distance between when samples came and when they should have that is made up for at a time. */
const follow = 0.1;
/** Samples that come later than this, ms, were not taken in one go with those before. */
const gapMs = 1_000;

/** Stamps of samples that carry none: evenly, the newest when it came, and slowly after this machine's clock. */
export function createArrivalStamps(nominalMs: number): Stamps {
  const course: Course = { last: undefined, periodMs: nominalMs };
  return {
    get periodMs() {
      return course.periodMs;
    },
    times(_ns, count, nowMs) {
      if (count === 0) return new Float64Array(0);
      const span = count * (course.periodMs ?? nominalMs);
      const start = course.last;
      const late = start === undefined ? Number.POSITIVE_INFINITY : nowMs - (start + span);
      const gap = late > gapMs;
      const end = gap ? nowMs : start! + span + follow * Math.max(late, -span);
      const from = gap ? Math.max(nowMs - span, start ?? Number.NEGATIVE_INFINITY) : start!;
      course.last = end;
      course.periodMs = gap
        ? course.periodMs
        : nominalMs + clamp((end - from) / count - nominalMs, nominalMs);
      return Float64Array.from({ length: count }, (_, i) => from + ((end - from) * (i + 1)) / count);
    },
  };
}

/** No chip is further from its rate than a tenth. */
function clamp(offMs: number, nominalMs: number): number {
  return Math.max(-nominalMs / 10, Math.min(nominalMs / 10, offMs));
}
