import { unless } from '../../core/index.js';
import type { Models } from '../services/models.js';
import type { Removal } from '../services/removal.js';
import type { GuideFile, GuideFiles } from './files.js';
import { type GuideFolder, guide, modelFolders, rawFolder } from './folders.js';
import type { GuideService } from './services.js';

interface Parts {
  files: GuideFiles;
  models: Pick<Models, 'get'>;
  removal: Pick<Removal, 'remove'>;
}

/**
 * What /deleteAllData takes away: of the model registry all that was uploaded there, with the versions that it became; of
 * the datastore its files; of the device registry nothing, as it was. A version that somebody has signed is the
 * registry's own and stays: nobody whom the platform does not know takes that away.
 */
export function deleteAllOf({ files, models, removal }: Parts): (service: GuideService) => Promise<void> {
  const untrusted = async ({ model, version }: GuideFile) => {
    if (model === null || version === null) return true;
    const card = await unless('AIOT_NOT_FOUND', models.get(model, version));
    if (card?.trusted) return false;
    if (card) await removal.remove(model, version, guide);
    return true;
  };
  return async (service) => {
    if (service === 'devices') return;
    const folders: readonly GuideFolder[] = service === 'models' ? modelFolders : [rawFolder];
    for (const folder of folders) {
      const gone: GuideFile[] = [];
      for (const file of await files.list(folder)) if (await untrusted(file)) gone.push(file);
      await files.remove(gone);
    }
  };
}
