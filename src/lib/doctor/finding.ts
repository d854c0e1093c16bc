import * as z from 'zod';

export const findingSchema = z.object({
  check: z.string(),
  /** `warn`: something will not work, but may not be needed. `fail`: the main use case will not work. */
  status: z.enum(['ok', 'warn', 'fail']),
  detail: z.string(),
  /** How to fix the problem; null if there is none. */
  next: z.string().nullable(),
});
export type Finding = z.output<typeof findingSchema>;

export const diagnosisSchema = z.object({
  /** Whether no check failed. */
  healthy: z.boolean(),
  checks: z.array(findingSchema),
});
export type Diagnosis = z.output<typeof diagnosisSchema>;

export const ok = (check: string, detail: string): Finding => ({ check, status: 'ok', detail, next: null });
export const warn = (check: string, detail: string, next: string): Finding => ({
  check,
  status: 'warn',
  detail,
  next,
});
export const fail = (check: string, detail: string, next: string): Finding => ({
  check,
  status: 'fail',
  detail,
  next,
});

export interface DoctorOptions {
  env: Record<string, string | undefined>;
  /** Default ports of `aiot up`. */
  ports: { http: number; mqtts: number };
  /** Maximum time for a platform to respond, ms. */
  timeoutMs: number;
  now: () => number;
  signal: AbortSignal;
}
