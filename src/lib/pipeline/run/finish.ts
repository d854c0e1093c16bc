import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Clock, newId, syncFolder } from '../../core/index.js';
import type { PipelineFolders } from '../folders.js';
import type { PipelinePlan } from '../plan/types.js';
import type { Blobs } from '../store/blobs.js';
import { type Kept, writeKept } from '../store/kept.js';
import { type Tree, treeOf } from '../store/tree.js';
import type { RunRecord, RunState, StepRecord } from './record.js';
import { publishedBy } from './work.js';

export interface FinishOptions {
  plan: PipelinePlan;
  record: RunRecord;
  dir: string;
  folders: PipelineFolders;
  blobs: Blobs;
  kept: Kept;
  clock: Clock;
  aborted: boolean;
}

/** How a run came out, from its steps; what it is to leave in the project is put there, and what later runs are to find is kept. */
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

/** By which a runner knows that it was ended on purpose. */
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

/** What was pushed, now or before. */
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

/** Puts outputs where the project wants them. What somebody has changed there since is put back, and told. */
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

/** Whole or not at all; a folder that was there before is out of the way for a moment. */
async function replace(to: string, tree: Tree, blobs: Blobs): Promise<void> {
  const folder = dirname(to);
  await mkdir(folder, { recursive: true });
  // Of a runner that was killed here.
  for (const name of await readdir(folder))
    if (/^\.part_[0-9a-z]{26}\.tmp$/.test(name))
      await rm(join(folder, name), { recursive: true, force: true });
  const part = join(folder, `.${newId('part')}.tmp`);
  await blobs.place(tree, part, true);
  if (tree.folder) await rm(to, { recursive: true, force: true });
  await rename(part, to);
  await syncFolder(folder);
}
