import type { CrashDecoder } from './decode.js';
import type { MonitorEvent } from './events.js';
import { isShown, type Level, logHead } from './level.js';
import { LineReader, plainText } from './lines.js';
import { numbersOf } from './numbers.js';
import { type CrashPart, CrashWatch } from './panic.js';

/** What has come of a line and stays without an end so long is told as it is, ms: prompts. */
const partialMs = 300;

export interface BoardTextOptions {
  filter?: RegExp | undefined;
  exclude?: RegExp | undefined;
  level?: Level | undefined;
  values: boolean;
  decoder: CrashDecoder;
  now: () => number;
  emit: (event: MonitorEvent) => void;
  /** Each line, and a line that has not ended yet, whether it is shown or not. */
  onText: (text: string) => void;
  /** What a pattern threw that takes too long. */
  onError: (error: unknown) => void;
}

/** What a board says, from bytes to events: lines with their levels, numbers, crashes. */
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

  /** Bytes and timers come from where nobody waits for an error; what follows in the same bytes is not looked at any more. */
  private guarded(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.options.onError(error);
    }
  }

  /** Tells what is left of a line that has not ended. */
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
