import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { readJson, writeJsonAtomic } from '../../core/files.js';
import { aiotVersion } from '../../core/folders.js';
import { newId, timeOfId } from '../../core/names.js';
import { userName } from '../../core/systemd.js';
import type { Clock } from '../../core/time.js';
import { treeSchema } from '../store.js';

export const stepStates = [
  'waiting',
  'running',
  'done',
  /** The step had nothing to do, because of a condition or its own result. */
  'skipped',
  'failed',
  /** The step is a gate that was not passed. */
  'stopped',
  /** The step was not run, because a step on which it depends did not succeed. */
  'not-run',
  'interrupted',
  'cancelled',
] as const;

export type StepState = (typeof stepStates)[number];

export const runStates = ['running', 'done', 'failed', 'stopped', 'interrupted', 'cancelled'] as const;

export type RunState = (typeof runStates)[number];

/** Identity of a process. The start time is included, because process IDs are reused. */
const processSchema = z.object({
  pid: z.int(),
  /** Start time of the process, in the system's unit; null if the system does not provide it. */
  start: z.string().nullable(),
});

export const stepRecordSchema = z.object({
  name: z.string(),
  state: z.enum(stepStates),
  /** Whether the outcome is from the cache and the step was not run. */
  cached: z.boolean(),
  seconds: z.number(),
  attempts: z.int(),
  /** Exit code; null if the step was not run, or was ended by a signal. */
  exit: z.int().nullable(),
  /** Peak memory of the step's process; null if it was not measured. */
  peakBytes: z.int().nullable(),
  /** Reason why the step failed, was not run, or had nothing to do. */
  reason: z.string().nullable(),
  error: z.object({ code: z.string(), message: z.string(), next: z.string().optional() }).nullable(),
  /** Start, ms since 1970. */
  started: z.number().nullable(),
  /** End, ms since 1970. */
  ended: z.number().nullable(),
  /** Cache key of the step. */
  key: z.string().nullable(),
  /** Digests of the inputs, by name. */
  inputs: z.record(z.string(), z.string()),
  outputs: z.record(z.string(), treeSchema),
  /** The JSON that the step printed; null if the step printed no JSON. */
  result: z.unknown(),
  child: processSchema.nullable(),
});

export type StepRecord = z.output<typeof stepRecordSchema>;

/** Cause of a run: a user, or a trigger. */
export const causeSchema = z.object({
  kind: z.enum(['manual', 'rows', 'every', 'drift', 'cron', 'control', 'webhook']),
  /** Short description of the cause. */
  text: z.string(),
});

export type Cause = z.output<typeof causeSchema>;

/** The Argo workflow of a run. */
const workflowSchema = z.object({
  /** URL of Argo's server. */
  server: z.string(),
  /** PEM file of the CA that signed the server's certificate; null = the system's CAs. */
  ca: z.string().nullable(),
  namespace: z.string(),
  /** Name of the WorkflowTemplate. */
  template: z.string(),
  /** Name of the workflow. The name is chosen before submission, so that a run is never submitted twice. */
  name: z.string(),
  /** Whether the server has confirmed that the workflow exists. */
  seen: z.boolean(),
});

export type WorkflowRef = z.output<typeof workflowSchema>;

export const runRecordSchema = z.object({
  spec: z.literal('aiot-run/1'),
  run: z.string(),
  project: z.string(),
  state: z.enum(runStates),
  cause: causeSchema,
  /** User of the operating system who started the run. */
  who: z.string(),
  started: z.number(),
  ended: z.number().nullable(),
  seconds: z.number(),
  aiot: z.string(),
  /** Name of the context; null for the project's own platform. */
  context: z.string().nullable(),
  /** The model that was pushed. With an installation of the guide's services, `name` is a file name, and there is no version. */
  model: z.object({ name: z.string(), version: z.int().nullable(), digest: z.string() }).nullable(),
  /** Outputs published to the project, with paths relative to it. */
  published: z.array(z.object({ path: z.string(), digest: z.string(), changed: z.boolean() })),
  runner: processSchema.nullable(),
  /** Where the steps are run: in processes of this machine, or in pods of a cluster. */
  engine: z.enum(['local', 'argo']).default('local'),
  workflow: workflowSchema.nullable().default(null),
  /** Options of `run` that are needed to resume it. */
  asked: z.object({ until: z.string().nullable(), force: z.boolean() }),
  steps: z.array(stepRecordSchema),
});

export type RunRecord = z.output<typeof runRecordSchema>;

/** The record of a run that starts now. */
export function newRunRecord(
  project: string,
  clock: Clock,
  more: Partial<RunRecord> & Pick<RunRecord, 'asked' | 'run'>,
): RunRecord {
  return {
    spec: 'aiot-run/1',
    project,
    state: 'running',
    cause: { kind: 'manual', text: 'started manually' },
    who: userName(),
    started: clock.now(),
    ended: null,
    seconds: 0,
    aiot: aiotVersion(),
    context: null,
    model: null,
    published: [],
    runner: null,
    engine: 'local',
    workflow: null,
    steps: [],
    ...more,
  };
}

export function newStepRecord(name: string): StepRecord {
  return {
    name,
    state: 'waiting',
    cached: false,
    seconds: 0,
    attempts: 0,
    exit: null,
    peakBytes: null,
    reason: null,
    error: null,
    started: null,
    ended: null,
    key: null,
    inputs: {},
    outputs: {},
    result: null,
    child: null,
  };
}

function runFile({ runs }: PipelineFolders, run: string): string {
  return join(runs, `${run}.json`);
}

export async function writeRun(folders: PipelineFolders, record: RunRecord): Promise<void> {
  await writeJsonAtomic(runFile(folders, record.run), record);
}

/** Ids of all runs in the history, oldest first. */
export async function runIds({ runs }: PipelineFolders): Promise<string[]> {
  const names = await readdir(runs).catch(() => []);
  return names.flatMap((name) => (/^run_[a-z0-9]+\.json$/.test(name) ? [name.slice(0, -5)] : [])).sort();
}

/**
 * ID for a run that starts now. The ID sorts after all existing IDs, even if the clock was set back, because IDs determine the order of the
 * history.
 */
export async function nextRunId(folders: PipelineFolders, clock: Clock): Promise<string> {
  const id = newId('run', clock.now());
  const last = (await runIds(folders)).at(-1);
  return last === undefined || id > last ? id : newId('run', timeOfId(last) + 1);
}

/**
 * Finds a run of the history, by its id or a prefix of it. Default: the last run.
 * @throws AIOT_NOT_FOUND
 */
export async function findRun(folders: PipelineFolders, wanted?: string): Promise<RunRecord> {
  const ids = await runIds(folders);
  const found = wanted === undefined ? ids.slice(-1) : ids.filter((id) => id.startsWith(wanted));
  const [id] = found;
  if (id === undefined || found.length > 1) {
    const what = wanted === undefined ? 'the pipeline has not been run yet' : `no run ${wanted}`;
    const several = `${wanted} matches ${found.length} runs`;
    throw new AiotError('AIOT_NOT_FOUND', found.length > 1 ? several : what, { subject: 'run' });
  }
  return await readRun(folders, id);
}

/** @throws AIOT_FILE_MALFORMED */
export async function readRun(folders: PipelineFolders, id: string): Promise<RunRecord> {
  const file = runFile(folders, id);
  const read = runRecordSchema.safeParse(await readJson(file));
  if (read.success) return read.data;
  throw new AiotError('AIOT_FILE_MALFORMED', `${file}: not a run record`, {
    next: `Delete ${file}.`,
  });
}

/** Removes the oldest runs, with their logs. */
export async function pruneRuns(folders: PipelineFolders, most: number): Promise<void> {
  const ids = await runIds(folders);
  for (const id of ids.slice(0, Math.max(0, ids.length - most))) {
    await rm(join(folders.logs, id), { recursive: true, force: true });
    await rm(runFile(folders, id), { force: true });
  }
}

/** Writes a record to disk whenever it changes. There is one write at a time, always of the newest state. */
export function createRecorder(write: (record: RunRecord) => Promise<void>, record: RunRecord) {
  let dirty = false;
  let writing: Promise<void> | undefined;
  const failures: unknown[] = [];
  const loop = async () => {
    while (dirty) {
      dirty = false;
      await write(structuredClone(record));
    }
  };
  const changed = () => {
    dirty = true;
    writing ??= loop()
      .catch((error: unknown) => void failures.push(error))
      .finally(() => {
        writing = undefined;
      });
  };
  return {
    changed,
    /** Resolves once the newest state is on disk. @throws AIOT_FILE_NOT_WRITABLE */
    async end(): Promise<void> {
      changed();
      while (writing !== undefined) await writing;
      if (failures.length > 0) throw failures[0];
    },
  };
}

/** The folders of a project's pipeline. All of their contents can be regenerated, except for the platform and the history. */
export function pipelineFolders(dir: string) {
  const root = join(dir, '.aiot', 'pipeline');
  return {
    root,
    /** Lock of the process that runs the pipeline. The lock ends with the process. */
    lock: join(root, 'lock'),
    /** Records of runs, one file each. */
    runs: join(root, 'runs'),
    /** Logs of steps: RUN/STEP.log. */
    logs: join(root, 'logs'),
    /** Working folders of steps: RUN/STEP. */
    work: join(root, 'work'),
    /** Contents of files, by digest. */
    blobs: join(root, 'store', 'blobs'),
    /** Outcomes of steps, by key. */
    entries: join(root, 'store', 'steps'),
    /** Outputs that later runs use, by name. */
    kept: join(root, 'kept.json'),
    /** The project's own platform, for use without a context. */
    platform: join(root, 'platform'),
    /** Contexts and keys of that platform. */
    config: join(root, 'config'),
  };
}

export type PipelineFolders = ReturnType<typeof pipelineFolders>;
