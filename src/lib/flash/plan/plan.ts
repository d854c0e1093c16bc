import { AiotError } from '../../core/errors.js';
import { hex, plural, size } from '../../core/figures.js';
import {
  type ChipName,
  espChips,
  type FlashFrequency,
  type FlashSize,
  flashModes,
  flashSizeBytes,
  flashSizes,
  frequenciesOf,
} from '../../formats/esp-image/chips.js';
import { readImageStart } from '../../formats/esp-image/read.js';
import { type FlashParameters, patchEspImage } from '../../formats/esp-image/write.js';
import {
  type Partition,
  type PartitionTable,
  partitionProblems,
  partitionSubtypes,
  partitionTableBytes,
  partitionTableOffset,
  partitionTypes,
  readPartitionTable,
  sectorBytes,
} from '../../formats/partitions.js';
import type { Loader, Region } from '../loader/types.js';
import { type Looks, looksLike, looksLikeTable, resolvePlace, sectorOf } from './pieces.js';
import type {
  Board,
  HeaderChanges,
  KnownTable,
  Objection,
  Piece,
  Rule,
  StrandedIdentity,
  WritePlan,
} from './types.js';

export interface PlanInput {
  pieces: readonly Piece[];
  board: Board;
  /** The board's partition table; null = it has none, or it will be erased. */
  boardTable: PartitionTable | null;
  header: HeaderChanges;
  /** Whether the whole flash is erased first. */
  erase: boolean;
  force: boolean;
  /** The device whose identity is among the pieces, with the chip and the board for which the identity was made. */
  device?: { name: string; chip: ChipName | null; mac?: string | null; batch?: string | null } | null;
  /** Name of the device whose identity is on the board now; null = no identity could be read. */
  existing?: string | null;
  /** The identity on the board that a new table would make inaccessible, because its NVS partition would be elsewhere or missing. */
  stranded?: StrandedIdentity | null;
}

/**
 * Plans the regions to write and checks them against the board. If this throws, nothing has been changed yet.
 * @throws AIOT_FLASH_REFUSED with all objections, unless `force`; AIOT_USAGE (regions that overlap or are empty, an unknown label),
 *   AIOT_IMAGE_MALFORMED (header changes for a damaged image)
 */
export function planWrite(input: PlanInput): WritePlan {
  const { board, boardTable, force } = input;
  const placed = placeAll(input);
  const regions = patchHeader(placed, input.header, board);
  joinSectors(regions);
  const { known, objections: ofTable } = tableInForce(regions, boardTable, board.flashBytes);
  const told = [
    ...ofTable,
    ...eraseObjections(input),
    ...chipObjections(input),
    ...identityObjections(input),
    ...strandedObjections(input, regions),
    ...objections(regions, board, known),
  ];
  if (told.length > 0 && !force) throw refused(told, input.stranded ?? null);
  return { regions, overridden: told, warnings: warnings(regions, board, known) };
}

/** Determines the offsets of the pieces. Partition labels refer to the new table if one is written. */
function placeAll({ pieces, board, boardTable }: PlanInput): Region[] {
  const fixed = pieces.flatMap(({ name, data, place }) =>
    typeof place === 'number' || place === 'partition-table'
      ? [{ name, data, offset: resolvePlace(place, board.chip, null) }]
      : [],
  );
  const { known } = tableInForce(fixed, boardTable, null);
  return pieces.map(({ name, data, place }) => ({
    name,
    data,
    offset: resolvePlace(place, board.chip, known),
  }));
}

function eraseObjections({ erase, board }: PlanInput): Objection[] {
  const { secureBoot, flashEncryption } = board.security;
  if (!erase || !(secureBoot || flashEncryption)) return [];
  const message =
    '--erase would erase the bootloader, and the chip accepts no other one (secure boot or encrypted flash)';
  return [{ rule: 'locked', region: 'flash', message }];
}

/** Rejects an identity or a UF2 file that is for another chip. */
function chipObjections({ device, board, pieces }: PlanInput): Objection[] {
  const named = [
    ...(device ? [{ name: device.name, chip: device.chip, what: 'was provisioned' }] : []),
    ...pieces.map(({ name, chip }) => ({ name, chip, what: 'was built' })),
  ];
  return named.flatMap(({ name, chip, what }) => {
    if (!chip || chip === board.chip) return [];
    const made = `${name} ${what} for an ${espChips[chip].title}`;
    const message = `${made}, but the board is an ${espChips[board.chip].title}`;
    return [{ rule: 'chip' as const, region: name, message }];
  });
}

/** Rejects an identity that was made for another board, and replacing an identity whose key may be stored nowhere else. */
function identityObjections({ device, board, existing }: PlanInput): Objection[] {
  if (!device) return [];
  const { name, mac } = device;
  const told: string[] = [];
  if (mac && board.mac && mac !== board.mac) {
    told.push(`${name} was provisioned for the board ${mac}, but this board is ${board.mac}`);
  }
  // The images of a batch contain no key, so they must not replace that of a board which is this device already.
  if (existing && (existing !== name || device.batch)) {
    told.push(
      `the board is ${existing}, and ${name} would overwrite what may be the only copy of its key. Use another board, or for a simulated one another file`,
    );
  }
  return told.map((message) => ({ rule: 'identity' as const, region: name, message }));
}

/** Rejects a table that moves or removes NVS, because the program would no longer find its identity. */
function strandedObjections({ stranded }: PlanInput, regions: readonly Region[]): Objection[] {
  if (!stranded) return [];
  const { device, from, to } = stranded;
  const table = regions.find(
    ({ offset, data }) => offset <= partitionTableOffset && offset + data.length > partitionTableOffset,
  );
  const region = table?.name ?? 'the partition table';
  const place = ({ offset, size: bytes }: typeof from) => `${hex(offset)} (${size(bytes)})`;
  const moved = to ? `${region} places NVS at ${place(to)}` : `${region} has no NVS`;
  const message = `${moved}, but the identity of ${device} is at ${place(from)}: the board would no longer find it`;
  return [{ rule: 'identity', region, message }];
}

const leaveOut =
  "Omit the partition table (aiot flash app.bin@ota_0) to keep the board's own. --force writes it; provision the board again afterward.";

function refused(told: readonly Objection[], stranded: StrandedIdentity | null): AiotError {
  const [only] = told;
  if (told.length === 1 && only) {
    return new AiotError('AIOT_FLASH_REFUSED', only.message, stranded ? { next: leaveOut } : {});
  }
  const all = told.map(({ message }) => message).join('; ');
  return new AiotError('AIOT_FLASH_REFUSED', `${plural(told.length, 'reason')}: ${all}`);
}

/** Display name of a chip. */
const title = (chip: ChipName) => espChips[chip].title;

const version = (revision: number) => `${Math.floor(revision / 100)}.${revision % 100}`;

const endOf = ({ offset, data }: Region) => offset + data.length;

/** All objections to writing these regions, each because the board would be unable to boot. */
function objections(regions: readonly Region[], board: Board, known: KnownTable | null): Objection[] {
  return regions.flatMap((region) => {
    const told = [
      ...imageObjections(region, board, known),
      ...placeObjections(region, board, known),
      ...lockObjections(region, board),
    ];
    return told.map(([rule, message]) => ({ rule, region: region.name, message }));
  });
}

type Told = [rule: Rule, message: string];

/** The images in a region: at its start and, for a merged region, at the bootloader's offset and in the app slots. */
function imagesIn(region: Region, chip: ChipName, known: KnownTable | null): { at: number; looks: Looks }[] {
  const apps = known?.table.partitions.filter(({ type }) => type === partitionTypes.app) ?? [];
  const places = [region.offset, espChips[chip].bootloaderOffset, ...apps.map(({ offset }) => offset)];
  return [...new Set(places)]
    .filter((at) => at >= region.offset && at < endOf(region))
    .flatMap((at) => {
      const looks = looksLike(region.data.subarray(at - region.offset));
      return looks ? [{ at, looks }] : [];
    });
}

function imageObjections(region: Region, board: Board, known: KnownTable | null): Told[] {
  const { chip, revision } = board;
  return imagesIn(region, chip, known).flatMap(({ at, looks }): Told[] => {
    const where = at === region.offset ? region.name : `${region.name} (at ${hex(at)})`;
    if (looks.chip !== chip) {
      return [
        ['chip', `${where} is an image for the ${title(looks.chip)}, but the board is an ${title(chip)}`],
      ];
    }
    if (revision != null && looks.minRevision > revision) {
      const told = `${where} needs revision ${version(looks.minRevision)} of the ${title(chip)}, but the board has ${version(revision)}`;
      return [['chip', told]];
    }
    const first = espChips[chip].bootloaderOffset;
    if (at === first && looks.kind === 'app') {
      const told = `${where} is an app, but ${hex(at)} is the bootloader's offset on the ${title(chip)}`;
      return [['bootloader', told]];
    }
    if (at !== first && looks.kind === 'bootloader') {
      const told = `${where} is a bootloader, but the bootloader's offset on the ${title(chip)} is ${hex(first)}`;
      return [['bootloader', told]];
    }
    if (looks.kind !== 'app') return [];
    const misplaced = appObjection(at, known);
    if (misplaced !== null) return [['app', `${where} is an app, but ${misplaced}`]];
    const old = secureVersionObjection(region.data.subarray(at - region.offset), board);
    return old === null ? [] : [['secure-version', `${where} ${old}`]];
  });
}

/** Rejects an app with a lower anti-rollback version than that in the fuses. A bootloader that burned them does not start it. */
function secureVersionObjection(image: Uint8Array, { secureVersion }: Board): string | null {
  const own = readImageStart(image)?.app?.secureVersion ?? 0;
  if (secureVersion == null || own >= secureVersion) return null;
  return `has the secure version ${own}, but the chip's fuses require at least ${secureVersion} (anti-rollback)`;
}

/** Rejects an app at an offset that is reserved for the bootloader and the partition table, or at the start of a data partition. */
function appObjection(at: number, known: KnownTable | null): string | null {
  const meant = forgottenHex(at);
  const hint = meant === null ? '' : `. Did you mean ${meant} instead of ${at}?`;
  if (at < partitionTableOffset + sectorBytes) {
    return `${hex(at)} is reserved for the bootloader and partition table${hint}`;
  }
  const data = known?.table.partitions.find((p) => p.type === partitionTypes.data && p.offset === at);
  return data ? `${hex(at)} is the data partition ${data.label}${hint}` : null;
}

/** Detects a decimal number that is unaligned, but would be aligned in hexadecimal, because the user forgot its `0x`. */
function forgottenHex(at: number): string | null {
  const read = Number(`0x${at}`);
  return at % sectorBytes !== 0 && read % sectorBytes === 0 ? `0x${at}` : null;
}

function placeObjections(region: Region, board: Board, known: KnownTable | null): Told[] {
  const told: Told[] = [];
  const { flashBytes } = board;
  if (flashBytes !== null && endOf(region) > flashBytes) {
    const end = `${region.name} ends at ${hex(endOf(region))}, but the flash ends at ${hex(flashBytes)}`;
    return [['flash-end', `${end} (${size(flashBytes)})`]];
  }
  if (!known) return told;
  // A region that starts at the table's offset is meant to be the table; `warnings` reports it if it contains anything else.
  if (region.offset !== partitionTableOffset && coversTable(region)) {
    // A merged image contains its own table, which determines the places of its parts.
    if (bringsTable(region)) return told;
    told.push(['table', `${region.name} overlaps the partition table at ${hex(partitionTableOffset)}`]);
  }
  const over = overrun(region, known.table.partitions);
  if (over) told.push(['partition-end', over]);
  return told;
}

/** Whether a region includes any of the table's bytes. */
function coversTable(region: Region): boolean {
  return region.offset < partitionTableOffset + partitionTableBytes && endOf(region) > partitionTableOffset;
}

/** Whether a region that starts before the table's offset contains a table there. */
function bringsTable({ offset, data }: Region): boolean {
  return offset < partitionTableOffset && looksLikeTable(data.subarray(partitionTableOffset - offset));
}

function overrun(region: Region, partitions: readonly Partition[]): string | null {
  const inside = (at: number) => partitions.find((p) => at >= p.offset && at < p.offset + p.size);
  const own = inside(region.offset);
  if (own) {
    const end = own.offset + own.size;
    if (endOf(region) <= end) return null;
    const over = size(endOf(region) - end);
    return `${region.name} ends ${over} past the end of partition ${own.label} (${hex(own.offset)} to ${hex(end)})`;
  }
  const hit = partitions
    .filter(({ offset }) => offset >= region.offset && offset < endOf(region))
    .sort((a, b) => a.offset - b.offset)[0];
  return hit
    ? `${region.name} is outside all partitions and overlaps ${hit.label} at ${hex(hit.offset)}`
    : null;
}

function lockObjections(region: Region, { chip, security }: Board): Told[] {
  if (!security.secureBoot && !security.flashEncryption) return [];
  const what = [
    ...(security.secureBoot ? ['checks signatures (secure boot)'] : []),
    ...(security.flashEncryption ? ['encrypts its flash'] : []),
  ].join(' and ');
  if (region.offset < partitionTableOffset && endOf(region) > espChips[chip].bootloaderOffset) {
    return [['locked', `${region.name} replaces the bootloader of a chip that ${what}`]];
  }
  if (!security.flashEncryption) return [];
  const plain = looksLike(region.data) !== null || looksLikeTable(region.data);
  return plain ? [['locked', `${region.name} is not encrypted, but the chip ${what}`]] : [];
}

const nvsSubtype = partitionSubtypes[partitionTypes.data]?.nvs;

/** Warnings about these regions, which the user may have intended. */
function warnings(regions: readonly Region[], board: Board, known: KnownTable | null): string[] {
  return regions.flatMap((region) => [
    ...contentWarnings(region, board, known),
    ...lossWarnings(region, known),
  ]);
}

function contentWarnings(region: Region, board: Board, known: KnownTable | null): string[] {
  const { name, offset, data } = region;
  const looks = looksLike(data);
  const told: string[] = [];
  const isBootloader = offset === espChips[board.chip].bootloaderOffset;
  const app = known?.table.partitions.find((p) => p.type === partitionTypes.app && p.offset === offset);
  if (!looks && (isBootloader || app) && !board.security.flashEncryption) {
    const place = app ? `partition ${app.label}` : "the bootloader's place";
    told.push(`${name} is not a program image, but ${hex(offset)} is ${place}`);
  }
  if (offset === partitionTableOffset && !looksLikeTable(data) && !board.security.flashEncryption) {
    told.push(`${name} is not a partition table, but ${hex(offset)} is the table's offset`);
  }
  if (looks?.kind === 'app' && !app && !isBootloader) told.push(...appWarnings(region, known));
  const { flashBytes } = board;
  if (isBootloader && looks?.flashBytes && flashBytes !== null && looks.flashBytes > flashBytes) {
    const counts = `${name} expects ${size(looks.flashBytes)} of flash, but the board has ${size(flashBytes)}`;
    told.push(`${counts}: --flash-size detect corrects this`);
  }
  return told;
}

/** Warns about an app at an offset from which it cannot be started. */
function appWarnings({ name, offset }: Region, known: KnownTable | null): string[] {
  const told: string[] = [];
  const meant = forgottenHex(offset);
  const hint = meant === null ? '' : `. Did you mean ${meant} instead of ${offset}?`;
  if (offset % sectorBytes !== 0)
    told.push(`${name} is an app, but ${hex(offset)} is not the start of a sector${hint}`);
  const inside = known?.table.partitions.find((p) => offset > p.offset && offset < p.offset + p.size);
  if (inside) {
    const start = `${inside.label} begins at ${hex(inside.offset)}`;
    told.push(`${name} is an app, but ${hex(offset)} is in the middle of a partition: ${start}`);
  }
  return told;
}

/**
 * Warns about a region that overlaps NVS, which contains the device's identity and Wi-Fi settings. A merged image overlaps it because it
 * also fills the gaps between its parts.
 */
function lossWarnings(region: Region, known: KnownTable | null): string[] {
  const end = region.offset + region.data.length;
  const lost = known?.table.partitions.find(
    (p) =>
      p.type === partitionTypes.data &&
      p.subtype === nvsSubtype &&
      region.offset < p.offset &&
      end > p.offset,
  );
  if (!lost) return [];
  return [`${region.name} overlaps NVS (${lost.label}): the board's stored data will be lost`];
}

/** One write operation: whole regions, and the gaps between them within shared sectors. */
export interface Stretch extends Region {
  /** The regions that the stretch contains. */
  parts: Region[];
}

/**
 * Sorts regions and joins those that share a sector, because erasing the sector for the second region would delete the end of the first.
 * @throws AIOT_USAGE for overlapping or empty regions
 */
export function joinSectors(regions: readonly Region[]): Stretch[] {
  const sorted = [...regions].sort((a, b) => a.offset - b.offset);
  const stretches: Stretch[] = [];
  for (const region of sorted) {
    if (region.data.length === 0) throw new AiotError('AIOT_USAGE', `${region.name} is empty`);
    const last = stretches.at(-1);
    if (last && sectorOf(last.offset + last.data.length - 1) >= sectorOf(region.offset)) {
      join(last, region);
    } else {
      stretches.push({ ...region, parts: [region] });
    }
  }
  return stretches;
}

function join(last: Stretch, region: Region): void {
  const end = last.offset + last.data.length;
  if (end > region.offset) {
    const where = `${last.name} ends at ${hex(end)} and ${region.name} begins at ${hex(region.offset)}`;
    throw new AiotError('AIOT_USAGE', `two regions overlap: ${where}`);
  }
  const data = new Uint8Array(region.offset - last.offset + region.data.length).fill(0xff);
  data.set(last.data);
  data.set(region.data, region.offset - last.offset);
  last.data = data;
  last.parts.push(region);
  last.name = `${last.name} + ${region.name}`;
}

/**
 * The parts of a region that differ from the old flash contents, as runs of whole 4 KiB sectors, clipped to the region. Bytes past the
 * old contents count as changed, because the flash there is unknown.
 */
export function changedSectors(region: Region, old: Uint8Array): Region[] {
  const { offset, data, name } = region;
  const runs: Region[] = [];
  let from = offset;
  while (from < offset + data.length) {
    const to = Math.min(sectorOf(from) + sectorBytes, offset + data.length);
    const [at, end] = [from - offset, to - offset];
    if (!sameBytes(data.subarray(at, end), old.subarray(at, end))) {
      const last = runs.at(-1);
      if (last && last.offset + last.data.length === from) {
        last.data = data.subarray(last.offset - offset, end);
      } else {
        runs.push({ offset: from, data: data.subarray(at, end), name });
      }
    }
    from = to;
  }
  return runs;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

/**
 * The partition table once the regions are written: the one in a region or, if there is none, the board's own. Rejects a table that is
 * damaged or exceeds the flash.
 */
export function tableInForce(
  regions: readonly Region[],
  board: PartitionTable | null,
  flashBytes: number | null,
): { known: KnownTable | null; objections: Objection[] } {
  const own: KnownTable | null = board && { table: board, from: 'board' };
  const holder = regions.find(
    ({ offset, data }) => offset <= partitionTableOffset && offset + data.length > partitionTableOffset,
  );
  if (!holder) return { known: own, objections: [] };
  const at = partitionTableOffset - holder.offset;
  const bytes = holder.data.subarray(at, at + partitionTableBytes);
  // A region that starts at the table's offset replaces the table. A region that only covers this offset destroys the board's table.
  if (!looksLikeTable(bytes)) return { known: at === 0 ? null : own, objections: [] };
  const object = (message: string): Objection => ({ rule: 'table', region: holder.name, message });
  try {
    const table = readPartitionTable(padded(bytes));
    const problems = partitionProblems(table, flashBytes);
    return {
      known: { table, from: 'written' },
      objections: problems.map((problem) => object(`${holder.name}: ${problem}`)),
    };
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
    return { known: null, objections: [object(`${holder.name}: ${error.message}`)] };
  }
}

/** Number of bytes of the partition table that are read first; nearly all tables are shorter. */
const probeBytes = 512;

/**
 * Number of bytes that are read at a time without a stub, because a ROM reads 64 bytes per request. Most tables end within the second 64
 * bytes, and the first 64 show whether the board is blank.
 */
const romProbeBytes = 128;

const rowBytes = 32;

/** Reads the board's own table; null if there is none or it is damaged. @throws errors of reading the flash */
export async function readBoardTable(loader: Pick<Loader, 'read' | 'stub'>): Promise<PartitionTable | null> {
  const pieceBytes = loader.stub ? probeBytes : romProbeBytes;
  let bytes = await loader.read(partitionTableOffset, pieceBytes);
  if (!looksLikeTable(bytes)) return null;
  const ended = () => bytes.subarray(-rowBytes).every((byte) => byte === 0xff);
  while (!ended() && bytes.length < probeBytes) {
    const more = await loader.read(partitionTableOffset + bytes.length, pieceBytes);
    bytes = Buffer.concat([bytes, more]);
  }
  if (!ended()) bytes = await loader.read(partitionTableOffset, partitionTableBytes);
  try {
    return readPartitionTable(padded(bytes));
  } catch (error) {
    if (error instanceof AiotError) return null;
    throw error;
  }
}

/** Pads bytes to a table's length with the value of erased flash. */
function padded(bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(partitionTableBytes).fill(0xff);
  whole.set(bytes);
  return whole;
}

/**
 * Changes the bootloader's flash parameters in the regions and updates its hash. Only this header needs changing: the ROM reads it, and
 * the bootloader passes its parameters on to the app.
 * @throws AIOT_USAGE (no such parameter, or no bootloader to change), AIOT_IMAGE_MALFORMED, AIOT_FLASH_REFUSED (secure boot)
 */
export function patchHeader(regions: readonly Region[], changes: HeaderChanges, board: Board): Region[] {
  if (Object.values(changes).every((value) => value === undefined || value === 'keep')) return [...regions];
  const parameters = parametersOf(changes, board);
  const { bootloaderOffset, title } = espChips[board.chip];
  const found = regions.find(
    ({ offset, data }) =>
      offset <= bootloaderOffset && looksLike(data.subarray(bootloaderOffset - offset))?.chip === board.chip,
  );
  if (!found) {
    const expected = `expected a bootloader at ${hex(bootloaderOffset)}, where the ${title} looks for flash mode, size and frequency`;
    throw new AiotError('AIOT_USAGE', `${expected}, but none is being written`);
  }
  if (board.security.secureBoot) {
    const why = "a changed header would invalidate the bootloader's signature, which the chip verifies";
    throw new AiotError('AIOT_FLASH_REFUSED', `${found.name}: ${why}`, {
      next: 'Set the flash mode, size and frequency in the build, before signing.',
    });
  }
  const at = bootloaderOffset - found.offset;
  const data = Uint8Array.from(found.data);
  data.set(patchEspImage(data.subarray(at), parameters, found.name), at);
  return regions.map((region) => (region === found ? { ...region, data } : region));
}

function parametersOf({ mode, size, frequency }: HeaderChanges, board: Board): FlashParameters {
  return {
    ...(given(mode) && { mode: oneOf('mode', mode, flashModes) }),
    ...(given(size) && {
      size: size === 'detect' ? detected(board.flashBytes) : oneOf('size', size, flashSizes),
    }),
    ...(given(frequency) && { frequency: frequencyOf(frequency, board.chip) }),
  };
}

function given(value: string | undefined): value is string {
  return value !== undefined && value !== 'keep';
}

function detected(flashBytes: number | null): FlashSize {
  const found = flashSizes.find((size) => flashSizeBytes(size) === flashBytes);
  if (found) return found;
  throw new AiotError('AIOT_USAGE', 'the flash chip does not report its size', {
    next: `Specify the size: --flash-size ${flashSizes[2]}`,
  });
}

function frequencyOf(text: string, chip: ChipName): FlashFrequency {
  return oneOf(`frequency of an ${espChips[chip].title}`, text, frequenciesOf(chip));
}

function oneOf<T extends string>(what: string, value: string, known: readonly T[]): T {
  const found = known.find((name) => name.toLowerCase() === value.toLowerCase());
  if (found !== undefined) return found;
  throw new AiotError(
    'AIOT_USAGE',
    `expected the flash ${what} to be one of ${known.join(', ')}; got ${value}`,
  );
}
