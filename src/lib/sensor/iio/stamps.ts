import type { Stamps } from '../stamps.js';

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
  const course: { last: number | undefined; periodMs: number | null } = {
    last: undefined,
    periodMs: nominalMs,
  };
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
