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
  /** For a list of steps: the step that this is the progress of, and figures that change while it runs. By default the text is the step. */
  step?: { name: string; figures?: string };
  /** For a list of steps: all its lines, read again for each frame, given how many fit. */
  lines?: (room: number) => readonly StepLine[];
  /** Lines to draw instead, on a terminal of the given columns and rows. */
  picture?: (columns: number, rows: number) => string[];
}

export interface Progress {
  /** Bound, so it can be passed as a callback. */
  update: (state: ProgressState | string) => void;
  /** Clears the live line so that something else can be written; the next update draws it again. */
  clear(): void;
  /** Clears the live line and stops drawing; a list of steps remains, the last one marked as failed if it has. Idempotent. */
  end(failed?: boolean): void;
}

interface ProgressOptions {
  tty: boolean;
  quiet: boolean;
  /** Output function; stderr by default. */
  write?: (text: string) => void;
  /** Milliseconds; Date.now by default. */
  now?: () => number;
}

/** Shorter work shows nothing, to avoid flicker. */
const delayMs = 600;

const frameMs = 80;
const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const eraseLine = '\r\u001b[2K';

/** Spinner (total unknown) or bar on a terminal; lines elsewhere: one for each new text and each tenth of a total. */
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
  // A line that a narrower terminal has wrapped occupies several rows.
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

/** A count without a total: it changes too often for lines. */
function countOf({ done, total }: ProgressState): string {
  return done === undefined || total ? '' : `: ${thousands(done)}`;
}

function lines(write: (text: string) => void): Progress {
  let last = '';
  return {
    update: (next) => {
      const { text, done, total } = stateOf(next);
      const tenth = done !== undefined && total ? ` (${Math.floor((done / total) * 10) * 10} %)` : '';
      // With a total, a line for each item's text would be too much.
      const key = tenth || text;
      if (key === last) return;
      last = key;
      write(forTerminal(`${dim('·')} ${stripVTControlCharacters(oneLine(text))}${tenth}\n`));
    },
    clear: () => {},
    end: () => {},
  };
}

export function stateOf(next: ProgressState | string): ProgressState {
  return typeof next === 'string' ? { text: next } : next;
}
