import { stripVTControlCharacters } from 'node:util';
import { forTerminal } from '../render/style.js';

/** Whether a stream can be drawn over: a terminal, and not one that knows no cursor (TERM=dumb). */
export function drawsOver(stream: { isTTY?: boolean }): boolean {
  return stream.isTTY === true && process.env.TERM !== 'dumb';
}

/** Lines that stay at the end of a terminal, each picture over the one before; also after the terminal became narrower. */
export class Redraw {
  private lines: readonly string[] = [];

  /** @param columns of the terminal as it is now */
  constructor(private readonly columns: () => number) {}

  /** What puts these lines where the last ones stood: in one go, so that nothing is blank in between. */
  over(lines: readonly string[]): string {
    const up = this.up();
    this.lines = lines;
    return `${up}${lines.map((line) => `${forTerminal(line)}\x1b[K\n`).join('')}\x1b[J`;
  }

  /** What takes them off the terminal. */
  away(): string {
    const up = this.up();
    this.lines = [];
    return up === '' ? '' : `${up}\x1b[J`;
  }

  /** Leaves them where they are: what comes next is drawn below. */
  leave(): void {
    this.lines = [];
  }

  /** Lines that no longer fit have been wrapped by the terminal. */
  private up(): string {
    const width = Math.max(1, this.columns());
    const rows = this.lines.reduce(
      (sum, line) => sum + Math.max(1, Math.ceil(stripVTControlCharacters(line).length / width)),
      0,
    );
    return rows === 0 ? '' : `\x1b[${rows}A\r`;
  }
}
