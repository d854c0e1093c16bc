import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import type { ChipName } from '../../src/lib/formats/esp-image/chips.js';
import type { Board } from '../support/chips.js';
import type { FlashTool, Target } from '../support/flash-tools.js';

/** One way to access a chip. */
export interface Way {
  chip: ChipName;
  stub: boolean;
  baud?: number;
  /** Sizes of the two written files in bytes: the compressed one, and the other one. */
  sizes?: readonly [number, number];
}

const sector = 0x1000;

/**
 * Bytes like a program's, half of them varied, half of them runs. `length` need not be a multiple of a word or
 * sector.
 */
export function programLike(length: number, seed: number): Uint8Array {
  const random = seededRandom(seed);
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at++) bytes[at] = (at >> 7) % 2 === 0 ? Math.floor(random() * 256) : at >> 9;
  return bytes;
}

/** The tool must identify the chip and its address on a board that has received nothing yet. */
export async function findsChip(way: Way, board: Board, tool: FlashTool): Promise<void> {
  const { chip, mac } = await tool.detect(at(board, way));
  expect(chip).toBe(way.chip);
  expect(mac).toEqual(board.mac ?? expect.stringMatching(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/));
}

/**
 * `writer` writes two files, one of them compressed. The flash must then contain exactly these files and nothing
 * else. Every judge verifies them with its own method, reads them back, and detects a file that differs in one
 * bit.
 */
export async function judgesWriting(
  way: Way,
  board: Board,
  writer: FlashTool,
  judges: readonly FlashTool[],
): Promise<void> {
  const [first, second] = way.sizes ?? [21_003, 9_001];
  await inFolder(async (folder) => {
    const files = [
      { offset: 0x10000, data: programLike(first, 1), compress: true },
      { offset: 0x30000, data: programLike(second, 2), compress: false },
    ];
    const wanted = (await board.flash()).slice();
    for (const { offset, data, compress } of files) {
      const path = join(folder, `${offset}.bin`);
      await writeFile(path, data);
      await write(way, board, writer, { offset, path, compress });
      wanted.set(data, offset);
    }
    expectSame(await board.flash(), wanted, `flash after ${writer.name}`);
    const target = at(board, way);
    for (const judge of judges) {
      for (const { offset } of files) {
        const path = join(folder, `${offset}.bin`);
        expect(await judge.verify(target, offset, path), `${judge.name} verifies ${offset}`).toBe(true);
      }
      const [{ offset, data }] = files as [(typeof files)[0]];
      if (canRead(judge, way)) {
        const read = await judge.read(target, offset, data.length);
        expectSame(read, data, `${judge.name} reads what ${writer.name} wrote`);
      }
      const altered = join(folder, 'altered.bin');
      await writeFile(
        altered,
        data.map((byte, index) => (index === first - 9 ? byte ^ 1 : byte)),
      );
      expect(await judge.verify(target, offset, altered), `${judge.name} sees one bit`).toBe(false);
    }
  });
}

/**
 * Another tool writes a new file over an old one. The old data in the written sectors must be gone, and the rest
 * must be unchanged.
 */
export async function overwrites(way: Way, board: Board, first: FlashTool, second: FlashTool): Promise<void> {
  await inFolder(async (folder) => {
    const [old, next] = [programLike(3 * sector, 3), programLike(sector + 5, 4)];
    await writeFile(join(folder, 'old'), old);
    await writeFile(join(folder, 'next'), next);
    await write(way, board, first, { offset: 0x10000, path: join(folder, 'old'), compress: true });
    await write(way, board, second, { offset: 0x11000, path: join(folder, 'next'), compress: true });
    const flash = await board.flash();
    expectSame(flash.subarray(0x10000, 0x11000), old.subarray(0, sector), 'the sector before');
    expectSame(flash.subarray(0x11000, 0x11000 + next.length), next, 'the new file');
    const rest = flash.subarray(0x11000 + next.length, 0x13000);
    expect(
      rest.every((byte) => byte === 0xff),
      'the rest of its sectors',
    ).toBe(true);
  });
}

/** Erases sectors, then the whole chip. */
export async function erases(
  way: Way,
  board: Board,
  tool: FlashTool,
  scope: 'region' | 'all' = 'all',
): Promise<void> {
  const target = at(board, way);
  await inFolder(async (folder) => {
    const data = programLike(4 * sector, 5);
    await writeFile(join(folder, 'data'), data);
    await tool.write(target, 0x10000, join(folder, 'data'), true);
    const wanted = (await board.flash()).slice();
    expectSame(wanted.subarray(0x10000, 0x14000), data, 'what is there to erase');
    await tool.eraseRegion(target, 0x11000, 2 * sector);
    wanted.fill(0xff, 0x11000, 0x13000);
    expectSame(await board.flash(), wanted, `flash after ${tool.name} erased two sectors`);
    if (scope === 'region') return;
    await tool.eraseAll(target);
    expectSame(await board.flash(), wanted.fill(0xff), `flash after ${tool.name} erased all`);
  });
}

/**
 * espflash ends a write through a ROM by running the program in flash, so the chip must be brought back into its
 * loader.
 */
async function write(
  way: Way,
  board: Board,
  tool: FlashTool,
  { offset, path, compress }: { offset: number; path: string; compress: boolean },
): Promise<void> {
  await tool.write(at(board, way), offset, path, compress);
  if (tool.name === 'espflash' && !way.stub) await board.toLoader?.();
}

function at(board: Board, { chip, stub, baud }: Way): Target {
  return { port: board.port, chip, stub, ...(baud !== undefined && { baud }) };
}

/** espflash 4.4 reads with a wrong offset through a ROM from byte 128 on; a test documents this defect. */
function canRead(tool: FlashTool, { stub }: Way): boolean {
  return tool.name !== 'espflash' || stub;
}

/** Compares many bytes, and reports the first difference. */
export function expectSame(got: Uint8Array, wanted: Uint8Array, what: string): void {
  if (Buffer.compare(got, wanted) === 0) return;
  const first = wanted.findIndex((byte, index) => byte !== got[index]);
  expect({ what, length: got.length, first, byte: got[first] }).toEqual({
    what,
    length: wanted.length,
    first: null,
    byte: wanted[first],
  });
}

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-judges-'));
  try {
    await body(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
