import { stripVTControlCharacters } from 'node:util';
import { dictionary } from '../../core/names.js';
import { parsedJson } from '../../core/text.js';
import { type CrashDecoder, type CrashPart, CrashWatch } from './crashes.js';
import { isShown, type Level, logHead, type MonitorEvent } from './events.js';

/** Time after which an unfinished line is shown because it may be a prompt, ms. */
const partialMs = 300;

interface BoardTextOptions {
  filter?: RegExp | undefined;
  exclude?: RegExp | undefined;
  level?: Level | undefined;
  values: boolean;
  decoder: CrashDecoder;
  now: () => number;
  emit: (event: MonitorEvent) => void;
  /** Called for each line, including unfinished lines, even if it is not shown. */
  onText: (text: string) => void;
  /** Called with the error if matching a pattern takes too long. */
  onError: (error: unknown) => void;
}

/** Converts a board's output from bytes to events: lines with their levels, values, crashes. */
export class BoardText {
  private readonly reader = new LineReader();
  private readonly crash = new CrashWatch();
  private timer: NodeJS.Timeout | null = null;
  lines = 0;
  last = '';

  constructor(private readonly options: BoardTextOptions) {}

  feed(bytes: Uint8Array): void {
    if (this.timer) clearTimeout(this.timer);
    this.timer = null;
    this.guarded(() => {
      for (const line of this.reader.read(bytes)) this.line(line, false);
      if (this.reader.partial === '') return;
      this.timer = setTimeout(() => this.flush(), partialMs);
      this.options.onText(plainText(this.reader.partial));
    });
  }

  /** Catches errors, because data events and timers have no caller that could handle them. The rest of the chunk is then skipped. */
  private guarded(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.options.onError(error);
    }
  }

  /** Reports an unfinished line. */
  flush(): void {
    if (this.timer) clearTimeout(this.timer);
    this.timer = null;
    const rest = this.reader.take();
    if (rest !== '') this.guarded(() => this.line(rest, true));
  }

  end(): void {
    this.flush();
    this.tell(this.crash.end());
  }

  private line(raw: string, partial: boolean): void {
    const { emit, now, filter, exclude, level: wanted, values, onText } = this.options;
    const text = plainText(raw);
    const { level = null, tag = null } = logHead(text) ?? {};
    this.lines++;
    if (text.trim() !== '') this.last = text;
    const shown =
      (!wanted || isShown(level, wanted)) && (!filter || filter.test(text)) && !exclude?.test(text);
    if (shown) emit({ event: 'line', t: now(), text, level, tag, partial });
    const numbers = values && shown ? numbersOf(text) : null;
    if (numbers) emit({ event: 'values', t: now(), values: numbers });
    this.tell(this.crash.read(text));
    onText(text);
  }

  private tell(parts: readonly CrashPart[]): void {
    const { decoder, emit, now } = this.options;
    for (const { reason, addresses, elfHash } of parts) {
      const frames = decoder.frames(addresses);
      const elfMatches = elfHash === null ? null : decoder.isFrom(elfHash);
      if (frames.length > 0 || elfMatches !== null)
        emit({ event: 'crash', t: now(), reason, frames, elfMatches });
    }
  }
}

/** Maximum length of a line, characters. Longer lines are split, because a board that sends noise may never send a line ending. */
const longest = 8192;

/** Splits bytes into lines of UTF-8 text that end with LF, CR LF or CR CR LF. Invalid bytes become �. */
export class LineReader {
  private readonly decoder = new TextDecoder('utf-8', { fatal: false });
  private rest = '';

  /** Returns the complete lines, without their line endings. */
  read(bytes: Uint8Array): string[] {
    const parts = (this.rest + this.decoder.decode(bytes, { stream: true })).split('\n');
    this.rest = parts.pop() ?? '';
    const lines = parts.map(trimmed);
    while (this.rest.length > longest) {
      lines.push(this.rest.slice(0, longest));
      this.rest = this.rest.slice(longest);
    }
    return lines;
  }

  /** The unfinished line, usually a prompt. */
  get partial(): string {
    return this.rest;
  }

  /** Returns and removes the unfinished line; empty if there is none. */
  take(): string {
    const line = trimmed(this.rest);
    this.rest = '';
    return line;
  }
}

const trimmed = (line: string) => line.replace(/\r+$/, '');

/** Removes colors, cursor movements and other control characters. */
export function plainText(line: string): string {
  return [...stripVTControlCharacters(line)]
    .filter((character) => character >= ' ' || character === '\t')
    .join('')
    .replaceAll('\x7f', '');
}

const number = String.raw`[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?`;
const unit = String.raw`(?:\s?[A-Za-zµ°Ω%][\w/²³°%]{0,7}(?![\w:=]))?`;

const pair = new RegExp(
  String.raw`^\s*([A-Za-z_][\w.\[\]/-]{0,39})\s*[:=]\s*(${number})${unit}\s*(?:[,;\t ]|$)`,
);

const plain = new RegExp(String.raw`^\s*(${number})\s*(?:[,;\t ]|$)`);

/**
 * The values in a line that consists of numbers: `1.2, 3.4`, `current:1.2 temperature=23.5 C`, `{"x": 1}`, possibly after a log prefix.
 * Null for every other line, because text with a number in it is not a measurement. Numbers without a name are called `1`, `2`, ….
 */
export function numbersOf(line: string): Record<string, number> | null {
  const text = (logHead(line)?.message ?? line).trim();
  if (text === '') return null;
  return text.startsWith('{') ? ofJson(text) : (all(text, pair) ?? all(text, plain));
}

/** Matches the pattern repeatedly from the start; null unless the whole text matches. */
function all(text: string, form: RegExp): Record<string, number> | null {
  const values = dictionary<number>();
  let count = 0;
  for (let rest = text; rest !== ''; count++) {
    const found = form.exec(rest);
    if (!found) return null;
    const named = found.length > 2;
    values[named ? (found[1] ?? '') : String(count + 1)] = Number(found[named ? 2 : 1]);
    rest = rest.slice(found[0].length).trimStart();
  }
  return values;
}

function ofJson(text: string): Record<string, number> | null {
  const values = dictionary<number>();
  collect(parsedJson(text), '', values);
  return Object.keys(values).length > 0 ? values : null;
}

/** Collects the numbers of an object and of nested objects: `{"acc": {"x": 1}}` → `acc.x`. */
function collect(value: unknown, path: string, into: Record<string, number>, depth = 0): void {
  if (typeof value === 'number') into[path || '1'] = value;
  else if (typeof value === 'object' && value !== null && depth < 4)
    for (const [key, inner] of Object.entries(value))
      collect(inner, path ? `${path}.${key}` : key, into, depth + 1);
}
