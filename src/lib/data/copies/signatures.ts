import { gaussian, seededRandom } from '../../core/index.js';

/** Bits that differ in half of a signature at most: of two windows that are one, about one bit in twenty. */
const halfFlips = 2;
const allFlips = 6;

/** Places in recordings by what a window beginning there looks like. */
export interface SignatureIndex {
  /** Calls back with each place whose signature is near: recording, first sample. */
  near(signature: number, found: (recording: number, at: number) => void): void;
}

/** Samples that count as one: what moves faster is left to the closer look. */
const blockSamples = 5;

/**
 * Signature of each window of a signal: 32 bits, each the side of a random plane on which the window lies (Charikar 2002).
 * Windows that are one but for a factor and noise have nearly the same. 0 for windows in which nothing moves.
 */
export function createSigner(fields: number, windowSamples: number): (signal: Float64Array[]) => Int32Array {
  const random = seededRandom(20_26);
  const blocks = Math.floor(windowSamples / blockSamples);
  const planes = Float64Array.from({ length: 32 * fields * blocks }, () => gaussian(random));
  return (signal) => {
    const length = signal[0]?.length ?? 0;
    const sums = signal.map(blockSums);
    const out = new Int32Array(Math.max(0, length - windowSamples + 1));
    for (let at = 0; at < out.length; at++) {
      let bits = 0;
      let moves = false;
      for (let bit = 0; bit < 32; bit++) {
        let side = 0;
        for (let f = 0; f < fields; f++) {
          const own = (bit * fields + f) * blocks;
          const column = sums[f]!;
          for (let k = 0; k < blocks; k++) side += planes[own + k]! * column[at + k * blockSamples]!;
        }
        if (side !== 0) moves = true;
        bits = (bits << 1) | (side > 0 ? 1 : 0);
      }
      out[at] = moves ? bits : 0;
    }
    return out;
  };
}

function blockSums(column: Float64Array): Float64Array {
  const out = new Float64Array(column.length);
  for (let i = 0; i + blockSamples <= column.length; i++) {
    let sum = 0;
    for (let k = 0; k < blockSamples; k++) sum += column[i + k]!;
    out[i] = sum;
  }
  return out;
}

/** @param signatures of each recording, one a place @returns places whose halves differ in two bits at most, and all in six */
export function indexSignatures(signatures: Int32Array[]): SignatureIndex {
  const count = signatures.reduce((sum, list) => sum + list.length, 0);
  const all = new Int32Array(count);
  const recordingOf = new Int32Array(count);
  const placeOf = new Int32Array(count);
  let next = 0;
  signatures.forEach((list, r) => {
    for (let at = 0; at < list.length; at++) {
      all[next] = list[at]!;
      recordingOf[next] = r;
      placeOf[next++] = at;
    }
  });
  const halves = [bucketed(all, 16), bucketed(all, 0)];
  const masks = flipsOf(halfFlips);
  return {
    near(signature, found) {
      halves.forEach(({ starts, items }, side) => {
        const own = (signature >>> (side === 0 ? 16 : 0)) & 0xffff;
        for (const mask of masks) {
          const bucket = own ^ mask;
          for (let i = starts[bucket]!; i < starts[bucket + 1]!; i++) {
            const item = items[i]!;
            const other = all[item]!;
            if (other === 0 || ones(other ^ signature) > allFlips) continue;
            // What the upper half has found already is not found again by the lower.
            if (side === 1 && ones((other ^ signature) >>> 16) <= halfFlips) continue;
            found(recordingOf[item]!, placeOf[item]!);
          }
        }
      });
    },
  };
}

function bucketed(all: Int32Array, shift: number): { starts: Int32Array; items: Int32Array } {
  const starts = new Int32Array(65_537);
  for (const signature of all) starts[((signature >>> shift) & 0xffff) + 1]!++;
  for (let b = 0; b < 65_536; b++) starts[b + 1]! += starts[b]!;
  const fill = starts.slice();
  const items = new Int32Array(all.length);
  all.forEach((signature, i) => {
    items[fill[(signature >>> shift) & 0xffff]!++] = i;
  });
  return { starts, items };
}

/** All 16-bit numbers with so many ones at most. */
function flipsOf(most: number): number[] {
  return Array.from({ length: 65_536 }, (_, mask) => mask).filter((mask) => ones(mask) <= most);
}

function ones(bits: number): number {
  let v = bits - ((bits >>> 1) & 0x55555555);
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333);
  return Math.imul((v + (v >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
