/** A measurement, and the time since the start of the run. */
export interface Sample {
  atMs: number;
  value: number;
}

/**
 * Growth over the second half that does not count as a leak: a share of the value at half time or an absolute amount, whichever is
 * larger.
 */
export interface Tolerance {
  share: number;
  atLeast: number;
}

export interface Course {
  /** Slope of a line fitted to the second half. */
  half: number;
  end: number;
  flat: boolean;
}

/** The trend of a value over the second half of its samples, because the first half includes the program's warm-up. */
export function courseOf(samples: readonly Sample[], { share, atLeast }: Tolerance): Course {
  const late = samples.slice(samples.length >> 1);
  const [first, last] = [late[0], late.at(-1)];
  if (!first || !last || late.length < 3) throw new Error('too few samples for a trend');
  const mean = (of: (sample: Sample) => number) => late.reduce((sum, one) => sum + of(one), 0) / late.length;
  const [t, v] = [mean(({ atMs }) => atMs), mean(({ value }) => value)];
  const spread = late.reduce((sum, { atMs }) => sum + (atMs - t) ** 2, 0);
  const slope = late.reduce((sum, { atMs, value }) => sum + (atMs - t) * (value - v), 0) / spread;
  const at = (ms: number) => v + slope * (ms - t);
  const [half, end] = [at(first.atMs), at(last.atMs)];
  return { half, end, flat: end - half <= Math.max(share * half, atLeast) };
}

/** @param sorted ascending, not empty @param share 0 to 1 */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}
