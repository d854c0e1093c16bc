import { readFile } from 'node:fs/promises';
import * as z from 'zod';
import { AiotError } from '../core/errors.js';
import { writeFileAtomic } from '../core/files.js';
import { takeLock } from '../core/lock.js';
import { isAlive } from '../core/process.js';
import { loadProject } from '../core/project.js';
import { didYouMean } from '../core/text.js';
import { systemClock } from '../core/time.js';
import { cancelOnArgo } from './argo/cancel.js';
import { resumeOnArgo } from './argo/run-on-argo.js';
import { cancelFile, childrenOf, interrupted } from './run/lifecycle.js';
import { endGroup, endLeftovers } from './run/processes.js';
import {
  findRun,
  pipelineFolders,
  type RunRecord,
  readRun,
  runIds,
  runRecordSchema,
  stepRecordSchema,
  writeRun,
} from './run/record.js';
import { type RunPipelineOptions, runPipeline } from './run/run-pipeline.js';
import { placesOf } from './run/run-step.js';

/** A run as shown to users. Its state is `interrupted` if its runner no longer exists. */
export const runStatusSchema = runRecordSchema.extend({
  steps: z.array(stepRecordSchema),
  /** Output of a step, if requested. */
  log: z.string().optional(),
});

export type RunStatus = z.output<typeof runStatusSchema>;

/** The state of a run; by default, the last run. @throws AIOT_NOT_FOUND, AIOT_USAGE (no such step) */
export async function pipelineStatus(options: {
  dir: string;
  run?: string;
  /** Only this step, with its log. */
  step?: string;
}): Promise<RunStatus> {
  const { dir } = await loadProject(options.dir);
  const folders = pipelineFolders(dir);
  const record = await seen(await findRun(folders, options.run));
  if (options.step === undefined) return record;
  const steps = record.steps.filter(({ name }) => name === options.step);
  if (steps.length === 0) {
    const known = record.steps.map(({ name }) => name);
    throw new AiotError(
      'AIOT_USAGE',
      `--step: expected a step of the run (${known.join(', ')}), got ${options.step}${didYouMean(options.step, known)}`,
    );
  }
  const { log } = placesOf(folders, record.run, options.step);
  return { ...record, steps, log: await readFile(log, 'utf8').catch(() => '') };
}

/** The project's runs, newest first. */
export async function pipelineHistory(options: { dir: string; limit?: number }): Promise<RunRecord[]> {
  const { dir } = await loadProject(options.dir);
  const folders = pipelineFolders(dir);
  const ids = (await runIds(folders)).reverse().slice(0, options.limit);
  const records: RunRecord[] = [];
  for (const id of ids) records.push(await seen(await readRun(folders, id)));
  return records;
}

/** Marks a run as interrupted if its runner was killed before the runner could mark it. */
async function seen(record: RunRecord): Promise<RunRecord> {
  if (record.state !== 'running') return record;
  if (record.runner && (await isAlive(record.runner))) return record;
  return interrupted(record, 'interrupted', record.ended ?? lastSeen(record));
}

function lastSeen(record: RunRecord): number {
  return Math.max(record.started, ...record.steps.map(({ started, ended }) => ended ?? started ?? 0));
}

/** Stops a run and everything that it started. @throws AIOT_NOT_FOUND, AIOT_USAGE (the run is not in progress) */
export async function cancelPipeline(options: {
  dir: string;
  run?: string;
  /** Token for Argo's server (secret), for runs on a cluster. */
  token?: string | undefined;
}): Promise<RunRecord> {
  const { dir } = await loadProject(options.dir);
  const folders = pipelineFolders(dir);
  const record = await findRun(folders, options.run);
  if (record.state !== 'running' && record.state !== 'interrupted') {
    throw new AiotError('AIOT_USAGE', `run ${record.run} is not running: it is ${record.state}`, {
      next: 'To see its steps, run `aiot pipeline status`.',
    });
  }
  if (record.engine === 'argo') return await cancelOnArgo({ folders, record, token: options.token });
  const { runner } = record;
  if (runner && (await isAlive(runner))) {
    await writeFileAtomic(cancelFile(folders, record.run), '');
    process.kill(runner.pid, 'SIGTERM');
    const deadline = performance.now() + 15_000;
    while (performance.now() < deadline && (await isAlive(runner))) {
      if ((await readRun(folders, record.run)).state !== 'running') break;
      await systemClock.sleep(30);
    }
  }
  return await settle(folders, record.run, runner);
}

/** Completes the record of a runner that was killed. */
async function settle(
  folders: ReturnType<typeof pipelineFolders>,
  run: string,
  runner: RunRecord['runner'],
): Promise<RunRecord> {
  const release = await takeLock(folders.lock, 2000);
  if (!release && runner) await endGroup(runner);
  try {
    const record = await readRun(folders, run);
    if (record.state === 'cancelled') return record;
    await endLeftovers(folders.root, childrenOf(record));
    const cancelled = interrupted(record, 'cancelled', record.ended ?? systemClock.now());
    await writeRun(folders, cancelled);
    return cancelled;
  } finally {
    release?.();
  }
}

interface ResumePipelineOptions extends RunPipelineOptions {
  /** The run's id, or a prefix; absent = the last run. */
  run?: string | undefined;
  /** Token for Argo's server (secret), for runs on a cluster. */
  token?: string | undefined;
}

/**
 * Resumes a run with its original engine.
 * @throws as runPipeline, AIOT_ARGO_*, AIOT_USAGE (the run is done)
 */
export async function resumePipeline({ run, ...options }: ResumePipelineOptions): Promise<RunRecord> {
  const { dir } = await loadProject(options.dir);
  const record = await findRun(pipelineFolders(dir), run);
  if (record.state === 'done') {
    throw new AiotError('AIOT_USAGE', `run ${record.run} has finished: there is nothing to resume`, {
      next: 'To start a new run, run `aiot pipeline run`.',
    });
  }
  if (record.engine === 'argo') return await resumeOnArgo({ ...options, run: record.run });
  return await runPipeline({ ...options, resume: record.run });
}
