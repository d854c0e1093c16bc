import type { Project } from '../core/index.js';
import type { Dataset, Finding, Split } from '../data/index.js';
import type { SimulatedDevice } from '../device/index.js';
import type { EvaluateResult, PushResult, QuantizeResult, TrainResult } from '../model/index.js';
import type { Platform } from '../platform/index.js';
import type { Deployed, LiveFigures, RegistryClient } from '../registry/index.js';
import type { Originals } from './originals.js';

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
