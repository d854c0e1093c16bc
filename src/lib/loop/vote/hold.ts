import type { LoopVote } from './types.js';

/**
 * What another vote says, but a class that has been said stands for at least `holdMs` of the samples' own time before another takes
 * its place.
 */
export function holding(vote: LoopVote, holdMs: number): LoopVote {
  let standing: string | null = null;
  let since = 0;
  return {
    push(ballot) {
      const said = vote.push(ballot);
      if (said === null || said === standing) return said;
      if (standing !== null && ballot.t - since < holdMs) return standing;
      standing = said;
      since = ballot.t;
      return said;
    },
    reset() {
      vote.reset();
      standing = null;
    },
  };
}
