import { AiotError } from '../../core/errors.js';
import { readEspImage } from '../../formats/esp-image/read.js';
import { blankOtadata, otadataSector } from '../../formats/otadata.js';
import {
  otaSlots,
  type PartitionTable,
  partitionSubtypes,
  partitionTableOffset,
  partitionTypes,
} from '../../formats/partitions.js';
import { type BoardAt, withBoard } from '../board.js';
import { startsProgram } from '../loader/loader.js';
import type { ChipInfo, Loader, Region } from '../loader/types.js';
import { looksLike } from '../plan/looks.js';
import { resolvePlace } from '../plan/place.js';
import { planWrite } from '../plan/plan.js';
import { readBoardTable, tableInForce } from '../plan/table.js';
import type { Board, HeaderChanges, LeftBehind, Piece } from '../plan/types.js';
import { activeSlot } from './app-slots.js';
import { dataPartition, nvsValue, readIdentityNvs } from './board-nvs.js';
import { type DeviceIdentity, keepGiven } from './identity.js';
import type { Flashed } from './result.js';
import { writeRegions } from './write-regions.js';

/** What is done to a board. */
export interface FlashJob {
  pieces: readonly Piece[];
  /** What the board is believed to hold, at the places of pieces. */
  old: readonly Piece[];
  header: HeaderChanges;
  erase: boolean;
  verify: boolean;
  force: boolean;
  /** Whose identity is among the pieces. */
  device: Omit<DeviceIdentity, 'pieces'> | null;
  /** What is to be told with the result. */
  notes?: readonly string[];
}

export interface FlashBoardOptions extends BoardAt {
  /** As soon as the chip has told what it is. */
  connected?: (chip: ChipInfo) => void;
  /** As soon as it is known whose identity it gets. */
  named?: (device: string) => void;
  /** Told what only hands can do: RESET, BOOT. */
  ask?: ((text: string) => void) | undefined;
}

/**
 * Connects, plans, writes and verifies one board.
 * @throws AIOT_FLASH_REFUSED before anything is written, AIOT_FLASH_…, AIOT_SERIAL_…, AIOT_CHIP_…; the port is let go
 */
export async function flashBoard(
  job: (chip: ChipInfo) => FlashJob | Promise<FlashJob>,
  options: FlashBoardOptions,
): Promise<Flashed> {
  const { port } = options;
  const started = performance.now();
  const done = await withBoard(options, async (loader) => {
    options.connected?.(loader.chip);
    const asked = await job(loader.chip);
    if (asked.device) options.named?.(asked.device.name);
    return await writeJob(loader, asked, options);
  });
  return { port, ...done, seconds: secondsSince(started) };
}

async function writeJob(
  loader: Loader,
  job: FlashJob,
  options: FlashBoardOptions,
): Promise<Omit<Flashed, 'port' | 'seconds'>> {
  const { chip, mac, flash } = loader.chip;
  const board = boardOf(loader);
  const boardTable = await tableOf(loader, job);
  const { pieces, header, erase, force, verify, device } = job;
  const held = device ? await heldDevice(loader) : null;
  // An identity among the pieces brings its own NVS, and --erase says that nothing of the board's is to stay.
  const left = device || erase ? null : await leftBehind(loader, pieces);
  const plan = planWrite({ pieces, board, boardTable, header, erase, force, device, held, left });
  const old = new Map<number, Uint8Array>();
  const { known } = tableInForce(plan.regions, boardTable, null);
  for (const { place, data, name } of job.old) {
    const offset = resolvePlace(place, chip, known);
    if (!plan.regions.some((region) => region.offset === offset)) {
      throw new AiotError('AIOT_USAGE', `${name} is to be compared, and nothing is written where it is`);
    }
    old.set(offset, data);
  }
  const idle =
    erase || loader.chip.security.secureDownload
      ? null
      : await notStarted(loader, plan.regions, known?.table ?? null);
  const given = device ? await giveTo(device, mac) : [];
  const regions = await writeRegions(loader, plan.regions, { erase, verify, old });
  return {
    chip,
    mac,
    flashBytes: flash.bytes,
    erased: erase,
    regions,
    verified: !loader.chip.security.secureDownload,
    restarted: restarts(loader, options),
    device: device?.name ?? null,
    certificate: device?.certificate ?? null,
    versions: versionsOf(plan.regions),
    switched: null,
    warnings: [...plan.warnings, ...(idle === null ? [] : [idle]), ...given, ...(job.notes ?? [])],
    overridden: plan.overridden,
  };
}

/** Keeps which board has an identity; what is to be warned of. */
async function giveTo(
  { name, folder, given, mac: madeFor }: Omit<DeviceIdentity, 'pieces'>,
  mac: string,
): Promise<string[]> {
  if (given === mac) return [];
  const failed = await keepGiven(folder, mac);
  const twice = `${name} was written to the board ${given} before: two boards with one identity shut each other out`;
  return [...(given === null || madeFor === mac ? [] : [twice]), ...(failed === null ? [] : [failed])];
}

/** What a plan asks of a board. */
export function boardOf({ chip }: Pick<Loader, 'chip'>): Board {
  const [, major, minor = '0'] = /revision v?(\d+)(?:\.(\d+))?/.exec(chip.description) ?? [];
  const revision = major === undefined ? null : Number(major) * 100 + Number(minor);
  const { mac } = chip;
  return { chip: chip.chip, mac, revision, flashBytes: chip.flash.bytes, security: chip.security };
}

/** Whether the program runs once the board is let go. */
export function restarts(loader: Loader, options: FlashBoardOptions): boolean {
  return startsProgram(loader, options.loader.after);
}

/** The board's own table, where it stays and can be read. */
async function tableOf(loader: Loader, { erase, pieces }: FlashJob): Promise<PartitionTable | null> {
  const replaced = pieces.some(({ place }) => place === partitionTableOffset || place === 'partition-table');
  if (erase || replaced || loader.chip.security.secureDownload) return null;
  return await readBoardTable(loader);
}

/** To a millisecond. */
export function secondsSince(started: number): number {
  return Math.round(performance.now() - started) / 1000;
}

/**
 * Name of the device whose identity a board has in its NVS; null where it has none, or one that cannot be read from here
 * (encrypted flash, secure download).
 */
async function heldDevice(loader: Pick<Loader, 'chip' | 'read' | 'stub'>): Promise<string | null> {
  if (loader.chip.security.secureDownload) return null;
  const table = await readBoardTable(loader);
  const nvs = table && (await readIdentityNvs(loader, table));
  return nvs && nvsValue(nvs, 'string', 'aiot', 'name');
}

/**
 * The identity that a board would no longer find: its NVS is at one offset, and the table that is written puts NVS at
 * another. null where no table is written, or NVS stays where it is, or is written as well.
 */
async function leftBehind(
  loader: Pick<Loader, 'chip' | 'read' | 'stub'>,
  pieces: readonly Piece[],
): Promise<LeftBehind | null> {
  if (loader.chip.security.secureDownload) return null;
  const placed = pieces.flatMap(({ name, data, place }) => {
    const offset = place === 'partition-table' ? partitionTableOffset : place;
    return typeof offset === 'number' ? [{ name, data, offset }] : [];
  });
  const { known } = tableInForce(placed, null, null);
  const before = known && (await readBoardTable(loader));
  const from = before && dataPartition(before, 'nvs');
  if (!known || !before || !from) return null;
  const to = dataPartition(known.table, 'nvs');
  if (to?.offset === from.offset && to.size >= from.size) return null;
  if (to && pieces.some(({ place }) => place === to.offset || place === to.label)) return null;
  const nvs = await readIdentityNvs(loader, before);
  const device = nvs && nvsValue(nvs, 'string', 'aiot', 'name');
  return device === null ? null : { device, from, to: to ?? null };
}

/** Of an entry, at the beginning of its sector. */
const entryBytes = 32;

/**
 * A warning where an app is written into a slot that the board does not start: a board that was updated goes on with the
 * other one, and whoever flashes it wonders. null where all is well, or otadata is written too.
 */
async function notStarted(
  loader: Loader,
  regions: readonly Region[],
  table: PartitionTable | null,
): Promise<string | null> {
  const { data } = partitionTypes;
  const otadata = table?.partitions.find(
    ({ type, subtype }) => type === data && subtype === partitionSubtypes[data]?.ota,
  );
  const slots = table ? otaSlots(table) : [];
  const written = slots.findIndex(({ offset }) =>
    regions.some((region) => region.offset === offset && looksLike(region.data)?.kind === 'app'),
  );
  if (!otadata || slots.length < 2 || written < 0) return null;
  const end = otadata.offset + otadata.size;
  if (regions.some((region) => region.offset < end && region.offset + region.data.length > otadata.offset))
    return null;
  const bytes = blankOtadata();
  for (const at of [0, otadataSector]) bytes.set(await loader.read(otadata.offset + at, entryBytes), at);
  const active = activeSlot(bytes, slots.length);
  if (active === null || active === written) return null;
  const [own, other] = [slots[written]!.label, slots[active]!.label];
  return `the board goes on starting ${other}: its otadata names it, and the app is written to ${own}. To start it: aiot flash erase ${otadata.label}, or write it with --slot next`;
}

/** What the programs among these regions say of themselves, for a record: `motor-watch 1.2.0`. */
export function versionsOf(regions: readonly Region[]): string[] {
  return regions.flatMap(({ data, name }) => {
    if (looksLike(data)?.kind !== 'app') return [];
    const app = described(data, name);
    return app ? [`${app.project} ${app.version}`.trim()] : [];
  });
}

/** null also of a damaged image: whether that may be written is not decided here. */
function described(data: Uint8Array, name: string) {
  try {
    return readEspImage(data, name).app;
  } catch (error) {
    if (error instanceof AiotError) return null;
    throw error;
  }
}
