import { extname } from 'node:path';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { readBytes, refuseInputs, writeFileAtomic } from '../../core/files.js';
import { type ChipName, chipNames, type FlashSize, flashSizeBytes } from '../../formats/esp-image/chips.js';
import { mergeImages, refuseOverlaps } from '../../formats/esp-image/regions.js';
import { writeIntelHex } from '../../formats/intel-hex.js';
import { writeUf2 } from '../../formats/uf2.js';
import type { Region } from '../loader/types.js';
import { md5Of } from '../md5.js';
import { patchHeader } from '../plan/header.js';
import { type Contents, contentsOf } from '../plan/looks.js';
import { hex, parsePlaced, resolvePlace } from '../plan/place.js';
import type { HeaderChanges } from '../plan/types.js';

export const mergeFormats = ['raw', 'hex', 'uf2'] as const;

export type MergeFormat = (typeof mergeFormats)[number];

export interface MergeInput {
  /** `FILE@OFFSET`; HEX and UF2 files without an offset. */
  words: readonly string[];
  out: string;
  /** Default: by the name of `out`. */
  format?: MergeFormat;
  /** Default: the one that the files are for. */
  chip?: ChipName;
  /** Flash offset of a raw file's first byte. */
  start?: number;
  padTo?: FlashSize;
  header: HeaderChanges;
  payloadBytes?: number;
  md5?: boolean;
}

export const mergedSchema = z.object({
  file: z.string(),
  format: z.enum(mergeFormats),
  bytes: z.int(),
  /** Where a raw file is to be written; null: the file says it. */
  offset: z.int().nullable(),
  chip: z.enum(chipNames).nullable(),
  regions: z.array(z.object({ name: z.string(), offset: z.int(), bytes: z.int(), md5: z.string() })),
});

export type Merged = z.output<typeof mergedSchema>;

/**
 * One file of several: raw, Intel HEX or UF2, from raw files with an offset, HEX and UF2.
 * @throws AIOT_USAGE, AIOT_IMAGE_MALFORMED, AIOT_FILE_NOT_FOUND, AIOT_FILE_IS_INPUT, AIOT_FILE_NOT_WRITABLE
 */
export async function mergeFiles(input: MergeInput): Promise<Merged> {
  const { out, words } = input;
  if (words.length === 0) {
    throw new AiotError('AIOT_USAGE', 'there is nothing to merge', {
      next: `Name files and their offsets: aiot firmware merge bootloader.bin@0x1000 app.bin@0x10000 --out ${out}`,
    });
  }
  await refuseInputs(
    [out],
    words.map((word) => parsePlaced(word).file),
  );
  const format = input.format ?? formatOfName(out);
  refuseUnused(input, format);
  const { regions, chip } = await readAll(words, input.chip);
  const patched = withHeader(regions, chip, input.header);
  const data = render(patched, format, chip, input);
  await writeFileAtomic(out, data);
  return {
    file: out,
    format,
    bytes: data.length,
    offset: format === 'raw' ? (input.start ?? 0) : null,
    chip,
    regions: patched
      .toSorted((a, b) => a.offset - b.offset)
      .map(({ name, offset, data: part }) => ({
        name,
        offset,
        bytes: part.length,
        md5: md5Of(part),
      })),
  };
}

function formatOfName(out: string): MergeFormat {
  const extension = extname(out).toLowerCase();
  if (extension === '.uf2') return 'uf2';
  return extension === '.hex' || extension === '.ihex' ? 'hex' : 'raw';
}

function refuseUnused({ start, padTo, payloadBytes, md5 }: MergeInput, format: MergeFormat): void {
  const raw = start !== undefined || padTo !== undefined;
  if (raw && format !== 'raw') {
    throw new AiotError(
      'AIOT_USAGE',
      `a ${format} file holds addresses: --start and --pad-to are of raw files alone`,
    );
  }
  if ((payloadBytes !== undefined || md5 === false) && format !== 'uf2') {
    throw new AiotError('AIOT_USAGE', `--payload and --no-md5 are of UF2 files, not of ${format}`);
  }
}

function withHeader(regions: Region[], chip: ChipName | null, header: HeaderChanges): Region[] {
  if (Object.values(header).every((value) => value === undefined)) return regions;
  if (chip === null) {
    throw new AiotError('AIOT_USAGE', 'no file says which chip it is for, and so where its bootloader is', {
      next: 'Say it: --chip esp32',
    });
  }
  const security = { secureBoot: false, flashEncryption: false, secureDownload: false };
  return patchHeader(regions, header, { chip, flashBytes: null, security });
}

function render(
  regions: Region[],
  format: MergeFormat,
  chip: ChipName | null,
  input: MergeInput,
): Uint8Array {
  if (format === 'hex') return Buffer.from(writeIntelHex(regions));
  if (format === 'raw') {
    return mergeImages(regions, {
      start: input.start,
      flashBytes: input.padTo === undefined ? undefined : flashSizeBytes(input.padTo),
    });
  }
  if (chip !== null) return writeUf2(regions, { chip, payloadBytes: input.payloadBytes, md5: input.md5 });
  throw new AiotError('AIOT_USAGE', 'a UF2 file names its chip, and no file says which that is', {
    next: `Say it: --chip esp32 (the first region is at ${hex(regions[0]?.offset ?? 0)})`,
  });
}

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
async function readAll(
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
