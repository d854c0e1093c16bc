import type { LogLine } from './contract/devices.js';

/** How much later a line may be stored than one that arrived after it, ms. Lines of this time are compared with those already shown. */
export const overtakingMs = 60_000;

/** How often a line was shown, and how often it may still arrive as a new line although it was shown. */
interface Shown {
  at: number;
  times: number;
  awaited: number;
}

/**
 * The lines that were shown recently. A search and the connection may both contain a line. Lines have no ids, and a device may log the same
 * text twice in a millisecond, so equal lines are counted.
 */
export class ShownLines {
  /** Arrival time of the newest line, ms since 1970. */
  newest = 0;
  private readonly lines = new Map<string, Shown>();

  /** Those of the stored lines that were not shown yet. */
  caughtUp(stored: readonly LogLine[]): LogLine[] {
    const found = new Map<string, number>();
    return stored.filter((line) => {
      const text = JSON.stringify(line);
      const nth = (found.get(text) ?? 0) + 1;
      found.set(text, nth);
      const shown = this.of(text, line.at);
      if (nth <= shown.times) return false;
      shown.times++;
      shown.awaited++;
      return true;
    });
  }

  /** Whether a line that has arrived was not shown yet. */
  arrived(line: LogLine): boolean {
    const shown = this.of(JSON.stringify(line), line.at);
    if (shown.awaited > 0) {
      shown.awaited--;
      return false;
    }
    shown.times++;
    return true;
  }

  private of(text: string, at: number): Shown {
    const known = this.lines.get(text);
    if (known) return known;
    const shown = { at, times: 0, awaited: 0 };
    this.lines.set(text, shown);
    this.newest = Math.max(this.newest, at);
    for (const [old, { at: when }] of this.lines) {
      if (when >= this.newest - 2 * overtakingMs) break;
      this.lines.delete(old);
    }
    return shown;
  }
}
