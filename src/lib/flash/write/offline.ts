import { AiotError } from '../../core/index.js';
import type { ChipName } from '../../formats/index.js';
import { looksLike } from '../plan/looks.js';
import { planWrite } from '../plan/plan.js';
import type { FlashJob } from './flash-board.js';
import { md5Of } from './md5.js';
import type { Planned } from './result.js';

/**
 * What would be written, without a board: for the chip named, else the one that the images are for. What a board alone can
 * tell (its flash's size, its fuses, its table) is not looked at.
 * @throws as `planWrite`; AIOT_USAGE when nothing says which chip
 */
export function planOffline(
  jobFor: (board: { chip: ChipName; mac: string }) => FlashJob,
  wanted: ChipName | 'auto',
): Planned {
  const trial = wanted === 'auto' ? null : wanted;
  const first = jobFor({ chip: trial ?? 'esp32', mac: '' });
  const chip =
    trial ?? first.device?.chip ?? first.pieces.flatMap(({ data }) => looksLike(data)?.chip ?? [])[0];
  if (chip === undefined) {
    throw new AiotError(
      'AIOT_USAGE',
      'expected --chip: nothing of what is written says which chip it is for',
    );
  }
  const { pieces, header, erase, force, device } = first;
  const security = { secureBoot: false, flashEncryption: false, secureDownload: false };
  const board = { chip, flashBytes: null, security };
  const plan = planWrite({ pieces, board, boardTable: null, header, erase, force, device });
  const regions = plan.regions.map(({ name, offset, data }) => ({
    ...{ name, offset, bytes: data.length },
    md5: md5Of(data),
  }));
  return { chip, regions, warnings: plan.warnings, overridden: plan.overridden };
}
