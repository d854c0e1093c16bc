import { AiotError, readBytes, refuseInputs, writeFileAtomic } from '../../core/index.js';
import { type FlashParameters, patchEspImage } from '../../formats/index.js';
import { describe, type ImageInfo } from './info.js';

export interface PatchOptions extends FlashParameters {
  file: string;
  out: string;
}

/**
 * Writes a copy of an image with other flash parameters, its SHA-256 made new.
 * @throws AIOT_IMAGE_MALFORMED, AIOT_USAGE, AIOT_FILE_NOT_FOUND, AIOT_FILE_IS_INPUT, AIOT_FILE_NOT_WRITABLE
 */
export async function patchImage({ file, out, ...parameters }: PatchOptions): Promise<ImageInfo> {
  if (Object.values(parameters).every((value) => value === undefined)) {
    throw new AiotError('AIOT_USAGE', 'nothing is to be changed', {
      next: 'Name it: --flash-mode, --flash-size or --flash-freq',
    });
  }
  await refuseInputs([out], [file]);
  const data = patchEspImage(await readBytes(file), parameters, file);
  await writeFileAtomic(out, data);
  return describe(out, 'image', { offset: 0, data });
}
