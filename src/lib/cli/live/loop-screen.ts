import type { ReadStream } from 'node:tty';
import type { LoopBegun, LoopOptions } from '../../loop/run/options.js';
import type { Answer } from '../../loop/types.js';
import { answerLine, loopFrame, spreadMs, spreadParts } from '../render/loop.js';
import { dim, drawsOver, forTerminal } from '../render/text.js';
import { Redraw } from './redraw.js';

interface LoopScreenOptions {
  /** Output of the view; null = only notes are shown. */
  stdout: Pick<NodeJS.WriteStream, 'isTTY' | 'columns' | 'rows' | 'write'> | null;
  /** Terminal for key presses; null = none. */
  stdin: ReadStream | null;
  /** A line for people, on stderr. */
  note: (text: string) => void;
}

/** Redraw interval on a terminal, ms. At this rate, drawing takes less than a thousandth of a core. */
const frameMs = 200;

/** Time span of the plot, s. */
const plotSeconds = 10;

/** Maximum number of plotted fields; more would not fit on the screen. */
const mostSeries = 4;

const ctrlC = '\x03';
const [hideCursor, showCursor] = ['\x1b[?25l', '\x1b[?25h'];

/** The display of a running loop: a stationary view on a terminal, a line for each change elsewhere. */
export class LoopScreen {
  private begun: LoopBegun | null = null;
  private series: { name: string; values: number[] }[] = [];
  /** Every n-th sample is plotted. */
  private every = 1;
  private passed = 0;
  private answer: Answer | null = null;
  private since: number | null = null;
  private readonly picture = new Redraw(() => this.options.stdout?.columns ?? 80);
  private timer: NodeJS.Timeout | undefined;
  private releaseKeys = () => {};

  constructor(private readonly options: LoopScreenOptions) {}

  /** Callbacks for the options of a loop. */
  get wiring(): Pick<LoopOptions, 'onOpen' | 'onEvent' | 'taps'> {
    const { stdout } = this.options;
    return {
      onEvent: (text) => this.line(text),
      ...(stdout ? { onOpen: (begun) => this.open(begun) } : {}),
      taps: stdout
        ? [
            {
              samples: (batch) => this.plot(batch.values, batch.count),
              answer: (answer) => this.take(answer),
            },
          ]
        : [],
    };
  }

  /** Leaves the last frame on the screen, and restores the terminal. Idempotent. */
  close(): void {
    this.releaseKeys();
    this.releaseKeys = () => {};
    if (!this.timer) return;
    clearInterval(this.timer);
    this.timer = undefined;
    this.draw();
    this.options.stdout?.write(`${showCursor}\n`);
    this.picture.leave();
  }

  private open(begun: LoopBegun): void {
    const { stdout, note } = this.options;
    this.begun = begun;
    if (begun.teacher) this.takeKeys(begun.teacher);
    const { endpoint } = begun.monitor.status().sensor;
    if (!stdout || !drawsOver(stdout)) {
      note(dim(`${endpoint}: running. Press Ctrl-C to stop.`));
      return;
    }
    const points = Math.min(100, stdout.columns) * 2;
    this.every = Math.max(1, Math.round((begun.rateHz * plotSeconds) / points));
    this.series = begun.fields.slice(0, mostSeries).map(({ name, unit }) => ({
      name: unit ? `${name} ${dim(unit)}` : name,
      values: [],
    }));
    stdout.write(hideCursor);
    this.timer = setInterval(() => this.draw(), frameMs).unref();
  }

  /** Labels the latest samples when the user presses a key. Ctrl-C works as usual. */
  private takeKeys(teacher: NonNullable<LoopBegun['teacher']>): void {
    const { stdin, note } = this.options;
    if (!stdin) return;
    const take = (bytes: Buffer) => {
      for (const character of bytes.toString('utf8')) {
        if (character === ctrlC) process.kill(process.pid, 'SIGINT');
        else teacher.key(character);
      }
    };
    stdin.setRawMode(true);
    stdin.on('data', take);
    stdin.resume();
    this.releaseKeys = () => {
      stdin.off('data', take);
      stdin.setRawMode(false);
      stdin.pause();
      stdin.unref();
    };
    note(
      dim(`keys: ${teacher.keys.map((each) => `${each.key} ${each.label}`).join(', ')}, t to train again`),
    );
  }

  private plot(values: Float64Array, count: number): void {
    if (!this.timer) return;
    const fields = values.length / count;
    for (let i = 0; i < count; i++) {
      if (++this.passed % this.every !== 0) continue;
      this.series.forEach(({ values: kept }, f) => {
        kept.push(values[i * fields + f]!);
        if (kept.length > 400) kept.splice(0, 200);
      });
    }
  }

  private take(answer: Answer): void {
    this.answer = answer;
    if (!answer.changed) return;
    this.since = answer.t;
    const { stdout } = this.options;
    if (stdout && !drawsOver(stdout)) stdout.write(forTerminal(`${answerLine(answer)}\n`));
  }

  /** Prints a line above the view. */
  private line(text: string): void {
    if (this.timer) this.erase();
    this.options.note(text);
    if (this.timer) this.draw();
  }

  private draw(): void {
    const { stdout } = this.options;
    if (!stdout || !this.begun) return;
    const { monitor, classes, latencies } = this.begun;
    const view = {
      status: monitor.status(),
      ...{ series: this.series, classes, answer: this.answer, since: this.since },
      spread: latencies(spreadParts, ...spreadMs),
    };
    const lines = loopFrame(view, stdout.columns, stdout.rows);
    stdout.write(this.picture.over(lines));
  }

  private erase(): void {
    this.options.stdout?.write(this.picture.away());
  }
}
