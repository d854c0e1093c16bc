import { stripVTControlCharacters } from 'node:util';
import { size } from '../../core/figures.js';
import type { BoardRow } from '../../flash/write/run-flash.js';
import { bar, cyan, dim, forTerminal, green, oneLine, red } from '../render/text.js';
import type { Progress } from './progress.js';
import type { StepLine } from './steps.js';

export interface RowsOptions {
  tty: boolean;
  quiet: boolean;
  /** Called with each new stage of a board, for monitoring programs. */
  event: (row: BoardRow) => void;
}

/**
 * Shows the progress of boards being written: a single board as a list of stages, several as one line each. On a terminal, the lines
 * are redrawn in place. Elsewhere, each new stage of several boards is a line, but a single board has lines only for what is written. Returns the function that updates the rows.
 */
export function boardRows(progress: Progress, options: RowsOptions): (row: BoardRow) => void {
  const { quiet, tty, event } = options;
  const rows = new Map<string, BoardRow>();
  return (row) => {
    const before = rows.get(row.port);
    rows.set(row.port, row);
    const changed = before?.stage !== row.stage || before.region !== row.region || before.note !== row.note;
    if (changed) event(row);
    if (quiet) return;
    if (rows.size === 1 && (tty || isWork(row))) showOne(progress, row, tty);
    else if (rows.size === 1) return;
    else if (tty)
      progress.update({ text: 'boards', lines: (room) => visible([...rows.values()], room).map(rowLine) });
    else if (changed && row.stage !== 'waiting')
      process.stderr.write(
        forTerminal(`${dim('·')} ${stripVTControlCharacters(oneLine(rowText(row, false)))}\n`),
      );
  };
}

/** Whether a stage changes the flash, or has news. */
function isWork({ stage, note }: BoardRow): boolean {
  return stage === 'write' || stage === 'erase' || stage === 'again' || note !== null;
}

function showOne(progress: Progress, row: BoardRow, tty: boolean): void {
  const { stage, total, done, rate } = row;
  if (stage === 'waiting' || stage === 'done' || stage === 'failed') return;
  const name = stageName(row);
  const figures = [row.note ?? '', rateText(rate), leftText(row)].filter(Boolean).join('  ');
  const text = [stageText(row), tty ? rateText(rate) : ''].filter(Boolean).join('  ');
  const counted = tty && total > 0 && moves(stage) && row.note === null ? { done, total } : {};
  progress.update({ text, step: { name, figures }, ...counted });
}

function rowLine(row: BoardRow): StepLine {
  const { stage } = row;
  const ended = stage === 'waiting' || stage === 'done' || stage === 'failed';
  return { state: ended ? stage : 'running', text: rowText(row) };
}

/** The rows to show. If not all of them fit, boards in progress come first. */
function visible(rows: BoardRow[], most: number): BoardRow[] {
  if (rows.length <= most) return rows;
  const order = (row: BoardRow) => (row.stage === 'waiting' ? 1 : row.stage === 'done' ? 2 : 0);
  return rows.toSorted((a, b) => order(a) - order(b)).slice(0, most);
}

function rowText(row: BoardRow, withBar = true): string {
  const { port, mac, stage, total, done, rate, error } = row;
  const moving = withBar && total > 0 && moves(stage);
  const share = moving
    ? `${bar(done / total, 8)} ${String(Math.round((done / total) * 100)).padStart(3)} %`
    : '';
  const parts = [
    port,
    mac ?? '',
    stageText(row),
    share,
    withBar ? rateText(rate) : '',
    withBar ? leftText(row) : '',
    error ? red(error) : '',
  ];
  return parts.filter(Boolean).join('  ');
}

/** Whether a stage takes long and reports its progress. */
function moves(stage: BoardRow['stage']): boolean {
  return stage === 'write' || stage === 'read' || stage === 'erase';
}

function stageText(row: BoardRow): string {
  const { stage, note } = row;
  if (stage === 'done') return green('done');
  if (stage === 'failed') return red('failed');
  if (stage === 'again') return cyan(stageName(row));
  return note === null ? stageName(row) : `${stageName(row)}, ${note}`;
}

function stageName({ stage, region, attempt }: BoardRow): string {
  if (stage === 'again') return `retry ${attempt}`;
  // The base name is enough to distinguish files.
  return [stage, region?.split(/[\\/]/).at(-1)].filter(Boolean).join(' ');
}

function leftText({ secondsLeft }: BoardRow): string {
  return secondsLeft === null ? '' : `${Math.ceil(secondsLeft)} s left`;
}

function rateText(rate: number | null): string {
  return rate === null ? '' : `${size(Math.round(rate))}/s`;
}
