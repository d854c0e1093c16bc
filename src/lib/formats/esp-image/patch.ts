import { AiotError } from '../../core/index.js';
import { sha256 } from './checksum.js';
import type { ChipName } from './chips.js';
import {
  type FlashFrequency,
  type FlashMode,
  type FlashSize,
  flashModes,
  flashSizes,
  frequenciesOf,
  frequencyCode,
} from './flash-parameters.js';
import { hashBytes } from './header.js';
import { readEspImage } from './read.js';

/** How the flash is wired and clocked; what is left out stays as it is. */
export interface FlashParameters {
  mode?: FlashMode;
  size?: FlashSize;
  frequency?: FlashFrequency;
}

/**
 * A copy with other flash parameters, and the appended SHA-256 made new; the checksum does not cover the header. What follows
 * the image stays. A secure-boot signature over it would be void, so one who signs patches before.
 * @throws AIOT_IMAGE_MALFORMED; AIOT_USAGE (the chip has no such speed)
 */
export function patchEspImage(bytes: Uint8Array, parameters: FlashParameters, what = 'image'): Uint8Array {
  const image = readEspImage(bytes, what);
  const patched = Uint8Array.from(bytes);
  const { mode, size, frequency } = parameters;
  if (mode !== undefined) patched[2] = flashModes.indexOf(mode);
  const sizeCode = size === undefined ? image.header.size : flashSizes.indexOf(size);
  const speed = frequency === undefined ? image.header.frequency : requireFrequency(image.chip, frequency);
  patched[3] = (sizeCode << 4) | speed;
  if (image.hash !== null) {
    const end = image.length - hashBytes;
    patched.set(sha256(patched.subarray(0, end)), end);
  }
  return patched;
}

/** @throws AIOT_USAGE */
export function requireFrequency(chip: ChipName, frequency: FlashFrequency): number {
  const code = frequencyCode(chip, frequency);
  if (code !== null) return code;
  throw new AiotError('AIOT_USAGE', `an ${chip} has no flash frequency ${frequency}`, {
    next: `Choose from ${frequenciesOf(chip).join(', ')}.`,
  });
}
