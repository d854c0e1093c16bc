import { size } from '../../core/index.js';
import {
  type ChipName,
  espChips,
  type Partition,
  partitionTableBytes,
  partitionTableOffset,
  partitionTypes,
  sectorBytes,
} from '../../formats/index.js';
import type { Region } from '../loader/types.js';
import { type Looks, looksLike, looksLikeTable } from './looks.js';
import { hex } from './place.js';
import type { Board, KnownTable, Objection, Rule } from './types.js';

/** The name people know a chip by. */
const title = (chip: ChipName) => espChips[chip].title;
const version = (revision: number) => `${Math.floor(revision / 100)}.${revision % 100}`;
const endOf = ({ offset, data }: Region) => offset + data.length;

/** All that speaks against writing these regions on this board: what would leave a board that does not start. */
export function objections(regions: readonly Region[], board: Board, known: KnownTable | null): Objection[] {
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
export function forgottenHex(at: number): string | null {
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
