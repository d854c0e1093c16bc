import { once } from 'node:events';
import { readdir, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { ErrorCode } from '../../core/catalogue.js';
import { canonicalJson, sha256Hex } from '../../core/crypto.js';
import { AiotError, type ErrorDetails, systemCode } from '../../core/errors.js';
import { readBytes, readJson, writeJsonAtomic } from '../../core/files.js';
import { aiotVersion, packageRoot } from '../../core/folders.js';
import { withLock } from '../../core/lock.js';
import { type ChildProcess, startProgram } from '../../core/process.js';
import type { Project } from '../../core/project.js';
import { onAbort } from '../../core/tasks.js';
import { datasetOf, expectedOf, openDataset } from '../../data/dataset/open.js';
import { motorFields, motorRecordings, motorStates } from '../../data/motor.js';
import { openTable } from '../../data/tables/table.js';
import type { Dataset } from '../../data/types.js';
import { unpackBundle } from '../../model/bundle/pack.js';
import { buildFiles } from '../../model/files.js';
import { trainingConfig } from '../../model/train/lineage.js';
import type { Settings } from './options.js';

/** Number of trained models that the cache retains. */
const kept = 4;

/**
 * The bundle of a project's model, which is trained, quantized, evaluated and bundled in the cache. The project's own folder is only read.
 * The bundle is reused for as long as aiot.yaml and the data are unchanged.
 * @returns the path of the file
 * @throws AIOT_DATA_EMPTY, AIOT_GATE_FAILED, AIOT_TRAINING_ENDED, and the errors of these steps
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
  // `file` is FOLDER/build/model.aiot. Its folder, which was used most recently, is not deleted.
  await prune(root, basename(dirname(dirname(file))));
  return file;
}

/** Fingerprint of the data files by their names, sizes and times, so that they need not be read. */
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

/** Messages exchanged with the training process. */
interface Job {
  project: Project;
  cache: string;
}

type Told =
  | { step: string }
  | { trained: Trained }
  | { error: { code: ErrorCode; message: string; details: ErrorDetails } };

/**
 * Trains in a separate process. Training needs half as much memory again as the loop, all of which is released when the process exits.
 * @throws the errors of `trainedHere`, AIOT_TRAINING_ENDED
 */
export async function trainedApart(project: Project, settings: Settings): Promise<Trained> {
  settings.signal?.throwIfAborted();
  const child = start();
  const stop = () => child.kill('SIGKILL');
  const leave = onAbort(settings.signal, stop);
  try {
    if (child.pid !== undefined) child.send({ project, cache: resolve(settings.cache) } satisfies Job);
    return await outcomeOf(child, settings);
  } finally {
    leave();
    stop();
  }
}

/** Starts the training process: the bundled module in a build, or this source file with the development loader. */
function start(): ChildProcess {
  const sources = import.meta.url.endsWith('.ts');
  const entry = sources
    ? fileURLToPath(import.meta.url)
    : join(packageRoot(), 'dist', 'lib', 'loop', 'index.js');
  const code = 'const { serveTraining } = await import(process.argv[1]); serveTraining();';
  const runner = sources ? ['--import', 'tsx'] : [];
  return startProgram(
    process.execPath,
    [...runner, '--input-type=module', '--eval', code, pathToFileURL(entry).href],
    {
      cwd: packageRoot(),
      // Ctrl-C in a terminal is meant for the loop, which then ends this process. Output of the process must not reach stdout.
      detached: true,
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      serialization: 'advanced',
    },
  );
}

async function outcomeOf(child: ChildProcess, { signal, onStep }: Settings): Promise<Trained> {
  let told: Told | undefined;
  child.on('message', (message: Told) => {
    if ('step' in message) onStep?.(message.step);
    else told = message;
  });
  const [status, killedBy] = await once(child, 'close').catch((cause: unknown) => {
    const why = systemCode(cause) ?? String(cause);
    throw new AiotError('AIOT_TRAINING_ENDED', `training could not be started (${why})`, { cause });
  });
  signal?.throwIfAborted();
  if (told && 'trained' in told) return told.trained;
  if (told && 'error' in told) throw new AiotError(told.error.code, told.error.message, told.error.details);
  throw new AiotError('AIOT_TRAINING_ENDED', `training ended with ${killedBy ?? `exit code ${status}`}`);
}

/** Main function of the training process. It does one job for its parent process, and ends when the parent does. */
export function serveTraining(): void {
  const orphaned = new AbortController();
  process.once('disconnect', () => orphaned.abort());
  process.once('message', async ({ project, cache }: Job) => {
    const tell = (told: Told) => new Promise<void>((sent) => process.send?.(told, () => sent()) ?? sent());
    const onStep = (step: string) => void tell({ step });
    try {
      await tell({ trained: await trainedHere(project, { cache, signal: orphaned.signal, onStep }) });
    } catch (error) {
      await tell({ error: plain(error) });
    }
    if (process.connected) process.disconnect();
  });
}

function plain(error: unknown) {
  if (!(error instanceof AiotError))
    return { code: 'AIOT_BUG' as const, message: String(error), details: {} };
  const { code, message, next, endpoint, retryable } = error;
  return { code, message, details: { next, ...(endpoint === undefined ? {} : { endpoint }), retryable } };
}

type Around = Pick<Settings, 'signal' | 'onStep'>;

/** Maximum wait for another loop that may be training the same model on a slow machine, ms. */
const waitMs = 1_800_000;

/** Path of the bundle, and a message about its training; `text` is null if the bundle existed already. */
interface Trained {
  file: string;
  text: string | null;
}

/** Folder of trained models in the cache. */
const trainedFolder = (cache: string) => join(cache, 'loop', 'trained');

/**
 * Trains into the cache, in this process, unless the bundle exists already. @throws AIOT_DATA_EMPTY, AIOT_GATE_FAILED, and the errors of
 * these steps
 */
async function trainedHere(
  project: Project,
  { cache, ...around }: { cache: string } & Around,
): Promise<Trained> {
  const root = trainedFolder(cache);
  const material = await materialOf(project);
  const key = sha256Hex(canonicalJson([material.digest, configOf(project)])).slice(0, 32);
  const own = { ...project, dir: join(root, key) };
  return await withLock(join(root, `${key}.lock`), waitMs, async () => {
    const file = await wholeBundle(buildFiles(own).bundle);
    return file === null ? await train(own, material, around) : { file, text: null };
  });
}

/** Returns the file if it contains a complete bundle; otherwise the bundle is built again. */
async function wholeBundle(file: string): Promise<string | null> {
  try {
    unpackBundle(await readBytes(file));
    return file;
  } catch {
    return null;
  }
}

/** Everything in aiot.yaml that affects the model, and the version of its producer. */
function configOf(project: Project): unknown {
  return { config: trainingConfig(project.config), aiot: aiotVersion() };
}

interface TrainingMaterial {
  digest: string;
  source: { dataset: Dataset } | { data: string };
}

async function materialOf(project: Project): Promise<TrainingMaterial> {
  const { table } = project.config.model;
  if (table) {
    const data = resolve(project.dir, table.file);
    return { digest: (await openTable(data, table)).digest, source: { data } };
  }
  const dataset = await recordingsOf(project);
  return { digest: dataset.digest, source: { dataset } };
}

/** The project's own data. If there is none and the project is about the motor, the data that `aiot init` would generate. */
async function recordingsOf(project: Project): Promise<Dataset> {
  try {
    return await openDataset(project);
  } catch (error) {
    const none = error instanceof AiotError && error.code === 'AIOT_DATA_EMPTY';
    const expected = expectedOf(project.config);
    if (!none || !isMotor(expected)) throw error;
    return datasetOf(project.config.name, expected, motorRecordings(expected.rateHz));
  }
}

function isMotor({ fields, labels }: { fields: readonly string[]; labels: readonly string[] }): boolean {
  return (
    fields.join() === motorFields.join() && labels.every((label) => motorStates.some((s) => s === label))
  );
}

async function train(
  project: Project,
  { source }: TrainingMaterial,
  { signal, onStep }: Around,
): Promise<Trained> {
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
  const how = macroF1 === undefined ? '' : `: macro-F1 ${macroF1.toFixed(3)}`;
  return { file, text: `${name} was trained and cached${how}` };
}
