import { counts, firstUnsettled } from '../lsm6ds3tr-c/codec.js';

/** A word of the FIFO: its tag, and six bytes of data. */
export const wordBytes = 7;
/** Words that the FIFO holds. */
export const fifoWords = 512;

/** Kinds of words, TAG_SENSOR (ST, lsm6dsox-pid, FIFO_DATA_OUT_TAG): those that are read here, and all that there are. */
export const tags = { gyroscope: 1, accelerometer: 2 } as const;
const knownTags = new Set([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 25]);

/** A tag as the chip writes it: kind, number of the time slot modulo 4, and a bit that makes the number of ones even. */
export function tagByte(kind: number, slot: number): number {
  const tag = (kind << 3) | ((slot & 0b11) << 1);
  return tag | (ones(tag) & 1);
}

/** undefined where the parity is wrong, or the chip knows no such word: it is not where a word begins. */
export function parseTag(byte: number): { kind: number; slot: number } | undefined {
  const kind = byte >> 3;
  return ones(byte) % 2 === 0 && knownTags.has(kind) ? { kind, slot: (byte >> 1) & 0b11 } : undefined;
}

function ones(byte: number): number {
  let count = 0;
  for (let rest = byte; rest > 0; rest &= rest - 1) count++;
  return count;
}

/** FIFO_STATUS1 and 2. */
export function fifoStatus(bytes: Uint8Array): { words: number; overrun: boolean } {
  const [low = 0, high = 0] = bytes;
  return { words: low | ((high & 0b11) << 8), overrun: (high & 0b0100_1000) !== 0 };
}

/** Which words make a sample, and what a count is. */
export interface WordLayout {
  gyroscope: boolean;
  gramsPerCount: number;
  dpsPerCount: number;
}

export interface Assembled {
  /** Samples. */
  count: number;
  /** Some are missing before or among these, or what came was not all words. */
  broken: boolean;
  saturated: number;
}

/**
 * Puts words together into samples. The words of one time slot have one number (modulo 4), and the next slot's is one more: so a
 * sample is whole or left out, and what was lost is seen, but for multiples of four slots.
 */
export class SampleAssembler {
  readonly #width: number;
  readonly #need: number;
  readonly #sample = new Float64Array(6);
  /** Bits of the kinds that the slot has. */
  #have = 0;
  #slot = -1;
  #unsettled = false;

  constructor(private readonly layout: WordLayout) {
    this.#width = layout.gyroscope ? 6 : 3;
    this.#need = layout.gyroscope ? 0b11 : 0b10;
  }

  /** Forgets what it has: the FIFO was cleared. */
  restart(): void {
    this.#have = 0;
    this.#slot = -1;
  }

  /**
   * @param bytes whole words
   * @param into ax, ay, az (g) and gx, gy, gz (dps) of each sample, from `at` on
   * @param settling leaves out samples that the chip marks as not settled (DRDY_MASK), and those that lack a word
   */
  push(bytes: Uint8Array, into: Float64Array, at: number, settling: boolean): Assembled {
    const done: Assembled = { count: 0, broken: false, saturated: 0 };
    for (let from = 0; from + wordBytes <= bytes.length; from += wordBytes) {
      const tag = parseTag(bytes[from]!);
      if (!tag) {
        done.broken = true;
        this.#have = 0;
        continue;
      }
      if (tag.kind !== tags.gyroscope && tag.kind !== tags.accelerometer) continue;
      if (!this.enter(tag.slot, 1 << (tag.kind - 1)) && !settling) done.broken = true;
      done.saturated += this.keep(tag.kind, bytes, from + 1);
      if (this.#have !== this.#need) continue;
      if (settling && this.#unsettled) continue;
      into.set(
        this.#width === 6 ? this.#sample : this.#sample.subarray(0, 3),
        at + this.#width * done.count++,
      );
    }
    return done;
  }

  /** Whether a word of this kind may come next in a slot of this number. */
  private enter(slot: number, bit: number): boolean {
    const first = this.#slot < 0;
    if (!first && slot === this.#slot && (this.#have & bit) === 0) {
      this.#have |= bit;
      return true;
    }
    const whole = this.#have === this.#need;
    const next = ((slot - this.#slot) & 0b11) === 1;
    this.#slot = slot;
    this.#have = bit;
    this.#unsettled = false;
    return first || (whole && next);
  }

  private keep(kind: number, bytes: Uint8Array, from: number): number {
    const { gramsPerCount, dpsPerCount } = this.layout;
    const accelerometer = kind === tags.accelerometer;
    const perCount = accelerometer ? gramsPerCount : dpsPerCount;
    let saturated = 0;
    for (let axis = 0; axis < 3; axis++) {
      const raw = counts(bytes[from + 2 * axis]!, bytes[from + 2 * axis + 1]!);
      if (raw >= firstUnsettled) this.#unsettled = true;
      if (raw >= firstUnsettled || raw <= -32767) saturated++;
      this.#sample[accelerometer ? axis : 3 + axis] = raw * perCount;
    }
    return saturated;
  }
}
