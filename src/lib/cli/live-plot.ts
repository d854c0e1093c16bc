import { plotText, type Series } from './render/plot.js';

export interface Screen {
  /** Null: no terminal, so nothing is drawn over. */
  columns: number | null;
  rows: number;
  write(text: string): void;
}

/** How often a terminal is drawn anew at most, ms. */
const frameMs = 100;
/** Values kept of each series. */
const kept = 2000;
/** More series than these are left out: they would not fit below each other. */
const most = 8;

/** Numbers that keep coming, as a plot that stays at the end of a terminal; lines go above it. */
export class LivePlot {
  private readonly series = new Map<string, number[]>();
  private drawn = 0;
  private timer: NodeJS.Timeout | null = null;

  constructor(private readonly screen: Screen) {}

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

  /** A line above the plot. */
  line(text: string): void {
    this.clear();
    this.screen.write(`${text}\n`);
    if (this.screen.columns !== null && this.series.size > 0)
      this.timer ??= setTimeout(() => this.draw(), frameMs);
  }

  /** The plot as it is at the end: drawn for the last time, or, without a terminal, the only time. */
  end(): void {
    this.draw();
  }

  private draw(): void {
    if (this.timer) clearTimeout(this.timer);
    this.timer = null;
    if (this.series.size === 0) return;
    this.clear();
    const { columns, rows } = this.screen;
    const height = Math.max(
      1,
      Math.min(6, Math.floor(((columns === null ? 24 : rows) - 2) / this.series.size) - 1),
    );
    const shown: Series[] = [...this.series].map(([name, values]) => ({ name, values }));
    const text = plotText(shown, Math.min(100, (columns ?? 80) - 1), height);
    this.screen.write(`${text}\n`);
    this.drawn = columns === null ? 0 : text.split('\n').length;
  }

  /** Takes the plot off the terminal: up to its first line, and away with all below. */
  private clear(): void {
    if (this.drawn > 0) this.screen.write(`\x1b[${this.drawn}A\x1b[J`);
    this.drawn = 0;
  }
}
