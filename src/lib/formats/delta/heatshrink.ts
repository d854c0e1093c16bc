import type { Steps } from './suffixes.js';

/**
 * The bit stream of heatshrink (Scott Vokes' LZSS for microcontrollers with little memory). A literal is a 1 and the eight bits of a byte.
 * A copy is a 0, the distance back (minus one, in `window` bits) and the length (minus one, in `lookahead` bits). The most significant bit
 * comes first.
 */
export interface Heatshrink {
  /** Window size in bits: a decoder buffers 2^window bytes. */
  window: number;
  lookahead: number;
}

/** For each byte, the longest match with earlier bytes that starts there: its length and its distance back. */
export interface Matches {
  lengths: Uint16Array;
  distances: Uint16Array;
}

/** Creates the shortest stream for these bytes. All matches cost the same, so the longest match is always the best. */
export function heatshrink(
  bytes: Uint8Array,
  { window, lookahead }: Heatshrink,
  matches: Matches,
): Uint8Array {
  const matchBits = 1 + window + lookahead;
  const most = 1 << lookahead;
  const costs = new Float64Array(bytes.length + 1);
  const reached = (i: number) => Math.min(most, matches.lengths[i]!);
  for (let i = bytes.length - 1; i >= 0; i--) {
    const length = reached(i);
    const literal = 9 + costs[i + 1]!;
    costs[i] = length === 0 ? literal : Math.min(literal, matchBits + costs[i + length]!);
  }
  const out = new Uint8Array(Math.ceil(costs[0]! / 8));
  let bit = 0;
  const put = (value: number, bits: number) => {
    for (let i = bits - 1; i >= 0; i--, bit++) if ((value >> i) & 1) out[bit >> 3]! |= 0x80 >> (bit & 7);
  };
  for (let i = 0; i < bytes.length; ) {
    const length = reached(i);
    if (length > 0 && matchBits + costs[i + length]! <= 9 + costs[i + 1]!) {
      put(0, 1);
      put(matches.distances[i]! - 1, window);
      put(length - 1, lookahead);
      i += length;
    } else {
      put(0x100 | bytes[i]!, 9);
      i++;
    }
  }
  return out;
}

/** Maximum length of a match, bytes. */
const most = 128;
const looks = 256;

/** No new search is made while more bytes than this remain in a match. */
const enough = 8;

/** Number of bytes after which to yield to other tasks. */
const standstill = 4096;

/** Finds the matches within each of several windows. @param windows bits, the smallest first */
export function* matchesWithin(bytes: Uint8Array, windows: readonly number[]): Steps<Matches[]> {
  const n = bytes.length;
  const found = windows.map(() => ({ lengths: new Uint16Array(n), distances: new Uint16Array(n) }));
  const heads = new Int32Array(0x10000).fill(-1);
  const before = new Int32Array(n).fill(-1);
  for (let i = 0; i + 1 < n; i++) {
    if (i % standstill === 0) yield;
    const key = (bytes[i]! << 8) | bytes[i + 1]!;
    const limit = Math.min(most, n - i);
    let [best, distance, left, at] = [1, 0, looks, heads[key]!];
    // A long match of the previous byte continues here. A different match inside it is rarely better.
    const goesOn = i > 0 && found.every(({ lengths }) => lengths[i - 1]! > enough);
    if (goesOn) left = 0;
    windows.forEach((window, which) => {
      if (goesOn) {
        const { lengths, distances } = found[which]!;
        lengths[i] = lengths[i - 1]! - 1;
        distances[i] = distances[i - 1]!;
        return;
      }
      const reach = 1 << window;
      for (; at >= 0 && i - at <= reach && left > 0 && best < limit; at = before[at]!, left--) {
        if (bytes[at + best] !== bytes[i + best]) continue;
        let length = 2;
        while (length < limit && bytes[at + length] === bytes[i + length]) length++;
        if (length <= best) continue;
        best = length;
        distance = i - at;
      }
      if (distance === 0) return;
      const { lengths, distances } = found[which]!;
      lengths[i] = best;
      distances[i] = distance;
    });
    before[i] = heads[key]!;
    heads[key] = i;
  }
  return found;
}

/** Decodes bytes as they arrive. Buffers 2^window bytes. */
export class Unshrink {
  private readonly past: Uint8Array;
  private at = 0;
  private bits = 0;
  private held = 0;

  constructor(private readonly of: Heatshrink) {
    this.past = new Uint8Array(1 << of.window);
  }

  /** @param out called for each byte */
  push(bytes: Uint8Array, out: (byte: number) => void): void {
    const { window, lookahead } = this.of;
    for (const byte of bytes) {
      this.held = (this.held << 8) | byte;
      this.bits += 8;
      for (;;) {
        if (this.bits < 1) break;
        const literal = (this.held >> (this.bits - 1)) & 1;
        if (this.bits < (literal ? 9 : 1 + window + lookahead)) break;
        this.take(1);
        if (literal) this.give(this.take(8), out);
        else this.repeat(this.take(window) + 1, this.take(lookahead) + 1, out);
      }
    }
  }

  private take(count: number): number {
    this.bits -= count;
    const value = (this.held >>> this.bits) & ((1 << count) - 1);
    this.held &= (1 << this.bits) - 1;
    return value;
  }

  private repeat(distance: number, count: number, out: (byte: number) => void): void {
    const mask = this.past.length - 1;
    for (let i = 0; i < count; i++) this.give(this.past[(this.at - distance) & mask]!, out);
  }

  private give(byte: number, out: (byte: number) => void): void {
    this.past[this.at++ & (this.past.length - 1)] = byte;
    out(byte);
  }
}
