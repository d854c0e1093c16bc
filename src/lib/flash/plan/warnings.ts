import { size } from '../../core/index.js';
import {
  espChips,
  partitionSubtypes,
  partitionTableOffset,
  partitionTypes,
  sectorBytes,
} from '../../formats/index.js';
import type { Region } from '../loader/types.js';
import { looksLike, looksLikeTable } from './looks.js';
import { hex } from './place.js';
import { forgottenHex } from './rules.js';
import type { Board, KnownTable } from './types.js';

const nvsSubtype = partitionSubtypes[partitionTypes.data]?.nvs;

/** What is odd about these regions and may be meant all the same. */
export function warnings(regions: readonly Region[], board: Board, known: KnownTable | null): string[] {
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
