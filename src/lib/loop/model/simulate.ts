import { readdir, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import {
  aiotVersion,
  canonicalJson,
  type Project,
  readBytes,
  readJson,
  sha256Hex,
  withLock,
  writeJsonAtomic,
} from '../../core/index.js';
import { openDataset, openTable } from '../../data/index.js';
import { buildFiles, trainingConfig, unpackBundle } from '../../model/index.js';
import type { Settings } from './options.js';

/** Another loop may be training the same model, on a slow machine, ms. */
const waitMs = 1_800_000;
/** Trained models that are kept. */
const kept = 4;

/**
 * The bundle of a project's model, trained into the cache: train, quantize, evaluate, bundle. The project's own folder is only read.
 * The second time it is there already, as long as aiot.yaml and the data are what they were.
 * @returns the file
 * @throws AIOT_DATA_EMPTY, AIOT_GATE_FAILED, and what these steps throw
 */
export async function trainedBundle(project: Project, settings: Settings): Promise<string> {
  const root = join(settings.cache, 'loop', 'trained');
  const stamp = sha256Hex(canonicalJson([await stampOf(project), configOf(project)]));
  const known = await readJson(join(root, 'stamps', `${stamp}.json`)).catch(() => null);
  const before = typeof known === 'string' ? await whole(known) : null;
  if (before) return before;
  const material = await materialOf(project);
  const key = sha256Hex(canonicalJson([material.digest, configOf(project)]));
  const folder = join(root, key.slice(0, 32));
  const file = await withLock(join(root, `${key.slice(0, 32)}.lock`), waitMs, async () => {
    const there = await whole(buildFiles({ ...project, dir: folder }).bundle);
    return there ?? (await train({ ...project, dir: folder }, material, settings));
  });
  await writeJsonAtomic(join(root, 'stamps', `${stamp}.json`), file);
  await prune(root, key.slice(0, 32));
  return file;
}

/** The file when a whole bundle is in it; else it is made anew. */
async function whole(file: string): Promise<string | null> {
  try {
    unpackBundle(await readBytes(file));
    return file;
  } catch {
    return null;
  }
}

/** All of aiot.yaml that makes the model, and who makes it. */
function configOf(project: Project): unknown {
  return { config: trainingConfig(project.config), aiot: aiotVersion() };
}

interface TrainingMaterial {
  digest: string;
  source: { dataset: Awaited<ReturnType<typeof openDataset>> } | { data: string };
}

async function materialOf(project: Project): Promise<TrainingMaterial> {
  const { table } = project.config.model;
  if (table) {
    const data = resolve(project.dir, table.file);
    return { digest: (await openTable(data, table)).digest, source: { data } };
  }
  const dataset = await openDataset(project);
  return { digest: dataset.digest, source: { dataset } };
}

/** What tells, without reading them, that the files of the data are what they were: names, sizes and times. */
async function stampOf(project: Project): Promise<unknown> {
  const { table } = project.config.model;
  const at = table ? resolve(project.dir, table.file) : join(project.dir, 'data');
  const found = await stat(at).catch(() => null);
  if (!found?.isDirectory()) return [at, found?.size, found?.mtimeMs];
  const names = (await readdir(at, { recursive: true })).sort();
  const files = await Promise.all(names.map((name) => stat(join(at, name))));
  return [at, files.map(({ size, mtimeMs }, i) => [names[i], size, mtimeMs])];
}

async function train(
  project: Project,
  { source }: TrainingMaterial,
  { signal, onStep, tell }: Settings,
): Promise<string> {
  const { bundleProject, evaluateProject, gateError, quantizeProject, trainProject } = await import(
    '../../model/index.js'
  );
  const options = { project, ...source, ...(signal ? { signal } : {}) };
  const name = project.config.name;
  onStep?.(`training ${name} into the cache`);
  await trainProject({
    ...options,
    onEpoch: ({ epoch, epochs }) => onStep?.(`training ${name} into the cache: epoch ${epoch}/${epochs}`),
  });
  onStep?.(`quantizing ${name}`);
  await quantizeProject(options);
  const evaluated = await evaluateProject(options);
  const refused = gateError(evaluated.gates);
  if (refused) throw refused;
  const { file, bundle } = await bundleProject(options);
  const { macroF1 } = bundle.info.metrics.int8;
  tell(
    'trained',
    `${name} was trained into the cache${macroF1 === undefined ? '' : `: macro-F1 ${macroF1.toFixed(3)}`}`,
  );
  return file;
}

async function prune(root: string, own: string): Promise<void> {
  const names = (await readdir(root)).filter((name) => /^[0-9a-f]{32}$/.test(name) && name !== own);
  const aged = await Promise.all(
    names.map(async (name) => ({ name, at: (await stat(join(root, name)).catch(() => null))?.mtimeMs ?? 0 })),
  );
  const old = aged.sort((a, b) => b.at - a.at).slice(kept - 1);
  for (const { name } of old) {
    await rm(join(root, name), { recursive: true, force: true });
    await rm(join(root, `${name}.lock`), { force: true });
  }
}
