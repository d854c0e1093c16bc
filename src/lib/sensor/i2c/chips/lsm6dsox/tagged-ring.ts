import { fifoWords, tagByte, wordBytes } from './words.js';

/** The ring of 512 tagged words behind FIFO_DATA_OUT_TAG. */
export class TaggedRing {
  readonly #bytes = new Uint8Array(fifoWords * wordBytes);
  #written = 0;
  #read = 0;
  #slots = 0;
  #overrun = false;
  #latched = false;
  #last: Uint8Array = new Uint8Array(wordBytes);

  get level(): number {
    return this.#written - this.#read;
  }

  clear(): void {
    this.#read = this.#written;
    this.#slots = 0;
    this.#overrun = false;
    this.#latched = false;
  }

  /** The words of one moment. */
  slot(words: readonly [kind: number, values: Int16Array][]): void {
    for (const [kind, values] of words) {
      if (this.level === fifoWords) {
        this.#read++;
        this.#overrun = true;
        this.#latched = true;
      }
      const at = (this.#written++ % fifoWords) * wordBytes;
      this.#bytes[at] = tagByte(kind, this.#slots);
      for (let axis = 0; axis < 3; axis++) {
        this.#bytes[at + 1 + 2 * axis] = values[axis]! & 0xff;
        this.#bytes[at + 2 + 2 * axis] = (values[axis]! >> 8) & 0xff;
      }
    }
    this.#slots++;
  }

  /** A byte of the oldest word; with its last byte the word is out. When it is empty the last word comes again. */
  byte(index: number): number {
    if (index === 0 && this.level > 0) {
      const at = (this.#read % fifoWords) * wordBytes;
      this.#last = this.#bytes.slice(at, at + wordBytes);
    }
    if (index === wordBytes - 1 && this.level > 0) {
      this.#read++;
      this.#overrun = false;
    }
    return this.#last[index]!;
  }

  /** Bits 7 to 3 of FIFO_STATUS2, whose reading clears OVR_LATCHED. @param watermark words */
  flags(watermark: number): number {
    const latched = this.#latched ? 0x08 : 0;
    this.#latched = false;
    return (
      (watermark > 0 && this.level >= watermark ? 0x80 : 0) |
      (this.#overrun ? 0x40 : 0) |
      (this.level === fifoWords ? 0x20 : 0) |
      latched
    );
  }
}
