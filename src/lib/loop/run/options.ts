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
import type { ModelKeeper, Outputs, Sensing } from '../types.js';
import type { LoopTap } from './engine.js';

/** Options of a loop. Defaults come from the project's `loop:` section. */
export interface LoopOptions {
  /** Folder of the project; if it has no aiot.yaml, the model alone determines the samples. */
  project: string;
  /** URL of the sensor, of any kind. */
  sensor?: string | undefined;
  /** A simulated sensor that replays the model's training data; if there is no model, one is trained into the cache. */
  simulate?: boolean | undefined;
  /** `NAME@STAGE`, or a file. */
  model?: string | undefined;
  delegate?: 'cpu' | 'coral' | undefined;
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
  /** Lets the user label the latest samples, which the model then learns: by the keys of `LoopBegun.teacher`. */
  teach?: boolean | undefined;
  /** Teaching by messages instead of keys: the URL of a stream whose messages are labels. */
  teachFrom?: string | undefined;
  /** Use the retrained model even if it performs worse than the previous one. */
  yes?: boolean | undefined;
  /** One of the motion system's four parts instead of the whole loop. */
  stage?: StageName | undefined;
  /** Name of the loop, for `aiot loop status`; default: the project's. Only one loop of a name runs at a time. */
  name?: string | undefined;
  /** Holds no name and leaves nothing behind; the default for a simulated sensor. */
  transient?: boolean | undefined;
  /** `HOST:PORT` or `PORT` of its pages, /healthz and /metrics. */
  listen?: string | undefined;
  /** Waits for a sensor that is not there yet, for services that start at boot. */
  patient?: boolean | undefined;
  context?: string | undefined;
  /** Credentials for brokers. */
  stream?: StreamOptions | undefined;
  clock?: Clock | undefined;
  /** Ends the loop: pending predictions are delivered first. */
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

/** The components of a loop: the real parts, or a test's. */
export interface LoopParts {
  models(options: ModelOptions): Promise<ModelKeeper>;
  sensing(options: SensingOptions): Promise<Sensing>;
  outputs(options: OutputsOptions): Promise<Outputs>;
  messages(options: OutputsOptions): Promise<MessageOutputs>;
}

/** Loaded when a loop begins, not with the command. */
export const realParts: LoopParts = {
  models: async (options) => (await import('../model/open-model.js')).openModel(options),
  sensing: async (options) => (await import('../sense/open.js')).openSensing(options),
  outputs: async (options) => (await import('../output/outputs.js')).openOutputs(options),
  messages: async (options) => (await import('../output/outputs.js')).openMessageOutputs(options),
};

/** The folder's project; if it has none, a default one, provided that the given model contains everything needed. */
export async function projectOf(folder: string, model: string | undefined): Promise<Project> {
  try {
    return await loadProject(folder);
  } catch (error) {
    const missing = error instanceof AiotError && error.code === 'AIOT_PROJECT_NOT_FOUND';
    if (missing && model !== undefined) return defaultProject(folder);
    throw error;
  }
}

/** The sensor's required output: the model's fields and rate, in the project's units. */
export function contractOf({ config }: Project, { signal }: BundleInfo): SensingContract {
  const { windowSamples, lowpassHz, rateHz, resampleHz } = signal;
  const fields = signal.fields.map((name) => ({ name, unit: config.stream.fields[name]?.unit ?? '' }));
  // A row that is a window of its own has no fixed rate.
  const timeless = windowSamples === 1 && lowpassHz === null && resampleHz === rateHz;
  return { fields, rateHz: timeless ? null : rateHz };
}
