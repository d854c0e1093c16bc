import { open, readdir, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { RegistryClient } from '../../api/client.js';
import type { ToldRun, ToldStep } from '../../api/contract/jobs.js';
import { type ChosenContext, chosenContext } from '../../core/contexts.js';
import { AiotError } from '../../core/errors.js';
import { bytesOf } from '../../core/figures.js';
import { identify } from '../../core/process.js';
import { loadProject, type Project } from '../../core/project.js';
import { didYouMean } from '../../core/text.js';
import { type Clock, systemClock } from '../../core/time.js';
import { planPipeline, upstreamOf } from '../plan/plan.js';
import type { PipelinePlan } from '../plan/types.js';
import { openBlobs, pruneEntries, readKept } from '../store.js';
import { runSteps } from './engine.js';
import { finish, holdPipeline, prepareFolders } from './lifecycle.js';
import { ownPlatform, platformOfContext } from './platform.js';
import { type LineSource, selfCommand } from './processes.js';
import {
  type Cause,
  createRecorder,
  findRun,
  newRunRecord,
  nextRunId,
  type PipelineFolders,
  pipelineFolders,
  pruneRuns,
  type RunRecord,
  type StepRecord,
  writeRun,
} from './record.js';
import { placesOf } from './run-step.js';

export interface RunPipelineOptions {
  /** The project's folder. */
  dir: string;
  /** Context to use instead of the current one. */
  context?: string;
  /** Maximum number of concurrent steps. */
  jobs?: number;
  /** Whether to ignore the cache. */
  force?: boolean;
  /** Last step to run. */
  until?: string;
  /** Cause of the run; default: a user. */
  cause?: Cause;
  /** ID of a run to resume, or a prefix of it. Empty = the last run. */
  resume?: string;
  clock?: Clock;
  signal?: AbortSignal;
  /** Command that starts this program; default: the current build or sources. */
  self?: readonly string[];
  /** Called at the beginning, and whenever a step has changed. */
  onChange?: (record: RunRecord, step?: StepRecord) => void;
  onLine?: (step: string, line: string, source: LineSource) => void;
}

/** A run that was started or resumed. */
interface Begun {
  record: RunRecord;
  plan: PipelinePlan;
  context: ChosenContext | null;
}

/**
 * Runs a project's pipeline, or resumes a run. The record contains the outcome. Only errors that prevent the start are thrown.
 * @throws AIOT_PROJECT_*, AIOT_PIPELINE_BUSY, AIOT_NOT_FOUND, AIOT_CONTEXT_NOT_FOUND, AIOT_USAGE
 */
export async function runPipeline(options: RunPipelineOptions): Promise<RunRecord> {
  const { clock = systemClock, signal = new AbortController().signal, self = selfCommand() } = options;
  const project = await loadProject(options.dir);
  const { pipeline } = project.config;
  const folders = pipelineFolders(project.dir);
  const release = await holdPipeline(folders, clock);
  try {
    const { record, plan, context } = await begin(project, folders, options, clock);
    const recorder = createRecorder((now) => writeRun(folders, now), record);
    const teller = createTeller(context, record, { plan, folders });
    const blobs = openBlobs(folders.blobs);
    try {
      const platform = context ? platformOfContext(context.name, context) : ownPlatform(folders, self);
      const kept = await readKept(folders.kept);
      await prepareFolders(folders);
      record.runner = await identify(process.pid);
      recorder.changed();
      teller.changed();
      options.onChange?.(record);
      try {
        await runSteps({
          ...{ plan, record, dir: project.dir, folders, blobs, kept, platform, self, clock, signal },
          jobs: options.jobs ?? pipeline.jobs ?? availableParallelism(),
          force: record.asked.force,
          onChange: (step) => {
            recorder.changed();
            teller.changed();
            options.onChange?.(record, step);
          },
          onLine: options.onLine ?? (() => {}),
        });
      } finally {
        await platform.close();
      }
      await finish({ plan, record, dir: project.dir, folders, blobs, kept, clock, aborted: signal.aborted });
      await recorder.end();
    } finally {
      await teller.end();
    }
    if (record.state === 'done') await rm(join(folders.work, record.run), { recursive: true, force: true });
    if (record.steps.some((step) => !step.cached)) await tidy(project, folders, blobs, record.run);
    await pruneRuns(folders, pipeline.keep.runs);
    return record;
  } finally {
    release();
  }
}

async function begin(
  project: Project,
  folders: PipelineFolders,
  options: RunPipelineOptions,
  clock: Clock,
): Promise<Begun> {
  const before = options.resume === undefined ? null : await findRun(folders, options.resume || undefined);
  if (before?.state === 'done') {
    throw new AiotError('AIOT_USAGE', `run ${before.run} has finished: there is nothing to resume`, {
      next: 'To start a new run, run `aiot pipeline run`.',
    });
  }
  const context = await chosenContext(options.context ?? before?.context ?? undefined);
  const whole = await planPipeline(project, { kind: context?.kind ?? null });
  const until = before ? before.asked.until : (options.until ?? null);
  const plan = until === null ? whole : upTo(whole, until);
  if (before) {
    const again = { state: 'running' as const, ended: null, context: context?.name ?? null };
    return { record: { ...before, ...again }, plan, context };
  }
  const record = newRunRecord(project.config.name, clock, {
    run: await nextRunId(folders, clock),
    context: context?.name ?? null,
    asked: { until, force: options.force ?? false },
    ...(options.cause ? { cause: options.cause } : {}),
  });
  return { record, plan, context };
}

/** The plan up to a step, with its dependencies. @throws AIOT_USAGE */
function upTo(plan: PipelinePlan, name: string): PipelinePlan {
  if (!plan.steps.some((step) => step.name === name)) {
    const known = plan.steps.map((step) => step.name);
    throw new AiotError(
      'AIOT_USAGE',
      `--until: expected a step (${known.join(', ')}), got ${name}${didYouMean(name, known)}`,
    );
  }
  const wanted = upstreamOf(plan.steps, name).add(name);
  return { ...plan, steps: plan.steps.filter((step) => wanted.has(step.name)) };
}

/** Evicts excess entries from the cache, and deletes the step folders of earlier runs. */
async function tidy(
  project: Project,
  folders: PipelineFolders,
  blobs: ReturnType<typeof openBlobs>,
  run: string,
): Promise<void> {
  for (const name of await readdir(folders.work).catch(() => [])) {
    if (name !== run) await rm(join(folders.work, name), { recursive: true, force: true });
  }
  const kept = await readKept(folders.kept);
  const files = Object.values(kept).flatMap(({ tree }) => tree.files);
  const always = new Map(files.map(({ digest, bytes }) => [digest, bytes]));
  const most = bytesOf(project.config.pipeline.keep.cache);
  await blobs.keepOnly(await pruneEntries(folders.entries, most, always));
}

/**
 * Interval between a run's reports, ms, and maximum time without a report. A report is sent even without changes, because a silent run
 * would count as dead.
 */
const everyMs = 2000;

const silentMs = 25_000;

/** Maximum time that a finished run waits for its last report to reach the platform, ms. */
const endMs = 3000;

const logBytes = 8000;

/** Maximum size of one step's result, and of all results in a report, bytes of JSON. A request body may have at most one mebibyte. */
const [resultBytes, allBytes] = [64_000, 500_000];

/**
 * Reports the progress of a run to a context's platform. The run neither waits for a report nor fails if a report fails. After a failed
 * report, the state is reported with the next change. If the platform does not support such reports, no more reports are sent.
 */
function createTeller(
  context: ChosenContext | null,
  record: RunRecord,
  { plan, folders }: { plan: PipelinePlan; folders: PipelineFolders },
) {
  if (context === null || context.kind !== 'platform') return { changed() {}, async end() {} };
  const about = new Map(plan.steps.map((step) => [step.name, step]));
  let client: Promise<RegistryClient> | undefined;
  let telling: Promise<void> | undefined;
  let dirty = false;
  let deaf = false;
  let last = { text: '', at: 0 };

  async function tell(): Promise<void> {
    const { clientFor } = await import('../../api/context.js');
    client ??= clientFor(context?.name);
    while (dirty && !deaf) {
      dirty = false;
      const told = await toldRun(structuredClone(record), about, folders);
      const text = JSON.stringify(told);
      if (text === last.text && performance.now() - last.at < silentMs) continue;
      await (await client).runs.tell(record.project, record.run, told);
      last = { text, at: performance.now() };
    }
  }
  const changed = () => {
    dirty = true;
    if (deaf) return;
    telling ??= tell()
      .catch((error: { retryable?: boolean }) => {
        deaf = error.retryable !== true;
      })
      .finally(() => {
        telling = undefined;
      });
  };
  const timer = setInterval(changed, everyMs);
  timer.unref();
  return {
    changed,
    /** Sends the final report, and waits at most `endMs` for the platform. */
    async end(): Promise<void> {
      clearInterval(timer);
      let patience: NodeJS.Timeout | undefined;
      const enough = new Promise<void>((resolve) => {
        patience = setTimeout(resolve, endMs);
      });
      const lastWord = async () => {
        await telling;
        changed();
        await telling;
      };
      await Promise.race([lastWord(), enough]);
      clearTimeout(patience);
      await client?.then((own) => own.close()).catch(() => {});
    },
  };
}

async function toldRun(
  { state, cause, who, started, ended, seconds, aiot, engine, model, run, steps }: RunRecord,
  about: ReadonlyMap<string, PipelinePlan['steps'][number]>,
  folders: PipelineFolders,
): Promise<ToldRun> {
  let left = allBytes;
  const told: ToldStep[] = [];
  for (const step of steps) {
    const bytes = Buffer.byteLength(JSON.stringify(step.result ?? null));
    const fits = bytes <= resultBytes && bytes <= left;
    if (fits) left -= bytes;
    const log = step.started === null ? '' : await tailOf(placesOf(folders, run, step.name).log);
    told.push({ ...toldStep(step, about.get(step.name)), result: fits ? (step.result ?? null) : null, log });
  }
  const reason = { kind: cause.kind, text: cause.text.slice(0, 2000) };
  return { state, cause: reason, who, started, ended, seconds, aiot, engine, model, steps: told };
}

function toldStep(
  step: StepRecord,
  plan: PipelinePlan['steps'][number] | undefined,
): Omit<ToldStep, 'result' | 'log'> {
  const { name, state, cached, seconds, attempts, exit, peakBytes, reason, error } = step;
  const { started, ended, key, inputs, outputs } = step;
  return {
    ...{ name, state, cached, seconds, attempts, exit, peakBytes, started, ended, key, inputs },
    about: plan?.about.slice(0, 500) ?? '',
    needs: plan?.needs ?? [],
    gate: plan?.gate?.slice(0, 500) ?? null,
    conditional: (plan?.when.length ?? 0) > 0,
    reason: reason?.slice(0, 2000) ?? null,
    error: error && { ...error, message: error.message.slice(0, 2000) },
    outputs: Object.fromEntries(
      Object.entries(outputs).map(([of, { digest, bytes }]) => [of, { digest, bytes }]),
    ),
  };
}

/** The last lines of a log; empty if there is no log. */
async function tailOf(path: string): Promise<string> {
  const file = await open(path, 'r').catch(() => null);
  if (file === null) return '';
  try {
    const { size } = await file.stat();
    const from = Math.max(0, size - logBytes);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from);
    const text = buffer.toString('utf8', 0, bytesRead);
    return (from === 0 ? text : text.slice(text.indexOf('\n') + 1)).slice(-8000);
  } finally {
    await file.close();
  }
}
