import { cp, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { publishedRunSchema } from '../../api/contract/training-runs.js';
import { AiotError, hasCode } from '../../core/errors.js';
import { makeFolder, readJson, unwritable, writeJsonAtomic } from '../../core/files.js';
import { issueText } from '../../core/issues.js';
import { newId, timeOfId } from '../../core/names.js';
import { isAlive } from '../../core/process.js';

/** `unfinished`: the process was killed before it could record how the run ended. */
export const runStates = ['running', 'done', 'interrupted', 'failed', 'unfinished'] as const;

/** build/runs/RUN/run.json: one training run of a project, or one candidate of a search. */
export const trainingRunSchema = z.object({
  spec: z.literal('aiot-training-run/1'),
  ...publishedRunSchema.shape,
  state: z.enum(runStates),
  /** Files copied to the run's folder. */
  files: z.array(
    z.object({
      name: z.string().regex(/^\w[\w.-]*$/, 'a name without a folder'),
      bytes: z.int(),
      digest: z.string(),
    }),
  ),
  /** The process that trains, or trained, the run. */
  process: z.object({ pid: z.int(), start: z.string().nullable() }),
});

export type TrainingRun = z.output<typeof trainingRunSchema>;

/** A project's folder for runs. Does not depend on aiot.yaml, because a project that trains on a table needs none. */
export function runsFolder(dir: string): string {
  return join(dir, 'build', 'runs');
}

export function runFolder(dir: string, run: string): string {
  return join(runsFolder(dir), run);
}

const runFile = (dir: string, run: string) => join(runFolder(dir, run), 'run.json');

const idPattern = /^tr_[0-9a-z]{26}$/;

export async function writeTrainingRun(dir: string, record: TrainingRun): Promise<void> {
  await writeJsonAtomic(runFile(dir, record.run), record);
}

/** IDs of all runs, oldest first. */
export async function trainingRunIds(dir: string): Promise<string[]> {
  const names = await readdir(runsFolder(dir)).catch(() => []);
  return names.filter((name) => idPattern.test(name)).sort();
}

/** ID for a run that begins now. It sorts after all existing IDs, even if the clock has been set back. */
export async function nextTrainingRunId(dir: string, now: number): Promise<string> {
  const id = newId('tr', now);
  const last = (await trainingRunIds(dir)).at(-1);
  return last === undefined || id > last ? id : newId('tr', timeOfId(last) + 1);
}

/** @throws AIOT_FILE_MALFORMED; AIOT_FILE_NOT_FOUND if the process was killed before it wrote the record */
async function readRun(dir: string, run: string): Promise<TrainingRun> {
  const file = runFile(dir, run);
  const next = `Remove it with \`aiot model runs remove ${run}\`.`;
  const content = await readJson(file).catch((error: unknown) => {
    if (!(error instanceof AiotError) || error.code !== 'AIOT_FILE_MALFORMED') throw error;
    throw error.reworded(error.message, { next });
  });
  const read = trainingRunSchema.safeParse(content);
  if (!read.success) {
    throw new AiotError('AIOT_FILE_MALFORMED', `${file}: ${issueText(read.error, 'the record')}`, { next });
  }
  const record = read.data;
  const lost = record.state === 'running' && !(await isAlive(record.process));
  return lost ? { ...record, state: 'unfinished' } : record;
}

/** Reads all of a project's runs, oldest first. @throws AIOT_FILE_NOT_FOUND (no such folder), AIOT_FILE_MALFORMED */
export async function readTrainingRuns(dir: string): Promise<TrainingRun[]> {
  await requireFolder(dir);
  const records: TrainingRun[] = [];
  for (const run of await trainingRunIds(dir)) {
    const record = await readRun(dir, run).catch((error: unknown) => {
      if (hasCode(error, 'AIOT_FILE_NOT_FOUND')) return null;
      throw error;
    });
    if (record) records.push(record);
  }
  return records;
}

async function requireFolder(dir: string): Promise<void> {
  if ((await stat(dir).catch(() => null))?.isDirectory()) return;
  throw new AiotError('AIOT_FILE_NOT_FOUND', `the project folder ${dir} does not exist`);
}

/** The only ID that starts with these characters. Default: the newest ID. @throws AIOT_NOT_FOUND, AIOT_FILE_NOT_FOUND */
async function resolveRunId(dir: string, wanted: string | undefined): Promise<string> {
  await requireFolder(dir);
  const ids = await trainingRunIds(dir);
  const found = wanted === undefined ? ids.slice(-1) : ids.filter((id) => id.startsWith(wanted));
  const [id] = found;
  if (id !== undefined && found.length === 1) return id;
  const message =
    wanted === undefined
      ? `${dir} has no training runs yet`
      : found.length > 1
        ? `${wanted} matches ${found.length} training runs`
        : `no training run ${wanted}`;
  throw new AiotError('AIOT_NOT_FOUND', message, {
    subject: 'training-run',
    ...(ids.length === 0 ? { next: 'Train a model with `aiot model train`.' } : {}),
  });
}

/**
 * Reads a run, given its ID or the ID's first characters. Default: the newest run.
 * @throws AIOT_NOT_FOUND, AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED
 */
export async function findTrainingRun(dir: string, wanted?: string): Promise<TrainingRun> {
  return await readRun(dir, await resolveRunId(dir, wanted));
}

/** A run, and the folder with copies of the run's files. */
export const shownRunSchema = trainingRunSchema.extend({ folder: z.string() });

export type ShownRun = z.output<typeof shownRunSchema>;

/** @throws as `findTrainingRun` */
export async function showTrainingRun(dir: string, wanted?: string): Promise<ShownRun> {
  const record = await findTrainingRun(dir, wanted);
  return { ...record, folder: runFolder(dir, record.run) };
}

/** @param last maximum number of runs @returns newest first @throws as `readTrainingRuns` */
export async function listTrainingRuns(dir: string, last: number): Promise<TrainingRun[]> {
  return (await readTrainingRuns(dir)).reverse().slice(0, last);
}

/**
 * Copies the runs of a copy of the project, such as the folder of a pipeline step, to the project. Runs that the project has are not
 * changed. A run appears only when it is complete.
 * @throws AIOT_FILE_NOT_WRITABLE
 */
export async function adoptTrainingRuns(from: string, dir: string): Promise<void> {
  const known = new Set(await trainingRunIds(dir));
  const part = join(runsFolder(dir), `.${newId('part')}.tmp`);
  for (const run of await trainingRunIds(from)) {
    if (known.has(run)) continue;
    try {
      await makeFolder(runsFolder(dir));
      await cp(runFolder(from, run), part, { recursive: true });
      await rename(part, runFolder(dir, run));
    } catch (error) {
      await rm(part, { recursive: true, force: true }).catch(() => {});
      throw unwritable(runFolder(dir, run), error, 'write');
    }
  }
}

export const removedRunsSchema = z.object({
  /** IDs, oldest first. */
  removed: z.array(z.string()),
  /** Number of runs that remain. */
  left: z.int(),
});

/** Criteria for runs to remove. Exactly one must be set. */
export interface RunsToRemove {
  /** ID of a run, or the ID's first characters. */
  run?: string | undefined;
  /** Number of newest runs to keep. */
  keep?: number | undefined;
  /** Minimum time since a run began, ms. */
  olderThan?: number | undefined;
}

/**
 * IDs of the runs to remove, oldest first. Runs with damaged records can be removed too. Runs in progress are never removed.
 * @throws AIOT_USAGE (not exactly one criterion, or the run is in progress), AIOT_NOT_FOUND, AIOT_FILE_NOT_FOUND
 */
export async function runsToRemove(
  dir: string,
  { run, keep, olderThan }: RunsToRemove,
  now = Date.now(),
): Promise<string[]> {
  if ([run, keep, olderThan].filter((each) => each !== undefined).length !== 1) {
    throw new AiotError('AIOT_USAGE', 'expected exactly one of a run, --keep and --older-than', {
      next: 'Name one run, or prune with --keep 20 or --older-than 720h.',
    });
  }
  if (run !== undefined) {
    const id = await resolveRunId(dir, run);
    if (!(await isInProgress(dir, id))) return [id];
    throw new AiotError('AIOT_USAGE', `the training run ${id} is in progress`, {
      next: 'Stop the training with Ctrl-C first, or wait until it ends.',
    });
  }
  await requireFolder(dir);
  const ids = await trainingRunIds(dir);
  const old =
    keep === undefined
      ? ids.filter((id) => timeOfId(id) < now - (olderThan ?? 0))
      : ids.slice(0, Math.max(0, ids.length - keep));
  const found: string[] = [];
  for (const id of old) if (!(await isInProgress(dir, id))) found.push(id);
  return found;
}

async function isInProgress(dir: string, run: string): Promise<boolean> {
  try {
    return (await readRun(dir, run)).state === 'running';
  } catch (error) {
    if (hasCode(error, 'AIOT_FILE_MALFORMED') || hasCode(error, 'AIOT_FILE_NOT_FOUND')) return false;
    throw error;
  }
}

/** Removes these runs with their files. @throws AIOT_FILE_NOT_WRITABLE */
export async function removeTrainingRuns(
  dir: string,
  runs: readonly string[],
): Promise<z.output<typeof removedRunsSchema>> {
  for (const run of runs) {
    // Removes the record first. A folder without a record is not listed, so an interrupted removal leaves no incomplete run.
    try {
      await rm(runFile(dir, run), { force: true });
      await rm(runFolder(dir, run), { recursive: true, force: true });
    } catch (error) {
      throw unwritable(runFolder(dir, run), error, 'remove');
    }
  }
  return { removed: [...runs], left: (await trainingRunIds(dir)).length };
}
