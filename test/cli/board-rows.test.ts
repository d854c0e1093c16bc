import { describe, expect, it } from 'vitest';
import { boardRows, type RowsOptions } from '../../src/lib/cli/live/board-rows.js';
import { createProgress } from '../../src/lib/cli/live/progress.js';
import type { BoardRow } from '../../src/lib/flash/write/flash-boards.js';

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

function show(options: Partial<RowsOptions>, rows: BoardRow[]) {
  let text = '';
  let now = 0;
  const events: BoardRow[] = [];
  const draw = boardRows(createProgress({ tty: false, quiet: true }), {
    ...{ tty: true, quiet: false, event: (row) => events.push(row) },
    write: (part) => {
      text += part;
    },
    now: () => {
      now += 1000;
      return now;
    },
    size: () => ({ columns: 90, lines: 10 }),
    ...options,
  });
  for (const each of rows) draw(each);
  return { text, events };
}

/** What is on the screen after the last time the cursor went up. */
function lastFrame(text: string, lines: number): string {
  return text.split(`\u001b[${lines}A`).at(-1)!.replaceAll('\r\u001b[2K', '');
}

const writing = {
  mac: '24:0a:c4:00:01:10',
  stage: 'write',
  region: 'build/app.bin',
  done: 250,
  total: 1000,
} as const;

describe('rows of boards', () => {
  it('stand below each other on a terminal, and are drawn anew in place', () => {
    const { text } = show({}, [
      row('/dev/ttyUSB0'),
      row('/dev/ttyUSB1'),
      row('/dev/ttyUSB0', { ...writing, rate: 2048, secondsLeft: 1.2 }),
    ]);
    const last = lastFrame(text, 2);
    expect(last).toBe(
      '/dev/ttyUSB0  24:0a:c4:00:01:10  write app.bin  ██░░░░░░  25 %  2.0 KiB/s  2 s left\n/dev/ttyUSB1  waiting\n',
    );
    expect(text).toContain('\u001b[2A');
  });

  it('are cut to the terminal, those at work first', () => {
    const rows = Array.from({ length: 30 }, (_, i) => row(`port-${i}`));
    const { text } = show({}, [...rows, row('port-29', { ...writing })]);
    const last = lastFrame(text, 9);
    expect(last.split('\n')).toHaveLength(10);
    expect(last).toContain('port-29');
    const narrow = show({ size: () => ({ columns: 20, lines: 10 }) }, [row('a'), row('b', { ...writing })]);
    const lines = lastFrame(narrow.text, 1).split('\n');
    expect(Math.max(...lines.map((line) => line.length))).toBe(19);
  });

  it('are a line for each new stage elsewhere, and an event in any case', () => {
    const rows = [
      row('a'),
      row('b'),
      row('a', writing),
      row('a', { ...writing, done: 500 }),
      row('a', { stage: 'done' }),
    ];
    const { text, events } = show({ tty: false }, rows);
    expect(text).toBe('· a  24:0a:c4:00:01:10  write app.bin\n· a  done\n');
    expect(events.map(({ port, stage }) => `${port} ${stage}`)).toEqual([
      'a waiting',
      'b waiting',
      'a write',
      'a done',
    ]);
    expect(show({ quiet: true }, rows).text).toBe('');
  });

  it('tell why a board failed', () => {
    const { text } = show({ tty: false }, [
      row('a'),
      row('b', { stage: 'failed', error: 'the cable was pulled' }),
    ]);
    expect(text).toContain('b  failed  the cable was pulled');
  });
});
