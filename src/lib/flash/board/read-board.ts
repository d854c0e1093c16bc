import { z } from 'zod';
import { requireWritable, writeFileAtomic } from '../../core/index.js';
import { choosePort } from '../ports/index.js';
import { md5Of } from '../write/md5.js';
import { withBoard } from '../write/with-board.js';
import { checkPlace, findPlace, type PlaceWords } from './place.js';
import type { BoardRequest } from './request.js';

export const boardReadSchema = z.object({
  port: z.string(),
  chip: z.string(),
  mac: z.string(),
  offset: z.number().int(),
  bytes: z.number().int(),
  md5: z.string().describe('of what was read, and as the chip computed it'),
  out: z.string().describe('the file'),
  seconds: z.number(),
});
export type BoardRead = z.infer<typeof boardReadSchema>;

/** Reads a part of a board's flash into a file. @throws AIOT_USAGE, AIOT_FLASH_READ, AIOT_CHIP_*, AIOT_SERIAL_* */
export async function readBoard(request: BoardRequest & PlaceWords & { out: string }): Promise<BoardRead> {
  const { out } = request;
  checkPlace(request);
  await requireWritable(out);
  const port = await choosePort(request.port);
  const started = performance.now();
  return await withBoard({ ...request, port }, async (loader) => {
    const { offset, length } = await findPlace(loader, request);
    const data = await loader.read(offset, length);
    // What is on a board may hold its private key.
    await writeFileAtomic(out, data, 0o600);
    const { chip, mac } = loader.chip;
    const md5 = md5Of(data);
    const seconds = Math.round(performance.now() - started) / 1000;
    return { port, chip, mac, offset, bytes: data.length, md5, out, seconds };
  });
}
