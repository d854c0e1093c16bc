/** Words that the chip stores; DIFF_FIFO and FIFO_PATTERN count in them. */
const capacity = 2048;
/** Most words that are ever unread. */
const mostUnread = 2047;

/** The ring of 2048 words behind FIFO_DATA_OUT, its overrun and its pattern (AN5130, FIFO). */
export class FifoRing {
  readonly #words = new Int16Array(capacity);
  /** Since it was cleared. */
  #written = 0;
  #read = 0;
  #overrun = false;
  #half = false;
  #last = 0;
  /** Words of one pattern. */
  patternWords = 3;
  /** Words at which it is full, with STOP_ON_FTH. */
  limit = mostUnread;

  get level(): number {
    return this.#written - this.#read;
  }

  get overrun(): boolean {
    return this.#overrun;
  }

  get pattern(): number {
    return this.#read % this.patternWords;
  }

  /** A set more would not fit. */
  get full(): boolean {
    return this.level + 3 > this.limit;
  }

  clear(): void {
    this.#written = 0;
    this.#read = 0;
    this.#overrun = false;
    this.#half = false;
  }

  /** Where the next set of three words goes, the oldest making way. */
  begin(): void {
    if (this.level + 3 > this.limit) {
      this.#read += 3;
      this.#overrun = true;
    }
  }

  put(word: number): void {
    this.#words[this.#written & (capacity - 1)] = word;
    this.#written++;
  }

  /** As if so many sets had been written: for what would have been overwritten before anyone looked. */
  skip(sets: number): void {
    this.#written += 3 * sets;
    const over = this.level - this.limit;
    if (over <= 0) return;
    this.#read += 3 * Math.ceil(over / 3);
    this.#overrun = true;
  }

  /** FIFO_DATA_OUT_L, then _H, which takes the word out. When it is empty the last word comes again. */
  byte(high: boolean): number {
    if (!high) {
      this.#half = true;
      if (this.level > 0) this.#last = this.#words[this.#read & (capacity - 1)]!;
      return this.#last & 0xff;
    }
    const byte = (this.#last >> 8) & 0xff;
    if (this.#half && this.level > 0) {
      this.#read++;
      this.#overrun = false;
    }
    this.#half = false;
    return byte;
  }

  /** A burst from FIFO_DATA_OUT_L on, which rolls over to it. */
  bytes(into: Uint8Array): void {
    for (let i = 0; i + 1 < into.length; i += 2) {
      into[i] = this.byte(false);
      into[i + 1] = this.byte(true);
    }
    if (into.length % 2 === 1) into[into.length - 1] = this.byte(false);
  }

  /** FIFO_STATUS1 to 4. @param threshold words */
  status(index: number, threshold: number): number {
    const unread = this.#overrun ? 0 : Math.min(this.level, mostUnread);
    switch (index) {
      case 0:
        return unread & 0xff;
      case 1:
        return (
          (unread >> 8) |
          (this.level === 0 ? 0x10 : 0) |
          (this.level > 0 && this.full ? 0x20 : 0) |
          (this.#overrun ? 0x40 : 0) |
          (threshold > 0 && this.level >= threshold ? 0x80 : 0)
        );
      case 2:
        return this.pattern & 0xff;
      default:
        return this.pattern >> 8;
    }
  }
}
