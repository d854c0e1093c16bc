import { AiotError } from '../core/errors.js';
import type { AnswerSpec } from '../model/bundle/types.js';
import { createMajority, createVote as createModelVote } from '../model/vote.js';

/** Default lead for `hysteresis`. */
const usualLead = 0.2;

/**
 * `none`: no smoothing. `majority:N`: the most frequent class of the last N windows, or of fewer at the beginning; a tie goes to the most
 * recent class, as on devices. `average:N`: the decision on the mean of the last N windows' outputs, as on devices. `hysteresis` or
 * `hysteresis:SHARE`: a class is held until another leads it by SHARE, a difference of probabilities, in two consecutive windows.
 * @param holdMs minimum time that a class is held; 0 = none
 * @param answer the model's decision, which `average` applies to the mean
 * @throws AIOT_USAGE
 */
export function createVote(text: string, holdMs = 0, answer: AnswerSpec = { kind: 'classes' }): LoopVote {
  const vote = voteOf(text, answer);
  return holdMs > 0 ? holding(vote, holdMs) : vote;
}

function voteOf(text: string, answer: AnswerSpec): LoopVote {
  if (text === 'none') return { push: ({ label }) => label, reset: () => {} };
  const size = /^majority:([1-9]\d?)$/.exec(text)?.[1];
  if (size) {
    const { push, reset } = createMajority<string>(Number(size));
    return { push: ({ label }) => push(label), reset };
  }
  if (/^average:([1-9]\d?)$/.test(text)) return createAverage(text, answer);
  const [matched, lead] = /^hysteresis(?::(0?\.\d+))?$/.exec(text) ?? [];
  if (matched) return createHysteresis(lead === undefined ? usualLead : Number(lead));
  throw new AiotError(
    'AIOT_USAGE',
    `expected none, majority:N or average:N (N from 1 to 99) or hysteresis:SHARE (between 0 and 1); got "${text}"`,
  );
}

function createAverage(text: string, answer: AnswerSpec): LoopVote {
  const { push, reset } = createModelVote(text, answer);
  const rejected = answer.kind === 'classes' ? answer.reject?.label : undefined;
  return {
    push({ label, classes, scores }) {
      const index = label === rejected ? classes.length : classes.indexOf(label);
      return classes[push({ index, scores })] ?? rejected ?? label;
    },
    reset,
  };
}

/** The input of one window to smoothing. */
export interface Ballot {
  /** The window's class. */
  label: string;
  /** Classes in the order of `shares`. */
  classes: readonly string[];
  /** Support for each class, 0…1. */
  shares: readonly number[];
  /** The model's outputs, as in `Prediction`. */
  scores: readonly number[];
  /** Time of the window's last sample, ms since 1970. */
  t: number;
}

/** Combines the classes of several windows into one result. */
export interface LoopVote {
  /** @returns the smoothed class; null while there is none */
  push(ballot: Ballot): string | null;
  /** Discards the history, because samples are missing or the model has changed. */
  reset(): void;
}

/** Number of consecutive windows in which a new class has to lead. */
const streak = 2;

/**
 * Keeps a class until the same other class has led it by at least `lead` (a difference of probabilities, 0…1) in two consecutive windows.
 * The first class needs that lead over every other class, in one window. Neither an outlier nor a model that wavers between two classes
 * with nearly equal probabilities therefore changes the result.
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

/** Lead of the window's class over another class, or over the runner-up if none is given. */
function leadOf({ label, classes, shares }: Ballot, other: string | null): number {
  // A rejected window supports no class, so its label has the largest possible lead.
  if (!classes.includes(label)) return 1;
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
 * Wraps another kind of smoothing. A reported class is held for at least `holdMs`, according to the samples' times, before another replaces
 * it.
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
