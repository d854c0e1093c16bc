import { AiotError, plural, size } from '../../core/index.js';
import { type ChipName, espChips, type PartitionTable, partitionTableOffset } from '../../formats/index.js';
import type { Region } from '../loader/types.js';
import { patchHeader } from './header.js';
import { hex, resolvePlace } from './place.js';
import { objections } from './rules.js';
import { joinSectors } from './sectors.js';
import { tableInForce } from './table.js';
import type { Board, HeaderChanges, LeftBehind, Objection, Piece, WritePlan } from './types.js';
import { warnings } from './warnings.js';

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
