import { AiotError, digestOf, hasCode, readBytes } from '../../core/index.js';
import type { TrustRoot } from '../../formats/index.js';
import { type Bundle, isSigned, unpackBundle, verifySigned } from '../../model/index.js';
import { clientFor } from '../../registry/index.js';
import type { ModelKeeper, ModelState } from '../model-types.js';
import { type Contract, contractOfModel } from './contract.js';
import { Keep } from './keep.js';
import { keeperOf, noRenewal } from './keeper.js';
import { type Identity, loadModel } from './load.js';
import type { Settings } from './options.js';

/**
 * The model of a .aiot file. Signatures in it must be of whom `trust` says, or the platform in use; where nobody can be asked it is
 * taken as it is, and that is told.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_BUNDLE_MALFORMED, AIOT_BUNDLE_TAMPERED, AIOT_SIGNATURE_INVALID, and what loading throws
 */
export async function keepFileModel(
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
    settings.tell('note', `${path} is signed, and nobody here says whose signatures count: not verified`);
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
    `${path} is a network alone: a loop needs a bundle (.aiot), which has the window, the features and the classes too`,
    {
      next: 'In a project, aiot model push makes a bundle of the evaluated network (build/model.aiot); aiot model pull NAME@VERSION gets one from the platform.',
    },
  );
}

function identityOf(bytes: Uint8Array): Identity {
  return { version: null, digest: digestOf(bytes) };
}

/** How long a platform is waited for that is not needed, ms. */
const patienceMs = 3000;

/** The trust root of the platform in use; null = there is none, or it does not answer. */
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
