import { z } from 'zod';
import { partitionSubtypeName, partitionTypeName } from '../../formats/index.js';
import { readBoardTable } from '../plan/table.js';
import { choosePort } from '../ports/index.js';
import { withBoard } from '../write/with-board.js';
import type { BoardRequest } from './request.js';

export const boardInfoSchema = z.object({
  port: z.string(),
  chip: z.string(),
  description: z.string(),
  features: z.array(z.string()),
  crystalMHz: z.number(),
  mac: z.string(),
  flash: z.object({
    id: z.string().describe('JEDEC: maker, type, size'),
    bytes: z.number().int().nullable(),
  }),
  security: z.object({
    secureBoot: z.boolean(),
    flashEncryption: z.boolean(),
    secureDownload: z.boolean(),
  }),
  stub: z.boolean(),
  baud: z.number().int().describe('that chip and adapter understand each other at'),
  partitions: z
    .array(
      z.object({
        label: z.string(),
        type: z.string(),
        subtype: z.string(),
        offset: z.number().int(),
        size: z.number().int(),
      }),
    )
    .nullable()
    .describe('null: the flash has no table, or cannot be read'),
});
export type BoardInfo = z.infer<typeof boardInfoSchema>;

/** What a board's chip, fuses and flash tell. Nothing is written. @throws AIOT_CHIP_*, AIOT_SERIAL_* */
export async function boardInfo(request: BoardRequest): Promise<BoardInfo> {
  const port = await choosePort(request.port);
  return await withBoard({ ...request, port }, async (loader) => {
    await loader.raiseSpeed();
    const { chip, stub, baud } = loader;
    const readable = !chip.security.secureDownload && chip.flash.bytes !== null;
    const table = readable ? await readBoardTable(loader) : null;
    const partitions = table?.partitions.map(({ label, type, subtype, offset, size }) => ({
      label,
      type: partitionTypeName(type),
      subtype: partitionSubtypeName(type, subtype),
      offset,
      size,
    }));
    return { port, ...chip, stub, baud, partitions: partitions ?? null };
  });
}
