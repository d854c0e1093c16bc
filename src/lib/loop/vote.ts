import { AiotError } from '../core/errors.js';

/** Lead of `hysteresis` where none is given. */
const usualLead = 0.2;

/**
 * `none`: each window for itself. `majority:N`: most of the last N windows, nothing at a tie. `hysteresis` or `hysteresis:SHARE`: a
 * class stands until another leads it by so much twice in a row.
 * @param holdMs least time that a class stands; 0 = none
 * @throws AIOT_USAGE
 */
export function createVote(text: string, holdMs = 0): LoopVote {
  const vote = voteOf(text);
  return holdMs > 0 ? holding(vote, holdMs) : vote;
}

function voteOf(text: string): LoopVote {
  if (text === 'none') return { push: ({ label }) => label, reset: () => {} };
  const size = /^majority:([1-9]\d?)$/.exec(text)?.[1];
  if (size) return createMajority(Number(size));
  const [matched, lead] = /^hysteresis(?::(0?\.\d+))?$/.exec(text) ?? [];
  if (matched) return createHysteresis(lead === undefined ? usualLead : Number(lead));
  throw new AiotError(
    'AIOT_USAGE',
    `expected a vote of none, majority:N (N from 1 to 99) or hysteresis:SHARE (between 0 and 1); got "${text}"`,
  );
}

/** What one window says, as a vote takes it. */
export interface Ballot {
  /** The window's class. */
  label: string;
  /** Classes in the order of `shares`. */
  classes: readonly string[];
  /** How much speaks for each class, 0…1. */
  shares: readonly number[];
  /** Of the window's last sample, ms since 1970. */
  t: number;
}

/** Makes one answer of the classes of several windows. */
export interface LoopVote {
  /** @returns the class voted for; null while that is open */
  push(ballot: Ballot): string | null;
  /** Forgets what came before: samples are missing, or the model is another. */
  reset(): void;
}

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
function createMajority(size: number): LoopVote {
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

/** How many windows in a row a new class has to lead in. */
const streak = 2;

/**
 * A class stands until another has led it by at least `lead` (of the shares, 0…1) in two windows in a row, the same other one in both.
 * The first to stand needs that lead over every other class, in one window. So an outlier changes nothing, nor does a model that
 * wavers between two classes that it gives nearly the same share.
 */
function createHysteresis(lead: number): LoopVote {
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

/**
 * What another vote says, but a class that has been said stands for at least `holdMs` of the samples' own time before another takes
 * its place.
 */
function holding(vote: LoopVote, holdMs: number): LoopVote {
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
