import * as z from 'zod';
import { amountSchema } from './amount.js';

const day = 86_400_000;

/** Shortest and longest times of a rollout. */
export const rolloutTimesMs = {
  soak: { max: 90 * day },
  backoff: { max: day },
  deadline: { min: 1000 },
  offline: { min: 1000, max: 90 * day },
  shadow: { min: 1000, max: 90 * day },
};

/** A candidate runs beside the model in use first, in each wave: the wave opens when it did as well as these say. */
export const shadowPolicySchema = z.strictObject({
  /** How long, ms. */
  ms: z.int().min(rolloutTimesMs.shadow.min).max(rolloutTimesMs.shadow.max),
  /** Windows that the devices of a wave have to have answered in all. */
  minWindows: z.int().min(1).default(20),
  /** Of these windows: other answers. */
  maxDisagreement: amountSchema.default('5%'),
  /** The candidate's 95th percentile against that of the model in use. */
  maxLatency: z.number().positive().default(1.5),
  /** Memory of the candidate's tensors; null = no limit. */
  maxHeapBytes: z.int().min(1).nullable().default(null),
});
export type ShadowPolicy = z.output<typeof shadowPolicySchema>;

const besideSchema = z.object({
  /** From a window's last sample to the answer, ms. */
  p50Ms: z.number(),
  p95Ms: z.number(),
  arenaBytes: z.int(),
  labels: z.record(z.string(), z.int()),
});

/** How the candidate did beside the model in use: of a device as it was last told; of a wave in all, times weighted by windows. */
export const shadowFiguresSchema = z.object({
  windows: z.int(),
  disagreements: z.int(),
  active: besideSchema,
  candidate: besideSchema,
});
export type ShadowFigures = z.output<typeof shadowFiguresSchema>;

/** The shadow of a wave. */
export const waveShadowSchema = z.object({
  /** Since when. */
  from: z.int(),
  /** Whether its limits were held, or somebody has gone on from them. */
  passed: z.boolean(),
  /** Devices that have measured; all others had nothing to compare with, or cannot. */
  devices: z.int(),
  figures: shadowFiguresSchema.nullable(),
});
export type WaveShadow = z.output<typeof waveShadowSchema>;
