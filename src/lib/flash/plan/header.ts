import { AiotError } from '../../core/errors.js';
import {
  type ChipName,
  espChips,
  type FlashFrequency,
  type FlashSize,
  flashModes,
  flashSizeBytes,
  flashSizes,
  frequenciesOf,
} from '../../formats/esp-image/chips.js';
import { type FlashParameters, patchEspImage } from '../../formats/esp-image/write.js';
import type { Region } from '../loader/types.js';
import { looksLike } from './looks.js';
import { hex } from './place.js';
import type { Board, HeaderChanges } from './types.js';

/**
 * The regions with the bootloader's flash parameters changed, and its hash made new. Only the header at the bootloader's
 * offset counts to the ROM; a bootloader hands its own on to the app.
 * @throws AIOT_USAGE (no such parameter, or no bootloader to change), AIOT_IMAGE_MALFORMED, AIOT_FLASH_REFUSED (secure boot)
 */
export function patchHeader(regions: readonly Region[], changes: HeaderChanges, board: Board): Region[] {
  if (Object.values(changes).every((value) => value === undefined || value === 'keep')) return [...regions];
  const parameters = parametersOf(changes, board);
  const { bootloaderOffset, title } = espChips[board.chip];
  const found = regions.find(
    ({ offset, data }) =>
      offset <= bootloaderOffset && looksLike(data.subarray(bootloaderOffset - offset))?.chip === board.chip,
  );
  if (!found) {
    const expected = `expected a bootloader at ${hex(bootloaderOffset)}, where the ${title} looks for flash mode, size and frequency`;
    throw new AiotError('AIOT_USAGE', `${expected}; none is written`);
  }
  if (board.security.secureBoot) {
    const why = 'a change of its header would void the signature of a bootloader that the chip checks';
    throw new AiotError('AIOT_FLASH_REFUSED', `${found.name}: ${why}`, {
      next: 'Set flash mode, size and frequency where it is built and signed.',
    });
  }
  const at = bootloaderOffset - found.offset;
  const data = Uint8Array.from(found.data);
  data.set(patchEspImage(data.subarray(at), parameters, found.name), at);
  return regions.map((region) => (region === found ? { ...region, data } : region));
}

function parametersOf({ mode, size, frequency }: HeaderChanges, board: Board): FlashParameters {
  return {
    ...(given(mode) && { mode: oneOf('mode', mode, flashModes) }),
    ...(given(size) && {
      size: size === 'detect' ? detected(board.flashBytes) : oneOf('size', size, flashSizes),
    }),
    ...(given(frequency) && { frequency: frequencyOf(frequency, board.chip) }),
  };
}

function given(value: string | undefined): value is string {
  return value !== undefined && value !== 'keep';
}

function detected(flashBytes: number | null): FlashSize {
  const found = flashSizes.find((size) => flashSizeBytes(size) === flashBytes);
  if (found) return found;
  throw new AiotError('AIOT_USAGE', 'the flash chip does not tell its size', {
    next: `Say it: --flash-size ${flashSizes[2]}`,
  });
}

function frequencyOf(text: string, chip: ChipName): FlashFrequency {
  return oneOf(`frequency of an ${espChips[chip].title}`, text, frequenciesOf(chip));
}

function oneOf<T extends string>(what: string, value: string, known: readonly T[]): T {
  const found = known.find((name) => name.toLowerCase() === value.toLowerCase());
  if (found !== undefined) return found;
  throw new AiotError(
    'AIOT_USAGE',
    `expected the flash ${what} to be one of ${known.join(', ')}; got ${value}`,
  );
}
