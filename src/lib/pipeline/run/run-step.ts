import { join } from 'node:path';
import { stateWords } from '../../api/rollouts/words.js';
import { plural } from '../../core/figures.js';
import type { ProcessId } from '../../core/process.js';
import type { Clock } from '../../core/time.js';
import { backOffMs } from '../../core/time.js';
import type { PipelineStep } from '../plan/types.js';
import type { Blobs, Tree } from '../store.js';
import { type ChildEnd, type LineSource, runChild, stepEnvironment } from './processes.js';
import type { StepRecord } from './record.js';
import { collect, type Input, prepareFolder } from './work.js';

interface StepOptions {
  step: PipelineStep;
  inputs: readonly Input[];
  blobs: Blobs;
  /** Working folder, which is recreated for each attempt. */
  folder: string;
  log: string;
  /** Value of the environment variable that identifies processes of this project. */
  mark: string;
  /** Variables with the address of the platform and the id of this run. */
  env: Record<string, string>;
  self: readonly string[];
  clock: Clock;
  signal: AbortSignal;
  onStart(child: ProcessId, attempt: number): void;
  onLine(line: string, source: LineSource): void;
}

type Told = Pick<StepRecord, 'exit' | 'peakBytes' | 'attempts' | 'reason' | 'error'>;

/** The outcome of a step. */
export type StepEnd = Told & {
  state: 'done' | 'skipped' | 'failed' | 'stopped' | 'interrupted';
  outputs: Record<string, Tree>;
  result: unknown;
};

/** Exit codes of aiot after which a retry is pointless: usage error, something missing, no permission, gate not passed. */
const final = new Set([2, 4, 5, 6]);

const longestResult = 256 * 1024;

/** Runs a step, and retries it if it fails and has retries left. */
export async function runStep(options: StepOptions): Promise<StepEnd> {
  const { step, clock, signal } = options;
  for (let attempt = 1; ; attempt++) {
    const end = await attemptOf(options, attempt);
    const ours = step.command[0] === 'aiot' && end.exit !== null && final.has(end.exit);
    // A step that started a rollout is not retried, because the rollout has its own retries.
    const over = ours || rolloutIn(end.result) !== null;
    if (end.state !== 'failed' || attempt > step.retries || over) return end;
    const wait = backOffMs(attempt, step.waitMs);
    options.onLine(`failed; retrying in ${wait / 1000} s: ${end.reason}`, 'stderr');
    await clock.sleep(wait, signal).catch(() => {});
    if (signal.aborted) return { ...end, state: 'interrupted' };
  }
}

async function attemptOf(options: StepOptions, attempt: number): Promise<StepEnd> {
  const { step, inputs, blobs, folder, log, mark, env, self, signal, onStart, onLine } = options;
  await prepareFolder(folder, inputs, blobs);
  const end = await runChild({
    ...{ command: step.command, folder, log, self, signal, onLine, timeoutMs: step.timeoutMs },
    env: stepEnvironment(mark, { ...env, AIOT_PIPELINE_STEP: step.name }),
    onStart: (child) => onStart(child, attempt),
  });
  const result = resultOf(end.stdout);
  const told = { exit: end.exit, peakBytes: end.peakBytes, attempts: attempt, outputs: {}, result };
  const refused = refusalOf(step, end, result);
  if (refused) return { ...told, ...refused };
  const skipped = skippedIn(result);
  if (skipped !== null) return { ...told, state: 'skipped', reason: skipped, error: null };
  const collected = await collect(step, folder, blobs);
  if ('missing' in collected) {
    const reason = `it produced no ${collected.missing}`;
    return { ...told, state: 'failed', reason, error: null };
  }
  const own: Record<string, Tree> =
    result === null ? {} : { result: await blobs.takeText(`${JSON.stringify(result)}\n`) };
  const kept = JSON.stringify(result).length > longestResult ? null : result;
  return {
    ...told,
    ...{ state: 'done', reason: begunIn(result), error: null, result: kept },
    outputs: { ...collected.outputs, ...own },
  };
}

/** Reason why the step did not succeed; null if it succeeded. */
function refusalOf(
  step: PipelineStep,
  { exit, ended, last }: ChildEnd,
  result: unknown,
): Pick<StepEnd, 'state' | 'reason' | 'error'> | null {
  const error = errorIn(result);
  switch (ended.by) {
    case 'abort':
      return { state: 'interrupted', reason: null, error: null };
    case 'time': {
      const reason = `it took more than ${(step.timeoutMs ?? 0) / 1000} s`;
      return { state: 'failed', reason, error: { code: 'AIOT_TIMEOUT', message: reason } };
    }
    case 'start':
      return {
        state: 'failed',
        reason: `${step.command[0]} could not be started (${ended.code})`,
        error: null,
      };
    case 'signal':
      return { state: 'failed', reason: `it was killed by ${ended.signal}`, error };
    case 'itself':
      break;
  }
  return exit === 0 ? null : refusalOfExit(exit, result, last);
}

/** stdout, or else its last line, parsed as JSON; null if neither is JSON. */
function resultOf(stdout: string): unknown {
  const text = stdout.trim();
  for (const part of [text, text.slice(text.lastIndexOf('\n') + 1)]) {
    if (!/^[[{]/.test(part)) continue;
    try {
      return JSON.parse(part);
    } catch {
      // The text only resembles JSON.
    }
  }
  return null;
}

/** Working folder and log file of a step of a run. */
export function placesOf(folders: { work: string; logs: string }, run: string, step: string) {
  return { folder: join(folders.work, run, step), log: join(folders.logs, run, `${step}.log`) };
}

type StepError = StepRecord['error'];

/**
 * Reason why a step that exited by itself did not succeed, for any engine. A gate's exit code 6 means that the gate was not passed; other
 * nonzero codes are failures.
 */
export function refusalOfExit(
  exit: number | null,
  result: unknown,
  last: string,
): { state: 'stopped' | 'failed'; reason: string; error: StepError } {
  const error = errorIn(result);
  const rollout = error ? null : outcomeIn(result);
  if (exit === 6) return { state: 'stopped', reason: rollout ?? gateReason(result, error, last), error };
  return { state: 'failed', reason: rollout ?? error?.message ?? (last || `exit code ${exit}`), error };
}

/** The reason why a gate was not passed: its error, the limits that were exceeded (`model evaluate`), or the last line of its output. */
function gateReason(result: unknown, error: StepError, last: string): string {
  if (error) return error.message;
  const { gates, reason } = (result ?? {}) as { gates?: unknown; reason?: unknown };
  if (typeof reason === 'string') return reason;
  const failed = (Array.isArray(gates) ? gates : []).filter((gate) => gate?.passed === false);
  const told = failed.map(
    ({ name, limit, got, message }) => message ?? `${name} is ${rounded(got)}, but the limit is ${limit}`,
  );
  return told.length > 0 ? told.join('; ') : last || 'its gate failed';
}

function rounded(value: unknown): string {
  return typeof value === 'number' ? String(Number(value.toFixed(4))) : 'not measured';
}

/** The error that a command of aiot printed with --json. */
export function errorIn(result: unknown): StepError {
  const { error } = (result ?? {}) as { error?: { code?: unknown; message?: unknown; next?: unknown } };
  if (typeof error?.code !== 'string' || typeof error.message !== 'string') return null;
  const { code, message, next } = error;
  return { code, message, ...(typeof next === 'string' ? { next } : {}) };
}

/**
 * A note about a rollout that the finished step started and that continues without the run; null if there is no such rollout.
 * @param earlier the run that started the rollout, if this step's outcome is from the cache
 */
export function begunIn(result: unknown, earlier: string | null = null): string | null {
  const rollout = rolloutIn(result);
  if (rollout === null || rollout.state === 'done') return null;
  const { id, state, devices } = rollout;
  if (earlier !== null)
    return `unchanged since ${earlier}, which started the rollout; to see it, run aiot rollout show ${id}`;
  const to = devices === null ? '' : ` to ${plural(devices, 'device')}`;
  if (state === 'awaitingApproval')
    return `the rollout${to} waits for another user's approval: aiot rollout approve ${id}`;
  return `the rollout${to} has started and continues after this run; to follow it, run aiot rollout watch ${id}`;
}

/** The outcome of a rollout for which a step waited, as text; null if the step's result is not a rollout. */
function outcomeIn(result: unknown): string | null {
  const rollout = rolloutIn(result);
  if (rollout === null) return null;
  const { id, state, devices, committed, reason } = rollout;
  const why = reason ?? `${committed} of ${plural(devices ?? 0, 'device')} committed`;
  return `the rollout is ${stateWords(state)}: ${why}; to see it, run aiot rollout show ${id}`;
}

/** The rollout in the result of a command that starts one; null for other results. */
function rolloutIn(result: unknown) {
  const { id, state, waves, reason } = (result ?? {}) as Record<string, unknown>;
  if (typeof id !== 'string' || !id.startsWith('ro_') || typeof state !== 'string') return null;
  const count = (what: string): number | null =>
    Array.isArray(waves) ? waves.reduce<number>((sum, wave) => sum + Number(wave?.[what] ?? 0), 0) : null;
  const { message } = (reason ?? {}) as { message?: unknown };
  return {
    ...{ id, state, devices: count('devices'), committed: count('committed') },
    reason: typeof message === 'string' ? message : null,
  };
}

/** Reason why a step had nothing to do; null for other results. */
export function skippedIn(result: unknown): string | null {
  const { skipped } = (result ?? {}) as { skipped?: unknown };
  return typeof skipped === 'string' ? skipped : null;
}
