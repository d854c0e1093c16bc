import { it } from 'vitest';
import { type Board, simulatedBoard } from '../support/chips.js';
import { espflashTool } from '../support/espflash.js';
import { esptoolTool } from '../support/esptool.js';
import { describeReal } from '../support/real.js';
import { erases, findsChip, judgesWriting, overwrites, type Way } from './judges.js';

const ways = (['esp32', 'esp32s3', 'esp32c3'] as const).flatMap((chip) =>
  [true, false].map((stub): Way & { name: string } => ({
    chip,
    stub,
    name: `${chip}, ${stub ? 'stub' : 'ROM alone'}`,
  })),
);

/** Unchanged tools of third parties believe that the simulated chip is one. */
describeReal('esptool', 'esptool on a simulated chip', () => {
  it.concurrent.each(ways)('finds it: $name', (way) =>
    onBoard(way, (board) => findsChip(way, board, esptoolTool)),
  );
  it.concurrent.each(ways)('writes, verifies and reads: $name', (way) =>
    onBoard(way, (board) => judgesWriting(way, board, esptoolTool, [esptoolTool])),
  );
  it.concurrent.each(ways)('erases: $name', (way) =>
    onBoard(way, (board) => erases(way, board, esptoolTool, way.stub ? 'all' : 'region')),
  );
});

describeReal('espflash', 'espflash on a simulated chip', () => {
  it.concurrent.each(ways)('finds it: $name', (way) =>
    onBoard(way, (board) => findsChip(way, board, espflashTool)),
  );
  it.concurrent.each(ways)('writes, verifies and reads: $name', (way) =>
    onBoard(way, (board) => judgesWriting(way, board, espflashTool, [espflashTool, esptoolTool])),
  );
  it.concurrent.each(ways.filter(({ stub }) => stub))('erases: $name', (way) =>
    onBoard(way, (board) => erases(way, board, espflashTool)),
  );
  it.concurrent.each(ways)('writes over what esptool wrote, and the other way round: $name', (way) =>
    onBoard(way, async (board) => {
      await overwrites(way, board, esptoolTool, espflashTool);
      await overwrites(way, board, espflashTool, esptoolTool);
    }),
  );
});

async function onBoard({ chip }: Way, body: (board: Board) => Promise<void>): Promise<void> {
  const board = await simulatedBoard({ chip: chip as 'esp32' | 'esp32s3' | 'esp32c3' });
  try {
    await body(board);
  } finally {
    await board.close();
  }
}
