import { stat } from 'node:fs/promises';
import { clientFor } from '../../api/context.js';
import { parseModelReference } from '../../api/reference.js';
import { chosenContext } from '../../core/contexts.js';
import { digestOf } from '../../core/crypto.js';
import { AiotError, hasCode } from '../../core/errors.js';
import { readBytes } from '../../core/files.js';
import type { TrustRoot } from '../../formats/manifest/envelope.js';
import { isSigned, unpackBundle } from '../../model/bundle/pack.js';
import { verifySigned } from '../../model/bundle/signed-bundle.js';
import type { Bundle } from '../../model/bundle/types.js';
import { buildFiles, modelName } from '../../model/files.js';
import { isModelPath } from '../../model/publish/verify.js';
import type { ModelKeeper, ModelState } from '../types.js';
import { keepPlatformModel } from './from-platform.js';
import { Keep, keeperOf, noRenewal } from './keep.js';
import {
  type Contract,
  contractOfModel,
  contractOfProject,
  type Identity,
  isAway,
  loadModel,
} from './load.js';
import { type ModelOptions, type Settings, settingsOf } from './options.js';
import { trainedBundle } from './trained.js';

/**
 * Opens the model of a loop: a file, the version that a reference points to on the platform, or a project's model. The model has been
 * verified, fits the project's stream, and has reproduced its golden vectors on this machine.
 * @throws AIOT_MODEL_NOT_BUILT (no model found, and none requested), AIOT_MODEL_UNFIT, AIOT_GOLDEN_MISMATCH, AIOT_MODEL_REFUSED,
 * AIOT_NOT_FOUND, AIOT_FILE_NOT_FOUND, and the errors of verification, platform requests and training
 */
export async function openModel(options: ModelOptions): Promise<ModelKeeper> {
  const settings = settingsOf(options);
  const { reference, project } = settings;
  const contract = project && contractOfProject(project);
  if (reference === undefined) return await openOfProject(settings, contract);
  if (await isModelPath(reference)) return await keepFileModel(reference, settings, contract);
  return await keepPushedModel(reference, settings, contract);
}

/** Opens a model of the platform. The error for the project's own model suggests to push it. */
async function keepPushedModel(
  reference: string,
  settings: Settings,
  contract: Contract | null,
): Promise<ModelKeeper> {
  try {
    return await keepPlatformModel(reference, settings, contract);
  } catch (error) {
    const { project } = settings;
    if (!hasCode(error, 'AIOT_NOT_FOUND') || !error.message.startsWith('no model is named') || !project)
      throw error;
    if (parseModelReference(reference).name !== modelName(project)) throw error;
    throw error.reworded(error.message, {
      next: 'Push the project’s model with `aiot model push`, and promote it with `aiot model promote NAME@VERSION --to production`.',
    });
  }
}

/** Opens the first model available: built in the project, in production on the current platform, or trained into the cache. */
async function openOfProject(settings: Settings, contract: Contract | null): Promise<ModelKeeper> {
  const { project, simulate } = settings;
  if (!project) {
    throw new AiotError('AIOT_USAGE', 'no model is specified, and there is no project to take it from', {
      next: 'Specify one: --model FILE.aiot or --model NAME@production',
    });
  }
  const { bundle } = buildFiles(project);
  if (await stat(bundle).catch(() => null)) return await keepFileModel(bundle, settings, contract);
  const reference = `${modelName(project)}@production`;
  const isKnown = settings.context !== undefined || (await chosenContext()) !== null;
  if (isKnown) {
    try {
      return await keepPushedModel(reference, settings, contract);
    } catch (error) {
      settings.signal?.throwIfAborted();
      if (!(error instanceof AiotError)) throw error;
      if (!simulate && isAway(error))
        throw error.reworded(
          `${bundle} does not exist yet, and its model cannot be fetched from the platform: ${error.message}`,
          {
            next: 'Create it with `aiot model train`, `aiot model quantize`, `aiot model evaluate` and `aiot model push`, or fetch it from the platform: `aiot status` shows whether the platform responds. To train a model for this run only, add --simulate.',
          },
        );
      if (!simulate) throw error;
      settings.tell(
        'note',
        `${reference} is not available from the platform (${error.code}): training here instead`,
      );
    }
  }
  if (simulate)
    return await keepFileModel(await trainedBundle(project, settings), settings, contract, 'trained');
  throw new AiotError('AIOT_MODEL_NOT_BUILT', `${bundle} does not exist yet, and no platform is selected`, {
    next: 'Create it with `aiot model train`, `aiot model quantize`, `aiot model evaluate` and `aiot model push`; specify one with --model; or add --simulate.',
  });
}

/**
 * Opens the model of a .aiot file. It must be signed by a key in `trust` or by one that the current platform trusts. If no trust root is
 * available, the file is accepted unverified, and that is reported.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_BUNDLE_MALFORMED, AIOT_BUNDLE_TAMPERED, AIOT_SIGNATURE_INVALID, and the errors of loading
 */
async function keepFileModel(
  path: string,
  settings: Settings,
  contract: Contract | null,
  source: Extract<ModelState['source'], 'file' | 'trained'> = 'file',
): Promise<ModelKeeper> {
  const { bundle, identity } = await openBundleFile(path, settings);
  const model = await loadModel(bundle, identity, { contract, settings });
  const keep = new Keep(
    { model, source },
    settings,
    () => {},
    () => [],
  );
  return keeperOf(keep, settings, contract ?? contractOfModel(model.info), noRenewal);
}

async function openBundleFile(
  path: string,
  settings: Settings,
): Promise<{ bundle: Bundle; identity: Identity }> {
  const bytes = await readBytes(path);
  if (bytes.subarray(4, 8).toString('latin1') === 'TFL3') throw networkAlone(path);
  if (!isSigned(bytes)) return { bundle: unpackBundle(bytes), identity: identityOf(bytes) };
  const trust = settings.trust ?? (await trustInUse(settings));
  if (!trust) {
    settings.tell('note', `${path} is signed, but no trust root is known here: not verified`);
    return { bundle: unpackBundle(bytes), identity: identityOf(bytes) };
  }
  const { manifest, content } = verifySigned(bytes, trust, path);
  return {
    bundle: unpackBundle(content),
    identity: { version: manifest.version, digest: digestOf(content) },
  };
}

function networkAlone(path: string): AiotError {
  return new AiotError(
    'AIOT_MODEL_UNFIT',
    `${path} is a model without a project; a loop needs a bundle (.aiot), which includes the window, features and classes`,
    {
      next: 'In a project, `aiot model push` bundles the evaluated model (build/model.aiot). To download a bundle, run `aiot model pull NAME@VERSION`.',
    },
  );
}

function identityOf(bytes: Uint8Array): Identity {
  return { version: null, digest: digestOf(bytes) };
}

/** Maximum wait for a platform that is optional, ms. */
const patienceMs = 3000;

/** The trust root of the current platform; null = there is no platform, or it does not respond. */
async function trustInUse({ context, clock }: Settings): Promise<TrustRoot | null> {
  const client = await clientFor(context).catch((error: unknown) => {
    if (context === undefined && hasCode(error, 'AIOT_CONTEXT_NOT_FOUND')) return null;
    throw error;
  });
  if (!client) return null;
  const enough = new AbortController();
  const late = clock.sleep(patienceMs, enough.signal).then(
    () => null,
    () => null,
  );
  try {
    return await Promise.race([client.trust.get(), late]);
  } catch (error) {
    if (error instanceof AiotError && error.family === 'outside') return null;
    throw error;
  } finally {
    enough.abort();
    await client.close();
  }
}
