import { AiotError } from '../../core/index.js';
import type { ChipName } from '../../formats/index.js';
import { planWrite } from '../plan/plan.js';
import { md5Of } from './md5.js';
import type { JobFor } from './prepare.js';
import type { Planned } from './result.js';

/**
 * What would be written, without a board: for the chip named, else the one that identities and images are for. What a board alone can
 * tell (its flash's size, its fuses, its table) is not looked at.
 * @throws as `planWrite`; AIOT_USAGE when nothing says which chip
 */
export function planOffline(jobFor: JobFor, wanted: ChipName | 'auto'): Planned {
  const chip = wanted === 'auto' ? jobFor.chip : wanted;
  if (chip === null) {
    throw new AiotError(
      'AIOT_USAGE',
      'expected --chip: nothing of what is written says which chip it is for',
    );
  }
  const { pieces, header, erase, force, device } = jobFor({ chip, mac: '' });
  const security = { secureBoot: false, flashEncryption: false, secureDownload: false };
  const board = { chip, flashBytes: null, security };
  const plan = planWrite({ pieces, board, boardTable: null, header, erase, force, device });
  const regions = plan.regions.map(({ name, offset, data }) => ({
    ...{ name, offset, bytes: data.length },
    md5: md5Of(data),
  }));
  return { chip, regions, warnings: plan.warnings, overridden: plan.overridden };
}
