import { readdir, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { canonicalJson, type Project, readJson, sha256Hex, writeJsonAtomic } from '../../core/index.js';
import { trainedApart } from './apart.js';
import type { Settings } from './options.js';
import { configOf, trainedFolder, wholeBundle } from './simulate.js';

/** Trained models that are kept. */
const kept = 4;

/**
 * The bundle of a project's model, trained into the cache: train, quantize, evaluate, bundle. The project's own folder is only read.
 * The second time it is there already, as long as aiot.yaml and the data are what they were.
 * @returns the file
 * @throws AIOT_DATA_EMPTY, AIOT_GATE_FAILED, AIOT_TRAINING_ENDED, and what these steps throw
 */
export async function trainedBundle(project: Project, settings: Settings): Promise<string> {
  const root = trainedFolder(settings.cache);
  const stamp = sha256Hex(canonicalJson([await stampOf(project), configOf(project)]));
  const known = await readJson(join(root, 'stamps', `${stamp}.json`)).catch(() => null);
  const before = typeof known === 'string' ? await wholeBundle(known) : null;
  if (before) return before;
  const { file, text } = await trainedApart(project, settings);
  if (text !== null) settings.tell('trained', text);
  await writeJsonAtomic(join(root, 'stamps', `${stamp}.json`), file);
  // FOLDER/build/model.aiot
  await prune(root, basename(dirname(dirname(file))));
  return file;
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
