import { AiotError, defaultProject, loadProject, type Project } from '../../core/index.js';
import type { BundleInfo } from '../../model/index.js';
import type { SensingContract } from '../sense/index.js';

/** The folder's project; where it has none, one of defaults, if a model is named that says all that is needed. */
export async function projectOf(folder: string, model: string | undefined): Promise<Project> {
  try {
    return await loadProject(folder);
  } catch (error) {
    const missing = error instanceof AiotError && error.code === 'AIOT_PROJECT_NOT_FOUND';
    if (missing && model !== undefined) return defaultProject(folder);
    throw error;
  }
}

/** What the sensor has to give: the model's fields and rate, in the units that the project gives them. */
export function contractOf({ config }: Project, { signal }: BundleInfo): SensingContract {
  const { windowSamples, lowpassHz, rateHz, resampleHz } = signal;
  const fields = signal.fields.map((name) => ({ name, unit: config.stream.fields[name]?.unit ?? '' }));
  // A row that is a window of its own comes when it comes.
  const timeless = windowSamples === 1 && lowpassHz === null && resampleHz === rateHz;
  return { fields, rateHz: timeless ? null : rateHz };
}
