import { AiotError } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import { securityFuses } from '../../formats/efuse.js';
import { espChips } from '../../formats/esp-image/chips.js';
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
import { looksLike, md5Of, resolvePlace } from '../plan/pieces.js';
import {
  changedSectors,
  joinSectors,
  planWrite,
  readBoardTable,
  type Stretch,
  tableInForce,
} from '../plan/plan.js';
import type { Board, HeaderChanges, Piece, StrandedIdentity } from '../plan/types.js';
import { activeSlot } from './app-slots.js';
import { dataPartition, nvsValue, readIdentityNvs } from './board-nvs.js';
import { type DeviceIdentity, recordBoard } from './identity.js';
import type { Flashed, WrittenRegion } from './result.js';

/** Work to do on a board. */
export interface FlashJob {
  pieces: readonly Piece[];
  /** The expected current contents of the board, at the places of the pieces. */
  old: readonly Piece[];
  header: HeaderChanges;
  erase: boolean;
  verify: boolean;
  force: boolean;
  /** The device whose identity is among the pieces. */
  device: Omit<DeviceIdentity, 'pieces'> | null;
  /** Notes to report with the result. */
  notes?: readonly string[];
}

export interface FlashBoardOptions extends BoardAt {
  /** Called once the chip is identified. */
  connected?: (chip: ChipInfo) => void;
  /** Called once it is known which device's identity the board will get. */
  named?: (device: string) => void;
  /** Called for actions that only the user can do: RESET, BOOT. */
  ask?: ((text: string) => void) | undefined;
}

/**
 * Connects to a board, plans, writes and verifies.
 * @throws AIOT_FLASH_REFUSED before anything is written, AIOT_FLASH_…, AIOT_SERIAL_…, AIOT_CHIP_…; the port is always closed
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
  const { pieces, header, erase, force, verify, device } = job;
  const board = await boardFor(loader, pieces);
  const boardTable = await tableOf(loader, job);
  const existing = device ? await existingIdentity(loader) : null;
  // An identity among the pieces contains its own NVS. With --erase, nothing on the board is preserved.
  const stranded = device || erase ? null : await strandedIdentity(loader, pieces);
  const plan = planWrite({ pieces, board, boardTable, header, erase, force, device, existing, stranded });
  const old = new Map<number, Uint8Array>();
  const { known } = tableInForce(plan.regions, boardTable, null);
  for (const { place, data, name } of job.old) {
    const offset = resolvePlace(place, chip, known);
    if (!plan.regions.some((region) => region.offset === offset)) {
      throw new AiotError(
        'AIOT_USAGE',
        `${name} cannot be compared, because no file is written at its offset`,
      );
    }
    old.set(offset, data);
  }
  const slotWarning =
    erase || loader.chip.security.secureDownload
      ? null
      : await unstartedSlotWarning(loader, plan.regions, known?.table ?? null);
  const assignment = device ? await recordAssignment(device, mac) : [];
  const regions = await writeRegions(loader, plan.regions, { erase, verify, old });
  return {
    chip,
    mac,
    flashBytes: flash.bytes,
    erased: erase,
    regions,
    verified: !loader.chip.security.secureDownload,
    restarted: restarts(loader, options),
    program: await programOn(loader, plan.regions, { table: known?.table ?? null, erase }),
    device: device?.name ?? null,
    certificate: device?.certificate ?? null,
    versions: versionsOf(plan.regions),
    switched: null,
    warnings: [
      ...plan.warnings,
      ...(slotWarning === null ? [] : [slotWarning]),
      ...assignment,
      ...(job.notes ?? []),
    ],
    overridden: plan.overridden,
  };
}

/** Records which board has an identity; returns warnings. */
async function recordAssignment(
  { name, folder, writtenTo, mac: madeFor, batch }: Omit<DeviceIdentity, 'pieces'>,
  mac: string,
): Promise<string[]> {
  // The images of a batch are for any number of boards.
  if (writtenTo === mac || batch !== null) return [];
  const failed = await recordBoard(folder, mac);
  const twice = `${name} was already written to the board ${writtenTo}: two boards with one identity would disconnect each other`;
  return [...(writtenTo === null || madeFor === mac ? [] : [twice]), ...(failed === null ? [] : [failed])];
}

/** The board's properties for a plan. */
export function boardOf({ chip }: Pick<Loader, 'chip'>): Board {
  const [, major, minor = '0'] = /revision v?(\d+)(?:\.(\d+))?/.exec(chip.description) ?? [];
  const revision = major === undefined ? null : Number(major) * 100 + Number(minor);
  const { mac } = chip;
  return { chip: chip.chip, mac, revision, flashBytes: chip.flash.bytes, security: chip.security };
}

/** As `boardOf`, with the anti-rollback version if these pieces contain a program. @throws AIOT_CHIP_*, AIOT_SERIAL_* */
export async function boardFor(
  loader: Pick<Loader, 'chip' | 'fuseWords'>,
  pieces: readonly Pick<Piece, 'data'>[],
): Promise<Board> {
  const board = boardOf(loader);
  if (!pieces.some(({ data }) => looksLike(data) !== null)) return board;
  const words = await loader.fuseWords();
  return words === null ? board : { ...board, secureVersion: securityFuses(board.chip, words).secureVersion };
}

/** Whether the program runs once the port is closed. */
export function restarts(loader: Loader, options: FlashBoardOptions): boolean {
  return startsProgram(loader, options.loader.after);
}

/** The board's own partition table; null if it will be replaced or erased, or cannot be read. */
async function tableOf(loader: Loader, { erase, pieces }: FlashJob): Promise<PartitionTable | null> {
  const replaced = pieces.some(({ place }) => place === partitionTableOffset || place === 'partition-table');
  if (erase || replaced || loader.chip.security.secureDownload) return null;
  return await readBoardTable(loader);
}

/** Time since `started`, in seconds, rounded to a millisecond. */
export function secondsSince(started: number): number {
  return Math.round(performance.now() - started) / 1000;
}

/**
 * Name of the device whose identity is in a board's NVS, or its state if it has only a key. Null if it has neither, or if NVS cannot be
 * read over the cable (encrypted flash, secure download).
 */
async function existingIdentity(loader: Pick<Loader, 'chip' | 'read' | 'stub'>): Promise<string | null> {
  if (loader.chip.security.secureDownload) return null;
  const table = await readBoardTable(loader);
  const nvs = table && (await readIdentityNvs(loader, table));
  if (!nvs) return null;
  const name = nvsValue(nvs, 'string', 'aiot', 'name');
  return (
    name ?? (nvsValue(nvs, 'string', 'aiot', 'key') === null ? null : 'enrolling with the key of a batch')
  );
}

/**
 * The identity that the board's program would no longer find, because the new table puts NVS at another offset. Null if no table is
 * written, NVS keeps its offset, or NVS is written as well.
 */
async function strandedIdentity(
  loader: Pick<Loader, 'chip' | 'read' | 'stub'>,
  pieces: readonly Piece[],
): Promise<StrandedIdentity | null> {
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

/** Size of an otadata entry, which is at the start of its sector; bytes. */
const entryBytes = 32;

/**
 * Warns if an app is written to a slot that the board does not start, so that the new app would not run. This happens after an update,
 * when the board runs the other slot. Null if the slot is started, or if otadata is written as well.
 */
async function unstartedSlotWarning(
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
  return `the board still boots ${other}, because its otadata selects it; the app is written to ${own}. To boot it, run \`aiot board erase ${otadata.label}\` or use --slot next`;
}

/** Number of bytes at the start of an image that are sufficient to recognize a program. */
const headBytes = 64;

/**
 * State of the program on the board after these regions are written. An image without an app descriptor at the bootloader's offset
 * counts as a program.
 */
export async function programOn(
  loader: Loader,
  regions: readonly Region[],
  { table, erase }: { table: PartitionTable | null; erase: boolean },
): Promise<Flashed['program']> {
  const { chip, security } = loader.chip;
  const apps = (table?.partitions ?? []).filter(({ type }) => type === partitionTypes.app);
  const kindAt = ({ data, offset }: Region, at: number) =>
    looksLike(data.subarray(at - offset))?.kind ?? null;
  const covers = ({ data, offset }: Region, at: number) => at >= offset && at < offset + data.length;
  const boot = espChips[chip].bootloaderOffset;
  const isWritten = regions.some(
    (region) =>
      kindAt(region, region.offset) === 'app' ||
      (covers(region, boot) && kindAt(region, boot) === 'image') ||
      apps.some(({ offset }) => covers(region, offset) && kindAt(region, offset) === 'app'),
  );
  if (isWritten) return 'written';
  if (erase) return 'none';
  if (security.secureDownload || security.flashEncryption) return null;
  const kindOnBoard = async (offset: number) => looksLike(await loader.read(offset, headBytes))?.kind ?? null;
  const loaded = await kindOnBoard(boot);
  // Without a table, the ROM may run a single image, which cannot be distinguished from an old bootloader.
  if (loaded === null) return 'none';
  if (table === null) return loaded === 'bootloader' ? 'none' : null;
  for (const { offset } of apps) if ((await kindOnBoard(offset)) === 'app') return 'unchanged';
  return 'none';
}

/** Names and versions of the programs in these regions, for a record: `motor-watch 1.2.0`. */
export function versionsOf(regions: readonly Region[]): string[] {
  return regions.flatMap(({ data, name }) => {
    if (looksLike(data)?.kind !== 'app') return [];
    const app = described(data, name);
    return app ? [`${app.project} ${app.version}`.trim()] : [];
  });
}

/** The description of an app; also null for a damaged image, because other code decides whether it may be written. */
function described(data: Uint8Array, name: string) {
  try {
    return readEspImage(data, name).app;
  } catch (error) {
    if (error instanceof AiotError) return null;
    throw error;
  }
}

interface WriteChoices {
  /** Whether the whole flash is erased first. */
  erase: boolean;
  /** Whether to compare all regions again once the last one is written. */
  verify: boolean;
  /** The expected current contents of the board, by the offset of the region that replaces them. */
  old: ReadonlyMap<number, Uint8Array>;
}

/** Writes planned regions, in the order of `regions`. @throws AIOT_FLASH_…, AIOT_SERIAL_…, AIOT_CHIP_… */
export async function writeRegions(
  loader: Loader,
  regions: readonly Region[],
  { erase, verify, old }: WriteChoices,
): Promise<WrittenRegion[]> {
  if (erase) await loader.eraseAll();
  const written = new Map<Region, WrittenRegion>();
  const whole: Stretch[] = [];
  for (const stretch of joinSectors(regions)) {
    const [only, ...more] = stretch.parts;
    const before = more.length === 0 ? old.get(stretch.offset) : undefined;
    const done = before && !erase ? await writeChanged(loader, stretch, before) : null;
    if (only && done) written.set(only, done);
    else whole.push(stretch);
  }
  for (const [region, result] of await writeWhole(loader, whole, erase)) written.set(region, result);
  // The loader has verified each region after writing it. For a single region, that is sufficient.
  if (verify && regions.length > 1) await compare(loader, regions);
  return regions.map((region) => written.get(region)!);
}

async function writeWhole(
  loader: Loader,
  stretches: readonly Stretch[],
  erased: boolean,
): Promise<[Region, WrittenRegion][]> {
  if (stretches.length === 0) return [];
  const results = await loader.write(stretches, { skipEqual: !erased });
  return results.flatMap(({ skipped }, i) =>
    stretches[i]!.parts.map((part): [Region, WrittenRegion] => {
      const { name, offset, data } = part;
      const bytes = data.length;
      return [part, { name, offset, bytes, skipped, written: skipped ? 0 : bytes, md5: md5Of(data) }];
    }),
  );
}

/** Compares each region again after the last one has been written. @throws AIOT_FLASH_VERIFY */
async function compare(loader: Loader, regions: readonly Region[]): Promise<void> {
  for (const region of regions) {
    if (!(await loader.matches(region))) throw notWritten(region);
  }
}

/**
 * Writes the sectors of a region that differ from the board's expected contents. Null if the board has other contents, so that the whole
 * region must be written.
 * @throws AIOT_FLASH_VERIFY and the loader's errors
 */
async function writeChanged(loader: Loader, region: Region, old: Uint8Array): Promise<WrittenRegion | null> {
  const { name, offset, data } = region;
  const done = { name, offset, bytes: data.length, md5: md5Of(data) };
  if (await loader.matches(region)) return { ...done, skipped: true, written: 0 };
  if (!(await loader.matches({ ...region, data: old }))) return null;
  const runs = changedSectors(region, old);
  await loader.write(runs, { skipEqual: false });
  if (!(await loader.matches(region))) throw notWritten(region);
  return { ...done, skipped: false, written: runs.reduce((sum, run) => sum + run.data.length, 0) };
}

/** The error for a failed comparison after the last write. */
function notWritten({ name, offset, data }: Region): AiotError {
  const where = `${name} at ${hex(offset)}, ${data.length} bytes`;
  return new AiotError('AIOT_FLASH_VERIFY', `the flash contents differ from ${where}`, {
    retryable: true,
  });
}
