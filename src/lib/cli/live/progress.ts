import { stripVTControlCharacters } from 'node:util';
import { thousands } from '../../core/figures.js';
import { bar, dim, forTerminal, oneLine } from '../render/text.js';
import { Redraw } from './redraw.js';
import type { StepLine } from './steps.js';

/** Progress of long work. Without `total` the amount of work is unknown. */
export interface ProgressState {
  text: string;
  done?: number;
  total?: number;
  /** Whether the text itself contains the progress, such as `epoch 3/50`. Plain lines then omit the percentage. */
  counted?: boolean;
  /** For a list of steps: the step in progress, and metrics that change while it runs. Defaults to a step named after the text. */
  step?: { name: string; figures?: string };
  /** For a list of steps: returns all lines, given the number that fits. Called for each frame. */
  lines?: (room: number) => readonly StepLine[];
  /** Lines to draw instead of text, for a terminal of the given size in columns and rows. */
  picture?: (columns: number, rows: number) => string[];
}

export interface Progress {
  /** Shows a state. A bound function, so that it can be passed as a callback. */
  update: (state: ProgressState | string) => void;
  /** Clears the live line so that something else can be written; the next update draws it again. */
  clear(): void;
  /** Clears the live line and stops drawing. A list of steps remains; with `failed`, its last step is marked as failed. Idempotent. */
  end(failed?: boolean): void;
}

interface ProgressOptions {
  tty: boolean;
  quiet: boolean;
  /** Output function; stderr by default. */
  write?: (text: string) => void;
  /** Clock in milliseconds; `Date.now` by default. */
  now?: () => number;
}

/** Delay before anything is shown, ms. Shorter work shows nothing, which avoids flicker. */
const delayMs = 600;

const frameMs = 80;
const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const eraseLine = '\r\u001b[2K';

/**
 * Shows progress. On a terminal, it draws a spinner or, with a total, a bar. Elsewhere, it prints a line for each new text and each
 * tenth of a total.
 */
export function createProgress(options: ProgressOptions): Progress {
  if (options.quiet) return { update: () => {}, clear: () => {}, end: () => {} };
  const write = options.write ?? ((text: string) => void process.stderr.write(text));
  return options.tty ? live(write, options.now ?? Date.now) : lines(write);
}

function live(write: (text: string) => void, now: () => number): Progress {
  let state: ProgressState | undefined;
  const room = () => process.stderr.columns || 100;
  const picture = new Redraw(room);
  let shown = '';
  let timer: NodeJS.Timeout | undefined;
  const started = now();
  const draw = () => {
    if (!state || now() - started < delayMs) return;
    if (state.picture) {
      const lines = state.picture(room(), process.stderr.rows || 24);
      write(`${eraseShown()}${picture.over(lines)}`);
      return;
    }
    const frame = frames[Math.floor(now() / frameMs) % frames.length] ?? '';
    const share = barOf(state, 24);
    const line = `${frame} ${share === '' ? '' : `${share}  `}${stripVTControlCharacters(oneLine(state.text))}${countOf(state)}`;
    const text = line.slice(0, room() - 1);
    write(`${picture.away()}${eraseShown()}${text}`);
    shown = text;
  };
  // Erases the live line, which spans several rows if the terminal has become narrower.
  const eraseShown = () => {
    const above = Math.ceil(shown.length / room()) - 1;
    const erased = shown === '' ? '' : `${'\u001b[2K\u001b[1A'.repeat(Math.max(0, above))}${eraseLine}`;
    shown = '';
    return erased;
  };
  const clear = () => {
    const erased = `${picture.away()}${eraseShown()}`;
    if (erased !== '') write(erased);
  };
  return {
    update: (next) => {
      state = stateOf(next);
      timer ??= setInterval(draw, frameMs).unref();
    },
    clear,
    end: () => {
      clearInterval(timer);
      timer = undefined;
      state = undefined;
      clear();
    },
  };
}

/** A bar and its percentage; empty without a total. */
export function barOf({ done, total }: Pick<ProgressState, 'done' | 'total'>, cells: number): string {
  if (done === undefined || !total) return '';
  const share = Math.min(1, done / total);
  return `${bar(share, cells)} ${String(Math.round(share * 100)).padStart(3)} %`;
}

/** A count without a known total. Plain lines omit it, because it changes too often. */
function countOf({ done, total }: ProgressState): string {
  return done === undefined || total ? '' : `: ${thousands(done)}`;
}

function lines(write: (text: string) => void): Progress {
  let last = '';
  return {
    update: (next) => {
      const { text, done, total, counted } = stateOf(next);
      const tenth = done !== undefined && total ? ` (${Math.floor((done / total) * 10) * 10} %)` : '';
      // With a total, prints one line per 10 %, because one per item would be too many.
      const key = tenth || text;
      if (key === last) return;
      last = key;
      write(forTerminal(`${dim('·')} ${stripVTControlCharacters(oneLine(text))}${counted ? '' : tenth}\n`));
    },
    clear: () => {},
    end: () => {},
  };
}

export function stateOf(next: ProgressState | string): ProgressState {
  return typeof next === 'string' ? { text: next } : next;
}
