import type { UpdateState } from '../../device/protocol/messages.js';
import type { Feedback } from './bodies.js';

/** The release to install, as presented to the client. */
export interface ActionRelease {
  name: string;
  version: number;
  sequence: number;
  digest: string;
  bytes: number;
  /** File name shown to the client, which relies on the extension. */
  file: string;
}

/**
 * `cancelling`: the client has been asked to abandon the action. All states except `open` and `cancelling` are final.
 */
export type ActionState = 'open' | 'cancelling' | 'finished' | 'failed' | 'cancelled';

/** A desired state as an action of the DDI API. */
export interface Action {
  /**
   * Id of at least 1001 that fits into 31 bits, because clients store the id in an int, and one client loses its first
   * digit.
   */
  id: number;
  /** Id of the device. */
  device: string;
  wish: string;
  state: ActionState;
  created: number;
  ended: number | null;
  /** null = there is no release that the client can install. */
  release: ActionRelease | null;
  /** Whether the client has requested the action. */
  seen: boolean;
  step: UpdateState;
  /** Whether the client refused to cancel, so that the platform waits for it to finish. */
  kept: boolean;
  /** When cancellation was requested, ms since 1970, and the number of polls since then. */
  recalled: number | null;
  polls: number;
  /** Number of downloads started from the beginning. */
  downloads: number;
  /** The client's messages, newest last. */
  messages: string[];
}

/** Effect of a client's request or feedback: the updated action, and the report to the rollout; null = nothing new. */
export interface Outcome {
  action: Action;
  report: { state: UpdateState; error: { code: string; message: string } | null } | null;
}

const mostMessages = 50;
/**
 * A client that downloads the whole file this often without reporting is assumed to be unable to use the file; some
 * clients never report a wrong hash.
 */
const mostDownloads = 10;
/**
 * A client that has polled this often, and for this long (ms), without confirming a cancellation is assumed to be
 * unable to cancel. RAUC's client polls every 5 s during a download, and cancels only when the download has ended.
 */
const mostPolls = 20;
const patienceMs = 3_600_000;

export function isOver({ state }: Action): boolean {
  return state !== 'open' && state !== 'cancelling';
}

/** Outcome of feedback on the deployment of an open action. */
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
  // A client that closes an action without installing it, as SWUpdate does if instructed to skip it, has not succeeded.
  const skipped = details.some((detail) => /^skipped update/i.test(detail));
  if (finished !== 'failure' && !skipped) {
    return { action: ended(heard, 'finished', at), report: { state: 'COMMITTED', error: null } };
  }
  const message = details.findLast((detail) => detail !== '') ?? 'the client gave no reason';
  return failed(heard, { code: 'AIOT_DDI_FAILED', message }, at);
}

/** Outcome of feedback on a cancellation, for an action being canceled. */
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

/** Outcome of another poll by a client that was asked to cancel. */
export function afterCancelPoll(action: Action, at: number): Outcome {
  const polls = action.polls + 1;
  if (polls <= mostPolls || at - (action.recalled ?? at) < patienceMs)
    return { action: { ...action, polls }, report: null };
  return left(noted({ ...action, polls }, [`no response in ${polls - 1} polls`], 'canceled'), at);
}

/** Outcome of the client's request for the action. */
export function afterLook(action: Action): Outcome {
  if (action.seen) return { action, report: null };
  return { action: { ...action, seen: true }, report: { state: 'IDLE', error: null } };
}

/** Outcome of a download that the client starts from the beginning. */
export function afterDownload(action: Action, at: number): Outcome {
  const downloads = action.downloads + 1;
  if (downloads > mostDownloads) {
    const message = `downloaded ${mostDownloads} times without feedback`;
    return failed({ ...action, downloads }, { code: 'AIOT_DDI_FAILED', message }, at);
  }
  return begun({ ...action, downloads }, 'DOWNLOADING');
}

/** The action after its desired state was withdrawn or replaced. */
export function afterWithdrawal(action: Action, at: number): Action {
  // A client that has never seen the action has nothing to cancel.
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

/** Progress only moves forward, because clients report it in any order. */
function begun(action: Action, step: UpdateState): Outcome {
  if (steps.indexOf(step) <= steps.indexOf(action.step)) return { action, report: null };
  return { action: { ...action, seen: true, step }, report: { state: step, error: null } };
}

function noted(action: Action, details: readonly string[], execution: string): Action {
  const told = details.length > 0 ? details : [execution];
  return { ...action, seen: true, messages: [...action.messages, ...told].slice(-mostMessages) };
}
