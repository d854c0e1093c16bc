import { AiotError } from '../../core/index.js';
import { type PartitionTable, partitionTableOffset } from '../../formats/index.js';
import { startsProgram } from '../loader/leave.js';
import type { ChipInfo, Loader } from '../loader/types.js';
import { resolvePlace } from '../plan/place.js';
import { planWrite } from '../plan/plan.js';
import { readBoardTable, tableInForce } from '../plan/table.js';
import type { Board, HeaderChanges, Piece } from '../plan/types.js';
import { keepGiven } from './given.js';
import { heldDevice, leftBehind } from './held.js';
import type { DeviceIdentity } from './identity.js';
import type { Flashed } from './result.js';
import { notStarted } from './started.js';
import { versionsOf } from './versions.js';
import { type BoardAt, withBoard } from './with-board.js';
import { writeRegions } from './write-plan.js';

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
