import { AiotError, onAbort, untilAborted } from '../../core/index.js';
import { resetBoard } from '../loader/reset.js';
import { openLine } from '../port/open-line.js';
import type { SerialLine } from '../port/types.js';
import { BoardText } from './board-text.js';
import type { CrashDecoder } from './decode.js';
import { type Ending, failureOf } from './endings.js';
import type { MonitorEnd, MonitorEvent } from './events.js';
import { openings } from './openings.js';
import { lineEnds, type MonitorOptions } from './options.js';
import type { Recorder } from './recorder.js';
import { waitingText } from './waiting-text.js';

/** What may be done with a running monitor. */
export interface MonitorControl {
  quit(): void;
  /** False when the port has no DTR and RTS, or is not there. */
  reset(mode: 'hard-reset' | 'download'): Promise<boolean>;
}

/** One monitor from its first port to its end. */
export class MonitorRun {
  recorder: Recorder | undefined;
  private readonly stop = new AbortController();
  private readonly text: BoardText;
  private readonly startedAt = Date.now();
  private ending: Ending | null = null;
  private line: SerialLine | null = null;
  private bytes = 0;
  private connections = 0;
  private waitingFor: string | null = null;
  /** What the line had kept before it was opened. */
  private waiting: Uint8Array = new Uint8Array(0);

  constructor(
    private readonly options: MonitorOptions,
    decoder: CrashDecoder,
  ) {
    const { filter, exclude, level, values = false } = options;
    this.text = new BoardText({
      ...{ filter, exclude, level, values, decoder },
      now: () => Date.now(),
      emit: (event) => this.emit(event),
      onText: (text) => this.judge(text),
      onError: (error) => this.finish({ why: 'error', error }),
    });
  }

  async run(): Promise<MonitorEnd> {
    const { options } = this;
    const timers = [
      this.after(options.timeoutMs, { why: 'timeout' }),
      this.after(options.forMs, { why: 'for', matched: null }),
    ];
    const interrupt = () => this.finish({ why: 'interrupted' });
    const leave = onAbort(options.signal, interrupt);
    const input = options.input?.[Symbol.asyncIterator]();
    try {
      options.onStart?.({ quit: () => this.quit(), reset: (mode) => this.reset(mode) });
      if (input) void this.pump(input);
      await this.follow();
    } catch (error) {
      this.ending ??= { why: 'error', error };
    } finally {
      for (const timer of timers) clearTimeout(timer);
      leave();
      // Not awaited: an input that waits for a key does not answer.
      void input?.return?.();
    }
    return this.conclude();
  }

  quit(): void {
    // Whoever waits for a line is not served by an end without it.
    this.finish(this.options.until ? { why: 'interrupted' } : { why: 'quit', matched: null });
  }

  async reset(mode: 'hard-reset' | 'download'): Promise<boolean> {
    const done = this.line !== null && (await resetBoard(this.line, mode));
    this.emit({ event: 'reset', t: Date.now(), done });
    return done;
  }

  /** The first ending counts. */
  finish(ending: Ending): void {
    if (this.ending) return;
    this.ending = ending;
    this.stop.abort();
  }

  private async follow(): Promise<void> {
    const { port, baud, once = false, open = openLine } = this.options;
    const { signal } = this.stop;
    const lines = openings({
      ...{ port, once, signal },
      open: async (address) => {
        const waiting = await waitingText(address);
        try {
          return await open(address, { baud, signal });
        } finally {
          this.waiting = waiting.bytes;
          await waiting.close();
        }
      },
      onWait: (where, why) => {
        this.waitingFor = why;
        this.emit({ event: 'waiting', t: Date.now(), port: where, why });
      },
    });
    for await (const line of lines) {
      const lost = await this.attend(line);
      if (this.ending) return;
      this.emit({
        event: 'lost',
        t: Date.now(),
        port: line.address,
        why: lost?.message ?? 'the port was closed',
      });
      if (once) throw lost ?? new AiotError('AIOT_SERIAL_LOST', `${line.address} was closed`);
    }
  }

  /** Follows one line to its end; why it ended, null when it is us. */
  private async attend(line: SerialLine): Promise<Error | null> {
    this.line = line;
    this.waitingFor = null;
    this.connections++;
    this.emit({ event: 'connected', t: Date.now(), port: line.address, baud: line.baud });
    this.feed(this.waiting);
    let unlisten = () => {};
    const closed = new Promise<Error | null>((resolve) => {
      unlisten = line.listen({ data: (bytes) => this.feed(bytes), closed: resolve });
    });
    try {
      const begun = this.connections === 1 ? this.begin() : Promise.resolve();
      return await untilAborted(Promise.race([begun.then(() => closed), closed]), this.stop.signal);
    } catch (error) {
      // A line lost while something is sent tells so here and to its listener: one of them is enough.
      if (this.ending || error instanceof AiotError) return this.ending ? null : (error as Error);
      throw error;
    } finally {
      unlisten();
      this.line = null;
      await line.close();
    }
  }

  private async begin(): Promise<void> {
    const { reset, send = [], eol = 'lf' } = this.options;
    if (reset) await this.reset('hard-reset');
    for (const text of send) await this.line?.write(new TextEncoder().encode(text + lineEnds[eol]));
  }

  private async pump(input: AsyncIterator<Uint8Array>): Promise<void> {
    try {
      for (;;) {
        const { done, value } = await input.next();
        if (done || this.ending) return;
        // What is typed while no board is there is for nobody.
        await this.line?.write(value).catch(() => undefined);
      }
    } catch (error) {
      this.finish({ why: 'error', error });
    }
  }

  private feed(bytes: Uint8Array): void {
    if (this.ending || bytes.length === 0) return;
    this.bytes += bytes.length;
    this.recorder?.bytes(bytes);
    this.options.onBytes?.(bytes);
    this.text.feed(bytes);
  }

  private judge(text: string): void {
    const { fail, until } = this.options;
    if (fail?.test(text)) this.finish({ why: 'fail', text });
    else if (until?.test(text)) this.finish({ why: 'until', matched: text });
  }

  private after(ms: number | undefined, ending: Ending): NodeJS.Timeout | undefined {
    return ms === undefined ? undefined : setTimeout(() => this.finish(ending), ms);
  }

  private emit(event: MonitorEvent): void {
    this.recorder?.event(event);
    this.options.onEvent(event);
  }

  private conclude(): MonitorEnd {
    this.text.end();
    const { ending, bytes, connections } = this;
    const { lines, last } = this.text;
    const seconds = Math.round((Date.now() - this.startedAt) / 100) / 10;
    if (ending?.why !== 'until' && ending?.why !== 'for' && ending?.why !== 'quit')
      throw failureOf(ending, { options: this.options, waitingFor: this.waitingFor, bytes, lines, last });
    const { why, matched } = ending;
    const end: MonitorEnd = {
      event: 'ended',
      t: Date.now(),
      why,
      matched,
      seconds,
      lines,
      bytes,
      connections,
    };
    this.emit(end);
    return end;
  }
}
