import { AiotError, readBytes } from '../../core/index.js';
import { type ChipName, refuseOverlaps } from '../../formats/index.js';
import type { Region } from '../loader/types.js';
import { parsePlaced, resolvePlace } from '../plan/place.js';
import { type Contents, contentsOf } from './contents.js';

interface Read {
  word: string;
  file: string;
  place: number | string | null;
  bytes: Uint8Array;
  contents: Contents;
}

/**
 * `FILE@OFFSET` words and HEX or UF2 files as regions, and the one chip that all of them are for (null: none says).
 * @throws AIOT_USAGE (no place, no chip for it, several chips, overlaps), AIOT_IMAGE_MALFORMED, AIOT_FILE_NOT_FOUND
 */
export async function readAll(
  words: readonly string[],
  wanted: ChipName | undefined,
): Promise<{ regions: Region[]; chip: ChipName | null }> {
  const read: Read[] = [];
  for (const word of words) {
    const { file, place } = parsePlaced(word);
    const bytes = await readBytes(file);
    read.push({ word, file, place, bytes, contents: contentsOf(bytes, file) });
  }
  const chip = oneChip(read, wanted);
  const regions = read.flatMap((one) => regionsOf(one, chip));
  refuseOverlaps(regions);
  return { regions, chip };
}

function oneChip(read: readonly Read[], wanted: ChipName | undefined): ChipName | null {
  const first = read.find(({ contents }) => contents.chip !== null);
  const chip = wanted ?? first?.contents.chip ?? null;
  const other = read.find(({ contents }) => contents.chip !== null && contents.chip !== chip);
  if (other === undefined) return chip;
  const against = wanted === undefined ? `${first?.file} is for ${chip}` : `--chip says ${wanted}`;
  throw new AiotError('AIOT_USAGE', `${other.file} is for ${other.contents.chip}, ${against}`);
}

function regionsOf({ word, file, place, bytes, contents }: Read, chip: ChipName | null): Region[] {
  if (contents.format === 'elf') {
    throw new AiotError('AIOT_USAGE', `${file} is an ELF file, and no image yet`, {
      next: `aiot firmware image create ${file} --chip ${chip ?? 'esp32'}`,
    });
  }
  if (contents.regions !== null) {
    if (place === null) return contents.regions.map((region) => ({ ...region, name: file }));
    throw new AiotError('AIOT_USAGE', `${file} says itself where its bytes go`, {
      next: `Leave out the ${word.slice(file.length)}.`,
    });
  }
  if (place === null) {
    throw new AiotError('AIOT_USAGE', `${file}: expected where it goes, such as ${file}@0x10000`);
  }
  return [{ name: file, data: bytes, offset: offsetAt(place, chip, file) }];
}

function offsetAt(place: number | string, chip: ChipName | null, file: string): number {
  if (typeof place === 'number') return place;
  if (place === 'partition-table') return resolvePlace(place, chip ?? 'esp32', null);
  if (place !== 'bootloader') {
    throw new AiotError('AIOT_USAGE', `${file}@${place}: there is no board whose table has this label`, {
      next: `Give an offset: ${file}@0x10000`,
    });
  }
  if (chip !== null) return resolvePlace(place, chip, null);
  throw new AiotError('AIOT_USAGE', `${file}@bootloader: the chip is not known`, {
    next: 'Say it: --chip esp32',
  });
}
