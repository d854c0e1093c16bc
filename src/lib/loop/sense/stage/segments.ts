import type { SampleBatch } from '../../../sensor/index.js';

/** Samples that follow each other without a break. */
export interface Segment extends SampleBatch {
  /** The same times on a line through many of them, where there is one. */
  smooth: Float64Array;
}

/** Collects samples, and begins a new segment wherever they break. */
export interface Segments {
  push(values: ArrayLike<number>, from: number, t: number, smooth: number): void;
  /** @param lost known to be missing, at least 1 */
  breakHere(lost: number): void;
  /** What there is so far; empty ones are left out. */
  take(): Segment[];
}

/** @param fields values of one sample */
export function createSegments(fields: number): Segments {
  let values = new Float64Array(64 * fields);
  let times = new Float64Array(64);
  let smooths = new Float64Array(64);
  let count = 0;
  let lost = 0;
  let done: Segment[] = [];

  const grow = () => {
    const larger = (of: Float64Array) => {
      const out = new Float64Array(of.length * 2);
      out.set(of);
      return out;
    };
    values = larger(values);
    times = larger(times);
    smooths = larger(smooths);
  };
  const end = () => {
    if (count === 0) return;
    done.push({
      values: values.slice(0, count * fields),
      times: times.slice(0, count),
      smooth: smooths.slice(0, count),
      count,
      lost,
    });
    count = 0;
    lost = 0;
  };

  return {
    push(from, start, t, smooth) {
      if (count === times.length) grow();
      for (let f = 0; f < fields; f++) values[count * fields + f] = from[start + f]!;
      times[count] = t;
      smooths[count] = smooth;
      count++;
    },
    breakHere(missing) {
      end();
      lost += missing;
    },
    take() {
      end();
      const out = done;
      done = [];
      return out;
    },
  };
}
