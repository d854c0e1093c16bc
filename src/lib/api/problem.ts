import * as z from 'zod';
import { catalogue, type ErrorCode } from '../core/catalogue.js';
import { AiotError } from '../core/errors.js';

/** Media type of the platform's error responses (RFC 9457). */
export const problemType = 'application/problem+json';

/**
 * Body of every response with a status of 400 or above. `type` is a path on the platform that describes the kind of
 * problem. `code` is the problem's name in the error catalogue, and `next` the recommended fix.
 */
export const problemSchema = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  code: z.string(),
  /** The kind of object that the error concerns, if the code covers several kinds. */
  subject: z.string().optional(),
  /** Path of the invalid value, such as `report.everyS`, if it is known. */
  field: z.string().optional(),
  next: z.string().optional(),
});
export type Problem = z.output<typeof problemSchema>;

/** Converts an error into a response body. */
export function problemOf({ code, message, next, subject, field }: AiotError, status: number): Problem {
  const about = {
    ...(subject === undefined ? {} : { subject }),
    ...(field === undefined ? {} : { field }),
  };
  return { type: `/errors/${code}`, title: titleOf(code), status, detail: message, code, ...about, next };
}

/** Converts a response body back into an error; null if it is not a problem, or has a code that this program does not know. */
export function errorOfProblem(
  value: unknown,
  details: { endpoint: string; retryable: boolean; retryAfterMs?: number | undefined },
): AiotError | null {
  const told = problemSchema.safeParse(value);
  if (!told.success || !Object.hasOwn(catalogue, told.data.code)) return null;
  const { code, detail, subject, field, next } = told.data;
  return new AiotError(code as ErrorCode, detail, { ...details, subject, field, ...(next ? { next } : {}) });
}

/**
 * Title of a problem: the first sentence of its text in the catalogue. All problems of a type have the same title, as RFC 9457, 3.1.4
 * requires.
 */
function titleOf(code: ErrorCode): string {
  const { about } = catalogue[code];
  return /^.*?[.:](?= |$)/.exec(about)?.[0].slice(0, -1) ?? about;
}
