import { stripVTControlCharacters } from 'node:util';
import { thousands } from '../../core/figures.js';
import { dim, forTerminal, oneLine } from '../render/style.js';
import { bar } from '../render/text.js';
import { Redraw } from './redraw.js';

/** How far a piece of long work is. Without `total` nobody knows how much there is. */
export interface ProgressState {
  text: string;
  done?: number;
  total?: number;
  /** Lines to draw instead on a terminal of so many columns and rows. */
  picture?: (columns: number, rows: number) => string[];
}

export interface Progress {
  /** Bound: may be passed on as a callback. */
  update: (state: ProgressState | string) => void;
  /** Takes the live line away so that something else can be written; the next update draws it again. */
  clear(): void;
  /** Takes the live line away and stops drawing. May be called again. */
  end(): void;
}

interface ProgressOptions {
  tty: boolean;
  quiet: boolean;
  /** Where to draw; stderr unless told. */
  write?: (text: string) => void;
  /** Milliseconds; Date.now unless told. */
  now?: () => number;
}

/** Work that is done sooner shows nothing: a flicker helps nobody. */
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
    const line = `${frame} ${barOf(state)}${stripVTControlCharacters(oneLine(state.text))}${countOf(state)}`;
    const text = line.slice(0, room() - 1);
    write(`${picture.away()}${eraseShown()}${text}`);
    shown = text;
  };
  // A line that a narrower terminal has wrapped stands on several rows.
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

function barOf({ done, total }: ProgressState): string {
  if (done === undefined || !total) return '';
  const share = Math.min(1, done / total);
  return `${bar(share, 24)} ${String(Math.round(share * 100)).padStart(3)} %  `;
}

/** How much of nobody knows how much: it changes too often for lines. */
function countOf({ done, total }: ProgressState): string {
  return done === undefined || total ? '' : `: ${thousands(done)}`;
}

function lines(write: (text: string) => void): Progress {
  let last = '';
  return {
    update: (next) => {
      const { text, done, total } = stateOf(next);
      const tenth = done !== undefined && total ? ` (${Math.floor((done / total) * 10) * 10} %)` : '';
      // With a total the texts of single items would be a flood.
      const key = tenth || text;
      if (key === last) return;
      last = key;
      write(forTerminal(`${dim('·')} ${stripVTControlCharacters(oneLine(text))}${tenth}\n`));
    },
    clear: () => {},
    end: () => {},
  };
}

function stateOf(next: ProgressState | string): ProgressState {
  return typeof next === 'string' ? { text: next } : next;
}
