import * as z from 'zod';
import { catalogue, type ErrorCode } from '../core/catalogue.js';
import { AiotError } from '../core/errors.js';

/** Media type of every error that the platform answers with (RFC 9457). */
export const problemType = 'application/problem+json';

/**
 * Body of every answer above 399. `type` names the kind of problem; it is a path of the platform that tells more about it.
 * `code` is the same as a word, from the catalogue of errors; `next` says what to do.
 */
export const problemSchema = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  code: z.string(),
  next: z.string().optional(),
});
export type Problem = z.output<typeof problemSchema>;

/** An error as the platform answers it. */
export function problemOf({ code, message, next }: AiotError, status: number): Problem {
  return { type: `/errors/${code}`, title: titleOf(code), status, detail: message, code, next };
}

/** The error that an answer told; null for what is none, or none of this program's. */
export function errorOfProblem(
  value: unknown,
  details: { endpoint: string; retryable: boolean },
): AiotError | null {
  const told = problemSchema.safeParse(value);
  if (!told.success || !Object.hasOwn(catalogue, told.data.code)) return null;
  const { code, detail, next } = told.data;
  return new AiotError(code as ErrorCode, detail, { ...details, ...(next ? { next } : {}) });
}

/** The first sentence of what the catalogue says: the same for each problem of a type, as 3.1.4 wants it. */
function titleOf(code: ErrorCode): string {
  const { about } = catalogue[code];
  return /^.*?[.:](?= |$)/.exec(about)?.[0].slice(0, -1) ?? about;
}
