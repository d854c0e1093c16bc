import { basename, dirname, extname, join } from 'node:path';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import { readBytes, refuseInputs, writeFileAtomic } from '../../core/files.js';
import { chipNames, flashFrequencies, flashModes, flashSizes } from '../../formats/esp-image/chips.js';
import { type EspImage, readEspImage } from '../../formats/esp-image/read.js';
import type { ByteRegion } from '../../formats/esp-image/regions.js';
import {
  type ElfImageOptions,
  type FlashParameters,
  imageOfElf,
  patchEspImage,
} from '../../formats/esp-image/write.js';
import { contentsOf, type FileFormat, looksLike } from '../plan/pieces.js';

const segmentSchema = z.object({
  address: z.int(),
  offset: z.int(),
  length: z.int(),
  memory: z.array(z.string()),
});

export const imageInfoSchema = z.object({
  file: z.string(),
  format: z.enum(['image', 'hex', 'uf2']),
  /** Offset of the image in the file; for HEX and UF2, its address in flash. */
  offset: z.int(),
  /** Size of the image with its hash, without trailing bytes. */
  bytes: z.int(),
  /** Number of bytes after the image in the file: padding, a signature, or the rest of a merged flash. */
  trailing: z.int(),
  chip: z.enum(chipNames),
  kind: z.enum(['app', 'bootloader']),
  mode: z.enum(flashModes),
  size: z.enum(flashSizes).nullable(),
  frequency: z.enum(flashFrequencies).nullable(),
  entry: z.int(),
  revisions: z.object({ minimum: z.string().nullable(), maximum: z.string().nullable() }),
  segments: z.array(segmentSchema),
  checksum: z.int(),
  /** The verified SHA-256 at the end of the image; null = the image has none. */
  hash: z.string().nullable(),
  app: z
    .object({
      project: z.string(),
      version: z.string(),
      built: z.string(),
      idf: z.string(),
      elfSha256: z.string(),
      secureVersion: z.int(),
      pageBytes: z.int().nullable(),
    })
    .nullable(),
  bootloader: z.object({ version: z.int(), idf: z.string(), built: z.string() }).nullable(),
});

export type ImageInfo = z.output<typeof imageInfoSchema>;

/**
 * Reads and checks the image in a file: a .bin, a HEX or a UF2 file, or a larger file that contains the image at `offset`.
 * @throws AIOT_IMAGE_MALFORMED (with the offset and the reason), AIOT_USAGE, AIOT_FILE_NOT_FOUND
 */
export async function imageInfo(file: string, offset?: number): Promise<ImageInfo> {
  const bytes = await readBytes(file);
  const { format, regions } = contentsOf(bytes, file);
  if (format === 'elf') {
    throw new AiotError('AIOT_USAGE', `${file} is an ELF file, not a flashable image`, {
      next: `Create an image from it with \`aiot firmware image create ${file} --chip esp32\`.`,
    });
  }
  const found = imageAt(regions ?? [{ offset: 0, data: bytes }], offset, file);
  return describe(file, format, found);
}

/** Like `imageInfo`, for bytes in memory. @throws AIOT_IMAGE_MALFORMED */
export function describe(file: string, format: FileFormat, { offset, data }: ByteRegion): ImageInfo {
  const { header: _, length, ...image }: EspImage = readEspImage(data, file);
  return {
    file,
    format: format === 'hex' || format === 'uf2' ? format : 'image',
    offset,
    bytes: length,
    trailing: data.length - length,
    ...image,
  };
}

/** The bytes starting at `offset`. Without an offset: the only region that starts like an image, or else the first region. */
function imageAt(regions: readonly ByteRegion[], offset: number | undefined, file: string): ByteRegion {
  if (offset !== undefined) {
    const holds = ({ offset: start, data }: ByteRegion) => offset >= start && offset < start + data.length;
    const region = regions.find(holds);
    if (region) return { offset, data: region.data.subarray(offset - region.offset) };
    const ends = regions.map(({ offset: start, data }) => `${hex(start)} to ${hex(start + data.length)}`);
    throw new AiotError(
      'AIOT_USAGE',
      `${file} contains no data at ${hex(offset)}; it contains ${ends.join(', ')}`,
    );
  }
  const images = regions.filter(({ data }) => data[0] === 0xe9);
  const [only, ...more] = images;
  const [first] = regions;
  if (more.length > 0) {
    const places = images.map((region) => hex(region.offset)).join(', ');
    throw new AiotError('AIOT_USAGE', `${file} contains several images, at ${places}`, {
      next: `Choose one: --offset ${hex(more[0]?.offset ?? 0)}`,
    });
  }
  if (only === undefined && first !== undefined) hintAt(first, file);
  return only ?? first ?? { offset: 0, data: new Uint8Array(0) };
}

/** Usual offsets of bootloaders and apps in a flash dump. */
const usual = [0x1000, 0x2000, 0x10000];

/** Suggests an offset for a file that has no image at its start but one at a usual offset. @throws AIOT_USAGE */
function hintAt({ data }: ByteRegion, file: string): void {
  const found = usual.filter((offset) => looksLike(data.subarray(offset)) !== null);
  if (found.length === 0) return;
  throw new AiotError(
    'AIOT_USAGE',
    `${file} does not begin with an image; it contains one at ${found.map((offset) => hex(offset)).join(' and ')}`,
    {
      next: `Choose one: --offset ${hex(found.at(-1) ?? 0)}`,
    },
  );
}

export interface CreateOptions extends ElfImageOptions {
  elf: string;
  /** Output file; default: a file with the extension `.bin` next to the ELF. */
  out?: string;
}

/**
 * Builds the image of an ELF file and writes it.
 * @throws AIOT_IMAGE_MALFORMED, AIOT_USAGE, AIOT_FILE_NOT_FOUND, AIOT_FILE_IS_INPUT, AIOT_FILE_NOT_WRITABLE
 */
export async function createImage({ elf, out, ...options }: CreateOptions): Promise<ImageInfo> {
  const file = out ?? join(dirname(elf), `${basename(elf, extname(elf))}.bin`);
  await refuseInputs([file], [elf]);
  const image = imageOfElf(await readBytes(elf), options, elf);
  await writeFileAtomic(file, image);
  return describe(file, 'image', { offset: 0, data: image });
}

export interface PatchOptions extends FlashParameters {
  file: string;
  out: string;
}

/**
 * Writes a copy of an image with other parameters, and an updated checksum and SHA-256.
 * @throws AIOT_IMAGE_MALFORMED, AIOT_USAGE, AIOT_FILE_NOT_FOUND, AIOT_FILE_IS_INPUT, AIOT_FILE_NOT_WRITABLE
 */
export async function patchImage({ file, out, ...parameters }: PatchOptions): Promise<ImageInfo> {
  if (Object.values(parameters).every((value) => value === undefined)) {
    throw new AiotError('AIOT_USAGE', 'no change was requested', {
      next: 'Specify --flash-mode, --flash-size, --flash-freq or --secure-version.',
    });
  }
  await refuseInputs([out], [file]);
  const data = patchEspImage(await readBytes(file), parameters, file);
  await writeFileAtomic(out, data);
  return describe(out, 'image', { offset: 0, data });
}
