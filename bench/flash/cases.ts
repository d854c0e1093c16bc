import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { flashBoard, flashBoards } from '../../src/lib/flash/write/index.js';
import { aiot, type CommandLine, median, timed } from '../models/measure.js';
import { openTray, root } from './tray.js';

export const esptool = join(root, '.venv', 'esptool', 'bin', 'esptool');
const chip = 'esp32';
const offset = 0x10000;
const baud = 921_600;

export interface Outcome {
  what: string;
  ours: number;
  /** The peer's seconds; null where the figure is no ratio to a peer. */
  theirs: number | null;
  value: number;
  limit: number;
  unit: '×' | 's';
}

/** Each case measures an image file in so many rounds. */
export const cases: Record<string, (image: string, rounds: number) => Promise<Outcome[]>> = {
  /** A blank chip at a UART of 921600: from start of the program to its exit, verified. */
  write: async (image, rounds) => {
    const { ours, theirs, ratio } = await inTurn('uart', image, rounds, { blank: true, skip: false });
    const what = 'write 1 MiB to a blank chip at 921600, connect to verified';
    return [{ what, ours, theirs, value: ratio, limit: 1, unit: '×' }];
  },
  /** The same with a line and a flash that take no time: what the tools themselves cost. */
  software: async (image, rounds) => {
    const { ours, theirs, ratio } = await inTurn('instant', image, rounds, { blank: true, skip: false });
    const what = 'the same where line and flash take no time';
    return [{ what, ours, theirs, value: ratio, limit: 1, unit: '×' }];
  },
  unchanged: async (image, rounds) => {
    const { ours, theirs, connect } = await inTurn('uart', image, rounds, { blank: false, skip: true });
    const what = 'the image is there already, beside the connect';
    return [{ what, ours, theirs, value: ours - connect, limit: 2, unit: 's' }];
  },
  eight: async (image, rounds) => {
    const tray = await openTray(chip, 8, 'uart');
    try {
      const ones: number[] = [];
      const eights: number[] = [];
      for (let round = 0; round < rounds; round++) {
        ones.push(...(await parallel(image, tray.ports.slice(0, 1))));
        await tray.next(image, offset, true);
        eights.push(...(await parallel(image, tray.ports)));
        const held = await tray.next(image, offset, true);
        if (!held.every(Boolean)) throw new Error(`boards hold the image: ${held}`);
      }
      const [one, eight] = [median(ones), median(eights)];
      const what = 'eight boards at a time, a board beside one alone';
      return [{ what, ours: eight, theirs: null, value: eight / one, limit: 1.1, unit: '×' }];
    } finally {
      await tray.close();
    }
  },
};

/** Seconds per board, all at the same time. */
async function parallel(image: string, ports: string[]): Promise<number[]> {
  const data = readFileSync(image);
  const job = {
    pieces: [{ place: offset, data, name: 'app.bin' }],
    old: [],
    header: {},
    erase: false,
    verify: true,
    force: false,
    device: null,
  };
  const { boards } = await flashBoards({
    ports,
    jobs: ports.length,
    retries: 0,
    loader: { chip, baud, stub: true, before: 'no-reset', after: 'no-reset' },
    flash: (how) => flashBoard(() => job, how),
  });
  return boards.map(({ board, error, seconds }) => {
    if (!board) throw new Error(error?.message);
    return seconds;
  });
}

interface Way {
  blank: boolean;
  skip: boolean;
}

/** Ours and esptool on the same board in turn; one round before that is not counted. */
async function inTurn(timing: 'instant' | 'uart', image: string, rounds: number, { blank, skip }: Way) {
  const tray = await openTray(chip, 1, timing);
  try {
    const [port = ''] = tray.ports;
    const once = async (command: CommandLine) => {
      const { seconds } = timed(command);
      const held = await tray.next(image, offset, blank);
      if (!held[0]) throw new Error(`${command.join(' ')} left other bytes in flash`);
      return seconds;
    };
    const pairs: { ours: number; theirs: number; connect: number }[] = [];
    for (let round = 0; round <= rounds; round++) {
      const ours = await once(oursOf(port, image));
      const theirs = await once(theirsOf(port, image, skip));
      const connect = skip ? timed(connectOf(port)).seconds : 0;
      if (skip) await tray.next(image, offset, false);
      if (round > 0) pairs.push({ ours, theirs, connect });
    }
    return {
      ours: median(pairs.map((pair) => pair.ours)),
      theirs: median(pairs.map((pair) => pair.theirs)),
      connect: median(pairs.map((pair) => pair.connect)),
      ratio: median(pairs.map((pair) => pair.ours / pair.theirs)),
    };
  } finally {
    await tray.close();
  }
}

const common = ['--chip', chip, '--baud', `${baud}`, '--before', 'no-reset', '--after', 'no-reset'];

function oursOf(port: string, image: string): CommandLine {
  return aiot('flash', `${image}@0x${offset.toString(16)}`, '--port', port, ...common, '--verify');
}

function connectOf(port: string): CommandLine {
  return aiot('flash', 'info', '--port', port, ...common);
}

/** esptool compares by MD5 after writing without being asked. */
function theirsOf(port: string, image: string, skip: boolean): CommandLine {
  const options = skip ? ['--skip-flashed'] : [];
  return [esptool, '--port', port, ...common, 'write-flash', ...options, `0x${offset.toString(16)}`, image];
}
