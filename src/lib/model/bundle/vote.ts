/** Smooths the classes of successive windows. */
export interface Vote {
  /** Takes the newest window's class and returns the voted one. */
  push(index: number): number;
  /** Forgets what came before: the next window is the first of a new recording. */
  reset(): void;
}

/**
 * `none`, or `majority:N`: the class that most of the last N windows have (fewer at the start of a recording); of equally
 * frequent ones the one seen last.
 */
export function createVote(vote: string): Vote {
  const size = vote === 'none' ? 1 : Number(/^majority:([1-9]\d?)$/.exec(vote)?.[1]);
  if (!Number.isInteger(size)) throw new RangeError(`expected "none" or "majority:N", got "${vote}"`);
  const last: number[] = [];
  return {
    push(index) {
      last.push(index);
      if (last.length > size) last.shift();
      let best = index;
      let most = 0;
      // From the newest back: an older class must be more frequent, not as frequent, to win.
      for (let i = last.length - 1; i >= 0; i--) {
        let count = 0;
        for (let k = 0; k < last.length; k++) if (last[k] === last[i]) count++;
        if (count > most) {
          most = count;
          best = last[i]!;
        }
      }
      return best;
    },
    reset() {
      last.length = 0;
    },
  };
}

/** The vote over the windows of several recordings in a row; each recording begins anew. */
export function voteAll(predicted: ArrayLike<number>, recordings: string[], vote: string): Int32Array {
  const voter = createVote(vote);
  return Int32Array.from(recordings, (id, i) => {
    if (i > 0 && recordings[i - 1] !== id) voter.reset();
    return voter.push(predicted[i]!);
  });
}
