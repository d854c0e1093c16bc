import { stat } from 'node:fs/promises';
import { AiotError, chosenContext } from '../../core/index.js';
import { buildFiles, isModelPath, modelName } from '../../model/index.js';
import type { ModelKeeper } from '../model-types.js';
import { type Contract, contractOfProject } from './contract.js';
import { keepFileModel } from './from-file.js';
import { keepPlatformModel } from './from-platform.js';
import { type ModelOptions, type Settings, settingsOf } from './options.js';
import { trainedBundle } from './trained.js';

/**
 * Opens the model of a loop: a file, what a reference stands for on the platform, or what a project has. It is verified, fits the
 * project's stream, and its golden vectors came out right on this machine.
 * @throws AIOT_MODEL_NOT_BUILT (nothing to use, and nothing asked for), AIOT_MODEL_UNFIT, AIOT_GOLDEN_MISMATCH, AIOT_MODEL_REFUSED,
 *   AIOT_NOT_FOUND, AIOT_FILE_NOT_FOUND, and what verifying, asking a platform and training throw
 */
export async function openModel(options: ModelOptions): Promise<ModelKeeper> {
  const settings = settingsOf(options);
  const { reference, project } = settings;
  const contract = project && contractOfProject(project);
  if (reference === undefined) return await openOfProject(settings, contract);
  if (await isModelPath(reference)) return await keepFileModel(reference, settings, contract);
  return await keepPlatformModel(reference, settings, contract);
}

/** What is nearest: built here, in production on the platform in use, trained into the cache. */
async function openOfProject(settings: Settings, contract: Contract | null): Promise<ModelKeeper> {
  const { project, simulate } = settings;
  if (!project) {
    throw new AiotError('AIOT_USAGE', 'no model was named, and there is no project to have one', {
      next: 'Name one: --model FILE.aiot or --model NAME@production',
    });
  }
  const { bundle } = buildFiles(project);
  if (await stat(bundle).catch(() => null)) return await keepFileModel(bundle, settings, contract);
  const reference = `${modelName(project)}@production`;
  const isKnown = settings.context !== undefined || (await chosenContext()) !== null;
  if (isKnown) {
    try {
      return await keepPlatformModel(reference, settings, contract);
    } catch (error) {
      settings.signal?.throwIfAborted();
      if (!simulate || !(error instanceof AiotError)) throw error;
      settings.tell('note', `no ${reference} from the platform (${error.code}): trained here instead`);
    }
  }
  if (simulate)
    return await keepFileModel(await trainedBundle(project, settings), settings, contract, 'trained');
  throw new AiotError('AIOT_MODEL_NOT_BUILT', `no ${bundle} yet, and no platform is in use`, {
    next: 'Make one (aiot up --detach && aiot model train && aiot model quantize && aiot model evaluate && aiot model push), name one (--model), or try with --simulate.',
  });
}
