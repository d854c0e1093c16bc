import { z } from 'zod';

const share = z.number().min(0).max(1);

const interval = z.object({ low: share, high: share });

/** Figures of float networks, each tested on recordings that it was not trained on. */
const foldsSchema = z.object({
  macroF1: share,
  /** Macro-F1 after the vote. */
  voted: share,
  accuracy: share,
  /** 95 %, of the accuracy. */
  interval,
  folds: z.int(),
  windows: z.int(),
  recordings: z.int(),
});
export type DemoFolds = z.output<typeof foldsSchema>;

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
    /** 95 %, of the int8 network's accuracy on the held-out windows, with recordings as what was sampled. */
    interval,
    /** Held-out windows, and the recordings that they are from. */
    heldOut: z.object({ windows: z.int(), recordings: z.int().nullable() }),
    /** By folds over all recordings of the demo, each tested on once; null where they are too few. */
    folds: foldsSchema.nullable(),
    /**
     * Stored, not computed: the same recipe by folds over the original recordings, which the demo's are cut from. null with other
     * recordings or another recipe.
     */
    originals: foldsSchema.extend({ datasetDigest: z.string(), configDigest: z.string() }).nullable(),
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
