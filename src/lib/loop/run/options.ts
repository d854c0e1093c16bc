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

/** What is asked of a loop. What is not said, the project's `loop:` says. */
export interface LoopOptions {
  /** Folder of the project; without an aiot.yaml in it, the model alone says what the samples are. */
  project: string;
  /** Any sensor's URL. */
  sensor?: string | undefined;
  /** A made-up sensor that plays what the model was trained on; where there is no model, one is trained into the cache. */
  simulate?: boolean | undefined;
  /** `NAME@STAGE`, or a file. */
  model?: string | undefined;
  delegate?: 'cpu' | 'coral' | undefined;
  vote?: string | undefined;
  /** A class that was voted for stands at least so long, ms. */
  holdMs?: number | undefined;
  send?: 'change' | 'always' | undefined;
  out?: readonly string[] | undefined;
  /** Ends it, ms from when it began to take samples; a time of day, or a date with one. */
  forMs?: number | undefined;
  until?: string | undefined;
  /** Folder that keeps the samples as recordings. */
  record?: string | undefined;
  /** What was just seen gets a label, and the model learns it: by the keys of `LoopBegun.teacher`. */
  teach?: boolean | undefined;
  /** The same by messages: the URL of a stream whose messages are labels. */
  teachFrom?: string | undefined;
  /** Use what was learned also where it does worse than the model before. */
  yes?: boolean | undefined;
  /** One of the motion system's four parts instead of the whole. */
  stage?: StageName | undefined;
  /** Of the loop, for `aiot loop status`; the project's unless told. One of a name runs at a time. */
  name?: string | undefined;
  /** It holds no name, and leaves nothing behind; so unless told where its sensor is made up. */
  transient?: boolean | undefined;
  /** `HOST:PORT` or `PORT` of its pages, /healthz and /metrics. */
  listen?: string | undefined;
  /** A sensor that is not there yet is waited for: as a service does, that starts with the machine. */
  patient?: boolean | undefined;
  context?: string | undefined;
  /** Who we are to brokers. */
  stream?: StreamOptions | undefined;
  clock?: Clock | undefined;
  /** Ends it: what was answered goes out first. */
  signal?: AbortSignal | undefined;
  /** A line of what happened: a sensor unplugged, a model swapped. */
  onEvent?: ((text: string) => void) | undefined;
  /** What is being done, while it takes long before it begins. */
  onStep?: ((text: string) => void) | undefined;
  /** It takes samples now. */
  onOpen?: ((begun: LoopBegun) => void) | undefined;
  /** Others that look on. */
  taps?: readonly LoopTap[] | undefined;
  parts?: Partial<LoopParts> | undefined;
}

/** A loop that has begun. */
export interface LoopBegun {
  monitor: LoopMonitor;
  fields: readonly SampleField[];
  rateHz: number;
  /** In the model's order; none where it answers with values. */
  classes: readonly string[];
  /** What takes labels, where it is taught. */
  teacher: Teacher | null;
  /** How many answers took how long: see Histogram.spread. */
  latencies(columns: number, fromMs: number, toMs: number): number[];
}

/** What a loop is put together of: the real parts, or a test's. */
export interface LoopParts {
  models(options: ModelOptions): Promise<ModelKeeper>;
  sensing(options: SensingOptions): Promise<Sensing>;
  outputs(options: OutputsOptions): Promise<Outputs>;
  messages(options: OutputsOptions): Promise<MessageOutputs>;
}

/** Loaded when a loop begins, and not with the command. */
export const realParts: LoopParts = {
  models: async (options) => (await import('../model/open-model.js')).openModel(options),
  sensing: async (options) => (await import('../sense/open.js')).openSensing(options),
  outputs: async (options) => (await import('../output/outputs.js')).openOutputs(options),
  messages: async (options) => (await import('../output/outputs.js')).openMessageOutputs(options),
};

/** The folder's project; where it has none, one of defaults, if a model is named that says all that is needed. */
export async function projectOf(folder: string, model: string | undefined): Promise<Project> {
  try {
    return await loadProject(folder);
  } catch (error) {
    const missing = error instanceof AiotError && error.code === 'AIOT_PROJECT_NOT_FOUND';
    if (missing && model !== undefined) return defaultProject(folder);
    throw error;
  }
}

/** What the sensor has to give: the model's fields and rate, in the units that the project gives them. */
export function contractOf({ config }: Project, { signal }: BundleInfo): SensingContract {
  const { windowSamples, lowpassHz, rateHz, resampleHz } = signal;
  const fields = signal.fields.map((name) => ({ name, unit: config.stream.fields[name]?.unit ?? '' }));
  // A row that is a window of its own comes when it comes.
  const timeless = windowSamples === 1 && lowpassHz === null && resampleHz === rateHz;
  return { fields, rateHz: timeless ? null : rateHz };
}
