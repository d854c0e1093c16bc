import type { ControlLines } from '../port/types.js';
import { control } from './constants.js';

/**
 * The SET_CONTROL values that bring the lines from one state to another, only for what changes or is not
 * known. GPIO0's line (DTR) is pulled first and released last: on the usual circuit no order goes through "in reset" that
 * does not end there, and Espressif's server, which takes DTR-on as the beginning of a whole reset, is begun by it.
 */
export function controlChanges(from: Partial<ControlLines>, to: ControlLines): number[] {
  const dtr = from.dtr === to.dtr ? [] : [to.dtr ? control.DTR_ON : control.DTR_OFF];
  const rts = from.rts === to.rts ? [] : [to.rts ? control.RTS_ON : control.RTS_OFF];
  return to.dtr ? [...dtr, ...rts] : [...rts, ...dtr];
}

/** How long the second half of a pair may take over a network. */
const pairMs = 400;

/**
 * Sets a board's lines as a client far away changes them one by one. A reset into the loader goes from "held in reset"
 * (RTS) to "GPIO0 low" (DTR) — at a board by one switch, over a network by two messages with tens of milliseconds between
 * them, in which both are asserted, the chip's reset is released and it starts its program. So that first half is held
 * back until the second one comes, and both are set at once.
 */
export class ControlRelay {
  private wanted: ControlLines;
  private held: NodeJS.Timeout | null = null;

  constructor(
    private readonly set: (lines: ControlLines) => Promise<void>,
    /** As the lines are now. */
    start: ControlLines = { dtr: false, rts: false },
  ) {
    this.wanted = start;
  }

  get lines(): ControlLines {
    return this.wanted;
  }

  async change(part: Partial<ControlLines>): Promise<void> {
    const before = this.wanted;
    this.wanted = { ...before, ...part };
    const outOfReset = before.rts && !before.dtr && this.wanted.rts && this.wanted.dtr;
    const same = before.dtr === this.wanted.dtr && before.rts === this.wanted.rts;
    // Some clients say everything twice.
    if (same && this.held !== null) return;
    this.release();
    if (!outOfReset) return this.set(this.wanted);
    this.held = setTimeout(() => {
      this.held = null;
      // The line's end is told to whoever listens to it.
      this.set(this.wanted).catch(() => undefined);
    }, pairMs);
  }

  /** Forgets what is held back. */
  release(): void {
    if (this.held) clearTimeout(this.held);
    this.held = null;
  }
}
