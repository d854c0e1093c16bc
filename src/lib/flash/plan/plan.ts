import { AiotError } from '../../core/errors.js';
import { plural, size } from '../../core/figures.js';
import { type ChipName, espChips } from '../../formats/esp-image/chips.js';
import {
  type Partition,
  type PartitionTable,
  partitionSubtypes,
  partitionTableBytes,
  partitionTableOffset,
  partitionTypes,
  sectorBytes,
} from '../../formats/partitions.js';
import type { Region } from '../loader/types.js';
import { patchHeader } from './header.js';
import { type Looks, looksLike, looksLikeTable } from './looks.js';
import { hex, resolvePlace } from './place.js';
import { joinSectors } from './sectors.js';
import { tableInForce } from './table.js';
import type {
  Board,
  HeaderChanges,
  KnownTable,
  LeftBehind,
  Objection,
  Piece,
  Rule,
  WritePlan,
} from './types.js';

export interface PlanInput {
  pieces: readonly Piece[];
  board: Board;
  /** The table on the board; null = none, or it will be erased. */
  boardTable: PartitionTable | null;
  header: HeaderChanges;
  /** The whole flash is erased first. */
  erase: boolean;
  force: boolean;
  /** Whose identity is among the pieces, and the chip and the board that it was made for. */
  device?: { name: string; chip: ChipName | null; mac?: string | null } | null;
  /** The device whose identity the board has now; null = none that can be read. */
  held?: string | null;
  /** The identity that the written table leaves where no NVS is any more. */
  left?: LeftBehind | null;
}

/**
 * What is to be written where, checked against the board: nothing has been changed yet when this refuses.
 * @throws AIOT_FLASH_REFUSED with all objections, unless `force`; AIOT_USAGE (regions that overlap or are empty, a label
 * that the table lacks), AIOT_IMAGE_MALFORMED (a header to be changed of a damaged image)
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
    ...leftObjections(input, regions),
    ...objections(regions, board, known),
  ];
  if (told.length > 0 && !force) throw refused(told, input.left ?? null);
  return { regions, overridden: told, warnings: warnings(regions, board, known) };
}

/** Labels of partitions are those of the table that is written, where one is. */
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
    '--erase takes the bootloader of a chip that takes no other one (secure boot or encrypted flash)';
  return [{ rule: 'locked', region: 'flash', message }];
}

/** An identity, or a UF2 file, that names another chip. */
function chipObjections({ device, board, pieces }: PlanInput): Objection[] {
  const named = [
    ...(device ? [{ name: device.name, chip: device.chip, what: 'is provisioned' }] : []),
    ...pieces.map(({ name, chip }) => ({ name, chip, what: 'is made' })),
  ];
  return named.flatMap(({ name, chip, what }) => {
    if (!chip || chip === board.chip) return [];
    const made = `${name} ${what} for an ${espChips[chip].title}`;
    const message = `${made}, and the board is an ${espChips[board.chip].title}`;
    return [{ rule: 'chip' as const, region: name, message }];
  });
}

/** Another board's identity, and one that would be lost: a key is made once, and lies in no other place. */
function identityObjections({ device, board, held }: PlanInput): Objection[] {
  if (!device) return [];
  const { name, mac } = device;
  const told: string[] = [];
  if (mac && board.mac && mac !== board.mac) {
    told.push(`${name} was made for the board ${mac}, and this one is ${board.mac}`);
  }
  if (held && held !== name) {
    told.push(`the board is ${held}, and the only copy of its key may be there: ${name} would overwrite it`);
  }
  return told.map((message) => ({ rule: 'identity' as const, region: name, message }));
}

/** A table of another layout: the program would look for its identity elsewhere, and find none. */
function leftObjections({ left }: PlanInput, regions: readonly Region[]): Objection[] {
  if (!left) return [];
  const { device, from, to } = left;
  const table = regions.find(
    ({ offset, data }) => offset <= partitionTableOffset && offset + data.length > partitionTableOffset,
  );
  const region = table?.name ?? 'the partition table';
  const place = ({ offset, size: bytes }: typeof from) => `${hex(offset)} (${size(bytes)})`;
  const moved = to ? `${region} puts NVS at ${place(to)}` : `${region} has no NVS`;
  const message = `${moved}, and the identity of ${device} is at ${place(from)}: the board would not find it any more`;
  return [{ rule: 'identity', region, message }];
}

const leaveOut =
  'Leave the partition table out (aiot flash app.bin@ota_0): the board keeps its own. --force writes the table; make the board the device again afterwards.';

function refused(told: readonly Objection[], left: LeftBehind | null): AiotError {
  const [only] = told;
  if (told.length === 1 && only) {
    return new AiotError('AIOT_FLASH_REFUSED', only.message, left ? { next: leaveOut } : {});
  }
  const all = told.map(({ message }) => message).join('; ');
  return new AiotError('AIOT_FLASH_REFUSED', `${plural(told.length, 'reason')}: ${all}`);
}

/** The name people know a chip by. */
const title = (chip: ChipName) => espChips[chip].title;

const version = (revision: number) => `${Math.floor(revision / 100)}.${revision % 100}`;
const endOf = ({ offset, data }: Region) => offset + data.length;

/** All that speaks against writing these regions on this board: what would leave a board that does not start. */
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

/** The images in a region: at its start, and of a merged one at the bootloader's offset and in the app slots. */
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
        ['chip', `${where} is an image for the ${title(looks.chip)}, and the board is an ${title(chip)}`],
      ];
    }
    if (revision != null && looks.minRevision > revision) {
      const told = `${where} needs revision ${version(looks.minRevision)} of the ${title(chip)}, and the board has ${version(revision)}`;
      return [['chip', told]];
    }
    const first = espChips[chip].bootloaderOffset;
    if (at === first && looks.kind === 'app') {
      const told = `${where} is an app, and ${hex(at)} is where the ${title(chip)} starts its bootloader`;
      return [['bootloader', told]];
    }
    if (at !== first && looks.kind === 'bootloader') {
      const told = `${where} is a bootloader, and the ${title(chip)} starts its bootloader at ${hex(first)}`;
      return [['bootloader', told]];
    }
    const misplaced = looks.kind === 'app' ? appObjection(at, known) : null;
    return misplaced === null ? [] : [['app', `${where} is an app, and ${misplaced}`]];
  });
}

/** Where no bootloader would look for an app, and something else is needed. */
function appObjection(at: number, known: KnownTable | null): string | null {
  const meant = forgottenHex(at);
  const hint = meant === null ? '' : `: is ${meant} meant, and not ${at}?`;
  if (at < partitionTableOffset + sectorBytes) {
    return `${hex(at)} lies in the place of bootloader and partition table${hint}`;
  }
  const data = known?.table.partitions.find((p) => p.type === partitionTypes.data && p.offset === at);
  return data ? `${hex(at)} is the data partition ${data.label}${hint}` : null;
}

/** A number that is no sector, and is one when it is read as hexadecimal: its `0x` was forgotten. */
function forgottenHex(at: number): string | null {
  const read = Number(`0x${at}`);
  return at % sectorBytes !== 0 && read % sectorBytes === 0 ? `0x${at}` : null;
}

function placeObjections(region: Region, board: Board, known: KnownTable | null): Told[] {
  const told: Told[] = [];
  const { flashBytes } = board;
  if (flashBytes !== null && endOf(region) > flashBytes) {
    const end = `${region.name} ends at ${hex(endOf(region))}, and the flash at ${hex(flashBytes)}`;
    return [['flash-end', `${end} (${size(flashBytes)})`]];
  }
  if (!known) return told;
  // What begins at its place is meant to be the table: other bytes there are a warning.
  if (region.offset !== partitionTableOffset && coversTable(region)) {
    // A merged image brings its own table, and its parts lie where that says.
    if (bringsTable(region)) return told;
    told.push(['table', `${region.name} runs over the partition table at ${hex(partitionTableOffset)}`]);
  }
  const over = overrun(region, known.table.partitions);
  if (over) told.push(['partition-end', over]);
  return told;
}

/** Whether a region holds any of the table's bytes. */
function coversTable(region: Region): boolean {
  return region.offset < partitionTableOffset + partitionTableBytes && endOf(region) > partitionTableOffset;
}

/** Whether a region that begins before the table's place holds one there. */
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
  return hit ? `${region.name} lies in no partition and runs into ${hit.label} at ${hex(hit.offset)}` : null;
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
  return plain ? [['locked', `${region.name} is in plain text, and the chip ${what}`]] : [];
}

const nvsSubtype = partitionSubtypes[partitionTypes.data]?.nvs;

/** What is odd about these regions and may be meant all the same. */
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
    const place = app ? `partition ${app.label}` : 'the bootloader’s place';
    told.push(`${name} is no image of a program, and ${hex(offset)} is ${place}`);
  }
  if (offset === partitionTableOffset && !looksLikeTable(data) && !board.security.flashEncryption) {
    told.push(`${name} is no partition table, and ${hex(offset)} is where it is looked for`);
  }
  if (looks?.kind === 'app' && !app && !isBootloader) told.push(...appWarnings(region, known));
  const { flashBytes } = board;
  if (isBootloader && looks?.flashBytes && flashBytes !== null && looks.flashBytes > flashBytes) {
    const counts = `${name} counts on ${size(looks.flashBytes)} of flash, and the board has ${size(flashBytes)}`;
    told.push(`${counts}: --flash-size detect sets it right`);
  }
  return told;
}

/** An app where nobody looks for one. */
function appWarnings({ name, offset }: Region, known: KnownTable | null): string[] {
  const told: string[] = [];
  const meant = forgottenHex(offset);
  const hint = meant === null ? '' : `: is ${meant} meant, and not ${offset}?`;
  if (offset % sectorBytes !== 0)
    told.push(`${name} is an app, and ${hex(offset)} is not the begin of a sector${hint}`);
  const inside = known?.table.partitions.find((p) => offset > p.offset && offset < p.offset + p.size);
  if (inside) {
    const start = `${inside.label} begins at ${hex(inside.offset)}`;
    told.push(`${name} is an app, and ${hex(offset)} is in the middle of a partition: ${start}`);
  }
  return told;
}

/** A merged image fills what lies between its parts, and NVS is there: the device's identity, its Wi-Fi. */
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
  return [`${region.name} runs over NVS (${lost.label}): what the board keeps there will be gone`];
}
