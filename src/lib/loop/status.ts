import * as z from 'zod';

/** The state of a running loop: the source of `aiot loop status`, `/healthz` and `/metrics`. */
export const loopStatusSchema = z.object({
  name: z.string(),
  pid: z.int(),
  /** ms since 1970. */
  startedAt: z.number(),
  /** Time at which this status was written, ms since 1970. */
  at: z.number(),
  /** `running`; `waiting` for its sensor or its model; `stopped`. */
  state: z.enum(['running', 'waiting', 'stopped']),
  sensor: z.object({
    endpoint: z.string(),
    connected: z.boolean(),
    samples: z.number(),
    lost: z.number(),
    gaps: z.number(),
    rateHz: z.number().nullable(),
    jitterP99Ms: z.number().nullable(),
    overruns: z.number(),
    retries: z.number(),
    reconnects: z.number(),
    lastSampleAt: z.number().nullable(),
  }),
  model: z
    .object({
      name: z.string(),
      version: z.int().nullable(),
      digest: z.string(),
      source: z.enum(['platform', 'cache', 'file', 'trained']),
      delegate: z.enum(['cpu', 'coral', 'ai-edge-litert']),
      swaps: z.number(),
      refused: z.array(z.string()),
      lastError: z.string().nullable(),
    })
    .nullable(),
  windows: z.number(),
  predictions: z.number(),
  last: z.object({ t: z.number(), label: z.string().nullable(), voted: z.string().nullable() }).nullable(),
  latencyMs: z.object({ p50: z.number(), p99: z.number() }).nullable(),
  outputs: z.array(
    z.object({
      endpoint: z.string(),
      connected: z.boolean(),
      sent: z.number(),
      waiting: z.number(),
      dropped: z.number(),
      lastError: z.string().nullable(),
    }),
  ),
  rssMb: z.number(),
  /** Recent events, oldest first: sensor unplugged, model swapped, clock jumped. */
  events: z.array(z.object({ t: z.number(), text: z.string() })),
});

export type LoopStatus = z.output<typeof loopStatusSchema>;

/**
 * Access to the state of a running loop, for the status file, the health page or a live view. Reading it is cheap and has no side effects.
 */
export interface LoopMonitor {
  status(): LoopStatus;
}
