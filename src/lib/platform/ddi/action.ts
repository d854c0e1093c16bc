import type { UpdateState } from '../../device/protocol/messages.js';
import type { Feedback } from './bodies.js';

/** What is to be installed, as the client is told. */
export interface ActionRelease {
  name: string;
  version: number;
  sequence: number;
  digest: string;
  bytes: number;
  /** What the client sees its file called: it goes by the ending. */
  file: string;
}

/** `cancelling`: the client is asked to leave it. The others that are not `open` are ends. */
export type ActionState = 'open' | 'cancelling' | 'finished' | 'failed' | 'cancelled';

/** One wish as a client of the API knows it. */
export interface Action {
  /** Fits 31 bits and begins at 1001: clients keep it in an int, and one of them loses its first digit. */
  id: number;
  /** The device's id. */
  device: string;
  wish: string;
  state: ActionState;
  created: number;
  ended: number | null;
  /** null = what no such client can take. */
  release: ActionRelease | null;
  /** Whether the client has asked what it is. */
  seen: boolean;
  step: UpdateState;
  /** The client would not leave it: it is waited for. */
  kept: boolean;
  /** Since when it is to be left, ms since 1970, and polls since then. */
  recalled: number | null;
  polls: number;
  /** Times that it was downloaded from the beginning. */
  downloads: number;
  /** What the client said, newest last. */
  messages: string[];
}

/** What follows from a feedback: the action after it, and what is reported to the rollout; null = nothing new. */
export interface Outcome {
  action: Action;
  report: { state: UpdateState; error: { code: string; message: string } | null } | null;
}

const mostMessages = 50;
/** A client that downloads the whole of it so often and reports nothing finds no use in it: some never tell of a wrong hash. */
const mostDownloads = 10;
/**
 * A client that has polled so often, and for so long, ms, without leaving what it was to leave never answers: some cannot. RAUC's polls every 5 s while
 * it downloads, and leaves it only after that.
 */
const mostPolls = 20;
const patienceMs = 3_600_000;

export function isOver({ state }: Action): boolean {
  return state !== 'open' && state !== 'cancelling';
}

/** Feedback to the deployment, of an action that is not over. */
export function afterFeedback(
  action: Action,
  { execution, finished, details }: Feedback,
  at: number,
): Outcome {
  const heard = noted(action, details, execution);
  if (execution !== 'closed') {
    const step =
      execution === 'downloaded' ? 'VERIFYING' : execution === 'rejected' ? action.step : 'DOWNLOADING';
    return begun(heard, step);
  }
  // What a client closes without having installed it, as SWUpdate does where it was told to skip, is no success.
  const skipped = details.some((detail) => /^skipped update/i.test(detail));
  if (finished !== 'failure' && !skipped) {
    return { action: ended(heard, 'finished', at), report: { state: 'COMMITTED', error: null } };
  }
  const message = details.findLast((detail) => detail !== '') ?? 'the client gave no reason';
  return failed(heard, { code: 'AIOT_DDI_FAILED', message }, at);
}

/** Feedback to the cancellation, of an action that is to be left. */
export function afterCancelFeedback(
  action: Action,
  { execution, finished, details }: Feedback,
  at: number,
): Outcome {
  const heard = noted(action, details, execution);
  if (execution === 'closed' && finished !== 'failure') return left(heard, at);
  const refused = execution === 'rejected' || execution === 'closed';
  return { action: refused ? { ...heard, state: 'open', kept: true } : heard, report: null };
}

/** The client was told to leave it once more. */
export function afterCancelPoll(action: Action, at: number): Outcome {
  const polls = action.polls + 1;
  if (polls <= mostPolls || at - (action.recalled ?? at) < patienceMs)
    return { action: { ...action, polls }, report: null };
  return left(noted({ ...action, polls }, [`not answered in ${polls - 1} polls`], 'canceled'), at);
}

/** The client has asked what it is to do. */
export function afterLook(action: Action): Outcome {
  if (action.seen) return { action, report: null };
  return { action: { ...action, seen: true }, report: { state: 'IDLE', error: null } };
}

/** The client downloads it from its beginning. */
export function afterDownload(action: Action, at: number): Outcome {
  const downloads = action.downloads + 1;
  if (downloads > mostDownloads) {
    const message = `downloaded ${mostDownloads} times without a word of how it went`;
    return failed({ ...action, downloads }, { code: 'AIOT_DDI_FAILED', message }, at);
  }
  return begun({ ...action, downloads }, 'DOWNLOADING');
}

/** The wish was taken back, or another took its place. */
export function afterWithdrawal(action: Action, at: number): Action {
  // Who has never heard of it has nothing to leave.
  return action.seen ? { ...action, state: 'cancelling', recalled: at } : ended(action, 'cancelled', at);
}

export function failed(action: Action, error: { code: string; message: string }, at: number): Outcome {
  return { action: ended(action, 'failed', at), report: { state: 'IDLE', error } };
}

function left(action: Action, at: number): Outcome {
  return { action: ended(action, 'cancelled', at), report: { state: 'IDLE', error: null } };
}

function ended(action: Action, state: ActionState, at: number): Action {
  return { ...action, state, ended: at };
}

const steps: readonly UpdateState[] = ['IDLE', 'DOWNLOADING', 'VERIFYING'];

/** Goes on and never back: clients tell of their progress in any order. */
function begun(action: Action, step: UpdateState): Outcome {
  if (steps.indexOf(step) <= steps.indexOf(action.step)) return { action, report: null };
  return { action: { ...action, seen: true, step }, report: { state: step, error: null } };
}

function noted(action: Action, details: readonly string[], execution: string): Action {
  const told = details.length > 0 ? details : [execution];
  return { ...action, seen: true, messages: [...action.messages, ...told].slice(-mostMessages) };
}
