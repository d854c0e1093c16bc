import { z } from 'zod';
import { AiotError } from '../../core/index.js';
import { espChips, partitionTableOffset } from '../../formats/index.js';
import type { Loader } from '../loader/types.js';
import { hex, offsetOf } from '../plan/place.js';
import { choosePort } from '../ports/index.js';
import { withBoard } from '../write/with-board.js';
import { checkPlace, findPlace, type PlaceWords } from './place.js';
import type { BoardRequest } from './request.js';

export const boardErasedSchema = z.object({
  port: z.string(),
  chip: z.string(),
  mac: z.string(),
  offset: z.number().int(),
  bytes: z.number().int().nullable().describe('null: the whole flash, of unknown size'),
  overridden: z.array(z.string()).describe('what would have been refused without --force'),
  seconds: z.number(),
});
export type BoardErased = z.infer<typeof boardErasedSchema>;

/**
 * Erases a board's flash, or whole sectors of it. On a chip with secure boot or flash encryption the bootloader cannot
 * be written again by cable, so erasing it is refused.
 *
 * @throws AIOT_FLASH_REFUSED, AIOT_USAGE, AIOT_FLASH_WRITE, AIOT_CHIP_*, AIOT_SERIAL_*
 */
export async function eraseBoard(
  request: BoardRequest &
    Partial<PlaceWords> & {
      force: boolean;
      /** Asked before the board is touched; throws where it is not to be. */
      agree?: (port: string) => Promise<void>;
    },
): Promise<BoardErased> {
  const { place, length, force } = request;
  if (place !== undefined) checkPlace({ place, length });
  if (place !== undefined && offsetOf(place) !== null && length === undefined) {
    throw new AiotError('AIOT_USAGE', `expected how many bytes to erase at ${place}`, {
      next: `aiot flash erase ${place} 0x1000, or without ${place} for the whole flash`,
    });
  }
  const port = await choosePort(request.port);
  await request.agree?.(port);
  const started = performance.now();
  return await withBoard({ ...request, port }, async (loader) => {
    const part = place === undefined ? null : await findPlace(loader, { place, length });
    const offset = part?.offset ?? 0;
    const objection = bricks(loader, offset, part?.length ?? Number.POSITIVE_INFINITY);
    if (objection && !force) throw new AiotError('AIOT_FLASH_REFUSED', objection);
    if (part) await loader.eraseRegion(part.offset, part.length);
    else await loader.eraseAll();
    const { chip, mac, flash } = loader.chip;
    const seconds = Math.round(performance.now() - started) / 1000;
    const bytes = part ? part.length : flash.bytes;
    return { port, chip, mac, offset, bytes, overridden: objection ? [objection] : [], seconds };
  });
}

function bricks({ chip }: Loader, offset: number, length: number): string | null {
  const { secureBoot, flashEncryption, secureDownload } = chip.security;
  const why = secureBoot ? 'secure boot' : flashEncryption ? 'flash encryption' : null;
  const lock = why ?? (secureDownload ? 'secure download mode' : null);
  const { bootloaderOffset } = espChips[chip.chip];
  const touches = offset < partitionTableOffset && offset + length > bootloaderOffset;
  if (lock === null || !touches) return null;
  return `the chip has ${lock}: its bootloader at ${hex(bootloaderOffset)}, once erased, cannot be written again by cable`;
}
