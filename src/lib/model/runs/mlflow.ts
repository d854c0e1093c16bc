import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import * as z from 'zod';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError, hasCode, systemCode } from '../../core/errors.js';
import { makeFolder, readBytes, readJson, syncFolder, unwritable } from '../../core/files.js';
import { readTrainingRuns, runFolder, type TrainingRun } from './record.js';

export const exportedRunsSchema = z.object({
  /** Folder that MLflow uses as its file store. */
  out: z.string(),
  format: z.literal('mlflow'),
  experiments: z.array(z.object({ name: z.string(), id: z.string(), runs: z.int() })),
  /** IDs of runs in progress, which are not exported. */
  skipped: z.array(z.string()),
});

export type ExportedRuns = z.output<typeof exportedRunsSchema>;

/** Values of MLflow's RunStatus (mlflow/protos/service.proto). */
const statuses = { done: 3, failed: 4, interrupted: 5, unfinished: 5 } as const;

/** SourceType LOCAL (mlflow/entities/source_type.py). */
const localSource = 4;

/**
 * Writes a project's runs, except those in progress, as an MLflow file store (mlflow/store/tracking/file_store.py). Each model becomes an
 * experiment folder, which contains a folder for each run with its params, metrics, tags and artifacts. IDs are derived from model names
 * and run IDs, so a repeated export has the same IDs. The folder is created completely or not at all. Artifact paths are absolute.
 * @throws AIOT_NOT_FOUND (no runs), AIOT_FOLDER_NOT_EMPTY, AIOT_FILE_NOT_WRITABLE, AIOT_DISK_FULL, and any error of reading the runs
 */
export async function exportMlflow({ dir, out }: { dir: string; out: string }): Promise<ExportedRuns> {
  const target = resolve(out);
  await requireEmpty(target);
  const all = await readTrainingRuns(dir);
  const runs = all.filter(({ state }) => state !== 'running');
  if (runs.length === 0) {
    throw new AiotError('AIOT_NOT_FOUND', `${dir} has no training runs to export`, {
      subject: 'training-run',
      next: 'Train a model with `aiot model train`.',
    });
  }
  const experiments = [...new Set(runs.map(({ model }) => model))].map((name) => ({
    ...{ name, id: experimentId(name), own: runs.filter(({ model }) => model === name) },
  }));
  await makeFolder(dirname(target));
  const staging = join(dirname(target), `.${basename(target)}.${randomBytes(4).toString('hex')}.tmp`);
  try {
    for (const experiment of experiments) await writeExperiment(dir, { staging, target }, experiment);
    await rmdir(target).catch(() => {});
    await rename(staging, target);
    await syncFolder(dirname(target));
  } catch (error) {
    await rm(staging, { recursive: true, force: true });
    throw unwritable(target, error);
  }
  return {
    out: target,
    format: 'mlflow',
    experiments: experiments.map(({ name, id, own }) => ({ name, id, runs: own.length })),
    skipped: all.flatMap(({ run, state }) => (state === 'running' ? [run] : [])),
  };
}

async function requireEmpty(folder: string): Promise<void> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return [];
    throw unwritable(folder, error, 'write to');
  });
  if (names.length === 0) return;
  throw new AiotError('AIOT_FOLDER_NOT_EMPTY', `${folder} is not empty`, { endpoint: folder });
}

/** An MLflow experiment ID. MLflow's own IDs are decimal numbers. */
function experimentId(name: string): string {
  return String(BigInt(`0x${sha256Hex(name).slice(0, 14)}`) + 1n);
}

/** An MLflow run ID. MLflow's own IDs are 32 hexadecimal digits. */
const runId = (run: string) => sha256Hex(run).slice(0, 32);

/** The folder in which files are written, and the files' final location. */
interface Places {
  staging: string;
  target: string;
}

async function writeExperiment(
  dir: string,
  { staging, target }: Places,
  { name, id, own }: { name: string; id: string; own: TrainingRun[] },
): Promise<void> {
  const last = Math.max(...own.map(({ started, ended }) => ended ?? started));
  await writeText(join(staging, id), 'meta.yaml', [
    ...yamlLines({
      artifact_location: pathToFileURL(join(target, id)).href,
      creation_time: own[0]!.started,
      experiment_id: id,
      last_update_time: last,
      lifecycle_stage: 'active',
      name,
    }),
  ]);
  for (const run of own)
    await writeRun(dir, { staging: join(staging, id), target: join(target, id) }, id, run);
}

async function writeRun(
  dir: string,
  { staging, target }: Places,
  experiment: string,
  run: TrainingRun,
): Promise<void> {
  const id = runId(run.run);
  const folder = join(staging, id);
  const status = statuses[run.state as keyof typeof statuses];
  await writeText(folder, 'meta.yaml', [
    ...yamlLines({
      artifact_uri: pathToFileURL(join(target, id, 'artifacts')).href,
      end_time: run.ended,
      entry_point_name: '',
      experiment_id: experiment,
      lifecycle_stage: 'active',
      run_id: id,
      run_name: run.run,
      run_uuid: id,
      source_name: '',
      source_type: localSource,
      source_version: '',
      start_time: run.started,
      status,
      tags: [],
      user_id: '',
    }),
  ]);
  for (const name of ['params', 'metrics', 'tags', 'artifacts'])
    await mkdir(join(folder, name), { recursive: true });
  for (const [name, value] of named(Object.entries(run.params)))
    await writeFile(join(folder, 'params', name), oneLine(String(value)));
  for (const [name, lines] of named(Object.entries(await metricLines(dir, run))))
    await writeText(join(folder, 'metrics'), name, lines);
  for (const [name, value] of named(Object.entries(tagsOf(run))))
    await writeFile(join(folder, 'tags', name), oneLine(value));
  for (const { name } of run.files)
    await writeFile(join(folder, 'artifacts', name), await readBytes(join(runFolder(dir, run.run), name)));
}

/**
 * Lines `time value step` for each metric. The ends of an interval are separate metrics. For values by fold or epoch, the step is the
 * number of the fold or epoch.
 */
async function metricLines(dir: string, run: TrainingRun): Promise<Record<string, string[]>> {
  const at = run.ended ?? run.started;
  const series = (values: readonly number[], first = 0) =>
    values.map((value, i) => `${at} ${value} ${first + i}`);
  const lines: Record<string, string[]> = {};
  for (const [name, { value, interval, folds }] of Object.entries(run.metrics)) {
    lines[name] = series([value]);
    if (interval) {
      lines[`${name}_low`] = series([interval[0]]);
      lines[`${name}_high`] = series([interval[1]]);
    }
    if (folds) lines[`${name}_by_fold`] = series(folds, 1);
  }
  const history = await historyOf(dir, run);
  for (const name of ['loss', 'valLoss', 'accuracy', 'valAccuracy'] as const) {
    const values = history.map((epoch) => epoch[name] ?? null);
    if (values.length > 0 && values.every((value) => value !== null))
      lines[`epoch_${name}`] = series(values as number[], 1);
  }
  return lines;
}

const epochSchema = z.object({
  loss: z.number().nullable(),
  valLoss: z.number().nullable(),
  accuracy: z.number().nullable(),
  valAccuracy: z.number().nullable(),
});

const historySchema = z.object({ history: z.array(epochSchema) });

/** The run's training epochs; none if the run's copy of training.json is missing or malformed. */
async function historyOf(dir: string, run: TrainingRun): Promise<z.output<typeof epochSchema>[]> {
  if (!run.files.some(({ name }) => name === 'training.json')) return [];
  try {
    const file = join(runFolder(dir, run.run), 'training.json');
    return historySchema.safeParse(await readJson(file)).data?.history ?? [];
  } catch (error) {
    if (hasCode(error, 'AIOT_FILE_NOT_FOUND') || hasCode(error, 'AIOT_FILE_MALFORMED')) return [];
    throw error;
  }
}

function tagsOf({
  run,
  kind,
  state,
  search,
  data,
  split,
  seed,
  configDigest,
  environment,
  ...rest
}: TrainingRun) {
  const { aiot, node, platform, cpu, cores, backend } = environment;
  return {
    'mlflow.runName': run,
    'mlflow.source.name': 'aiot model train',
    'mlflow.source.type': 'LOCAL',
    'aiot.run': run,
    'aiot.kind': kind,
    'aiot.state': state,
    ...(search === null ? {} : { 'aiot.search': search }),
    'aiot.seed': String(seed),
    'aiot.data.name': data.name,
    'aiot.data.digest': data.digest,
    'aiot.split.by': split.by,
    'aiot.split.digest': split.digest,
    'aiot.config.digest': configDigest,
    'aiot.version': aiot,
    'aiot.node': node,
    'aiot.platform': platform,
    'aiot.cpu': `${cores} × ${cpu}`,
    ...(backend === null ? {} : { 'aiot.backend': backend }),
    ...(rest.leaks.length > 0 ? { 'aiot.leaks': rest.leaks.join('; ') } : {}),
    ...(rest.refused.length > 0 ? { 'aiot.refused': rest.refused.join('; ') } : {}),
    ...(rest.error === null ? {} : { 'aiot.error': `${rest.error.code}: ${rest.error.message}` }),
  };
}

/** Renames entries for MLflow, where names are also file names. Valid characters are letters, digits, `_`, `-`, `.` and spaces. */
function named<Value>(entries: readonly (readonly [string, Value])[]): Map<string, Value> {
  const found = new Map<string, Value>();
  for (const [name, value] of entries) {
    const valid = name.replaceAll(/[^\w. -]/g, '_').slice(0, 240);
    let free = valid;
    for (let i = 2; found.has(free); i++) free = `${valid}_${i}`;
    found.set(free, value);
  }
  return found;
}

/** MLflow rejects params with several lines. */
function oneLine(text: string): string {
  return text.replaceAll(/\s*[\r\n]+\s*/g, ' ');
}

/** A flat YAML mapping. The values are JSON, which is valid YAML. */
function yamlLines(values: Record<string, string | number | null | []>): string[] {
  return Object.entries(values).map(([name, value]) => `${name}: ${JSON.stringify(value)}`);
}

async function writeText(folder: string, name: string, lines: readonly string[]): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, name), `${lines.join('\n')}\n`);
}
