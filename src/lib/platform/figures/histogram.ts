/** Upper bounds of buckets for times, s. */
export const secondsBounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];
/** Upper bounds of buckets for how many were written together. */
export const countBounds = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 4000];

/** How often what was measured was how large, as Prometheus wants it. */
export class Histogram {
  /** Observations a bucket, not summed up; the last is for all that is above the bounds. */
  private readonly buckets: number[];
  private sum = 0;

  /** @param bounds upper bounds, rising; a value that is equal to one counts there */
  constructor(private readonly bounds: readonly number[] = secondsBounds) {
    this.buckets = bounds.map(() => 0).concat(0);
  }

  note(value: number): void {
    const at = this.bounds.findIndex((bound) => value <= bound);
    const index = at < 0 ? this.bounds.length : at;
    this.buckets[index] = (this.buckets[index] ?? 0) + 1;
    this.sum += value;
  }

  /** Samples in the order that Prometheus wants: rising buckets that are summed up, `_sum`, `_count`. */
  samples(): { suffix: '_bucket' | '_sum' | '_count'; le?: string; value: number }[] {
    let count = 0;
    const rows = this.buckets.map((n, i) => {
      count += n;
      return { suffix: '_bucket' as const, le: String(this.bounds[i] ?? '+Inf'), value: count };
    });
    return [...rows, { suffix: '_sum', value: this.sum }, { suffix: '_count', value: count }];
  }
}
