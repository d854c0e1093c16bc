import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  AiotError,
  type Clock,
  makeFolder,
  removeLeftovers,
  takeLock,
  writeFileAtomic,
} from '../../core/index.js';
import type { PipelineFolders } from '../folders.js';
import { endLeftovers } from './processes.js';
import { findRun, type RunRecord, readRun, runIds, writeRun } from './record.js';

/**
 * Makes this process the one that runs the pipeline of a project; what a runner that was killed has left is settled.
 * @returns what gives it up @throws AIOT_PIPELINE_BUSY
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

/** Before the first record is written. */
export async function prepareFolders(folders: PipelineFolders): Promise<void> {
  await makeFolder(folders.runs);
  await ignored(folders);
}

/** Nothing of it belongs into a repository. */
async function ignored({ root }: PipelineFolders): Promise<void> {
  const file = join(root, '.gitignore');
  if ((await stat(file).catch(() => null)) === null) await writeFileAtomic(file, '*\n');
}

async function busy(folders: PipelineFolders): Promise<AiotError> {
  const record = await findRun(folders).catch(() => null);
  const who = record?.runner ? ` (run ${record.run}, process ${record.runner.pid})` : '';
  return new AiotError('AIOT_PIPELINE_BUSY', `the pipeline of this project is running already${who}`);
}

/**
 * What a runner that was killed has left: its steps are ended, and its runs are told as interrupted. The lock is ours, so no runner of
 * this project is alive.
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

/** The record of a run that nobody goes on with. */
export function interrupted(record: RunRecord, state: 'interrupted' | 'cancelled', now: number): RunRecord {
  const steps = record.steps.map((step) =>
    step.state === 'running' || step.state === 'waiting' ? { ...step, state, child: null } : step,
  );
  return { ...record, state, steps, runner: null, ended: now, seconds: (now - record.started) / 1000 };
}
