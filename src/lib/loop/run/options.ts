import { AiotError } from '../../core/errors.js';
import { defaultProject, loadProject, type Project } from '../../core/project.js';
import type { Clock } from '../../core/time.js';
import type { BundleInfo } from '../../model/bundle/types.js';
import type { SampleField } from '../../sensor/types.js';
import type { StreamOptions } from '../../stream/message.js';
import type { StageName } from '../har/layout.js';
import type { ModelOptions } from '../model/options.js';
import type { MessageOutputs, OutputsOptions } from '../output/outputs.js';
import type { SensingContract, SensingOptions } from '../sense/types.js';
import type { LoopMonitor } from '../status.js';
import type { Teacher } from '../teach.js';
import type { Delegate, ModelKeeper, Outputs, Sensing } from '../types.js';
import type { LoopTap } from './engine.js';

/** Options of a loop. Defaults come from the project's `loop:` section. */
export interface LoopOptions {
  /** Folder of the project; if it has no aiot.yaml, the model alone determines the samples. */
  project: string;
  /** URL of the sensor, with any scheme. */
  sensor?: string | undefined;
  /** Use a simulated sensor, which replays the model's training data. If there is no model, one is trained into the cache. */
  simulate?: boolean | undefined;
  /** `NAME@STAGE`, or a file. */
  model?: string | undefined;
  delegate?: Delegate | undefined;
  vote?: string | undefined;
  /** Minimum time that a smoothed class is held, ms. */
  holdMs?: number | undefined;
  send?: 'change' | 'always' | undefined;
  out?: readonly string[] | undefined;
  /** End of the loop: `forMs` after it began to read samples, or `until`, a time of day or a date with a time. */
  forMs?: number | undefined;
  until?: string | undefined;
  /** Folder in which samples are stored as recordings. */
  record?: string | undefined;
  /** Lets the user label the latest samples, with the keys of `LoopBegun.teacher`; the model is then retrained with them. */
  teach?: boolean | undefined;
  /** URL of a stream whose messages are labels, for teaching without keys. */
  teachFrom?: string | undefined;
  /** Use the retrained model even if it performs worse than the previous one. */
  yes?: boolean | undefined;
  /** Run one of the motion system's four parts instead of the whole loop. */
  stage?: StageName | undefined;
  /** Name of the loop, for `aiot loop status`; default: the project's name. Only one loop with this name runs at a time. */
  name?: string | undefined;
  /** Whether the loop does not reserve its name and leaves nothing behind; the default for a simulated sensor. */
  transient?: boolean | undefined;
  /** `HOST:PORT` or `PORT` of the pages /healthz and /metrics. */
  listen?: string | undefined;
  /** Whether to wait for a missing sensor, for services that start at boot. */
  patient?: boolean | undefined;
  context?: string | undefined;
  /** Credentials for brokers. */
  stream?: StreamOptions | undefined;
  clock?: Clock | undefined;
  /** Ends the loop. Pending predictions are delivered first. */
  signal?: AbortSignal | undefined;
  /** One line per event: a sensor unplugged, a model swapped. */
  onEvent?: ((text: string) => void) | undefined;
  /** Called with the progress of a long startup. */
  onStep?: ((text: string) => void) | undefined;
  /** Called when the loop has started to read samples. */
  onOpen?: ((begun: LoopBegun) => void) | undefined;
  /** Further observers. */
  taps?: readonly LoopTap[] | undefined;
  parts?: Partial<LoopParts> | undefined;
}

/** A running loop. */
export interface LoopBegun {
  monitor: LoopMonitor;
  fields: readonly SampleField[];
  rateHz: number;
  /** Classes in the model's order; none if it returns values. */
  classes: readonly string[];
  /** Receives labels, if teaching is enabled. */
  teacher: Teacher | null;
  /** Latency histogram of predictions: see Histogram.spread. */
  latencies(columns: number, fromMs: number, toMs: number): number[];
}

/** The components of a loop, which tests may replace. */
export interface LoopParts {
  models(options: ModelOptions): Promise<ModelKeeper>;
  sensing(options: SensingOptions): Promise<Sensing>;
  outputs(options: OutputsOptions): Promise<Outputs>;
  messages(options: OutputsOptions): Promise<MessageOutputs>;
}

/** Loaded when a loop begins, rather than with the command. */
export const realParts: LoopParts = {
  models: async (options) => (await import('../model/open-model.js')).openModel(options),
  sensing: async (options) => (await import('../sense/open.js')).openSensing(options),
  outputs: async (options) => (await import('../output/outputs.js')).openOutputs(options),
  messages: async (options) => (await import('../output/outputs.js')).openMessageOutputs(options),
};

/** The folder's project. If it has none, a default one, provided that the given model contains everything that is needed. */
export async function projectOf(folder: string, model: string | undefined): Promise<Project> {
  try {
    return await loadProject(folder);
  } catch (error) {
    const missing = error instanceof AiotError && error.code === 'AIOT_PROJECT_NOT_FOUND';
    if (missing && model !== undefined) return defaultProject(folder);
    throw error;
  }
}

/** Requirements for the sensor: the model's fields and rate, and the project's units. */
export function contractOf({ config }: Project, { signal }: BundleInfo): SensingContract {
  const { windowSamples, lowpassHz, rateHz, resampleHz, image } = signal;
  const fields = signal.fields.map((name) => ({ name, unit: config.stream.fields[name]?.unit ?? '' }));
  // If each row is a window of its own, there is no fixed rate.
  const timeless = windowSamples === 1 && lowpassHz === null && resampleHz === rateHz;
  return { fields, rateHz: timeless ? null : rateHz, ...(image && { image }) };
}
