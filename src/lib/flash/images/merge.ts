import { extname } from 'node:path';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import { readBytes, refuseInputs, writeFileAtomic } from '../../core/files.js';
import { type ChipName, chipNames, type FlashSize, flashSizeBytes } from '../../formats/esp-image/chips.js';
import { mergeImages, refuseOverlaps } from '../../formats/esp-image/regions.js';
import { writeIntelHex } from '../../formats/intel-hex.js';
import { type Uf2Family, uf2Family, writeUf2, writeUf2Program } from '../../formats/uf2.js';
import type { Region } from '../loader/types.js';
import { type Contents, contentsOf, md5Of, parsePlaced, resolvePlace } from '../plan/pieces.js';
import { patchHeader } from '../plan/plan.js';
import type { HeaderChanges } from '../plan/types.js';

export const mergeFormats = ['raw', 'hex', 'uf2'] as const;

export type MergeFormat = (typeof mergeFormats)[number];

export interface MergeInput {
  /** Input files: raw files as `FILE@OFFSET`, HEX and UF2 files without an offset. */
  words: readonly string[];
  out: string;
  /** Format of the output; default: according to the extension of `out`. */
  format?: MergeFormat;
  /** Target chip of the output; default: that of the input files. */
  chip?: ChipName;
  /** Family of a UF2 file for another manufacturer's chip; default: that of the input files. */
  family?: string;
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
  /** Offset at which a raw file must be written; null = the file contains its own addresses. */
  offset: z.int().nullable(),
  chip: z.enum(chipNames).nullable(),
  /** Family of a UF2 file; null = none. */
  family: z.string().nullable(),
  regions: z.array(z.object({ name: z.string(), offset: z.int(), bytes: z.int(), md5: z.string() })),
});

export type Merged = z.output<typeof mergedSchema>;

/**
 * Merges raw files with an offset, HEX and UF2 files into one raw, Intel HEX or UF2 file.
 * @throws AIOT_USAGE, AIOT_IMAGE_MALFORMED, AIOT_FILE_NOT_FOUND, AIOT_FILE_IS_INPUT, AIOT_FILE_NOT_WRITABLE
 */
export async function mergeFiles(input: MergeInput): Promise<Merged> {
  const { out, words } = input;
  if (words.length === 0) {
    throw new AiotError('AIOT_USAGE', 'there are no files to merge', {
      next: `Specify files and their offsets, as in \`aiot firmware merge bootloader.bin@0x1000 app.bin@0x10000 --out ${out}\`.`,
    });
  }
  await refuseInputs(
    [out],
    words.map((word) => parsePlaced(word).file),
  );
  const format = input.format ?? formatOfName(out);
  refuseUnused(input, format);
  const { regions, chip, family } = await readAll(words, input);
  const patched = withHeader(regions, chip, input.header);
  const data = render(patched, format, { chip, family }, input);
  await writeFileAtomic(out, data);
  return {
    file: out,
    format,
    bytes: data.length,
    offset: format === 'raw' ? (input.start ?? 0) : null,
    chip,
    family: format === 'uf2' ? (family?.name ?? chip) : null,
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

function refuseUnused(
  { start, padTo, payloadBytes, md5, family, chip }: MergeInput,
  format: MergeFormat,
): void {
  if (family !== undefined && (format !== 'uf2' || chip !== undefined))
    throw new AiotError(
      'AIOT_USAGE',
      '--family applies only to UF2 files, and cannot be combined with --chip',
    );
  if (family !== undefined && (payloadBytes !== undefined || md5 === false))
    throw new AiotError(
      'AIOT_USAGE',
      '--payload and --no-md5 cannot be combined with --family: its blocks always contain 256 bytes and no MD5',
    );
  const raw = start !== undefined || padTo !== undefined;
  if (raw && format !== 'raw') {
    throw new AiotError(
      'AIOT_USAGE',
      `a ${format} file contains addresses, so --start and --pad-to apply only to raw files`,
    );
  }
  if ((payloadBytes !== undefined || md5 === false) && format !== 'uf2') {
    throw new AiotError('AIOT_USAGE', `--payload and --no-md5 apply only to UF2 files, not to ${format}`);
  }
}

function withHeader(regions: Region[], chip: ChipName | null, header: HeaderChanges): Region[] {
  if (Object.values(header).every((value) => value === undefined)) return regions;
  if (chip === null) {
    throw new AiotError(
      'AIOT_USAGE',
      "the bootloader's offset is unknown, because no file identifies the chip",
      {
        next: 'Specify the chip: --chip esp32',
      },
    );
  }
  const security = { secureBoot: false, flashEncryption: false, secureDownload: false };
  return patchHeader(regions, header, { chip, flashBytes: null, security });
}

function render(
  regions: Region[],
  format: MergeFormat,
  { chip, family }: { chip: ChipName | null; family: Uf2Family | null },
  input: MergeInput,
): Uint8Array {
  if (format === 'hex') return Buffer.from(writeIntelHex(regions));
  if (format === 'raw') {
    return mergeImages(regions, {
      start: input.start,
      flashBytes: input.padTo === undefined ? undefined : flashSizeBytes(input.padTo),
    });
  }
  if (family !== null) return writeUf2Program(regions, family);
  if (chip !== null) return writeUf2(regions, { chip, payloadBytes: input.payloadBytes, md5: input.md5 });
  throw new AiotError('AIOT_USAGE', 'a UF2 file must name its chip, but no input file identifies it', {
    next: `Specify the chip: --chip esp32, or --family rp2040 (the first region is at ${hex(regions[0]?.offset ?? 0)})`,
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
 * Reads files given as `FILE@OFFSET`, and HEX or UF2 files, as regions. Determines their target chip (null = unknown).
 * @throws AIOT_USAGE (missing offset, unknown chip, several chips, overlaps), AIOT_IMAGE_MALFORMED, AIOT_FILE_NOT_FOUND
 */
async function readAll(
  words: readonly string[],
  input: MergeInput,
): Promise<{ regions: Region[]; chip: ChipName | null; family: Uf2Family | null }> {
  const read: Read[] = [];
  for (const word of words) {
    const { file, place } = parsePlaced(word);
    const bytes = await readBytes(file);
    read.push({ word, file, place, bytes, contents: contentsOf(bytes, file) });
  }
  const family = oneFamily(read, input.family);
  const chip = family === null ? oneChip(read, input.chip) : null;
  const regions = read.flatMap((one) => regionsOf(one, chip));
  refuseOverlaps(regions);
  return { regions, chip, family };
}

/** The family of another manufacturer's chip; null = the files are for Espressif's chips. */
function oneFamily(read: readonly Read[], wanted: string | undefined): Uf2Family | null {
  const first = read.find(({ contents }) => contents.family !== null && contents.chip === null);
  const family = wanted === undefined ? (first?.contents.family ?? null) : uf2Family(wanted);
  if (family === null) return null;
  const other = read.find(
    ({ contents: { family: own, chip } }) => (own?.name ?? chip ?? family.name) !== family.name,
  );
  if (other === undefined) return family;
  const { contents } = other;
  const against =
    wanted === undefined ? `but ${first?.file} is for ${family.title}` : `but --family specifies ${wanted}`;
  const message = `${other.file} is for ${contents.family?.title ?? contents.chip}, ${against}`;
  throw new AiotError('AIOT_USAGE', message);
}

function oneChip(read: readonly Read[], wanted: ChipName | undefined): ChipName | null {
  const first = read.find(({ contents }) => contents.chip !== null);
  const chip = wanted ?? first?.contents.chip ?? null;
  const other = read.find(({ contents }) => contents.chip !== null && contents.chip !== chip);
  if (other === undefined) return chip;
  const against =
    wanted === undefined ? `but ${first?.file} is for ${chip}` : `but --chip specifies ${wanted}`;
  throw new AiotError('AIOT_USAGE', `${other.file} is for ${other.contents.chip}, ${against}`);
}

function regionsOf({ word, file, place, bytes, contents }: Read, chip: ChipName | null): Region[] {
  if (contents.format === 'elf') {
    throw new AiotError('AIOT_USAGE', `${file} is an ELF file, not a flashable image`, {
      next: `Create an image from it with \`aiot firmware image create ${file} --chip ${chip ?? 'esp32'}\`.`,
    });
  }
  if (contents.regions !== null) {
    if (place === null) return contents.regions.map((region) => ({ ...region, name: file }));
    throw new AiotError('AIOT_USAGE', `${file} already contains its addresses`, {
      next: `Remove ${word.slice(file.length)} from the argument.`,
    });
  }
  if (place === null) {
    throw new AiotError('AIOT_USAGE', `${file}: expected an offset, such as ${file}@0x10000`);
  }
  return [{ name: file, data: bytes, offset: offsetAt(place, chip, file) }];
}

function offsetAt(place: number | string, chip: ChipName | null, file: string): number {
  if (typeof place === 'number') return place;
  if (place === 'partition-table') return resolvePlace(place, chip ?? 'esp32', null);
  if (place !== 'bootloader') {
    throw new AiotError(
      'AIOT_USAGE',
      `${file}@${place}: a partition label requires a board's partition table, but this command does not connect to a board`,
      {
        next: `Use an offset: ${file}@0x10000`,
      },
    );
  }
  if (chip !== null) return resolvePlace(place, chip, null);
  throw new AiotError('AIOT_USAGE', `${file}@bootloader: the chip is unknown`, {
    next: 'Specify the chip: --chip esp32',
  });
}
