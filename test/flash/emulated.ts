import { describe, it, type TestAPI } from 'vitest';
import { aiotTool } from '../support/aiot-tool.js';
import type { Board } from '../support/chips.js';
import { espflashTool } from '../support/espflash.js';
import { esptoolTool } from '../support/esptool.js';
import type { FlashTool } from '../support/flash-tools.js';
import { erases, findsChip, judgesWriting, overwrites, type Way } from './judges.js';

/**
 * The sizes are small because every response from the emulator takes 44 ms, and a ROM writes and reads in small
 * blocks.
 */
const sizes = [2_003, 801] as const;
const bounded = { timeout: 300_000 };

/**
 * Combinations that work in the emulator with the real mask ROMs: an ESP32 with its stub, and an ESP32-C3 with the
 * ROM alone. espflash is omitted for the former, because its older stub reads the emulated flash incorrectly
 * (measured with espflash alone).
 */
export const emulatedWays = [
  { chip: 'esp32', stub: true, sizes, tools: [esptoolTool, aiotTool] },
  { chip: 'esp32c3', stub: false, sizes, tools: [esptoolTool, aiotTool, espflashTool] },
] as const satisfies readonly (Way & { tools: readonly FlashTool[] })[];
export type EmulatedName = (typeof emulatedWays)[number]['chip'];

/** Defines the tests for chips that `open` starts. Each test uses its own chip. */
export function judgeEmulated(
  open: (chip: EmulatedName, line: 'pty' | 'socket') => Promise<Board>,
  test: TestAPI | TestAPI['concurrent'] = it,
): void {
  describe.each(emulatedWays)('$chip, stub: $stub', (way) => {
    const onBoard = async (body: (board: Board) => Promise<void>, line: 'pty' | 'socket' = 'pty') => {
      const board = await open(way.chip, line);
      try {
        await body(board);
      } finally {
        await board.close();
      }
    };
    const tools: readonly FlashTool[] = way.tools;

    test.each(tools)('is detected by $name', bounded, (tool) =>
      onBoard((board) => findsChip(way, board, tool)),
    );
    test.each(tools)('is written by $name and verified by all tools', bounded, (writer) =>
      onBoard((board) => judgesWriting(way, board, writer, tools)),
    );
    test('is overwritten by another tool', bounded, () =>
      onBoard(async (board) => {
        await overwrites(way, board, esptoolTool, aiotTool);
        await overwrites(way, board, aiotTool, esptoolTool);
      }),
    );
    test('is erased by esptool and by aiot', bounded, () =>
      onBoard(async (board) => {
        await erases(way, board, esptoolTool, way.stub ? 'all' : 'region');
        await erases(way, board, aiotTool, way.stub ? 'all' : 'region');
      }),
    );
    test('is written through a socket instead of a pty', bounded, () =>
      onBoard((board) => judgesWriting(way, board, aiotTool, [aiotTool, esptoolTool]), 'socket'),
    );
  });
}
