import { readdir, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import {
  AiotError,
  bytesOf,
  type ChosenContext,
  type Clock,
  chosenContext,
  didYouMean,
  loadProject,
  type Project,
  systemClock,
} from '../../core/index.js';
import { type PipelineFolders, pipelineFolders } from '../folders.js';
import { upstreamOf } from '../plan/order.js';
import { planPipeline } from '../plan/plan.js';
import type { PipelinePlan } from '../plan/types.js';
import { openBlobs } from '../store/blobs.js';
import { pruneEntries } from '../store/entries.js';
import { readKept } from '../store/kept.js';
import { holdPipeline, prepareFolders } from './begin.js';
import { selfCommand } from './child.js';
import { runSteps } from './engine.js';
import { finish } from './finish.js';
import { ownPlatform, platformOfContext } from './platform.js';
import { identify } from './processes.js';
import {
  type Cause,
  findRun,
  newRunRecord,
  nextRunId,
  pruneRuns,
  type RunRecord,
  type StepRecord,
  writeRun,
} from './record.js';
import { createRecorder } from './recorder.js';
import { createTeller } from './tell.js';

export interface RunPipelineOptions {
  /** The project's folder. */
  dir: string;
  /** Instead of the context in use. */
  context?: string;
  /** Steps at a time. */
  jobs?: number;
  /** Takes nothing from the cache. */
  force?: boolean;
  /** Ends after this step. */
  until?: string;
  /** What started it; somebody, unless told. */
  cause?: Cause;
  /** A run to go on with: its id, or the beginning of it. Empty = the last one. */
  resume?: string;
  clock?: Clock;
  signal?: AbortSignal;
  /** How this program is started; as it runs now unless told. */
  self?: readonly string[];
  /** At the beginning, and whenever a step has changed. */
  onChange?: (record: RunRecord, step?: StepRecord) => void;
  onLine?: (step: string, line: string) => void;
}

/** Where a run ended well, or was going to: how `resume` and `run` begin. */
interface Begun {
  record: RunRecord;
  plan: PipelinePlan;
  context: ChosenContext | null;
}

/**
 * Runs a project's pipeline, or goes on with a run. How it came out stands in the record: only what keeps it from being begun is thrown.
 * @throws AIOT_PROJECT_*, AIOT_PIPELINE_BUSY, AIOT_RUN_NOT_FOUND, AIOT_CONTEXT_NOT_FOUND, AIOT_USAGE
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
    throw new AiotError('AIOT_USAGE', `run ${before.run} is done: there is nothing to go on with`, {
      next: 'aiot pipeline run',
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

/** The plan as far as a step, with what it needs. @throws AIOT_USAGE */
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

/** Removes from the cache what is too much, and folders of steps of earlier runs. */
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
