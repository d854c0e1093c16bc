import { type Heatshrink, heatshrink, matchesWithin } from './heatshrink.js';
import { type Steps, suffixArray } from './suffixes.js';

/** The first byte of a patch: sequential format (high half 0), compressed with heatshrink (low half 4). */
export const sequentialHeatshrink = 4;

/** Window sizes to try; the smallest patch is used. Devices have memory for the largest window, 2 KiB. */
const shapes: readonly Heatshrink[] = [
  { window: 8, lookahead: 7 },
  { window: 10, lookahead: 7 },
  { window: 11, lookahead: 5 },
];

/**
 * Creates the patch from `base` to `next` in detools' sequential format (detools.readthedocs.io, "Sequential"), which detools can also
 * decode. The patch contains the size of the result and, compressed with heatshrink, the pieces: added bytes, literal bytes, and the
 * distance to move in the base.
 */
export function createDelta(base: Uint8Array, next: Uint8Array): Uint8Array {
  const steps = createDeltaInSteps(base, next);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** Like `createDelta`, but pauses every few milliseconds, because megabytes take seconds. */
export function* createDeltaInSteps(base: Uint8Array, next: Uint8Array): Steps<Uint8Array> {
  const plain = plainPatch(yield* differences(base, next), base, next);
  const head = [Uint8Array.of(sequentialHeatshrink), packed(next.length)];
  const matches = yield* matchesWithin(
    plain,
    shapes.map(({ window }) => window),
  );
  const packs = shapes.map((shape, i) => {
    const { window, lookahead } = shape;
    return [Uint8Array.of(((window - 4) << 4) | (lookahead - 3)), heatshrink(plain, shape, matches[i]!)];
  });
  const length = (parts: Uint8Array[]) => parts.reduce((sum, part) => sum + part.length, 0);
  yield;
  const smallest = packs.reduce((best, each) => (length(each) < length(best) ? each : best));
  return Buffer.concat(next.length === 0 ? head : [...head, ...smallest]);
}

function plainPatch(pieces: readonly Piece[], base: Uint8Array, next: Uint8Array): Uint8Array {
  // Data format 0 means that the bytes were not preprocessed.
  const parts: Uint8Array[] = [packed(0)];
  pieces.forEach(({ at, from, diff, extra }, i) => {
    const added = new Uint8Array(diff);
    for (let j = 0; j < diff; j++) added[j] = next[at + j]! - base[from + j]!;
    const behind = pieces[i + 1]?.from ?? from + diff;
    parts.push(packed(diff), added, packed(extra), next.subarray(at + diff, at + diff + extra));
    parts.push(packed(behind - (from + diff)));
  });
  return Buffer.concat(parts);
}

/**
 * Encodes a number: six bits in the first byte, then seven bits per byte, lowest bits first. 0x80 = more bytes follow, 0x40 in the first
 * byte = negative.
 */
function packed(value: number): Uint8Array {
  let left = Math.abs(value);
  const bytes = [(value < 0 ? 0x40 : 0) | (left % 64)];
  for (left = Math.floor(left / 64); left > 0; left = Math.floor(left / 128)) {
    bytes[bytes.length - 1]! |= 0x80;
    bytes.push(left % 128);
  }
  return Uint8Array.from(bytes);
}

/**
 * A piece of the new bytes: `diff` bytes that are added to the base's bytes, starting at `from`, then `extra` literal bytes. `at`: offset
 * of the piece in the new bytes.
 */
interface Piece {
  at: number;
  from: number;
  diff: number;
  extra: number;
}

/** A match elsewhere in the base is used only if it is this many bytes better than the current match. */
const better = 8;

/** Number of byte comparisons after which to yield to other tasks. */
const standstill = 1 << 20;

/**
 * In a run of equal bytes, each offset has a long match, and searching for all of them would take quadratic time. After more than
 * `patience` consecutive matches that are longer than `long` but not better, an eighth of each further match is skipped.
 */
const [patience, long] = [16, 256];

/**
 * Divides the new bytes into pieces that approximately occur in the base. Moved machine code matches even though it contains other
 * addresses. The method is that of bsdiff (Colin Percival, "Naive differences of executable code", 2003).
 */
function* differences(base: Uint8Array, next: Uint8Array): Steps<Piece[]> {
  const suffixes = yield* suffixArray(base);
  const pieces: Piece[] = [];
  let last = { at: 0, from: 0 };
  let scan = 0;
  let match = { from: 0, length: 0 };
  let compared = 0;
  while (scan < next.length) {
    const shift = last.from - last.at;
    const fits = (i: number) => base[i + shift] === next[i];
    // Number of bytes of the match that also match at the current place.
    let fitting = 0;
    let dull = 0;
    scan += match.length;
    for (let counted = scan; scan < next.length; ) {
      match = longest(base, suffixes, next, scan);
      compared += match.length + long;
      if (compared > standstill) {
        compared = 0;
        yield;
      }
      for (; counted < scan + match.length; counted++) if (fits(counted)) fitting++;
      if ((match.length > 0 && match.length === fitting) || match.length > fitting + better) break;
      dull = match.length > long ? dull + 1 : 0;
      const on = scan + (dull > patience ? match.length >> 3 : 1);
      for (; scan < on; scan++) if (fits(scan)) fitting--;
    }
    if (match.length === fitting && scan < next.length) continue;
    const end = scan < next.length ? { at: scan, from: match.from } : { at: next.length, from: -1 };
    const { forward, backward } = extended(base, next, last, end);
    const extra = end.at - backward - (last.at + forward);
    pieces.push({ ...last, diff: forward, extra });
    last = { at: end.at - backward, from: end.from - backward };
  }
  return pieces;
}

type Place = Pick<Piece, 'at' | 'from'>;

/**
 * Extends the match at the last position forward, and the match at the next position backward. Where they overlap, each byte is assigned to
 * the better match.
 */
function extended(base: Uint8Array, next: Uint8Array, last: Place, end: Place) {
  const gap = end.at - last.at;
  const forward = bestLength(Math.min(gap, base.length - last.from), (i) => {
    return base[last.from + i] === next[last.at + i];
  });
  const backward =
    end.from < 0
      ? 0
      : bestLength(Math.min(gap, end.from), (i) => base[end.from - 1 - i] === next[end.at - 1 - i]);
  const overlap = forward + backward - gap;
  if (overlap <= 0) return { forward, backward };
  let best = 0;
  let score = 0;
  let kept = 0;
  for (let i = 0; i < overlap; i++) {
    const at = end.at - backward + i;
    if (base[last.from + at - last.at] === next[at]) score++;
    if (base[end.from + at - end.at] === next[at]) score--;
    if (score > best) {
      best = score;
      kept = i + 1;
    }
  }
  return { forward: forward - overlap + kept, backward: backward - kept };
}

/** The length at which the matching bytes outnumber the others by the largest margin. */
function bestLength(limit: number, fits: (i: number) => boolean): number {
  let length = 0;
  let best = 0;
  let score = 0;
  for (let i = 0; i < limit; i++) {
    score += fits(i) ? 1 : -1;
    if (score > best) {
      best = score;
      length = i + 1;
    }
  }
  return length;
}

/** The longest match in the base for the new bytes, starting at `at`. */
function longest(base: Uint8Array, suffixes: Int32Array, next: Uint8Array, at: number) {
  let [low, high] = [0, suffixes.length];
  // A prefix shared with the suffixes at both ends is shared with all between them.
  let [below, above] = [0, 0];
  let found = { from: 0, length: 0 };
  while (low < high) {
    const middle = (low + high) >> 1;
    const from = suffixes[middle]!;
    let length = Math.min(below, above);
    const limit = Math.min(base.length - from, next.length - at);
    while (length < limit && base[from + length] === next[at + length]) length++;
    if (length > found.length) found = { from, length };
    if (at + length === next.length) break;
    if (from + length < base.length && base[from + length]! > next[at + length]!) {
      high = middle;
      above = length;
    } else {
      low = middle + 1;
      below = length;
    }
  }
  return found;
}
