import { describe, expect, it, vi } from 'vitest';
import { boardRows, type RowsOptions } from '../../src/lib/cli/live/board-rows.js';
import { createProgress } from '../../src/lib/cli/live/progress.js';
import { stepProgress } from '../../src/lib/cli/live/steps.js';
import type { BoardRow } from '../../src/lib/flash/write/run-flash.js';
import { terminalOnStderr } from '../support/screen.js';

const row = (port: string, changes: Partial<BoardRow> = {}): BoardRow => ({
  ...{
    port,
    mac: null,
    chip: null,
    device: null,
    stage: 'waiting',
    region: null,
    note: null,
    done: 0,
    total: 0,
  },
  ...{ rate: null, secondsLeft: null, attempt: 1, error: null },
  ...changes,
});

/** Long enough to load listr2, which happens for the first list. */
const loading = 20_000;

const size = { columns: 90, rows: 10 };

/** Returns the terminal's screen while the boards are written, and the events for programs. */
async function show(rows: BoardRow[], { terminal = size, awaited = rows.length } = {}) {
  const events: BoardRow[] = [];
  const screen = terminalOnStderr(terminal);
  const progress = stepProgress();
  try {
    const draw = boardRows(progress, { tty: true, quiet: false, event: (row) => events.push(row) });
    for (const each of rows) draw(each);
    await vi.waitFor(() => expect(screen.lines()).toHaveLength(awaited), loading);
    return { lines: screen.lines(), events };
  } finally {
    progress.end();
    screen.restore();
  }
}

/** Returns the lines and events printed without a terminal. */
function tell(rows: BoardRow[], options: Partial<RowsOptions> = {}) {
  const events: BoardRow[] = [];
  const screen = terminalOnStderr();
  try {
    const progress = createProgress({ tty: false, quiet: true });
    const all = { tty: false, quiet: false, event: (row: BoardRow) => void events.push(row), ...options };
    const draw = boardRows(progress, all);
    for (const each of rows) draw(each);
    return { lines: screen.lines(), events };
  } finally {
    screen.restore();
  }
}

const writing = {
  mac: '24:0a:c4:00:01:10',
  stage: 'write',
  region: 'build/app.bin',
  done: 250,
  total: 1000,
} as const;

describe('board progress rows', () => {
  it('are stacked on a terminal and redrawn in place', async () => {
    const { lines } = await show(
      [
        row('/dev/ttyUSB0'),
        row('/dev/ttyUSB1'),
        row('/dev/ttyUSB0', { ...writing, rate: 2048, secondsLeft: 1.2 }),
      ],
      { awaited: 2 },
    );
    expect(lines).toEqual([
      '⠋ /dev/ttyUSB0  24:0a:c4:00:01:10  write app.bin  ██░░░░░░  25 %  2.0 KiB/s  2 s left',
      '○ /dev/ttyUSB1  waiting',
    ]);
  });

  it('are truncated to fit the terminal, with active boards first', async () => {
    const rows = Array.from({ length: 30 }, (_, i) => row(`port-${i}`));
    const { lines } = await show([...rows, row('port-29', { ...writing })], { awaited: 9 });
    expect(lines).toHaveLength(9);
    expect(lines.join('\n')).toContain('port-29');
    const narrow = await show([row('a'), row('b', { ...writing })], { terminal: { columns: 20, rows: 10 } });
    expect(Math.max(...narrow.lines.map((line) => line.length))).toBe(19);
  });

  it('print a line per new stage without a terminal, and always emit events', () => {
    const rows = [
      row('a'),
      row('b'),
      row('a', writing),
      row('a', { ...writing, done: 500 }),
      row('a', { stage: 'done' }),
    ];
    const { lines, events } = tell(rows);
    expect(lines).toEqual(['· a  24:0a:c4:00:01:10  write app.bin', '· a  done']);
    expect(events.map(({ port, stage }) => `${port} ${stage}`)).toEqual([
      'a waiting',
      'b waiting',
      'a write',
      'a done',
    ]);
    expect(tell(rows, { quiet: true }).lines).toEqual([]);
  });

  it('show why a board failed', () => {
    const failed = row('b', { stage: 'failed', error: 'the cable was unplugged' });
    expect(tell([row('a'), failed]).lines.join('\n')).toContain('b  failed  the cable was unplugged');
  });
});

it('a single board without a terminal has lines only for what is written', () => {
  const told: string[] = [];
  const progress = createProgress({ tty: false, quiet: false, write: (text) => told.push(text) });
  const draw = boardRows(progress, { tty: false, quiet: false, event: () => {} });
  const stages = [
    { stage: 'connect' },
    { stage: 'stub' },
    { stage: 'read', done: 5, total: 9 },
    { ...writing, rate: 2048 },
    { ...writing, done: 700, rate: 4096 },
    { stage: 'again', attempt: 2 },
    { stage: 'verify' },
    { stage: 'reset' },
  ] as const;
  for (const stage of stages) draw(row('a', stage));
  expect(told).toEqual(['· write app.bin\n', '· retry 2\n']);
});

it('a single board is shown as a list of stages', async () => {
  const board = { mac: writing.mac, chip: 'esp32' };
  const { lines } = await show([
    row('a', { ...board, stage: 'connect' }),
    row('a', { ...board, ...writing, rate: 2048, secondsLeft: 1.2 }),
  ]);
  expect(lines.map((line) => line.replace(/\(.*\)/, '(T)'))).toEqual([
    '✓ connect (T)',
    '⠋ write app.bin  ███░░░░░░░░░  25 %  2.0 KiB/s  2 s left',
  ]);
});
