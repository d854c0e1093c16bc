import { AiotError } from '../../core/index.js';
import type { LoadedModel } from '../model-types.js';
import type { KnownVersion } from './cache/references.js';
import type { Contract } from './contract.js';
import { told } from './failures.js';
import { loadModel } from './load.js';
import type { Settings } from './options.js';
import type { PlatformModel, Signed } from './platform.js';

/** Loads what was fetched; what fails its golden vectors here is remembered, and never tried again. */
export async function tried(
  platform: PlatformModel,
  signed: Signed,
  settings: Settings,
  contract: Contract | null,
): Promise<LoadedModel> {
  const { known, bundle } = signed;
  try {
    const model = await loadModel(bundle, known, { contract, settings });
    await platform.remember(signed);
    return model;
  } catch (error) {
    if (error instanceof AiotError && lasting.has(error.code)) {
      await platform.refusals.add(
        known.digest,
        `${known.name}@${known.version}`,
        told(error),
        settings.clock.now(),
      );
    }
    throw error;
  }
}

/** What is wrong with a content itself, however often it is tried. */
const lasting: ReadonlySet<string> = new Set([
  'AIOT_GOLDEN_MISMATCH',
  'AIOT_TFLITE_UNSUPPORTED',
  'AIOT_TFLITE_MALFORMED',
]);

/** @throws AIOT_MODEL_REFUSED */
export async function requireNotRefused(platform: PlatformModel, { name, version, digest }: KnownVersion) {
  const refusal = await platform.refusals.has(digest);
  if (!refusal) return;
  throw new AiotError('AIOT_MODEL_REFUSED', `${name}@${version} was refused here: ${refusal.reason}`);
}
