import type { ZodType } from 'zod';
import type { JobProgress } from '../../../registry/index.js';

/** What a job has of the platform while it runs. */
export interface JobWork<Request> {
  id: string;
  request: Request;
  who: string;
  /** Ends when somebody cancels it, and when this process no longer leads. */
  signal: AbortSignal;
  /** Says how far it is; written down now and then. */
  progress(progress: JobProgress): void;
}

/** Work that the platform does by itself. */
export interface JobKind<Request = Record<string, unknown>> {
  /** Noun and verb. */
  name: string;
  about: string;
  request: ZodType<Request>;
  /** Whether it may be begun anew after the platform was killed in the middle of it. */
  resumable: boolean;
  /** Its result, as JSON. What it throws is the job's error. */
  run(work: JobWork<Request>): Promise<unknown>;
}

/** A kind with the type of its request, among others. */
export function jobKind<Request>(kind: JobKind<Request>): JobKind {
  return kind as unknown as JobKind;
}
