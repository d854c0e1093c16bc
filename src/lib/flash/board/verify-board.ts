import { z } from 'zod';
import { AiotError } from '../../core/index.js';
import { piecesOf } from '../plan/pieces.js';
import { resolvePlace } from '../plan/place.js';
import { readBoardTable } from '../plan/table.js';
import { choosePort } from '../ports/index.js';
import { md5Of } from '../write/md5.js';
import { withBoard } from '../write/with-board.js';
import type { BoardRequest } from './request.js';

export const boardVerifiedSchema = z.object({
  port: z.string(),
  chip: z.string(),
  mac: z.string(),
  equal: z.boolean().describe('all of them'),
  regions: z.array(
    z.object({
      name: z.string(),
      offset: z.number().int(),
      bytes: z.number().int(),
      equal: z.boolean(),
      md5: z.string().describe('of the file'),
    }),
  ),
  seconds: z.number(),
});
export type BoardVerified = z.infer<typeof boardVerifiedSchema>;

/** Compares files with a board's flash, by the chip's own MD5. Nothing is written. @throws AIOT_USAGE, AIOT_CHIP_*, AIOT_SERIAL_* */
export async function verifyBoard(
  request: BoardRequest & { images: readonly string[] },
): Promise<BoardVerified> {
  const pieces = await piecesOf(request.images);
  if (pieces.length === 0) {
    throw new AiotError('AIOT_USAGE', 'expected what is to be compared', {
      next: 'aiot flash verify app.bin@0x10000',
    });
  }
  const port = await choosePort(request.port);
  const started = performance.now();
  return await withBoard({ ...request, port }, async (loader) => {
    const { chip, mac } = loader.chip;
    const labelled = pieces.some(({ place }) => typeof place === 'string');
    const table = labelled ? await readBoardTable(loader) : null;
    const regions: BoardVerified['regions'] = [];
    for (const { name, place, data } of pieces) {
      const offset = resolvePlace(place, chip, table && { table, from: 'board' });
      const equal = await loader.matches({ name, offset, data });
      regions.push({ name, offset, bytes: data.length, equal, md5: md5Of(data) });
    }
    const seconds = Math.round(performance.now() - started) / 1000;
    return { port, chip, mac, equal: regions.every(({ equal }) => equal), regions, seconds };
  });
}
