import { type PlanInput, planWrite } from '../../../src/lib/flash/plan/plan.js';
import type { Board, Piece } from '../../../src/lib/flash/plan/types.js';
import { parsePartitionsCsv, writePartitionTable } from '../../../src/lib/formats/partitions.js';

/** Two app slots of 1 MiB in 4 MiB. */
export const twoSlots = parsePartitionsCsv(`nvs,data,nvs,0x9000,0x5000,
otadata,data,ota,0xe000,0x2000,
app0,app,ota_0,0x10000,0x100000,
app1,app,ota_1,0x110000,0x100000,
`);
export const twoSlotsTable = writePartitionTable(twoSlots);

export const openChip: Board = {
  chip: 'esp32',
  flashBytes: 4 * 1024 * 1024,
  security: { secureBoot: false, flashEncryption: false, secureDownload: false },
};

export function piece(name: string, place: number | string, data: Uint8Array | number): Piece {
  return { name, place, data: typeof data === 'number' ? Buffer.alloc(data, 0x5a) : data };
}

export function plan(pieces: Piece[], changes: Partial<PlanInput> = {}) {
  return planWrite({
    pieces,
    board: openChip,
    boardTable: null,
    header: {},
    erase: false,
    force: false,
    ...changes,
  });
}
