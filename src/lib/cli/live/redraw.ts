import { stripVTControlCharacters } from 'node:util';
import { forTerminal } from '../render/text.js';

/** Lines at the bottom of a terminal. Each frame replaces the previous one, even if the terminal has become narrower. */
export class Redraw {
  private lines: readonly string[] = [];

  /** @param columns current width of the terminal */
  constructor(private readonly columns: () => number) {}

  /** Returns text that replaces the previous lines with these, in a single write to avoid flicker. */
  over(lines: readonly string[]): string {
    const up = this.up();
    this.lines = lines;
    return `${up}${lines.map((line) => `${forTerminal(line)}\x1b[K\n`).join('')}\x1b[J`;
  }

  /** Returns text that removes the lines from the terminal. */
  away(): string {
    const up = this.up();
    this.lines = [];
    return up === '' ? '' : `${up}\x1b[J`;
  }

  /** Leaves the lines on the screen. Further output is written below them. */
  leave(): void {
    this.lines = [];
  }

  /**
   * Escape sequence that moves to the first line. Lines that no longer fit have been wrapped by the terminal, and count as several rows.
   */
  private up(): string {
    const width = Math.max(1, this.columns());
    const rows = this.lines.reduce(
      (sum, line) => sum + Math.max(1, Math.ceil(stripVTControlCharacters(line).length / width)),
      0,
    );
    return rows === 0 ? '' : `\x1b[${rows}A\r`;
  }
}
