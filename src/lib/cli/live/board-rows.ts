import { stripVTControlCharacters } from 'node:util';
import { size } from '../../core/figures.js';
import type { BoardRow } from '../../flash/write/flash-boards.js';
import { cyan, dim, forTerminal, green, oneLine, red } from '../render/style.js';
import { bar } from '../render/text.js';
import type { Progress } from './progress.js';

export interface RowsOptions {
  tty: boolean;
  quiet: boolean;
  /** Each new stage of a board, for programs that watch. */
  event: (row: BoardRow) => void;
  /** Where to draw; stderr unless told. */
  write?: (text: string) => void;
  /** Milliseconds; Date.now unless told. */
  now?: () => number;
  /** Of the terminal. */
  size?: () => { columns: number; lines: number };
}

const frameMs = 100;
const up = (lines: number) => (lines > 0 ? `\u001b[${lines}A` : '');
const eraseLine = '\r\u001b[2K';

/**
 * Shows boards while they are written: one by the one progress bar, many with a row each: redrawn in place on a terminal,
 * a line for each new stage elsewhere. Returns what takes the rows.
 */
export function boardRows(progress: Progress, options: RowsOptions): (row: BoardRow) => void {
  const { quiet, tty, event, now = Date.now } = options;
  const write = options.write ?? ((text: string) => void process.stderr.write(text));
  const measure =
    options.size ?? (() => ({ columns: process.stderr.columns || 100, lines: process.stderr.rows || 24 }));
  const rows = new Map<string, BoardRow>();
  let drawn = 0;
  let last = 0;
  const draw = () => {
    const { columns, lines } = measure();
    const shown = visible([...rows.values()], Math.max(1, lines - 1));
    const text = shown
      .map((row) => `${eraseLine}${forTerminal(cut(oneLine(rowText(row)), columns - 1))}\n`)
      .join('');
    write(`${up(drawn)}${text}`);
    drawn = shown.length;
    last = now();
  };
  return (row) => {
    const before = rows.get(row.port);
    rows.set(row.port, row);
    const changed = before?.stage !== row.stage || before.region !== row.region || before.note !== row.note;
    if (changed) event(row);
    if (quiet) return;
    if (rows.size === 1) return showOne(progress, row);
    if (tty && (changed || now() - last >= frameMs)) draw();
    else if (!tty && changed && row.stage !== 'waiting')
      write(forTerminal(`${dim('·')} ${plain(oneLine(rowText(row, false)))}\n`));
  };
}

function showOne(progress: Progress, row: BoardRow): void {
  const { stage, total, done, rate } = row;
  if (stage === 'waiting' || stage === 'done' || stage === 'failed') return;
  const text = [stageText(row), rateText(rate)].filter(Boolean).join('  ');
  progress.update(total > 0 && moves(stage) && row.note === null ? { text, done, total } : text);
}

/** Those being worked with first, where not all have room. */
function visible(rows: BoardRow[], most: number): BoardRow[] {
  if (rows.length <= most) return rows;
  const order = (row: BoardRow) => (row.stage === 'waiting' ? 1 : row.stage === 'done' ? 2 : 0);
  return rows.toSorted((a, b) => order(a) - order(b)).slice(0, most);
}

function rowText(row: BoardRow, withBar = true): string {
  const { port, mac, stage, total, done, rate, secondsLeft, error } = row;
  const moving = withBar && total > 0 && moves(stage);
  const share = moving
    ? `${bar(done / total, 8)} ${String(Math.round((done / total) * 100)).padStart(3)} %`
    : '';
  const left = withBar && secondsLeft !== null ? `${Math.ceil(secondsLeft)} s left` : '';
  const parts = [
    port,
    mac ?? '',
    stageText(row),
    share,
    withBar ? rateText(rate) : '',
    left,
    error ? red(error) : '',
  ];
  return parts.filter(Boolean).join('  ');
}

/** Stages that take long and tell how far they are. */
function moves(stage: BoardRow['stage']): boolean {
  return stage === 'write' || stage === 'read' || stage === 'erase';
}

function stageText({ stage, region, note, attempt }: BoardRow): string {
  if (stage === 'done') return green('done');
  if (stage === 'failed') return red('failed');
  if (stage === 'again') return cyan(`again (${attempt})`);
  // A file's own name is enough to tell it from the others.
  const text = [stage, region?.split(/[\\/]/).at(-1)].filter(Boolean).join(' ');
  return note === null ? text : `${text}, ${note}`;
}

function rateText(rate: number | null): string {
  return rate === null ? '' : `${size(Math.round(rate))}/s`;
}

const plain = stripVTControlCharacters;

function cut(text: string, columns: number): string {
  return plain(text).length <= columns ? text : plain(text).slice(0, columns);
}
