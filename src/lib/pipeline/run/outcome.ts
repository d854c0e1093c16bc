import type { StepRecord } from './record.js';

type StepError = StepRecord['error'];

/** Why a step that ended by itself is not done, whatever ran it: a gate said no (6), or it failed. */
export function refusalOfExit(
  exit: number | null,
  result: unknown,
  last: string,
): { state: 'stopped' | 'failed'; reason: string; error: StepError } {
  const error = errorIn(result);
  if (exit === 6) return { state: 'stopped', reason: gateReason(result, error, last), error };
  return { state: 'failed', reason: error?.message ?? (last || `exit code ${exit}`), error };
}

/** What a gate says: an error, the limits that are not kept (`model evaluate`), or the last line. */
function gateReason(result: unknown, error: StepError, last: string): string {
  if (error) return error.message;
  const { gates, reason } = (result ?? {}) as { gates?: unknown; reason?: unknown };
  if (typeof reason === 'string') return reason;
  const failed = (Array.isArray(gates) ? gates : []).filter((gate) => gate?.passed === false);
  const told = failed.map(
    ({ name, limit, got, message }) => message ?? `${name} ${rounded(got)} where the limit is ${limit}`,
  );
  return told.length > 0 ? told.join('; ') : last || 'its gate said no';
}

function rounded(value: unknown): string {
  return typeof value === 'number' ? String(Number(value.toFixed(4))) : 'not measured';
}

/** The error that one of our commands ended with, under --json. */
export function errorIn(result: unknown): StepError {
  const { error } = (result ?? {}) as { error?: { code?: unknown; message?: unknown; next?: unknown } };
  if (typeof error?.code !== 'string' || typeof error.message !== 'string') return null;
  const { code, message, next } = error;
  return { code, message, ...(typeof next === 'string' ? { next } : {}) };
}

/** What a step that is done has only begun: a rollout goes on without the run. Null where nothing goes on. */
export function begunIn(result: unknown): string | null {
  const { id, state } = (result ?? {}) as { id?: unknown; state?: unknown };
  if (typeof id !== 'string' || !id.startsWith('ro_') || state === 'done') return null;
  return `begun, and goes on by itself: aiot ota watch ${id}`;
}

/** Why a step had nothing to do; null where it had. */
export function skippedIn(result: unknown): string | null {
  const { skipped } = (result ?? {}) as { skipped?: unknown };
  return typeof skipped === 'string' ? skipped : null;
}
