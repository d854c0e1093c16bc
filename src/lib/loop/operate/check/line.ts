import { z } from 'zod';
import { AiotError } from '../../../core/index.js';

export const checkLineSchema = z.object({
  /** What was looked at. */
  check: z.enum([
    'loop',
    'bus',
    'permission',
    'address',
    'self-test',
    'sensor',
    'rate',
    'model',
    'output',
    'disk',
    'clock',
  ]),
  /** `warning`: the loop runs, and something is not as it should be. */
  state: z.enum(['ok', 'warning', 'failed']),
  detail: z.string(),
  /** What to do; null where there is nothing to do. */
  next: z.string().nullable(),
});
export type CheckLine = z.output<typeof checkLineSchema>;
type What = CheckLine['check'];

export const ok = (check: What, detail: string): CheckLine => ({ check, state: 'ok', detail, next: null });
export const warning = (check: What, detail: string, next: string): CheckLine => ({
  check,
  state: 'warning',
  detail,
  next,
});
export const failed = (check: What, detail: string, next: string): CheckLine => ({
  check,
  state: 'failed',
  detail,
  next,
});

/** What an error with a code says; one without is thrown on. */
export function failedBy(check: What, error: unknown): CheckLine {
  if (!(error instanceof AiotError) || error.exit === 130 || error.family === 'bug') throw error;
  return failed(check, `${error.code}: ${error.message}`, error.next);
}
