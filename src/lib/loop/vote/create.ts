import { AiotError } from '../../core/index.js';
import { holding } from './hold.js';
import { createHysteresis } from './hysteresis.js';
import { createMajority } from './majority.js';
import type { LoopVote } from './types.js';

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
