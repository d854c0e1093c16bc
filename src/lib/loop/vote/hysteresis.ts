import type { Ballot, LoopVote } from './types.js';

/** How many windows in a row a new class has to lead in. */
const streak = 2;

/**
 * A class stands until another has led it by at least `lead` (of the shares, 0…1) in two windows in a row, the same other one in both.
 * The first to stand needs that lead over every other class, in one window. So an outlier changes nothing, nor does a model that
 * wavers between two classes that it gives nearly the same share.
 */
export function createHysteresis(lead: number): LoopVote {
  let standing: string | null = null;
  let challenger: string | null = null;
  let wins = 0;
  return {
    push(ballot) {
      const { label } = ballot;
      if (label === standing) wins = 0;
      else if (leadOf(ballot, standing) < lead) wins = 0;
      else {
        wins = label === challenger ? wins + 1 : 1;
        challenger = label;
        if (standing === null || wins >= streak) {
          standing = label;
          wins = 0;
        }
      }
      return standing;
    },
    reset() {
      standing = null;
      challenger = null;
      wins = 0;
    },
  };
}

/** By how much the window's class is ahead of another, or of the next best where none is named. */
function leadOf({ label, classes, shares }: Ballot, other: string | null): number {
  let own = 0;
  let best = 0;
  classes.forEach((name, i) => {
    const share = shares[i] ?? 0;
    if (name === label) own = share;
    else if (other === null || name === other) best = Math.max(best, share);
  });
  return own - best;
}
