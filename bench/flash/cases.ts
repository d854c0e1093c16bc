import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { flashBoard } from '../../src/lib/flash/write/flash-board.js';
import { flashBoards } from '../../src/lib/flash/write/run-flash.js';
import { espflashCommand, espflashProgram } from '../../test/support/espflash-program.js';
import type { Bench } from '../harness/area.js';
import { type Figure, growth, median } from '../harness/figure.js';
import { versionOf } from '../harness/parts.js';
import { aiot, type CommandLine, root, timed } from '../harness/process.js';
import { programImage } from './image.js';

const esptool = join(root, '.venv', 'esptool', 'bin', 'esptool');
const chip = 'esp32';
const offset = 0x10000;
const baud = 921_600;

/** Writes and verifies a blank chip on a UART at 921600 baud, timed from the start of the program to its exit. */
export async function blank(image: string, rounds: number): Promise<Figure[]> {
  const { ours, theirs } = await inTurn('uart', image, rounds, { blank: true, theirs: esptoolOf(image) });
  return [{ ...figureOf(`write ${sizeOf(image)} to a blank chip at ${baud}`, ours), peer: peer(theirs) }];
}

/**
 * Writes a blank chip, compared with espflash from crates.io, which also verifies by MD5 after writing. The chip is an ESP32-C3,
 * because espflash sends an ESP32 two commands that the ESP32 does not support, and waits 3 s for each.
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
  const name = `write ${sizeOf(image)} to a blank ESP32-C3, compared with espflash`;
  // The limit is above 1, because Node takes longer to start than a native program.
  return [{ name, unit: 's', ours, goal: 1.25, peer: { name: 'espflash', version, rounds: seconds } }];
}

/** Writes a blank chip with a simulated line and flash without delays, to measure the cost of the tools themselves. */
export async function software(image: string, rounds: number): Promise<Figure[]> {
  const { ours, theirs } = await inTurn('instant', image, rounds, { blank: true, theirs: esptoolOf(image) });
  return [{ ...figureOf('the same with an instantaneous line and flash', ours), peer: peer(theirs) }];
}

/** Writes an image that is already in flash, compared with esptool's --skip-flashed. A second figure excludes the time to connect. */
export async function unchanged(image: string, rounds: number): Promise<Figure[]> {
  const { ours, theirs, connect } = await inTurn('uart', image, rounds, {
    ...{ blank: false, theirs: esptoolOf(image, '--skip-flashed'), connects: true },
  });
  return [
    { ...figureOf('the image is already in flash', ours), peer: peer(theirs), goal: 1.1 },
    {
      ...figureOf('the same, minus the time of `aiot board info`', ours),
      ...{ ours: ours.map((one, i) => one - connect[i]!), goal: 2 },
    },
  ];
}

/** Time per board when eight boards are written concurrently, relative to a single board. */
export async function eight(image: string, rounds: number): Promise<Figure[]> {
  const tray = await openTray(chip, 8, 'uart');
  try {
    const times: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const one = median(await parallel(image, tray.ports.slice(0, 1)));
      await tray.next(image, offset, true);
      times.push(median(await parallel(image, tray.ports)) / one);
      const held = await tray.next(image, offset, true);
      if (!held.every(Boolean)) throw new Error(`boards with the image: ${held}`);
    }
    return [
      {
        name: 'eight boards at once: time per board, compared with one alone',
        unit: '×',
        ours: times,
        goal: 1.1,
      },
    ];
  } finally {
    await tray.close();
  }
}

/** CPU time of the tool itself by image size, with a simulated line and flash without delays. */
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

/** Flashes all boards concurrently, and returns the seconds per board. */
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
  /** Whether each run starts with a blank chip; otherwise the chip has the image of the previous run. */
  blank: boolean;
  /** The peer's command line for a port. */
  theirs: (port: string) => CommandLine | Promise<CommandLine>;
  /** Default: an ESP32. */
  board?: string;
  /** Whether connecting alone is timed as well. */
  connects?: boolean;
}

/** A tool may give the chip too little time to respond, so a failed run is repeated. */
const attempts = 3;

/** Alternates our tool and a peer on the same board. If there are several rounds, an additional warm-up round is not counted. */
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
  return aiot('board', 'info', '--port', port, ...common());
}

/** esptool's command line. By default, it verifies by MD5 after writing. */
function esptoolOf(image: string, ...options: string[]): (port: string) => CommandLine {
  const place = `0x${offset.toString(16)}`;
  return (port) => [esptool, '--port', port, ...common(), 'write-flash', ...options, place, image];
}

// The process that simulates the boards.

interface Tray {
  /** Paths of the ptys, one per board. */
  ports: string[];
  /**
   * Returns for each board whether its flash contained the file. Afterwards all boards are in their ROM loader, and blank if requested.
   */
  next(file: string, offset: number, blank: boolean): Promise<boolean[]>;
  close(): Promise<void>;
}

/** Runs the boards in a separate process, so that their CPU time is not attributed to the tools. */
async function openTray(chip: string, count: number, timing: 'instant' | 'uart'): Promise<Tray> {
  const script = join(root, 'bench', 'flash', 'boards.ts');
  const child: ChildProcess = spawn(process.execPath, ['--import', 'tsx', script, chip, `${count}`, timing], {
    cwd: root,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface(child.stdout!)[Symbol.asyncIterator]();
  const answer = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error('the simulated boards ended');
    return JSON.parse(value as string);
  };
  const ports = (await answer()) as string[];
  return {
    ports,
    async next(file, offset, blank) {
      child.stdin!.write(`${JSON.stringify({ file, offset, blank })}\n`);
      return (await answer()) as boolean[];
    },
    async close() {
      child.stdin!.end();
      if (child.exitCode === null) await once(child, 'exit');
    },
  };
}
