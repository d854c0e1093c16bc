import { AiotError } from '../../core/errors.js';
import type { Partition, PartitionTable } from '../../formats/partitions.js';
import { withBoard } from '../board.js';
import type { Loader, Region } from '../loader/types.js';
import { planWrite } from '../plan/plan.js';
import { committedNumbers, requireModelAccepted } from './acceptance.js';
import { changedPages, nvsValue, readBoardNvs } from './board-nvs.js';
import { boardOf, restarts, secondsSince } from './flash-board.js';
import { requireTable, type SlotOptions } from './flash-slot.js';
import type { Flashed, Switched } from './result.js';
import { judgeSwitched, rememberUnproven, settleUnproven } from './update-watch.js';
import { writeRegions } from './write-regions.js';

/** A model for the slot that is not in use. */
export interface ModelJob {
  /** A signed bundle (.aiot). */
  image: { name: string; data: Uint8Array };
  verify: boolean;
  force: boolean;
}

/** Type of the model slots in the default partition table; their subtypes are their numbers. */
const modelType = 0x40;
const choice = { namespace: 'aiot', key: 'model_slot' };

interface Written {
  flashed: Omit<Flashed, 'port' | 'seconds' | 'switched'>;
  slot: string;
  before: string;
  /** The pages of NVS that are changed, as they were before. */
  old: Region[];
  canReset: boolean;
}

/**
 * Writes a signed bundle into the model slot that is not in use, as the board itself would take it: signed by whom its own
 * trust root names, for its type, newer than what it has. Then NVS names the slot, and the release as committed. A watch
 * that finds the board unwell sets it all back.
 * @throws AIOT_FLASH_NO_SLOT, AIOT_SIGNATURE_INVALID, AIOT_BUNDLE_…, AIOT_UPDATE_… before anything is written
 */
export async function flashModel(job: ModelJob, options: SlotOptions): Promise<Flashed> {
  const { port } = options;
  const started = performance.now();
  const { flashed, slot, before, old, canReset } = await withBoard(options, async (loader) => {
    options.connected?.(loader.chip);
    return await writeModel(loader, job, options);
  });
  const switched: Switched = { slot, before, healthy: null, restored: false, reason: null, back: null };
  const restore = (loader: Loader) => writePages(loader, old);
  await judgeSwitched(switched, { mac: flashed.mac, kind: 'model', canReset, restore }, options);
  return { port, ...flashed, switched, seconds: secondsSince(started) };
}

async function writeModel(loader: Loader, job: ModelJob, options: SlotOptions): Promise<Written> {
  const table = await requireTable(loader);
  const slots = modelSlots(table);
  const settled = await settleUnproven(loader, 'model');
  const nvs = await readBoardNvs(loader, table);
  const { manifest, overridden } = await requireModelAccepted(job.image, nvs, job.force);
  const now = nvsValue(nvs, 'u8', choice.namespace, choice.key) ?? 0;
  const target = now === 0 ? 1 : 0;
  // The slot first: cut short after it, the same command may be repeated, for the release still counts as new.
  const pages = changedPages(nvs, [
    { type: 'u8', ...choice, value: BigInt(target) },
    ...committedNumbers(nvs, manifest),
  ]);
  const plan = planWrite({
    pieces: [{ ...job.image, place: slots[target]!.offset }],
    board: boardOf(loader),
    boardTable: table,
    header: {},
    erase: false,
    force: job.force,
  });
  const regions = await writeRegions(loader, plan.regions, {
    erase: false,
    verify: job.verify,
    old: new Map(),
  });
  const before = slots[now]?.label ?? slots[0]!.label;
  if (options.watch && regions[0]) {
    const choice = pages.map(({ wanted: { name, offset, data }, now }) => ({
      ...{ name, offset },
      ...{ before: now.data, now: data },
    }));
    const about = { slot: slots[target]!.label, before, image: regions[0], choice };
    await rememberUnproven({ mac: loader.chip.mac, kind: 'model' }, about);
  }
  await writePages(
    loader,
    pages.map(({ wanted }) => wanted),
  );
  const { chip, mac, flash } = loader.chip;
  const flashed = {
    ...{ chip, mac, flashBytes: flash.bytes, erased: false, regions },
    verified: true,
    restarted: restarts(loader, options),
    device: nvsValue(nvs, 'string', 'aiot', 'name'),
    certificate: null,
    versions: [`${manifest.name}@${manifest.version}`],
    warnings: settled === null ? plan.warnings : [...plan.warnings, settled],
    overridden: [...overridden, ...plan.overridden],
  };
  return {
    flashed,
    slot: slots[target]!.label,
    before,
    old: pages.map(({ now }) => now),
    canReset: loader.canReset,
  };
}

/** @throws AIOT_FLASH_NO_SLOT */
function modelSlots(table: PartitionTable): [Partition, Partition] {
  const [first, second] = [0, 1].map((n) =>
    table.partitions.find(({ type, subtype }) => type === modelType && subtype === n),
  );
  if (first && second) return [first, second];
  throw new AiotError('AIOT_FLASH_NO_SLOT', 'the board’s partition table has no two model slots', {
    next: 'Provision it with the default table: aiot device provision NAME --port PORT',
  });
}

/** Sectors that hold a part of the identity: they are compared, and the loader writes them again after noise on the line. */
async function writePages(loader: Loader, pages: readonly Region[]): Promise<void> {
  await loader.write(pages, { skipEqual: true });
}
