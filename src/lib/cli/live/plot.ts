import { plotText, type Series } from '../render/chart.js';
import { cut, drawsOver, forTerminal } from '../render/text.js';
import { Redraw } from './redraw.js';

/** The terminal of a plot. It is queried for each frame, because it can be resized. */
interface Screen {
  /** Width of the terminal; null = not a terminal, so nothing is redrawn. */
  columns: number | null;
  rows: number;
  write(text: string): void;
}

export function screenOf(
  stream: Pick<NodeJS.WriteStream, 'isTTY' | 'columns' | 'rows'>,
  write: Screen['write'],
): Screen {
  return {
    get columns() {
      return drawsOver(stream) ? stream.columns || 80 : null;
    },
    get rows() {
      return stream.rows || 24;
    },
    write,
  };
}

/** Minimum time between frames on a terminal, ms. */
const frameMs = 100;

/** Number of values stored per series. */
const kept = 2000;

/** Maximum number of series. Further ones are omitted, because they would not fit on the screen. */
const most = 8;

/** A live plot of numbers at the bottom of a terminal. Lines are printed above it. */
export class LivePlot {
  private readonly series = new Map<string, number[]>();
  private readonly picture: Redraw;
  private head = '';
  private timer: NodeJS.Timeout | null = null;

  constructor(private readonly screen: Screen) {
    this.picture = new Redraw(() => screen.columns ?? 80);
  }

  /** Sets the line over the plot, which is shown only on a terminal. */
  heading(text: string): void {
    this.head = text;
    if (this.screen.columns !== null && this.series.size > 0)
      this.timer ??= setTimeout(() => this.draw(), frameMs);
  }

  add(values: Record<string, number>): void {
    const count = Math.max(0, ...[...this.series.values()].map(({ length }) => length));
    for (const name of Object.keys(values))
      if (!this.series.has(name) && this.series.size < most)
        this.series.set(name, Array(count).fill(Number.NaN));
    for (const [name, list] of this.series) {
      list.push(values[name] ?? Number.NaN);
      if (list.length > kept) list.splice(0, list.length - kept);
    }
    if (this.screen.columns !== null) this.timer ??= setTimeout(() => this.draw(), frameMs);
  }

  /** Prints a line above the plot. */
  line(text: string): void {
    this.screen.write(`${this.picture.away()}${forTerminal(text)}\n`);
    if (this.screen.columns !== null && this.series.size > 0)
      this.timer ??= setTimeout(() => this.draw(), frameMs);
  }

  /** Draws the plot for the last time. If there is no terminal, this is the only time. */
  end(): void {
    this.draw();
  }

  private draw(): void {
    if (this.timer) clearTimeout(this.timer);
    this.timer = null;
    if (this.series.size === 0) return;
    const { columns, rows } = this.screen;
    const headed = columns !== null && this.head !== '';
    const height = Math.max(
      1,
      Math.min(6, Math.floor(((columns === null ? 24 : rows) - (headed ? 3 : 2)) / this.series.size) - 1),
    );
    const shown: Series[] = [...this.series].map(([name, values]) => ({ name, values }));
    const text = plotText(shown, Math.max(1, Math.min(100, (columns ?? 80) - 1)), height);
    if (columns === null) this.screen.write(`${forTerminal(text)}\n`);
    else
      this.screen.write(
        this.picture.over([...(headed ? [cut(this.head, columns - 1)] : []), ...text.split('\n')]),
      );
  }
}
