/** Counts of times in steps of a fixed ratio: as small after a year as after a minute. */
export interface Histogram {
  readonly count: number;
  /** @param ms at least 0 */
  add(ms: number): void;
  /** The time that this share of them does not exceed, ms, off by 2 % at most; null without any. */
  percentile(share: number): number | null;
  /** How many lie in each of `columns` equal parts of the logarithmic range from `fromMs` to `toMs`; what lies outside is in the first and the last. */
  spread(columns: number, fromMs: number, toMs: number): number[];
}

/** 1 µs to 10⁴ s, in steps of 4 %: the middle of a step is within 2 % of all in it. */
const [smallestMs, ratio, steps] = [1e-3, 1.04, 592] as const;

export function createHistogram(): Histogram {
  const counts = new Float64Array(steps);
  let count = 0;
  const middleOf = (step: number) => smallestMs * ratio ** (step + 0.5);
  return {
    get count() {
      return count;
    },
    add(ms) {
      const step = Math.floor(Math.log(Math.max(ms, smallestMs) / smallestMs) / Math.log(ratio));
      const place = Math.min(steps - 1, step);
      counts[place] = counts[place]! + 1;
      count++;
    },
    percentile(share) {
      if (count === 0) return null;
      const rank = Math.max(1, Math.ceil(share * count));
      let seen = 0;
      const step = counts.findIndex((each) => {
        seen += each;
        return seen >= rank;
      });
      return Number(middleOf(step).toPrecision(3));
    },
    spread(columns, fromMs, toMs) {
      const parts = Array<number>(columns).fill(0);
      counts.forEach((each, step) => {
        if (each === 0) return;
        const share = Math.log(middleOf(step) / fromMs) / Math.log(toMs / fromMs);
        const part = Math.min(columns - 1, Math.max(0, Math.floor(share * columns)));
        parts[part] = parts[part]! + each;
      });
      return parts;
    },
  };
}
