import type { LoopVote } from './types.js';

/** The label that is there most often; null where two are equally frequent at the top, or there is none. */
export function mostFrequent(labels: Iterable<string>): string | null {
  const counts = new Map<string, number>();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  const [most, next] = [...counts].sort(([, a], [, b]) => b - a);
  return most && most[1] !== next?.[1] ? most[0] : null;
}

/**
 * The class that most of the last `size` windows have, of fewer at the beginning. Where two are equally frequent at the top nothing is
 * said of this window: so the motion system did it, whose ties were not sent on.
 */
export function createMajority(size: number): LoopVote {
  const last: string[] = [];
  return {
    push({ label }) {
      last.push(label);
      if (last.length > size) last.shift();
      return mostFrequent(last);
    },
    reset() {
      last.length = 0;
    },
  };
}
