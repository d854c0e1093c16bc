import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AiotError } from '../../core/errors.js';
import { makeFolder, removeLeftovers, syncFolder, writeFileAtomic } from '../../core/files.js';
import { takeLock } from '../../core/lock.js';
import { newId } from '../../core/names.js';
import type { Clock } from '../../core/time.js';
import type { PipelinePlan } from '../plan/types.js';
import { type Blobs, type Kept, type Tree, treeOf, writeKept } from '../store.js';
import { endLeftovers } from './processes.js';
import {
  findRun,
  type PipelineFolders,
  type RunRecord,
  type RunState,
  readRun,
  runIds,
  type StepRecord,
  writeRun,
} from './record.js';
import { publishedBy } from './work.js';

/**
 * Locks a project's pipeline for this process, and cleans up after a runner that was killed.
 * @returns a function that releases the lock @throws AIOT_PIPELINE_BUSY
 */
export async function holdPipeline(folders: PipelineFolders, clock: Clock): Promise<() => void> {
  const release = await takeLock(folders.lock);
  if (!release) throw await busy(folders);
  try {
    await settleDead(folders, clock);
    return release;
  } catch (error) {
    release();
    throw error;
  }
}

/** Prepares the folders before the first record is written. */
export async function prepareFolders(folders: PipelineFolders): Promise<void> {
  await makeFolder(folders.runs);
  await ignored(folders);
}

/** Adds a .gitignore to the pipeline's folder, because none of its contents belong in a repository. */
async function ignored({ root }: PipelineFolders): Promise<void> {
  const file = join(root, '.gitignore');
  if ((await stat(file).catch(() => null)) === null) await writeFileAtomic(file, '*\n');
}

async function busy(folders: PipelineFolders): Promise<AiotError> {
  const record = await findRun(folders).catch(() => null);
  const who = record?.runner ? ` (run ${record.run}, process ${record.runner.pid})` : '';
  return new AiotError('AIOT_PIPELINE_BUSY', `the pipeline of this project is already running${who}`);
}

/**
 * Cleans up after a runner that was killed: ends its processes, and marks its run as interrupted. No other runner of this project is alive,
 * because this process has the lock.
 */
async function settleDead(folders: PipelineFolders, clock: Clock): Promise<void> {
  for (const folder of [folders.root, folders.runs]) await removeLeftovers(folder);
  for (const id of (await runIds(folders)).reverse()) {
    const record = await readRun(folders, id).catch(() => null);
    if (record?.state !== 'running') return;
    await endLeftovers(folders.root, childrenOf(record));
    await writeRun(folders, interrupted(record, 'interrupted', clock.now()));
  }
}

export function childrenOf(record: RunRecord) {
  return record.steps.flatMap(({ child }) => (child ? [child] : []));
}

/** Copies the record of an abandoned run, and marks the run and its unfinished steps as ended. */
export function interrupted(record: RunRecord, state: 'interrupted' | 'cancelled', now: number): RunRecord {
  const steps = record.steps.map((step) =>
    step.state === 'running' || step.state === 'waiting' ? { ...step, state, child: null } : step,
  );
  return { ...record, state, steps, runner: null, ended: now, seconds: (now - record.started) / 1000 };
}

interface FinishOptions {
  plan: PipelinePlan;
  record: RunRecord;
  dir: string;
  folders: PipelineFolders;
  blobs: Blobs;
  kept: Kept;
  clock: Clock;
  aborted: boolean;
}

/** Determines the outcome of a run from its steps, publishes its outputs to the project, and stores the outputs that later runs use. */
export async function finish(options: FinishOptions): Promise<void> {
  const { record, clock, folders, aborted } = options;
  const cancelled = aborted && existsSync(cancelFile(folders, record.run));
  record.state = stateOf(record.steps, cancelled);
  if (cancelled) {
    for (const step of record.steps) if (step.state === 'interrupted') step.state = 'cancelled';
    await rm(cancelFile(folders, record.run), { force: true });
  }
  record.model = modelOf(record.steps);
  await keep(options);
  if (record.state === 'done') record.published = await publish(options);
  record.ended = clock.now();
  record.seconds = Math.round(record.ended - record.started) / 1000;
  record.runner = null;
}

/** Path of a marker file. If this file exists, the run was cancelled rather than interrupted. */
export function cancelFile({ runs }: PipelineFolders, run: string): string {
  return join(runs, `${run}.cancel`);
}

function stateOf(steps: readonly StepRecord[], cancelled: boolean): RunState {
  const states = new Set(steps.map(({ state }) => state));
  if (states.has('interrupted') || states.has('waiting') || states.has('running')) {
    return cancelled ? 'cancelled' : 'interrupted';
  }
  if (states.has('failed')) return 'failed';
  return states.has('stopped') ? 'stopped' : 'done';
}

/** The model that was pushed in this run or, if the step was cached, in an earlier run. */
export function modelOf(steps: readonly StepRecord[]): RunRecord['model'] {
  const { result, state } = steps.find(({ name }) => name === 'push') ?? {};
  const { name, version, digest, kind } = (result ?? {}) as Record<string, unknown>;
  if (state !== 'done' || typeof name !== 'string') return null;
  if (typeof version === 'number') return { name, version, digest: String(digest ?? '') };
  return kind === 'architects-guide' ? { name, version: null, digest: String(digest ?? '') } : null;
}

async function keep({ plan, record, folders, kept }: FinishOptions): Promise<void> {
  const by = new Map(record.steps.map((step) => [step.name, step]));
  let changed = false;
  for (const { name, keeps } of plan.steps) {
    if (by.get(name)?.state !== 'done') continue;
    for (const { name: as, step, output } of keeps) {
      const tree = by.get(step)?.outputs[output];
      if (!tree || kept[as]?.tree.digest === tree.digest) continue;
      kept[as] = { run: record.run, tree };
      changed = true;
    }
  }
  if (changed) await writeKept(folders.kept, kept);
}

/** Publishes outputs to the project. Files edited since the last run are replaced and reported. */
async function publish({ plan, record, dir, blobs }: FinishOptions): Promise<RunRecord['published']> {
  const by = new Map(record.steps.map((step) => [step.name, step]));
  const published: RunRecord['published'] = [];
  for (const { step, output, path } of publishedBy(plan)) {
    const tree = by.get(step)?.outputs[output];
    if (!tree) continue;
    const to = join(dir, path);
    const now = await treeOf(to);
    const same = now?.digest === tree.digest;
    if (!same) await replace(to, tree, blobs);
    const changed = !same && now !== null && by.get(step)!.cached;
    published.push({ path, digest: tree.digest, changed });
  }
  return published;
}

/** Replaces a file or folder completely or not at all. An existing folder is moved aside during the replacement. */
async function replace(to: string, tree: Tree, blobs: Blobs): Promise<void> {
  const folder = dirname(to);
  await mkdir(folder, { recursive: true });
  // Removes temporary files of a runner that was killed during a replacement.
  for (const name of await readdir(folder))
    if (/^\.part_[0-9a-z]{26}\.tmp$/.test(name))
      await rm(join(folder, name), { recursive: true, force: true });
  const part = join(folder, `.${newId('part')}.tmp`);
  await blobs.place(tree, part, true);
  if (tree.folder) await rm(to, { recursive: true, force: true });
  await rename(part, to);
  await syncFolder(folder);
}
