import { AiotError, systemClock } from '../../core/index.js';
import type { Partition, PartitionTable } from '../../formats/index.js';
import type { Loader, Region } from '../loader/types.js';
import { planWrite } from '../plan/plan.js';
import { boardTrust } from './board-trust.js';
import { boardOf, restarts, secondsSince } from './flash-board.js';
import { requireTable, type SlotOptions } from './flash-slot.js';
import { type BoardNvs, changedPage, nvsValue, readBoardNvs } from './nvs-on-board.js';
import type { Flashed, Switched } from './result.js';
import { withBoard } from './with-board.js';
import { writeRegions } from './write-plan.js';

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
  /** The page of NVS that chose the slot before. */
  page: Region;
}

/**
 * Writes a signed bundle into the model slot that is not in use, as the board itself would take it: signed by whom its own
 * trust root names, for its type, not below its floor. Then NVS names the slot. A watch that finds the board unwell sets it
 * back.
 * @throws AIOT_FLASH_NO_SLOT, AIOT_SIGNATURE_INVALID, AIOT_BUNDLE_…, AIOT_UPDATE_… before anything is written
 */
export async function flashModel(job: ModelJob, options: SlotOptions): Promise<Flashed> {
  const { port, watch } = options;
  const started = performance.now();
  const { flashed, slot, before, page } = await withBoard(options, async (loader) => {
    options.connected?.(loader.chip);
    return await writeModel(loader, job, options);
  });
  const switched: Switched = { slot, before, healthy: null, restored: false, reason: null };
  const verdict = await watch?.(port);
  if (verdict) {
    Object.assign(switched, verdict);
    if (!verdict.healthy) {
      await withBoard(options, (loader) => writePage(loader, page));
      switched.restored = true;
    }
  }
  return { port, ...flashed, switched, seconds: secondsSince(started) };
}

async function writeModel(loader: Loader, job: ModelJob, options: SlotOptions): Promise<Written> {
  const table = await requireTable(loader);
  const slots = modelSlots(table);
  const nvs = await readBoardNvs(loader, table);
  const manifest = await requireAccepted(job, nvs);
  const now = nvsValue(nvs, 'u8', choice.namespace, choice.key) ?? 0;
  const target = now === 0 ? 1 : 0;
  const page = changedPage(nvs, { ...choice, value: target });
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
  await writePage(loader, page.wanted);
  const { chip, mac, flash } = loader.chip;
  const flashed = {
    ...{ chip, mac, flashBytes: flash.bytes, erased: false, regions },
    verified: true,
    restarted: restarts(loader, options),
    device: nvsValue(nvs, 'string', 'aiot', 'name'),
    certificate: null,
    versions: [`${manifest.name}@${manifest.version}`],
    warnings: plan.warnings,
    overridden: plan.overridden,
  };
  return {
    flashed,
    slot: slots[target]!.label,
    before: slots[now]?.label ?? slots[0]!.label,
    page: page.now,
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

async function requireAccepted({ image }: ModelJob, nvs: BoardNvs) {
  const trust = boardTrust(nvs);
  if (!trust) {
    throw new AiotError(
      'AIOT_TRUST_MISSING',
      'the board has no trust root, so nobody says whose model it takes',
      {
        next: 'Provision it first: aiot device provision NAME --port PORT',
      },
    );
  }
  const { verifySigned } = await import('../../model/index.js');
  const { manifest } = verifySigned(image.data, trust, image.name);
  const type = nvsValue(nvs, 'string', 'aiot', 'type');
  if (type !== null && !manifest.deviceTypes.includes(type)) {
    const types = manifest.deviceTypes.join(', ');
    throw new AiotError(
      'AIOT_UPDATE_DEVICE_TYPE',
      `${image.name} is for ${types}, and the board is of type ${type}`,
    );
  }
  const floor = Number(nvsValue(nvs, 'u64', 'aiot_update', 'floor') ?? 0n);
  if (manifest.sequence < floor) {
    const below = `${image.name} has sequence ${manifest.sequence}, and the board takes none below ${floor}`;
    throw new AiotError('AIOT_UPDATE_FLOOR', below);
  }
  if (manifest.expires !== null && manifest.expires <= systemClock.now()) {
    throw new AiotError(
      'AIOT_UPDATE_EXPIRED',
      `${image.name} expired ${new Date(manifest.expires).toISOString()}`,
    );
  }
  return manifest;
}

/** One sector, which holds a part of the identity: it is compared, and the loader writes it again after noise on the line. */
async function writePage(loader: Loader, page: Region): Promise<void> {
  await loader.write([page], { skipEqual: true });
}
