import { join } from 'node:path';
import * as z from 'zod';
import { foldsFiguresSchema, type LiveFigures } from '../api/api.js';
import type { RegistryClient } from '../api/client.js';
import type { Deployed } from '../api/rollouts/deploy.js';
import { readJson } from '../core/files.js';
import type { Project } from '../core/project.js';
import type { Dataset, Finding, Split } from '../data/types.js';
import type { SimulatedDevice } from '../device/native/device.js';
import type { EvaluateResult } from '../model/evaluate/result.js';
import type { PushResult } from '../model/publish/push.js';
import type { QuantizeResult } from '../model/quantize/result.js';
import { configDigestOf } from '../model/train/lineage.js';
import type { TrainResult } from '../model/train/result.js';
import type { Platform } from '../platform/options.js';

export interface DemoOptions {
  /** Folder of this run, which must be missing or empty. */
  folder: string;
  /** Folder of CSV recordings that replaces the template's own. */
  recordings?: string;
  /** Ports of the platform; 0 = any free one. */
  httpPort: number;
  mqttPort: number;
  /** Number of virtual devices. */
  devices: number;
  /** Whether the devices run the firmware's core, each in a separate process. */
  native?: boolean;
  signal: AbortSignal;
}

/** State shared by the steps. Each step sets members that later steps read. */
export interface DemoWork {
  options: DemoOptions;
  /** Start time, from performance.now(). */
  started: number;
  project: Project;
  platform: Platform;
  client: RegistryClient;
  /** Private signing key, PEM. */
  operatorKey: string;
  devices: SimulatedDevice[];
  /** The recordings as read from the files that the devices replay. */
  source: Dataset;
  /** The recordings as received and stored by the platform. */
  dataset: Dataset;
  split: Split;
  findings: Finding[];
  /** Stored metrics of the recordings from which the template's recordings are cut; null for other recordings. */
  originals: Originals | null;
  trained: TrainResult;
  quantized: QuantizeResult;
  evaluated: EvaluateResult;
  pushed: PushResult;
  rollout: Deployed;
  live: LiveFigures;
  /** Cleanup functions, which are always called, in reverse order. */
  closers: (() => Promise<void>)[];
}

/** One step of the displayed list. `report` shows metrics as they become known; the returned text remains next to the title. */
export interface DemoStep {
  title: string;
  run(report: (figures: string) => void, signal: AbortSignal): Promise<string>;
}

/**
 * data/originals.json of the template har-imu: cross-validation metrics of the template's recipe, on the recordings from which
 * its own recordings are cut. The original recordings are too large to include (29 MB), so only the metrics are stored, with
 * digests of the recordings and the recipe.
 */
const originalsSchema = z.object({
  datasetDigest: z.string(),
  configDigest: z.string(),
  together: foldsFiguresSchema,
});

type Originals = z.output<typeof originalsSchema>;

/** Reads the stored metrics; null if the project's recipe differs from the measured one. @param folder data folder of the template */
export async function readOriginals(project: Project, folder: string): Promise<Originals | null> {
  const stored = originalsSchema.parse(await readJson(join(folder, 'originals.json')));
  return stored.configDigest === configDigestOf(project) ? stored : null;
}

/** Formats a score with three decimals: 0.9712 → `0.971`. */
export function score(value: number): string {
  return value.toFixed(3);
}
