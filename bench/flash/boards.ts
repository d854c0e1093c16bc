// Simulated boards in a separate process: `tsx bench/flash/boards.ts CHIP COUNT TIMING`. Prints the ports as one line of JSON. Each line
// on stdin names a file and an offset; the response line lists the boards that have the file at that offset. The boards are then reset
// to their ROM loader, and erased if requested.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { type ChipTiming, SimulatedChip } from '../../src/lib/flash/rom/chip.js';
import type { SimulatedChipName } from '../../src/lib/flash/rom/identity.js';
import { serveChip } from '../../src/lib/flash/rom/serve.js';

const [chip = 'esp32', count = '1', timing = 'uart'] = process.argv.slice(2);
const boards = Array.from(
  { length: Number(count) },
  (_, index) =>
    new SimulatedChip({
      chip: chip as SimulatedChipName,
      timing: timing as ChipTiming,
      boot: 'uart',
      mac: `24:0a:c4:00:02:${index.toString(16).padStart(2, '0')}`,
    }),
);
const served = await Promise.all(boards.map((board) => serveChip(board, { pty: true })));
process.stdout.write(`${JSON.stringify(served.map(({ address }) => address))}\n`);
for await (const line of createInterface(process.stdin)) {
  const { file, offset, blank } = JSON.parse(line) as { file: string; offset: number; blank: boolean };
  const wanted = readFileSync(file);
  const held = boards.map(
    ({ flash }) => Buffer.compare(flash.bytes.subarray(offset, offset + wanted.length), wanted) === 0,
  );
  for (const board of boards) {
    if (blank) board.flash.bytes.fill(0xff);
    board.reset();
  }
  process.stdout.write(`${JSON.stringify(held)}\n`);
}
await Promise.all(served.map((one) => one.close()));
