import { join, resolve } from 'node:path';
import {
  AiotError,
  aiotVersion,
  canonicalJson,
  type Project,
  readBytes,
  sha256Hex,
  withLock,
} from '../../core/index.js';
import {
  type Dataset,
  datasetOf,
  expectedOf,
  motorFields,
  motorRecordings,
  motorStates,
  openDataset,
  openTable,
} from '../../data/index.js';
import { buildFiles, trainingConfig, unpackBundle } from '../../model/index.js';
import type { Settings } from './options.js';

type Around = Pick<Settings, 'signal' | 'onStep'>;

/** Another loop may be training the same model, on a slow machine, ms. */
const waitMs = 1_800_000;

/** Where it is, and what to tell of it; null where it was there already. */
export interface Trained {
  file: string;
  text: string | null;
}

/** Folder of trained models in the cache. */
export const trainedFolder = (cache: string) => join(cache, 'loop', 'trained');

/** Trains into the cache, in this process, what is not there already. @throws AIOT_DATA_EMPTY, AIOT_GATE_FAILED, and what these steps throw */
export async function trainedHere(
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

/** The file when a whole bundle is in it; else it is made anew. */
export async function wholeBundle(file: string): Promise<string | null> {
  try {
    unpackBundle(await readBytes(file));
    return file;
  } catch {
    return null;
  }
}

/** All of aiot.yaml that makes the model, and who makes it. */
export function configOf(project: Project): unknown {
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

/** The project's own; where it has none and is about the motor, those that `aiot init` would make. */
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
  return { file, text: `${name} was trained into the cache${how}` };
}
