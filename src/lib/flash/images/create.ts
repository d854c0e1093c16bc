import { basename, dirname, extname, join } from 'node:path';
import { readBytes, refuseInputs, writeFileAtomic } from '../../core/index.js';
import { type ElfImageOptions, imageOfElf } from '../../formats/index.js';
import { describe, type ImageInfo } from './info.js';

export interface CreateOptions extends ElfImageOptions {
  elf: string;
  /** Default: beside the ELF, with `.bin`. */
  out?: string;
}

/**
 * Makes the image of an ELF file and writes it.
 * @throws AIOT_IMAGE_MALFORMED, AIOT_USAGE, AIOT_FILE_NOT_FOUND, AIOT_FILE_IS_INPUT, AIOT_FILE_NOT_WRITABLE
 */
export async function createImage({ elf, out, ...options }: CreateOptions): Promise<ImageInfo> {
  const file = out ?? join(dirname(elf), `${basename(elf, extname(elf))}.bin`);
  await refuseInputs([file], [elf]);
  const image = imageOfElf(await readBytes(elf), options, elf);
  await writeFileAtomic(file, image);
  return describe(file, 'image', { offset: 0, data: image });
}
