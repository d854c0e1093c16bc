/**
 * aiot as a library: long-running work as functions with a common form of progress, an AbortSignal, and the commands' defaults. Importing
 * this module loads no implementation; each function loads what it needs when it is called. For examples, see docs/how-to/library.md.
 */
import type { z } from 'zod';
import type { RegistryClient } from './lib/api/client.js';
import type { DataStores } from './lib/api/context.js';
import type { OfflineDevices } from './lib/api/rollouts/offline.js';
import type { noRolloutSchema } from './lib/api/rollouts/request.js';
import type { Rollout, RolloutPolicyInput } from './lib/api/rollouts/schema.js';
import type { Extracted, extractSources } from './lib/data/sources/extract.js';
import type { LoaderOptions } from './lib/flash/loader/types.js';
import type { BoardRow, FlashRequest, runFlash } from './lib/flash/write/run-flash.js';
import type { EvaluationRequest, evaluateModel } from './lib/model/evaluate/evaluate-model.js';
import type { inspectModel } from './lib/model/inspect/inspect.js';
import type { QuantizeModelOptions, quantizeModel } from './lib/model/quantize/quantize-model.js';
import type { TrainRequest, trainModel } from './lib/model/train/train-model.js';
import type { EpochFigures } from './lib/model/train/types.js';

export { AiotError } from './lib/core/errors.js';
export type { Extracted } from './lib/data/sources/extract.js';

/** Progress of long work; every task reports it in this form. */
interface Step {
  /** The current step, in a few words. */
  step: string;
  /** How much of `total` is done, in `unit`; null if it is not counted. */
  done: number | null;
  total: number | null;
  unit: 'bytes' | 'epochs' | 'devices' | null;
}

const uncounted: Pick<Step, 'done' | 'total' | 'unit'> = { done: null, total: null, unit: null };

export type Progress = FlashProgress | FlashAsk | TrainProgress | QuantizeProgress | RolloutProgress;

/** Options of a long-running task. */
export interface Watched<P extends Progress> {
  /** Called in order, and not awaited. If it throws, the work is stopped. */
  onProgress?: ((progress: P) => void) | undefined;
  /** Stops the work, as Ctrl-C does: partial work is cleaned up, then AIOT_INTERRUPTED or the signal's own reason is thrown. */
  signal?: AbortSignal | undefined;
}

/** Progress of writing one board; with several boards, `board.port` identifies each. */
export interface FlashProgress extends Step {
  task: 'flash';
  board: BoardRow;
}

/** A request for a manual action on a board, such as pressing RESET or holding BOOT. `step` describes the action. */
export interface FlashAsk extends Step {
  task: 'flash-ask';
}

type WholeFlash = Omit<FlashRequest, 'loader' | 'header' | 'watch' | 'project'>;

/** Options of `flash`: content, destination and method. Missing options have the command's defaults. */
export interface FlashOptions extends Partial<WholeFlash>, Watched<FlashProgress | FlashAsk> {
  /** Firmware folder whose build is written. */
  project?: string | null | undefined;
  /** Settings of the chip's loader. Defaults: `chip` auto, `baud` 921600, `stub` true, `before` default-reset, `after` hard-reset. */
  loader?: Partial<Omit<LoaderOptions, 'signal' | 'progress'>> | undefined;
  /** Changes to the bootloader's header. */
  header?: FlashRequest['header'] | undefined;
  /** Monitor the restarted board for `timeoutMs`. `pattern` matches the output of a healthy board. */
  watch?: FlashRequest['watch'] | undefined;
}

export type FlashedBoards = Awaited<ReturnType<typeof runFlash>>;

/** Default settings of the loader. */
const usualLoader = {
  chip: 'auto',
  baud: 921_600,
  stub: true,
  before: 'default-reset',
  after: 'hard-reset',
} as const;

/**
 * Writes the flash of one board or many; with `dryRun`, only returns the plan. Content that would leave a board unable to start
 * is rejected before anything is written. With several boards, failures are reported in the result instead of thrown.
 * @throws AiotError, as all functions here (`code` is the cause, `next` the next step): AIOT_SERIAL_NOT_FOUND, AIOT_SERIAL_BUSY,
 * AIOT_FLASH_REFUSED, AIOT_CHIP_MISMATCH, AIOT_FILE_NOT_FOUND, AIOT_USAGE
 */
export async function flash(options: FlashOptions): Promise<FlashedBoards> {
  const { onProgress, signal, loader, ...asked } = options;
  const request: FlashRequest = {
    ...{ images: [], ports: [], all: false, jobs: 8, diffWith: [], header: {}, device: undefined },
    ...{ slot: undefined, firmware: undefined, model: undefined, record: undefined, context: undefined },
    ...{ erase: false, verify: false, force: false, dryRun: false, retries: undefined },
    ...asked,
    project: asked.project ?? null,
    watch: asked.watch ?? null,
    loader: { ...usualLoader, ...loader, ...(signal ? { signal } : {}) },
  };
  const { runFlash } = await import('./lib/flash/write/run-flash.js');
  return await runFlash(
    request,
    (board) => onProgress?.(flashProgress(board)),
    (step) => onProgress?.({ task: 'flash-ask', step, ...uncounted }),
  );
}

function flashProgress(board: BoardRow): FlashProgress {
  const { stage, region, done, total } = board;
  const counted = total > 0 ? ({ done, total, unit: 'bytes' } as const) : uncounted;
  return { task: 'flash', step: region === null ? stage : `${stage} ${region}`, ...counted, board };
}

/** Options of `extract`. */
export interface ExtractOptions {
  /** Project folder; default: the current folder. */
  project?: string | undefined;
  /** Source of the data; default `auto`: the platform if it has recordings of the stream, else the project. */
  from?: (typeof extractSources)[number] | undefined;
  /** Folder to create, or CSV file for a project with model.table. Must not exist, or must be empty. */
  out: string;
  /** Folder of recordings, or a table, that replaces the project's own data. */
  data?: string | undefined;
  /** Platform; default: the current one, if any. */
  context?: string | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Creates a training dataset from labeled telemetry, or from the project's own data.
 * @throws AIOT_PROJECT_NOT_FOUND, AIOT_FOLDER_NOT_EMPTY, AIOT_DATA_EMPTY, AIOT_CONTEXT_NOT_FOUND, AIOT_PLATFORM_UNREACHABLE
 */
export async function extract(options: ExtractOptions): Promise<Extracted> {
  const { from = 'auto', context, ...rest } = options;
  const { loadProject } = await import('./lib/core/project.js');
  const { extractData } = await import('./lib/data/sources/extract.js');
  const { withStores } = await import('./lib/api/context.js');
  const project = await loadProject(options.project ?? '.');
  const take = (stores: DataStores) => extractData({ ...rest, ...stores, from, project });
  return await (from === 'project' ? take({ client: null, guide: null }) : withStores(context, take));
}

export interface TrainProgress extends Step {
  task: 'train';
  /** Metrics of the epoch that just ended; null for progress between epochs. */
  epoch: EpochFigures | null;
}

/** Options of `train`; they take precedence over aiot.yaml. */
export interface TrainOptions
  extends Omit<TrainRequest, 'project' | 'onEpoch' | 'onStep' | 'signal'>,
    Watched<TrainProgress> {
  /** Project folder; default: the current folder. */
  project?: string | undefined;
}

export type Trained = Awaited<ReturnType<typeof trainModel>>;

/**
 * Trains a model on a project's recordings or the rows of a table, and writes build/model.float.tflite and build/training.json. If
 * `signal` is aborted, the best epoch so far is written, and the result has `interrupted`.
 * @throws AIOT_PROJECT_NOT_FOUND, AIOT_DATA_LEAK (a split that leaks, without `force`), AIOT_DATA_EMPTY, AIOT_USAGE
 */
export async function train({ onProgress, ...options }: TrainOptions = {}): Promise<Trained> {
  const { trainModel } = await import('./lib/model/train/train-model.js');
  return await trainModel({
    ...options,
    project: options.project ?? '.',
    onEpoch: (epoch) =>
      onProgress?.({
        ...{ task: 'train', step: 'epoch', epoch },
        ...{ done: epoch.epoch, total: epoch.epochs, unit: 'epochs' },
      }),
    onStep: (step) => onProgress?.({ task: 'train', step, epoch: null, ...uncounted }),
  });
}

export interface QuantizeProgress extends Step {
  task: 'quantize';
}

/** Options of `quantize`; they take precedence over aiot.yaml. */
export interface QuantizeOptions
  extends Omit<QuantizeModelOptions, 'project' | 'onStep' | 'signal'>,
    Watched<QuantizeProgress> {
  /** Project folder; default: the current folder. Ignored if `file` is given. */
  project?: string | undefined;
}

export type Quantized = Awaited<ReturnType<typeof quantizeModel>>;

/**
 * Quantizes a float model to int8, int16x8, dynamic range or float16, and measures the loss (points of accuracy, and signal to quantization
 * noise in decibels).
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_STALE, AIOT_QUANTIZE_LOSS (more than `maxLoss`), AIOT_QUANTIZE_UNFIT, AIOT_FILE_NOT_FOUND
 */
export async function quantize({ onProgress, ...options }: QuantizeOptions = {}): Promise<Quantized> {
  const { quantizeModel } = await import('./lib/model/quantize/quantize-model.js');
  return await quantizeModel({
    ...options,
    project: options.project ?? '.',
    onStep: (step) => onProgress?.({ task: 'quantize', step, ...uncounted }),
  });
}

/** Options of `evaluate`. */
export interface EvaluateOptions extends Omit<EvaluationRequest, 'project'> {
  /** Project folder; default: the current folder. Ignored if `file` is given. */
  project?: string | undefined;
}

export type Evaluated = Awaited<ReturnType<typeof evaluateModel>>;

/**
 * Measures a project's model on data not used in training, or any .tflite or .aiot file on the rows of a table. A missed limit is
 * not an error: `gates` in the result lists each limit, and whether it was met.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_STALE, AIOT_FILE_NOT_FOUND, AIOT_TFLITE_MALFORMED, AIOT_USAGE
 */
export async function evaluate(options: EvaluateOptions = {}): Promise<Evaluated> {
  const { evaluateModel } = await import('./lib/model/evaluate/evaluate-model.js');
  return await evaluateModel({ ...options, project: options.project ?? '.' });
}

export type Inspected = Awaited<ReturnType<typeof inspectModel>>;

/**
 * Describes a .tflite or .aiot file: operators, tensors with shapes and scales, multiply-adds, and the size of the arena in
 * bytes. A bundle's contents and golden vectors are verified first, and the description includes its purpose.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_TFLITE_MALFORMED with the byte offset, AIOT_BUNDLE_MALFORMED
 */
export async function inspect(file: string): Promise<Inspected> {
  const { inspectModel } = await import('./lib/model/inspect/inspect.js');
  return await inspectModel(file);
}

/** Progress of a rollout. `done` is the number of committed devices. */
export interface RolloutProgress extends Step {
  task: 'rollout';
  rollout: Rollout;
}

/** Callbacks while waiting for a rollout. */
interface WatchedRollout extends Watched<RolloutProgress> {
  /** Called once if some devices that have not started are offline. The rollout waits for them until their deadline. */
  onOffline?: ((devices: OfflineDevices, rollout: Rollout) => void) | undefined;
}

/** The artifacts of a rollout, and its policy. */
export interface RolloutOptions extends WatchedRollout {
  /** Called for each reason why the model may not run on some devices. */
  onWarning?: ((warning: string) => void) | undefined;
  /** The versions to roll out, one per kind, each NAME@VERSION, NAME@latest, NAME@production or NAME. Give at least one, or `plan`. */
  model?: string | undefined;
  firmware?: string | undefined;
  configuration?: string | undefined;
  /** Selector of the devices, such as `type=esp32 and site=lab`, or `all`. */
  selector?: string | undefined;
  /** Version to which to roll back: the model's or, without a model, that of the last kind given. */
  rollbackTo?: string | undefined;
  /** Waves, limits and times (ms); missing values have the platform's defaults. */
  policy?: RolloutPolicyInput | undefined;
  /** A file from `aiot rollout plan`, which replaces all the options above. */
  plan?: string | undefined;
  /** If no device matches, return `{ skipped }` instead of throwing an error. */
  ifAny?: boolean | undefined;
  /** Wait until the rollout ends or is stopped. */
  wait?: boolean | undefined;
  /** Platform; default: the current one. */
  context?: string | undefined;
}

export type RolloutStarted = Rollout | z.output<typeof noRolloutSchema>;

/**
 * Starts a rollout, and waits for it if `wait` is set. The outcome is in `state`; a failed rollout does not throw.
 * @throws AIOT_CONTEXT_NOT_FOUND, AIOT_PLATFORM_UNREACHABLE, AIOT_NOT_FOUND, AIOT_ROLLOUT_EMPTY, AIOT_SELECTOR_INVALID, AIOT_MODEL_UNFIT,
 * AIOT_KEY_NOT_FOUND, AIOT_USAGE; AIOT_INTERRUPTED while waiting: the rollout continues on the platform
 */
export async function startRollout(options: RolloutOptions): Promise<RolloutStarted> {
  const { plan, policy = {}, ifAny = false, wait = false, context, onWarning, ...watched } = options;
  const { contextFor, withClient } = await import('./lib/api/context.js');
  const { readPlan, rolloutRequest, startedIfAny } = await import('./lib/api/rollouts/request.js');
  const { operatorKey } = await import('./lib/provision/index.js');
  const { name } = await contextFor(context);
  return await withClient(name, async (client) => {
    const signing = { now: Date.now(), signingKey: () => operatorKey(name) };
    const asked =
      plan === undefined
        ? await rolloutRequest({ ...options, ...signing, client, policy })
        : (await readPlan(plan)).request;
    const started = await startedIfAny(client.rollouts, asked, ifAny);
    if ('skipped' in started) return started;
    for (const warning of started.warnings ?? []) onWarning?.(warning);
    if (wait) return await follow(started, client, watched);
    const { reportOffline } = await import('./lib/api/index.js');
    const { onOffline } = watched;
    // The token may lack the permission to list devices. The rollout has started nevertheless.
    await reportOffline(started, { client, ...(onOffline ? { onOffline } : {}) }).catch(() => {});
    return started;
  });
}

/**
 * Follows a rollout until it ends or is stopped, even across restarts of the platform.
 * @throws AIOT_CONTEXT_NOT_FOUND, AIOT_PLATFORM_UNREACHABLE, AIOT_NOT_FOUND, AIOT_INTERRUPTED
 */
export async function watchRollout(
  id: string,
  { context, ...watched }: WatchedRollout & { context?: string | undefined } = {},
): Promise<Rollout> {
  const { withClient } = await import('./lib/api/context.js');
  return await withClient(context, async (client) => follow(await client.rollouts.get(id), client, watched));
}

async function follow(
  rollout: Rollout,
  client: RegistryClient,
  { onProgress, onOffline, signal }: WatchedRollout,
): Promise<Rollout> {
  const { followRollout } = await import('./lib/api/index.js');
  return await followRollout(rollout, {
    client,
    onProgress: (step) => onProgress?.(rolloutProgress(step.rollout)),
    ...(onOffline ? { onOffline } : {}),
    ...(signal ? { signal } : {}),
  });
}

function rolloutProgress(rollout: Rollout): RolloutProgress {
  const { state, waves } = rollout;
  const sum = (what: 'committed' | 'devices') => waves.reduce((all, wave) => all + wave[what], 0);
  const open = waves.findLastIndex((wave) => wave.state !== 'waiting') + 1;
  const step = `${state}, wave ${open} of ${waves.length}`;
  return { task: 'rollout', step, done: sum('committed'), total: sum('devices'), unit: 'devices', rollout };
}
