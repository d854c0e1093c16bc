import { mkdir, rm, symlink } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { digestOf } from '../../core/crypto.js';
import { writeFileAtomic } from '../../core/files.js';
import type { PipelinePlan, PipelineStep } from '../plan/types.js';
import { type Blobs, type Tree, treeOf } from '../store.js';

/** An input of a step: the digest of its contents, and its source. */
export interface Input {
  name: string;
  digest: string;
  /** Source from which the input is copied; null = the input is optional and missing. */
  source:
    | { kind: 'tree'; tree: Tree }
    | { kind: 'path'; path: string }
    | { kind: 'text'; text: string }
    | null;
}

/** Sources of inputs. */
interface Sources {
  /** The project's folder. */
  dir: string;
  outputs: ReadonlyMap<string, Readonly<Record<string, Tree>>>;
  kept: Readonly<Record<string, { tree: Tree }>>;
}

export type Found = { inputs: Input[] } | { skipped: string } | { missing: string };

/** Finds a step's inputs and their digests. If the step has nothing to do or cannot be run, returns the reason. */
export async function findInputs(step: PipelineStep, sources: Sources): Promise<Found> {
  const inputs: Input[] = [];
  for (const { name, from } of step.inputs) {
    switch (from.kind) {
      case 'settings':
        inputs.push({ name, digest: digestOf(from.text), source: { kind: 'text', text: from.text } });
        break;
      case 'kept': {
        const kept = sources.kept[from.name];
        if (!kept) return { skipped: from.missing };
        inputs.push({ name, digest: kept.tree.digest, source: { kind: 'tree', tree: kept.tree } });
        break;
      }
      case 'output': {
        const tree = sources.outputs.get(from.step)?.[from.output];
        if (!tree) return { skipped: `${from.step} produced no ${from.output}` };
        inputs.push({ name, digest: tree.digest, source: { kind: 'tree', tree } });
        break;
      }
      case 'path': {
        const path = isAbsolute(from.path) ? from.path : join(sources.dir, from.path);
        const tree = await treeOf(path);
        if (!tree && !from.optional) return { missing: `${path} does not exist` };
        inputs.push({ name, digest: tree?.digest ?? '', source: tree ? { kind: 'path', path } : null });
        break;
      }
    }
  }
  return { inputs };
}

/** Creates a step's folder and copies the inputs into it. */
export async function prepareFolder(folder: string, inputs: readonly Input[], blobs: Blobs): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  for (const { name, source } of inputs) {
    if (!source) continue;
    const to = join(folder, name);
    await mkdir(dirname(to), { recursive: true });
    if (source.kind === 'text') await writeFileAtomic(to, source.text);
    else if (source.kind === 'path') await symlink(source.path, to);
    else await blobs.place(source.tree, to);
  }
}

/** Adds a step's outputs to the store. Returns the name of a missing output if there is one. */
export async function collect(
  { outputs }: PipelineStep,
  folder: string,
  blobs: Blobs,
): Promise<{ outputs: Record<string, Tree> } | { missing: string }> {
  const found: Record<string, Tree> = {};
  for (const { name, path } of outputs) {
    const tree = await blobs.take(join(folder, path));
    if (!tree) return { missing: path };
    found[name] = tree;
  }
  return { outputs: found };
}

/** The outputs of each step that are published to the project. */
export function publishedBy(plan: PipelinePlan): { step: string; output: string; path: string }[] {
  return plan.steps.flatMap(({ name: step, outputs }) =>
    outputs.flatMap(({ name: output, publish }) =>
      publish === undefined ? [] : [{ step, output, path: publish }],
    ),
  );
}
