import * as z from 'zod';
import { type RolloutPlan, rolloutStates } from './schema.js';

const figures = z.object({ p50: z.number(), p90: z.number(), p99: z.number(), max: z.number() });
const share = z.number().min(0).max(1);

export const rehearsalsSchema = z.object({
  runs: z.int(),
  seed: z.int(),
  devices: z.int(),
  /** Share of runs where at least one device did not install the release. */
  trouble: share,
  /** Share of runs that stopped automatically. */
  stopped: share,
  /** Number of runs per outcome. */
  ends: z.array(
    z.object({ state: z.enum([...rolloutStates, 'unended']), code: z.string().nullable(), runs: z.int() }),
  ),
  /** Time from the start until the rollout ended or stalled, s. */
  seconds: figures,
  /** Devices that booted the release, or that applied or rejected the settings. */
  tried: figures,
  /** Devices that tried the release and rolled back, or rejected it. */
  failed: figures,
  /** Devices that neither committed nor failed: offline, not offered the release, or withdrawn. */
  left: figures,
});

export type Rehearsals = z.output<typeof rehearsalsSchema>;

/** Simulated conditions of rehearsals. Shares are between 0 and 1. */
export interface RehearsalConditions {
  runs: number;
  /** Size of each device's download, bytes. */
  bytes: number;
  /** Length of the broker's single outage, ms; 0 = no outage. */
  outageMs: number;
  network: {
    seed: number;
    /** Share of messages lost. */
    loss: number;
    /** Shortest and longest one-way latency, ms. */
    latencyMs: readonly [number, number];
    /** Share of devices offline at any time. */
    offline: number;
    /** Share of devices that fail the trial of a new version. */
    failRate: number;
    /** Share of updates with a power cut in the first trial. */
    powerCuts: number;
    /** Probability that an updated device crashes within an hour; absent = 0. */
    crashRate?: number;
    /** A device's download rate, bytes per second. */
    bytesPerSecond: number;
  };
}

/** Sent to the dashboard's worker, which answers one request. */
export interface RehearsalRequest {
  plan: RolloutPlan;
  conditions: RehearsalConditions;
}

/** Number of finished runs; at the end the result, or the reason why there is none. */
export type RehearsalAnswer = { done: number } | { result: Rehearsals } | { error: string };
