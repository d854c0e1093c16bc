import { join } from 'node:path';
import * as z from 'zod';
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
import { foldsFiguresSchema, type LiveFigures } from '../registry/api.js';
import type { RegistryClient } from '../registry/client.js';
import type { Deployed } from '../registry/rollouts/deploy.js';

export interface DemoOptions {
  /** Folder of this run: it must not exist yet, or be empty. */
  folder: string;
  /** Folder of CSV recordings instead of the template's own. */
  recordings?: string;
  /** Ports of the platform; 0 = any free one. */
  httpPort: number;
  mqttPort: number;
  /** Virtual devices. */
  devices: number;
  /** They are the firmware's core, a process each. */
  native?: boolean;
  signal: AbortSignal;
}

/** What the steps hand on: each fills in its part, later ones read it. */
export interface DemoWork {
  options: DemoOptions;
  /** performance.now() at the start. */
  started: number;
  project: Project;
  platform: Platform;
  client: RegistryClient;
  /** Private signing key, PEM. */
  operatorKey: string;
  devices: SimulatedDevice[];
  /** As read from the files that the devices replay. */
  source: Dataset;
  /** As the platform recorded it. */
  dataset: Dataset;
  split: Split;
  findings: Finding[];
  /** Stored figures of the recordings that the template's are cut from; null with other recordings. */
  originals: Originals | null;
  trained: TrainResult;
  quantized: QuantizeResult;
  evaluated: EvaluateResult;
  pushed: PushResult;
  rollout: Deployed;
  live: LiveFigures;
  /** Ended in reverse order, whatever happens. */
  closers: (() => Promise<void>)[];
}

/** One step, as a list of steps shows it: `report` takes figures as they come; what is returned stays beside the title. */
export interface DemoStep {
  title: string;
  run(report: (figures: string) => void, signal: AbortSignal): Promise<string>;
}

/**
 * data/originals.json of the template har-imu: its recipe by folds over the recordings that its own are cut from. They are too
 * large to come along (29 MB), so these figures are stored, with digests of the recordings and of the recipe.
 */
const originalsSchema = z.object({
  datasetDigest: z.string(),
  configDigest: z.string(),
  together: foldsFiguresSchema,
});

type Originals = z.output<typeof originalsSchema>;

/** null where the recipe is another one than was measured. @param folder the template's data */
export async function readOriginals(project: Project, folder: string): Promise<Originals | null> {
  const stored = originalsSchema.parse(await readJson(join(folder, 'originals.json')));
  return stored.configDigest === configDigestOf(project) ? stored : null;
}

/** 0.9712 → `0.971` */
export function score(value: number): string {
  return value.toFixed(3);
}
