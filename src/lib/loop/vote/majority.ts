import type { LoopVote } from './types.js';

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
      const counts = new Map<string, number>();
      for (const each of last) counts.set(each, (counts.get(each) ?? 0) + 1);
      const [first, second] = [...counts].sort(([, a], [, b]) => b - a);
      return first && first[1] !== second?.[1] ? first[0] : null;
    },
    reset() {
      last.length = 0;
    },
  };
}
