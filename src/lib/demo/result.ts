import { z } from 'zod';

const share = z.number().min(0).max(1);

/** What `aiot demo --json` prints. */
export const demoResultSchema = z.object({
  /** Where everything was kept. */
  folder: z.string(),
  /** HTML file with training curves and confusion matrices. */
  report: z.string(),
  platform: z.object({ http: z.string(), mqtts: z.string(), dir: z.string() }),
  dataset: z.object({
    recordings: z.int(),
    samples: z.int(),
    digest: z.string(),
    /** What the check of the data found, by kind. */
    findings: z.array(
      z.object({ kind: z.string(), severity: z.string(), message: z.string(), advice: z.string() }),
    ),
  }),
  model: z.object({
    name: z.string(),
    version: z.int(),
    digest: z.string(),
    bytes: z.object({ float: z.int(), int8: z.int() }),
    /** On recordings never trained on. */
    accuracy: z.object({ float: share, int8: share }),
    macroF1: z.object({ float: share, int8: share, voted: share }),
    arenaBytes: z.int(),
  }),
  rollout: z.object({ devices: z.int(), committed: z.int(), rolledBack: z.int(), seconds: z.number() }),
  /** The devices' own answers on held-out recordings, counted by the platform. */
  live: z.object({
    windows: z.int(),
    accuracy: share,
    macroF1: share,
    latencyMs: z.object({ p50: z.number(), p99: z.number() }),
  }),
  seconds: z.number(),
});
export type DemoResult = z.output<typeof demoResultSchema>;
