import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { flashBoard } from '../../src/lib/flash/write/flash-board.js';
import { flashBoards } from '../../src/lib/flash/write/flash-boards.js';
import { espflashCommand, espflashProgram } from '../../test/support/espflash-program.js';
import type { Bench } from '../harness/area.js';
import { type Figure, growth, median } from '../harness/figure.js';
import { versionOf } from '../harness/parts.js';
import { aiot, type CommandLine, root, timed } from '../harness/process.js';
import { programImage } from './image.js';
import { openTray } from './tray.js';

const esptool = join(root, '.venv', 'esptool', 'bin', 'esptool');
const chip = 'esp32';
const offset = 0x10000;
const baud = 921_600;

/** A blank chip at a UART of 921600: from start of the program to its exit, verified. */
export async function blank(image: string, rounds: number): Promise<Figure[]> {
  const { ours, theirs } = await inTurn('uart', image, rounds, { blank: true, theirs: esptoolOf(image) });
  return [{ ...figureOf(`write ${sizeOf(image)} to a blank chip at ${baud}`, ours), peer: peer(theirs) }];
}

/**
 * The same beside the tool of crates.io, which compares by MD5 after writing, too. On an ESP32-C3: it asks an ESP32 twice for what that does not know, and
 * waits 3 s each time.
 */
export async function besideEspflash(image: string, rounds: number): Promise<Figure[]> {
  const board = 'esp32c3';
  const theirs = (port: string) =>
    espflashCommand(port, [
      ...['write-bin', '--before', 'no-reset', '--after', 'no-reset-no-stub', '--chip', board],
      ...['--baud', `${baud}`, `0x${offset.toString(16)}`, image],
    ]);
  const { ours, theirs: seconds } = await inTurn('uart', image, rounds, { blank: true, theirs, board });
  const version = versionOf(espflashProgram, '--version');
  const name = `write ${sizeOf(image)} to a blank ESP32-C3, beside espflash`;
  // Our own guard: a native program starts in no time, Node does not.
  return [{ name, unit: 's', ours, goal: 1.25, peer: { name: 'espflash', version, rounds: seconds } }];
}

/** The same with a line and a flash that take no time: what the tools themselves cost. */
export async function software(image: string, rounds: number): Promise<Figure[]> {
  const { ours, theirs } = await inTurn('instant', image, rounds, { blank: true, theirs: esptoolOf(image) });
  return [{ ...figureOf('the same where line and flash take no time', ours), peer: peer(theirs) }];
}

/** The image is there already: what is left beside the connect, and beside esptool's --skip-flashed. */
export async function unchanged(image: string, rounds: number): Promise<Figure[]> {
  const { ours, theirs, connect } = await inTurn('uart', image, rounds, {
    ...{ blank: false, theirs: esptoolOf(image, '--skip-flashed'), connects: true },
  });
  return [
    { ...figureOf('the image is there already', ours), peer: peer(theirs), goal: 1.1 },
    {
      ...figureOf('the same, less what `aiot flash info` takes', ours),
      ...{ ours: ours.map((one, i) => one - connect[i]!), goal: 2 },
    },
  ];
}

/** What one of eight boards at a time takes, as a multiple of one alone. */
export async function eight(image: string, rounds: number): Promise<Figure[]> {
  const tray = await openTray(chip, 8, 'uart');
  try {
    const times: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const one = median(await parallel(image, tray.ports.slice(0, 1)));
      await tray.next(image, offset, true);
      times.push(median(await parallel(image, tray.ports)) / one);
      const held = await tray.next(image, offset, true);
      if (!held.every(Boolean)) throw new Error(`boards hold the image: ${held}`);
    }
    return [{ name: 'eight boards at a time, a board beside one alone', unit: '×', ours: times, goal: 1.1 }];
  } finally {
    await tray.close();
  }
}

/** What the tool itself takes of a processor and the bytes: line and flash take no time. */
export async function growing(bench: Bench): Promise<Figure[]> {
  const folder = bench.folder();
  const tray = await openTray(chip, 1, 'instant');
  try {
    const points = [];
    for (const size of bench.quick ? [1 << 16, 10 << 16] : [1 << 15, 10 << 15, 100 << 15]) {
      const image = join(folder, `${size}.bin`);
      writeFileSync(image, programImage(size));
      points.push({ size, cost: timed(oursOf(tray.ports[0]!, image)).seconds });
      const held = await tray.next(image, offset, true);
      if (!held[0]) throw new Error('other bytes in flash');
    }
    return [growth('flash, bytes', 1.1, points)];
  } finally {
    await tray.close();
  }
}

function figureOf(name: string, ours: readonly number[]): Figure {
  return { name, unit: 's', ours, goal: 1, slack: 1.5 };
}

const peer = (rounds: readonly number[]) => ({
  name: 'esptool',
  version: versionOf(esptool, 'version'),
  rounds,
});

const sizeOf = (image: string) => `${readFileSync(image).length >> 10} KiB`;

/** Seconds per board, all at the same time. */
async function parallel(image: string, ports: string[]): Promise<number[]> {
  const job = {
    pieces: [{ place: offset, data: readFileSync(image), name: 'app.bin' }],
    ...{ old: [], header: {}, erase: false, verify: true, force: false, device: null },
  };
  const { boards } = await flashBoards({
    ...{ ports, jobs: ports.length, retries: 0 },
    loader: { chip, baud, stub: true, before: 'no-reset', after: 'no-reset' },
    flash: (how) => flashBoard(() => job, how),
  });
  return boards.map(({ board, error, seconds }) => {
    if (!board) throw new Error(error?.message);
    return seconds;
  });
}

interface Way {
  /** Each finds a blank chip; else the image that the one before wrote. */
  blank: boolean;
  /** The peer's command line. */
  theirs: (port: string) => CommandLine | Promise<CommandLine>;
  /** Default an ESP32. */
  board?: string;
  /** Whether a connect by itself is timed, too. */
  connects?: boolean;
}

/** How often a tool that gives a chip too little time to answer is asked again. */
const attempts = 3;

/** Ours and a peer on the same board in turn; where there are several rounds, one before that is not counted. */
async function inTurn(
  timing: 'instant' | 'uart',
  image: string,
  rounds: number,
  { blank, theirs: peerOf, board = chip, connects = false }: Way,
) {
  const tray = await openTray(board, 1, timing);
  try {
    const [port = ''] = tray.ports;
    const once = async (command: CommandLine) => {
      for (let attempt = 1; ; attempt++) {
        try {
          const { seconds } = timed(command);
          const held = await tray.next(image, offset, blank);
          if (!held[0]) throw new Error(`${command.join(' ')} left other bytes in flash`);
          return seconds;
        } catch (error) {
          if (command[0] === process.execPath || attempt === attempts) throw error;
          await tray.next(image, offset, blank);
        }
      }
    };
    const seconds = { ours: [] as number[], theirs: [] as number[], connect: [] as number[] };
    const first = rounds > 1 ? 0 : 1;
    for (let round = first; round <= rounds; round++) {
      const ours = await once(oursOf(port, image, board));
      const theirs = await once(await peerOf(port));
      const connect = connects ? timed(connectOf(port)).seconds : 0;
      if (connects) await tray.next(image, offset, false);
      if (round === 0) continue;
      seconds.ours.push(ours);
      seconds.theirs.push(theirs);
      seconds.connect.push(connect);
    }
    return seconds;
  } finally {
    await tray.close();
  }
}

const common = (board = chip) => [
  '--chip',
  board,
  '--baud',
  `${baud}`,
  '--before',
  'no-reset',
  '--after',
  'no-reset',
];

function oursOf(port: string, image: string, board = chip): CommandLine {
  return aiot('flash', `${image}@0x${offset.toString(16)}`, '--port', port, ...common(board), '--verify');
}

function connectOf(port: string): CommandLine {
  return aiot('flash', 'info', '--port', port, ...common());
}

/** esptool compares by MD5 after writing without being asked. */
function esptoolOf(image: string, ...options: string[]): (port: string) => CommandLine {
  const place = `0x${offset.toString(16)}`;
  return (port) => [esptool, '--port', port, ...common(), 'write-flash', ...options, place, image];
}
