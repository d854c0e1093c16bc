import { expect, it } from 'vitest';
import { aiotTool } from '../support/aiot-tool.js';
import { type Board, simulatedBoard } from '../support/chips.js';
import { espflashTool } from '../support/espflash.js';
import { esptoolTool } from '../support/esptool.js';
import type { FlashTool } from '../support/flash-tools.js';
import { describeReal } from '../support/real.js';
import { erases, findsChip, judgesWriting, overwrites, type Way } from './judges.js';

type Chip = 'esp32' | 'esp32s3' | 'esp32c3';
const ways = (['esp32', 'esp32s3', 'esp32c3'] as const).flatMap((chip) =>
  [true, false].map((stub) => ({ chip, stub, how: `${chip}, ${stub ? 'stub' : 'ROM alone'}` })),
);
/**
 * On an ESP32, espflash queries the ROM for information that only later ROMs have, and waits 3 s twice, so it is slow
 * there but correct.
 */
const bounded = { timeout: 360_000 };

/** Unchanged third-party tools must accept the simulated chip as a real one. */
describeReal('esptool', 'esptool on a simulated chip', () => {
  judge(esptoolTool, [esptoolTool]);
});

describeReal('espflash', 'espflash on a simulated chip', () => {
  judge(espflashTool, [espflashTool]);

  it('still reads wrong data through a ROM from byte 128 onward', bounded, () =>
    onBoard({ chip: 'esp32c3', stub: false }, async (board) => {
      const data = Uint8Array.from({ length: 512 }, (_, at) => (at * 37 + (at >> 8)) & 0xff);
      (await board.flash()).set(data, 0x10000);
      const read = await espflashTool.read({ port: board.port, chip: 'esp32c3', stub: false }, 0x10000, 512);
      expect(read.subarray(0, 128)).toEqual(data.subarray(0, 128));
      expect(read.subarray(128, 192)).not.toEqual(data.subarray(128, 192));
    }),
  );
});

/** Data that one tool writes, compressed or not, is verified by the others. */
describeReal('espflash', 'esptool, espflash and aiot on one chip', () => {
  const tools = [esptoolTool, espflashTool, aiotTool];
  judge(aiotTool, tools);
  it.concurrent.each(of([esptoolTool, espflashTool]))(
    '$how: data written by $tool.name is verified by the others',
    bounded,
    (each) =>
      onBoard(each, (board) =>
        judgesWriting(
          each,
          board,
          each.tool,
          tools.filter((tool) => tool !== each.tool),
        ),
      ),
  );
  it.concurrent.each(of([esptoolTool, espflashTool]))(
    '$how: aiot and $tool.name overwrite each other’s data',
    bounded,
    (each) =>
      onBoard(each, async (board) => {
        await overwrites(each, board, each.tool, aiotTool);
        await overwrites(each, board, aiotTool, each.tool);
      }),
  );
});

/** Tests detecting, writing (verified by `judges`) and erasing, on every chip with and without a stub. */
function judge(tool: FlashTool, judges: readonly FlashTool[]): void {
  it.concurrent.each(ways)(`$how: ${tool.name} detects the chip`, bounded, (way) =>
    onBoard(way, (board) => findsChip(way, board, tool)),
  );
  it.concurrent.each(ways)(`$how: ${tool.name} writes, verifies and reads`, bounded, (way) =>
    onBoard(way, (board) => judgesWriting(way, board, tool, judges)),
  );
  // Through a ROM, espflash erases nothing and esptool cannot erase the whole flash; ours does both.
  const erasing = ways.filter(({ stub }) => stub || tool !== espflashTool);
  it.concurrent.each(erasing)(`$how: ${tool.name} erases`, bounded, (way) =>
    onBoard(way, (board) => erases(way, board, tool, way.stub || tool === aiotTool ? 'all' : 'region')),
  );
}

function of(tools: readonly FlashTool[]) {
  return tools.flatMap((tool) => ways.map((way) => ({ ...way, tool })));
}

async function onBoard({ chip }: Way, body: (board: Board) => Promise<void>): Promise<void> {
  const board = await simulatedBoard({ chip: chip as Chip });
  try {
    await body(board);
  } finally {
    await board.close();
  }
}
