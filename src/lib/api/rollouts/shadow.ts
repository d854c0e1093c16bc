import * as z from 'zod';
import { amountSchema } from './amount.js';

const day = 86_400_000;

/** Limits for the durations in a rollout, ms. */
export const rolloutTimesMs = {
  soak: { max: 90 * day },
  backoff: { max: day },
  deadline: { min: 1000 },
  offline: { min: 1000, max: 90 * day },
  shadow: { min: 1000, max: 90 * day },
};

/**
 * Limits that a candidate must meet in each wave while it runs alongside the current model. Once the candidate meets them, the wave opens.
 */
export const shadowPolicySchema = z.strictObject({
  /** Duration of the shadow, ms. */
  ms: z.int().min(rolloutTimesMs.shadow.min).max(rolloutTimesMs.shadow.max),
  /** Minimum total number of windows evaluated by a wave's devices. */
  minWindows: z.int().min(1).default(20),
  /** Maximum number or share of these windows in which the predictions differ. */
  maxDisagreement: amountSchema.default('5%'),
  /** Maximum ratio of the candidate's 95th-percentile latency to that of the current model. */
  maxLatency: z.number().positive().default(1.5),
  /** Maximum memory of the candidate's tensors, bytes; null = no limit. */
  maxHeapBytes: z.int().min(1).nullable().default(null),
});
export type ShadowPolicy = z.output<typeof shadowPolicySchema>;

const besideSchema = z.object({
  /** Latency from a window's last sample to the prediction, ms. */
  p50Ms: z.number(),
  p95Ms: z.number(),
  arenaBytes: z.int(),
  labels: z.record(z.string(), z.int()),
});

/**
 * Metrics of the candidate and of the current model. For a device: as last reported. For a wave: counts are summed, latencies are averaged
 * by number of windows, and memory is the maximum.
 */
export const shadowFiguresSchema = z.object({
  windows: z.int(),
  disagreements: z.int(),
  active: besideSchema,
  candidate: besideSchema,
});
export type ShadowFigures = z.output<typeof shadowFiguresSchema>;

/** The shadow phase of a wave. */
export const waveShadowSchema = z.object({
  /** Start time. */
  from: z.int(),
  /** Whether the limits were met, or a user continued although they were not. */
  passed: z.boolean(),
  /** Number of devices with measurements. The other devices had no model for comparison, or do not support shadows. */
  devices: z.int(),
  figures: shadowFiguresSchema.nullable(),
});
export type WaveShadow = z.output<typeof waveShadowSchema>;
